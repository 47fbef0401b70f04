"""The house: which file may import which, what importing costs, how long a module may be."""

import ast
import configparser
import functools
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "intriguing_tf"
SCRIPTS = ROOT / "scripts"
LONGEST = 400  # lines of a module
COMMANDS = sorted(path.stem for path in SCRIPTS.glob("*.py") if "\nif __name__" in path.read_text())

LEAVES = {
    *{"aliases", "archives", "checks", "digits", "files", "layers", "progress", "reporting", "text"}
}
# For tools for any Keras model.
ANY_MODEL = {"origins", "keras_graph", "classifier", "streams", *LEAVES}
TOOLS = {"adversary", "lipschitz", "units", "transfer"}
WORK = {"store", "fingerprints"}
# From the ground up: a member imports only what stands above it here.
MAY_IMPORT = {
    "aliases": set(),
    "checks": set(),
    "digits": set(),
    "progress": set(),
    "text": set(),
    "files": {"checks", "text"},
    "archives": {"files", "text"},
    "layers": {"aliases", "checks"},
    "reporting": {"aliases", "checks", "digits", "files", "text"},
    "origins": set(),
    "keras_graph": {"aliases", "checks", "origins"},
    "traced_ranges": set(),
    "traced_outputs": {"traced_ranges"},
    "folded_calls": {"keras_graph"},
    "model_structure": {"keras_graph", "origins"},
    "classifier": {
        "aliases",
        "checks",
        "folded_calls",
        "keras_graph",
        "model_structure",
        "origins",
        "traced_outputs",
    },
    "streams": set(),
    "traced_structure": set(),
    "lambda_code": set(),
    "fingerprints": {"keras_graph", "lambda_code", "origins", "traced_structure"},
    "store": {"archives", "files", "fingerprints", "progress", "text"},
    "adversary": ANY_MODEL,
    "lipschitz": ANY_MODEL | {"model_structure"},
    "units": ANY_MODEL,
    "transfer": ANY_MODEL | {"adversary"},
    "datasets": {
        *{"aliases", "archives", "checks", "files", "fingerprints", "progress", "streams", "text"}
    },
    "models": LEAVES,
    "training": ANY_MODEL | TOOLS,
    "zoo": {"classifier", "datasets", "keras_graph", "models", "training", *LEAVES},
    "sweeps": ANY_MODEL | TOOLS | WORK,
    "evaluation": ANY_MODEL | TOOLS | WORK | {"datasets", "models", "zoo", "sweeps"},
    "publishing": ANY_MODEL | TOOLS | WORK | {"datasets", "models", "zoo", "training", "sweeps"},
    "experiments": ANY_MODEL
    | TOOLS
    | WORK
    | {"datasets", "models", "zoo", "training", "sweeps", "publishing"},
}

# What a function may import: dependencies that not everyone has installed,
OPTIONAL = {"ray", "tensorboard", "PIL", "pandas", "pyarrow", "psutil", "google"}
NEED_OPTIONAL = {"intriguing_tf.sweeps.ray_cluster"}  # modules of ours that begin with one
# and where `import intriguing_tf`, `--help` or `itf-zoo list` would be slow otherwise, these.
HEAVY = {"tensorflow", "tensorflow_datasets", "keras", "numpy", "h5py", "requests", "matplotlib"}
CHEAP = {
    "intriguing_tf/datasets",
    "intriguing_tf/zoo",
    "intriguing_tf/publishing",
    "scripts",
}


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the package and of the scripts, by its name."""
    found = {}
    for root, prefix in ((PACKAGE, "intriguing_tf"), (SCRIPTS, "intriguing_tf.scripts")):
        for file in sorted(root.rglob("*.py")):
            parts = [prefix, *file.relative_to(root).with_suffix("").parts]
            found[".".join(parts).removesuffix(".__init__")] = file
    return found


@functools.cache
def exports(package: str) -> dict[str, str]:
    """Names that a package's stub gives, and the modules that they come from."""
    stub = PACKAGE.parent.joinpath(*package.split("."), "__init__.pyi")
    if not stub.exists():
        return {}
    found = {}
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, (package if node.level else "", node.module)))
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found[alias.name] = inner if inner in modules() else base
    return found


