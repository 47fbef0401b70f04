"""The seed of random tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.seeds import not_drawn

ROOT = Path(__file__).parents[1]


def seed_in(folder, **variables):
    environment = {k: v for k, v in os.environ.items() if k != "TEST_SEED"} | variables
    code = "import seeds; print(seeds.seed())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder / "tests", env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout)


@pytest.fixture
def archive(tmp_path):
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "seeds.py", tmp_path / "tests")
    (tmp_path / "intriguing_tf").mkdir()
    (tmp_path / "intriguing_tf" / "code.py").write_text("x = 1")
    return tmp_path


def test_without_git_it_follows_the_source(archive):
    before = seed_in(archive)
    assert seed_in(archive) == before
    (archive / "intriguing_tf" / "code.py").write_text("x = 2")
    assert seed_in(archive) != before


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_with_git_it_follows_the_tree_of_head(archive):
    def git(*arguments):
        name = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *name, *arguments], cwd=archive, check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "one")
    before = seed_in(archive)
    git("commit", "--amend", "-m", "another message, the same tree")
    assert seed_in(archive) == before
    (archive / "intriguing_tf" / "code.py").write_text("x = 2")
    assert seed_in(archive) == before  # not committed
    git("commit", "-a", "-m", "two")
    assert seed_in(archive) != before


def test_a_seed_may_be_given(archive):
    assert seed_in(archive, TEST_SEED="12") == 12


def test_hypothesis_uses_it(request):
    from hypothesis import core

    assert str(core.global_force_seed) == request.config.getoption("--hypothesis-seed")


def cases_that_run(number, cases):
    mark = None if number is None else SimpleNamespace(args=(number,))
    items = [
        type(
            "Case", (), {"nodeid": f"test.py::test[{case}]", "get_closest_marker": lambda *_: mark}
        )
        for case in range(cases)
    ]
    left_out = not_drawn(items)
    return [place for place, item in enumerate(items) if item not in left_out]


def test_so_many_cases_are_drawn_as_a_mark_says(monkeypatch):
    monkeypatch.delenv("TEST_ALL", raising=False)
    assert len(cases_that_run(3, 20)) == 3 and cases_that_run(3, 20) == cases_that_run(3, 20)
    assert cases_that_run(3, 2) == [0, 1] and cases_that_run(None, 4) == [0, 1, 2, 3]
    drawn = set()
    for other in range(100):
        monkeypatch.setattr("tests.seeds.seed", lambda other=other: other)
        drawn.update(cases_that_run(3, 20))
    assert drawn == set(range(20))
    monkeypatch.setenv("TEST_ALL", "1")
    assert cases_that_run(3, 20) == list(range(20))
