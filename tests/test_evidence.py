"""What the documents quote is what was measured, and a stage that was measured is not repeated."""

import json
import subprocess
import sys

import pytest

from benchmarks import evidence
from benchmarks.stages import STAGES, Stage

PRINTS = "print('| a |\\n|---|\\n| 1 |')"


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A repository with one benchmark and one document that quotes it."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "one.py").write_text(PRINTS)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(
        "x\n\n<!-- measured: one -->\nold\n<!-- end -->\ny\n"
    )
    for name in ("intriguing_tf", "scripts", "zoo"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.py").write_text("")
    (tmp_path / ".gitignore").write_text("evidence\n")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.org")
    house = evidence.House(tmp_path)
    house.git("init", "--quiet")
    commit(house)
    return house


def commit(house):
    house.git("add", "--all")
    house.git("commit", "--quiet", "--message=x")


def stage(**keywords):
    return Stage("one", ("python", "benchmarks/one.py"), 0.1, **keywords)


def measured(house, **keywords):
    failed = evidence.measure([stage(**keywords)], house)
    return failed, evidence.record_of(house.measured(stage()))


def test_a_table_goes_into_its_document_with_where_it_comes_from(house):
    failed, record = measured(house)
    text = (house.root / "docs" / "page.md").read_text()
    assert not failed
    assert text.startswith("x\n\n<!-- measured: one -->\n\n| a |\n|---|\n| 1 |\n\n*`")
    assert text.endswith(".*\n\n<!-- end -->\ny\n")
    commit = house.git("rev-parse", "--short=10", "HEAD")
    for part in ("python benchmarks/one.py", commit, record["date"], "Keras", evidence.processor()):
        assert part in text


def test_what_is_up_to_date_is_not_repeated(house, capsys):
    _, first = measured(house)
    commit(house)  # of the table: no change of the code
    _, second = measured(house)
    assert first == second
    assert "up to date" in capsys.readouterr().out


@pytest.mark.parametrize("file", ["benchmarks/one.py", "intriguing_tf/file.py"])
def test_a_change_of_the_code_is_measured_again(house, file):
    _, first = measured(house)
    (house.root / file).write_text(PRINTS.replace("1", "2"))
    with pytest.raises(SystemExit, match="Commit first"):
        measured(house)
    commit(house)
    _, second = measured(house)
    assert second["state"] != first["state"]
    assert second["commit"] != first["commit"]


def test_a_failure_leaves_what_was_measured_before(house, capsys):
    measured(house)
    before = house.measured(stage()).read_text()
    (house.root / "benchmarks" / "one.py").write_text(
        "print('half a table'); raise ValueError('x')"
    )
    commit(house)
    failed, _ = measured(house)
    assert failed == ["one"]
    assert "ValueError: x" in capsys.readouterr().out
    assert house.measured(stage()).read_text() == before


def test_a_stage_resumes_what_this_code_has_begun_and_nothing_else(house, monkeypatch):
    """It writes a line into its folder each time, and fails where there is one alone."""
    (house.root / "benchmarks" / "one.py").write_text(
        "import pathlib, sys\n"
        "folder = pathlib.Path(sys.argv[1].removeprefix('--output='))\n"
        "folder.mkdir(exist_ok=True)\n"
        "with (folder / 'rows').open('a') as rows:\n"
        "    rows.write('x')\n"
        "print(text := (folder / 'rows').read_text())\n"
        "sys.exit(text == 'x')\n"
    )
    monkeypatch.setattr(evidence, "other_work", lambda: 0.0)  # it takes two seconds
    resuming = Stage("one", ("python", "benchmarks/one.py", "--output=evidence/one"), 0.1)
    rows = house.root / "evidence" / "one" / "rows"

    def failed(again=False):
        return bool(evidence.measure([resuming], house, again))

    commit(house)
    assert failed()
    assert not failed()  # it has resumed
    assert rows.read_text() == "xx"
    assert failed(again=True)  # afresh, since it had ended
    (house.root / "intriguing_tf" / "file.py").write_text("2")
    commit(house)
    assert failed()  # what was begun is of other code
    assert rows.read_text() == "x"
    assert not failed()
    aside = [path.read_text() for path in rows.parent.parent.glob("one-*/rows")]
    assert sorted(aside) == ["x", "xx"]  # nothing is lost


def test_a_stage_without_its_needs_is_skipped_and_says_so(house, monkeypatch, capsys):
    monkeypatch.delenv("ALEXNET_KERNELS", raising=False)
    failed, record = measured(house, needs=("kernels",))
    assert (failed, record) == ([], {})
    assert "ALEXNET_KERNELS must be" in capsys.readouterr().out


def test_documents_hold_what_was_measured():
    house = evidence.House()
    for document in house.documents():
        text = document.read_text()
        same = evidence.REGION.sub(lambda found: evidence._region(found, house), text)
        assert same == text, f"python benchmarks/evidence.py --documents would change {document}"


def test_every_stage_is_quoted_and_every_region_has_its_stage_and_its_end():
    house, names = evidence.House(), {stage.name for stage in STAGES}
    assert set(evidence.quoted(house)) == names
    for document in house.documents():
        text = document.read_text()
        assert text.count("<!-- measured: ") == text.count("<!-- end -->"), document


def test_stages_have_their_scripts_and_known_needs():
    assert len({stage.name for stage in STAGES}) == len(STAGES)
    for stage in STAGES:
        assert all((evidence.ROOT / file).is_file() for file in stage.sources)
        assert set(stage.needs) <= set(evidence.NEEDS)
        assert "{" not in evidence.shown(stage)


def test_the_command_lists_its_stages():
    command = [sys.executable, "benchmarks/evidence.py", "--list", "--most_minutes=1"]
    done = subprocess.run(command, cwd=evidence.ROOT, check=True, capture_output=True, text=True)
    assert "sweep-simulation" in done.stdout
    assert "lipschitz-soundness " not in done.stdout


def test_records_are_read_from_the_first_line(tmp_path):
    file = tmp_path / "a.md"
    file.write_text(evidence.measured_text(
        {"command": "c", "date": "2026-01-01", "seconds": 300, "load": 0.0, "processor": "p",
         "versions": {"keras": "3"}, "commit": "abc"}, "| 1 |"))  # fmt: skip
    assert evidence.record_of(file)["seconds"] == 300
    assert "5 min; p; keras 3; commit abc" in file.read_text()
    assert json.loads(file.read_text()[5:].partition(" -->")[0])["commit"] == "abc"


def test_a_long_run_removes_its_sweep_alone(tmp_path, monkeypatch):
    endurance = pytest.importorskip("benchmarks.endurance")

    def sweep(flags):
        (flags.output / "sweep").mkdir()
        return [flags.output / "sweep"]

    (tmp_path / "mine").touch()
    monkeypatch.setattr(endurance, "large_sweep", sweep)
    monkeypatch.setattr(sys, "argv", ["", "--part=sweep", f"--output={tmp_path}"])
    assert endurance.main() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