def imported(node: ast.Import | ast.ImportFrom, here: str, is_package: bool) -> set[str]:
    """Modules that an import loads; a name of a package's stub stands for its module."""
    if isinstance(node, ast.Import):
        names = {alias.name for alias in node.names}
    else:
        parts = here.split(".")
        base = parts[: len(parts) - node.level + is_package] if node.level else []
        module = ".".join([*base, *filter(None, (node.module,))])
        names = set()
        for alias in node.names:
            inner = f"{module}.{alias.name}"
            names.add(inner if inner in modules() else exports(module).get(alias.name, module))
    return names


@functools.cache
def imports(name: str) -> dict[str, bool]:
    """Modules that a module imports, and whether any of these imports is at its top level."""
    file = modules()[name]
    tree = ast.parse(file.read_text())
    at_top = {id(node) for node in tree.body}
    for node in tree.body:  # `if TYPE_CHECKING` and the like
        if isinstance(node, ast.If | ast.Try | ast.With):
            at_top |= {id(inner) for inner in ast.walk(node)}
    found: dict[str, bool] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for each in imported(node, name, file.stem == "__init__"):
                found[each] = found.get(each, False) or id(node) in at_top
    return found


@functools.cache
def edges() -> dict[str, set[str]]:
    """Which module imports which of ours, within functions too."""
    ours = modules()
    return {
        name: {each for each in imports(name) if each in ours and each != name} for name in ours
    }


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """One circle through each module that lies on one, each circle once."""
    found = {}
    for start in graph:
        came_from, todo = {}, [start]
        while todo and start not in came_from:
            at = todo.pop(0)
            for after in sorted(graph[at] - set(came_from)):
                came_from[after] = at
                todo.append(after)
        if start in came_from:
            path = [start]
            while (before := came_from[path[-1]]) != start:
                path.append(before)
            found.setdefault(frozenset(path), [start, *reversed(path)])
    return [*found.values()]


def member(name: str) -> str:
    """What stands directly in the package: of `intriguing_tf.zoo.cards`, `zoo`."""
    return [*name.split("."), ""][1]


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}
    assert circles(graph) == [["a", "b", "c", "a"]]
    assert circles({"a": {"b"}, "b": set()}) == []


@pytest.mark.slow
def test_no_circle_of_files():
    found = [" → ".join(circle) for circle in circles(edges())]
    assert not found, "\n".join(found)


def test_members_stand_on_what_is_below_them():
    below: set[str] = set()
    for name, allowed in MAY_IMPORT.items():
        assert allowed <= below, f"{name}: {allowed - below}"
        below.add(name)


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_arrows_point_one_way(name):
    found = {
        f"{module} imports {each}"
        for module, targets in edges().items()
        if member(module) == name
        for each in targets
        if member(each) not in {name, "", *MAY_IMPORT[name]}
    }
    assert not found


def test_every_member_is_listed():
    members = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or p.is_dir()}
    assert {name for name in members if not name.startswith((".", "__"))} == set(MAY_IMPORT)


def test_nothing_imports_scripts():
    for module, targets in edges().items():
        if member(module) not in {"scripts", "__main__"}:  # `python -m intriguing_tf` is a command
            assert not {each for each in targets if member(each) == "scripts"}, module


def test_imports_are_absolute():
    relative = [
        str(file.relative_to(ROOT))
        for file in modules().values()
        if re.search(r"^\s*from \.", file.read_text(), re.M)
    ]
    assert not relative


def test_functions_import_only_what_is_optional_or_slow():
    found = []
    for module in modules():
        file = modules()[module].relative_to(ROOT).as_posix()
        for each, at_top in imports(module).items():
            root = each.split(".")[0]
            cheap = file.startswith(tuple(CHEAP)) and (root in HEAVY or root == "intriguing_tf")
            optional = root in OPTIONAL or each in NEED_OPTIONAL
            if not at_top and not optional and not cheap:
                found.append(f"{file}: {each}")
    assert not found, "\n".join(found)


