"""itf-units, from flags to files."""

import json

import pytest
from intriguing_tf.scripts.units import run


@pytest.mark.slow
def test_units_prints_its_tests_and_draws_both_kinds(tmp_path, capsys):
    folder = tmp_path / "units"
    arguments = ("--data=sample", "--random=30", "--units=20", "--shown=3", f"--output={folder}")
    assert run.main([*arguments]) == 0
    assert "natural / random" in capsys.readouterr().out
    contrasts = json.loads((folder / "contrasts.json").read_text())
    assert len(contrasts) == 5 * 3
    assert all(-1 <= c["test"]["delta"] <= 1 for c in contrasts)
    assert {p.name for p in (folder / "figures").iterdir()} == {"natural.svg", "random.svg"}
    assert run.main([*arguments]) == 1  # the folder is not empty
    assert "--overwrite" in capsys.readouterr().err
    assert run.main([*arguments, "--overwrite", "--layer=fc9"]) == 1
    assert "Valid: conv1" in capsys.readouterr().err
