"""itf-zoo."""

import functools
import http.server
import json
import threading

import pytest
from intriguing_tf.scripts.zoo import COMMANDS, run

from intriguing_tf import datasets, zoo
from intriguing_tf.classifier import Classifier
from intriguing_tf.publishing import evaluation
from intriguing_tf.zoo.site import export


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A zoo of one entry at an address, and an empty cache."""
    export(tmp_path / "site", "mnist/fc10-1")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "site"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("INTRIGUING_TF_ZOO", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("INTRIGUING_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("INTRIGUING_TF_OFFLINE", raising=False)
    yield
    server.shutdown()
    server.server_close()


def test_help_lists_the_commands(capsys):
    assert run.main(["--help"]) == 0
    printed = capsys.readouterr().out
    for command in COMMANDS:
        assert f"itf-zoo {command}" in printed


@pytest.mark.slow
def test_download_verify_clear(served, capsys):
    def printed(*arguments, status=0):
        assert run.main(arguments) == status
        return capsys.readouterr().out

    assert "absent" in printed("verify")
    told = printed("download", "mnist/*")
    file = zoo.path("mnist/fc10-1")
    assert told == f"mnist/fc10-1: {file}\n"
    assert "verified" in printed("verify")
    size = f"{file.stat().st_size:,}"
    file.write_bytes(b"damaged")
    told = printed("verify", "mnist/*", status=1)
    assert "damaged" in told and f"7 bytes instead of {size}" in told
    assert "7 bytes removed" in printed("clear", "mnist/fc10-1")
    assert not file.exists()
    assert "bytes removed" in printed("clear")


@pytest.mark.slow
@pytest.mark.parametrize("shift, status", [(0, 0), (1, 1)])
def test_verify_with_metrics_evaluates_again(shift, status, capsys, monkeypatch):
    """Here of the error on the sample alone; of labels that are moved by one the card is false."""
    images, labels = datasets.mnist_sample()

    def error(model, card, **options):
        wrong = Classifier(model).predict(images) != (labels + shift) % 10
        return {"sample_error": wrong.mean()}, b""

    monkeypatch.setattr(evaluation, "measure", error)
    monkeypatch.setattr(evaluation, "_mnist_is_here", lambda: False)
    assert run.main(["verify", "mnist/fc10-1", "--metrics"]) == status
    printed = capsys.readouterr().out
    assert "sample_error" in printed and ("DIFFERS" in printed) == bool(status)


def test_verify_fails_for_what_it_could_not_check(tmp_path, monkeypatch, capsys):
    export(tmp_path, "mnist/fc10-1*")
    catalogue = json.loads((tmp_path / "catalogue.json").read_text())
    first, second, third = catalogue["entries"]
    first["metrics"] = {}
    (tmp_path / "catalogue.json").write_text(json.dumps(catalogue))
    (tmp_path / third["name"] / "model.keras").unlink()
    monkeypatch.setenv("INTRIGUING_TF_ZOO", str(tmp_path))
    monkeypatch.setenv("INTRIGUING_TF_CACHE", str(tmp_path / "cache"))
    for card, why in ((first, "no errors to compare with"), (third, "not here")):
        assert run.main(["verify", card["name"]]) == 0
        assert run.main(["verify", card["name"], "--metrics"]) == 1
        assert f"{card['name']}: not evaluated, for it" in (told := capsys.readouterr().out)
        assert why in told
    second["classes"] = "ten"
    (tmp_path / "catalogue.json").write_text(json.dumps(catalogue))
    assert run.main(["verify"]) == 1
    assert "unreadable" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        ((), 2, "list, info, download"),
        (("lost",), 2, "'lost'"),
        (("info",), 1, "at least one argument"),
        (("info", "mnist/fc01-1"), 1, "Did you mean 'mnist/fc10-1'"),
        (("download", "tset/*"), 1, "no entry 'tset/*'"),
        (("pin", "mnist/fc10-1"), 1, "catalogue itself pins"),
        (("list", "--metrics"), 1, "--metrics is not for itf-zoo list"),
        (("verify", "--retrain"), 1, "--retrain is not for itf-zoo verify"),
        (("clear", "nothing"), 1, "no entry 'nothing'"),
        (("leaderboard", "--number=4"), 1, "--number is of an attack: name a model"),
        (("leaderboard", "--starts=2"), 1, "--starts is of an attack: name a model"),
        (("publish", "mnist/fc10-7"), 1, "No recipe is called 'mnist/fc10-7'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_are_told(arguments, status, words, capsys):
    assert run.main(arguments) == status
    assert words in capsys.readouterr().err


def test_list_and_info(capsys):
    assert run.main(["list", "mnist/fc10-*"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("mnist/fc10-") == 3
    heads, *rows = (line for line in printed.splitlines() if " MB " in line or "pinned" in line)
    at = heads.index("pinned")
    assert [row[at : at + len("pinned")].strip() for row in rows] == ["yes"] * 3
    assert run.main(["info", "mnist/fc10-1"]) == 0
    assert zoo.info("mnist/fc10-1").sha256 in capsys.readouterr().out


def test_site_writes_a_zoo_that_can_be_served(tmp_path, capsys):
    assert run.main(["site", str(tmp_path / "site"), "mnist/fc10-1"]) == 0
    assert ": 1 entry. Serve it" in capsys.readouterr().out
    assert (tmp_path / "site" / "mnist" / "fc10-1" / "model.keras").exists()


def test_leaderboard_without_a_model_prints_the_table(capsys):
    assert run.main(["leaderboard"]) == 0
    printed = capsys.readouterr().out
    assert "robust at 0.5" in printed and "mnist/fc100-100-10-certified" in printed


def test_the_leaderboard_of_a_folder_without_one_is_no_other(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "nothing"):
        assert run.main(["leaderboard", f"--folder={folder}"]) == 1
        shown = capsys.readouterr()
        assert f"no such file: {folder / 'leaderboard.json'}" in shown.err and not shown.out
    (tmp_path / "leaderboard.json").write_text("[]")
    assert run.main(["leaderboard", f"--folder={tmp_path}"]) == 0


def test_what_is_no_folder_is_not_served(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.keras").touch()
    for arguments, message in {
        ("m.keras",): "m.keras is a file",
        ("m.keras/x",): "is a file",
        ("mnist/*",): "itf-zoo site FOLDER mnist/*",
        ("mnist/conv",): "itf-zoo site FOLDER mnist/conv",
        ("out", "mnist/fc10-1", "no/such"): "no entry 'no/such'",
    }.items():
        assert run.main(["site", *arguments]) == 1
        assert message in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["m.keras"]
    assert run.main(["verify", "no/such"]) == 1
    assert run.main(["publish", "none.json"]) == 1
    assert "no such file: none.json" in capsys.readouterr().err