def test_modules_stay_readable():
    lines = {file: len(file.read_text().splitlines()) for file in modules().values()}
    long = [f"{file.relative_to(ROOT)}: {n}" for file, n in lines.items() if n > LONGEST]
    assert not long


# Tests of no single module.
ACROSS = {
    "test_evidence.py",  # of benchmarks
    "test_docs.py",
    "test_house.py",
    "test_readme.py",
    "test_seeds.py",
    "test_words.py",
    "layers/test_arguments.py",
    "lipschitz/test_soundness.py",
    "models/test_arguments.py",
}
ACROSS_FOLDERS = {"cases", "compat", "faults", "guard"}


def test_every_test_has_a_subject_of_the_same_name():
    lonely = []
    for test in sorted((ROOT / "tests").rglob("test_*.py")):
        path = test.relative_to(ROOT / "tests")
        folder = path.parts[0] if len(path.parts) > 1 else ""
        if path.as_posix() in ACROSS or folder in ACROSS_FOLDERS:
            continue
        root = ROOT if folder == "scripts" else PACKAGE
        subject = root / path.with_name(path.name.removeprefix("test_"))
        if not subject.exists() and not subject.with_suffix("").is_dir():
            lonely.append(path.as_posix())
    assert not lonely, "\n".join(lonely)


def test_no_test_imports_a_conftest():
    for test in (ROOT / "tests").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) \S*conftest", test.read_text(), re.M), test


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
    assert len(commands.strip().splitlines()) == len(COMMANDS)


def _python(code: str) -> str:
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout.strip()


def test_import_does_not_load_tensorflow():
    code = "import sys, intriguing_tf; print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    assert _python(code) == "False False"


def test_public_names_resolve():
    package = importlib.import_module("intriguing_tf")
    assert len(package.__all__) >= 13
    assert all(getattr(package, name) is not None for name in package.__all__)


def test_another_backend_is_refused():
    done = subprocess.run(
        [sys.executable, "-c", "import intriguing_tf"],
        capture_output=True, text=True, env=dict(os.environ, KERAS_BACKEND="jax"),
    )  # fmt: skip
    assert done.returncode != 0
    assert "KERAS_BACKEND='jax'" in done.stderr


def test_ci_tries_the_oldest_version_of_every_requirement():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    promised = re.findall(r"^(\w[\w-]*) >= ([\d.]+)", config["options"]["install_requires"], re.M)
    tried = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / ".ci/oldest.txt").read_text(), re.M))
    assert len(promised) > 10
    for name, oldest in promised:
        assert f"{tried.get(name)}.".startswith(f"{oldest}."), name


def test_the_version_to_cite_is_the_packages():
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert cited and f'__version__ = "{cited[1]}"' in (PACKAGE / "__init__.py").read_text()


@pytest.mark.parametrize("name", [name for name in modules() if name != "intriguing_tf.files"])
def test_paths_of_users_begin_at_home(name):
    """A path that a function is given goes through `files.expanded`, for `~` is no folder."""
    wrong = []
    for function in ast.walk(ast.parse(modules()[name].read_text())):
        if not isinstance(function, ast.FunctionDef):
            continue
        given = function.args.args + function.args.kwonlyargs
        paths = {
            each.arg
            for each in given
            if each.annotation and re.search(r"PathLike|str \| Path", ast.unparse(each.annotation))
        }
        wrong += [
            f"{function.name}: {ast.unparse(node)}"
            for node in ast.walk(function)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func) in {"Path", "open", "os.fspath", "os.path.expanduser"}
            and node.args
            and "expanded(" not in ast.unparse(node.args[0])
            and paths & {each.id for each in ast.walk(node.args[0]) if isinstance(each, ast.Name)}
        ]
    assert not wrong, wrong
