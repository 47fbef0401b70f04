"""The seed of random tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
