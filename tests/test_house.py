"""The house: which package may import which, what importing costs, what the wheel must list."""

import ast
import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "intriguing_tf"
COMMANDS = sorted({p.stem for p in (ROOT / "scripts").glob("[!_]*.py")} - {"command"})
LEAVES = {"aliases", "progress", "files", "checks", "reporting", "layers"}
ANY_MODEL = {"keras_graph", "classifier", *LEAVES}  # for tools that work on any Keras model
TOOLS = {"adversary", "lipschitz", "units", "transfer"}
MAY_IMPORT = {
    "files": set(),
    "checks": set(),
    "layers": {"checks"},
    "reporting": {"files", "checks"},
    "keras_graph": set(),
    "classifier": {"keras_graph", "aliases"},
    "aliases": set(),
    "progress": set(),
    "adversary": ANY_MODEL,
    "lipschitz": ANY_MODEL,
    "units": ANY_MODEL,
    "transfer": ANY_MODEL | {"adversary"},
    "datasets": {"files", "checks"},
    "models": LEAVES,
    "zoo": {"datasets", "models", *LEAVES},
    "training": ANY_MODEL | TOOLS,
    "sweeps": ANY_MODEL | TOOLS,
    "experiments": ANY_MODEL | TOOLS | {"datasets", "models", "zoo", "training", "sweeps"},
}


def _imports(file: Path) -> set[str]:
    """Top-level members of the package that a file imports."""
    here = ("intriguing_tf", *file.relative_to(PACKAGE).with_suffix("").parts)
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: len(here) - node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module or "")))
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "intriguing_tf" and len(parts) > 1 and parts[1] != "__version__":
                found.add(parts[1])
    return found


@pytest.mark.parametrize("member", sorted(MAY_IMPORT))
def test_arrows_point_one_way(member):
    folder = PACKAGE / member
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    assert files
    for file in files:
        foreign = _imports(file) - {member}
        assert foreign <= MAY_IMPORT[member], f"{file.name} imports {foreign - MAY_IMPORT[member]}"


def test_every_member_is_listed():
    members = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or p.is_dir()}
    hidden = {name for name in members if name.startswith((".", "__"))}
    assert members - hidden == set(MAY_IMPORT)


def test_nothing_imports_scripts():
    for file in PACKAGE.rglob("*.py"):
        assert "scripts" not in _imports(file)


def test_setup_lists_every_package_and_command():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    packages = {
        ".".join(file.parent.relative_to(ROOT).parts) for file in PACKAGE.rglob("__init__.py")
    }
    assert packages | {"intriguing_tf.scripts", "intriguing_tf.zoo.files"} == listed
    commands = config["options.entry_points"]["console_scripts"]
    for script in COMMANDS:
        assert f"intriguing_tf.scripts.{script}:run" in commands


def _python(code: str) -> str:
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout.strip()


def test_import_does_not_load_tensorflow():
    code = "import sys, intriguing_tf; print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    assert _python(code) == "False False"


@pytest.mark.parametrize("script", COMMANDS)
def test_help_needs_no_tensorflow(script):
    code = (
        f"import sys; sys.argv = ['{script}', '--help']\n"
        f"from intriguing_tf.scripts.{script} import run\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "print('tensorflow' in sys.modules)"
    )
    output = _python(code)
    assert output.endswith("False")
    assert "--" in output  # the command's own flags are shown


@pytest.mark.slow
def test_public_names_resolve():
    code = (
        "import intriguing_tf as itf\n"
        "print(all(getattr(itf, name) is not None for name in itf.__all__), len(itf.__all__))"
    )
    resolved, count = _python(code).split()[-2:]
    assert resolved == "True"
    assert int(count) >= 13


def test_another_backend_is_refused():
    done = subprocess.run(
        [sys.executable, "-c", "import intriguing_tf"],
        capture_output=True, text=True, env=dict(os.environ, KERAS_BACKEND="jax"),
    )  # fmt: skip
    assert done.returncode != 0
    assert "KERAS_BACKEND='jax'" in done.stderr


def test_modules_stay_readable():
    for file in [*PACKAGE.rglob("*.py"), *(ROOT / "scripts").glob("*.py")]:
        lines = len(file.read_text().splitlines())
        assert lines <= 450, f"{file.relative_to(ROOT)} has {lines} lines"
