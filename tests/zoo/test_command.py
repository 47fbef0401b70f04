"""The command `itf-zoo`."""

import subprocess
import sys

import pytest

from intriguing_tf import zoo


def itf_zoo(*arguments):
    code = "import sys; from intriguing_tf.scripts import zoo; sys.argv[0] = 'itf-zoo'; zoo.run()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def test_help_lists_the_commands_and_needs_no_tensorflow():
    _, printed, _ = itf_zoo("--help")
    for command in ("list", "info", "download", "verify", "pin", "clear", "publish", "site"):
        assert f"itf-zoo {command}" in printed
    assert "--[no]metrics" in printed
    modules = (
        "import sys; from intriguing_tf.scripts import zoo; print('tensorflow' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", modules], text=True) == "False\n"


@pytest.mark.slow
def test_download_verify_clear(server, entry, content, own_cache):
    assert "absent" in itf_zoo("verify")[1]
    status, printed, _ = itf_zoo("download", "test/*")
    file = zoo.path("test/entry")
    assert (status, printed) == (0, f"test/entry: {file}\n")
    assert itf_zoo("verify")[0] == 0
    file.write_bytes(b"damaged")
    status, printed, _ = itf_zoo("verify", "test/*")
    assert status == 1 and "damaged" in printed and "7 bytes instead of 300,000" in printed
    assert itf_zoo("clear")[0] == 0
    assert not file.exists()


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        ((), 2, "list, info, download"),
        (("lost",), 2, "'lost'"),
        (("info",), 1, "at least one argument"),
        (("info", "test/enty"), 1, "Did you mean 'test/entry'?"),
        (("download", "tset/*"), 1, "no entry 'tset/*'"),
        (("pin", "test/entry"), 1, "catalogue itself pins"),
        (("publish", "mnist/fc10-7"), 1, "No recipe is called 'mnist/fc10-7'"),
    ],
)
def test_mistakes_are_told_without_a_traceback(server, entry, arguments, status, words):
    found, _, errors = itf_zoo(*arguments)
    assert found == status and words in errors and "Traceback" not in errors


def test_list_and_info(server, entry):
    assert "test/entry" in itf_zoo("list")[1]
    assert zoo.info("test/entry").sha256 in itf_zoo("info", "test/entry")[1]
