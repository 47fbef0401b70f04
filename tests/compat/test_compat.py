"""What version 0.1 documented still works: its README, its tutorials, its public names."""

import pkgutil
from pathlib import Path

import keras
import pytest

OLD = Path(__file__).parent / "v0_1"
NAMES = (OLD / "names.txt").read_text().split()

pytestmark = pytest.mark.filterwarnings("default:.* goes in intriguing_tf:DeprecationWarning")


@pytest.mark.slow
@pytest.mark.parametrize("program", sorted(OLD.glob("*.py")), ids=lambda path: path.stem)
@pytest.mark.drawn(2)
def test_code_of_the_documents_runs(program, tmp_path, monkeypatch, keras_without_xla):
    monkeypatch.chdir(tmp_path)  # where some of it saves its results
    keras.utils.set_random_seed(0)  # some networks have random weights
    exec(compile(program.read_text(), str(program), "exec"), {"__name__": "__program__"})


def test_public_names_resolve():
    missing = []
    for name in NAMES:
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            missing.append(name)
    assert not missing, "\n".join(missing)
