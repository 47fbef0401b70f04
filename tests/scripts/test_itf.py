"""`itf` lists the commands."""

import configparser
from pathlib import Path

from intriguing_tf.scripts import itf

CONFIG = Path(__file__).parents[2] / "setup.cfg"


def test_every_command_has_a_line(capsys):
    config = configparser.ConfigParser()
    config.read(CONFIG)
    lines = config["options.entry_points"]["console_scripts"].strip().splitlines()
    installed = {line.split(" = ")[0]: line.split(".")[-1].split(":")[0] for line in lines}
    assert installed.pop("itf") == "itf" and installed == itf.COMMANDS
    assert itf.run.main([]) == 0
    printed = capsys.readouterr().out
    for command, module in itf.COMMANDS.items():
        assert f"\n{command} " in f"\n{printed}" and itf.first_line(module) in printed


def test_the_error_says_what_to_type(capsys):
    assert itf.run.main(["attack"]) == 1
    assert "type itf-attack. Received: itf attack" in capsys.readouterr().err
    assert itf.run.main(["attack", "--model=m.keras", "--output=out"]) == 1
    assert "type itf-attack. Received: itf attack" in capsys.readouterr().err
    assert itf.run.main(["atack"]) == 1
    assert "Did you mean 'itf-attack'" in capsys.readouterr().err
    assert itf.run.main(["--nosuch"]) == 1
    assert "Unknown command line flag" in capsys.readouterr().err
