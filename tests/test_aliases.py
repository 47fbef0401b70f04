"""Old names give what the new ones give, and warn at the line that used them."""

import ast
import re
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from intriguing_tf.aliases import (
    RenamedAttribute,
    moved_names,
    renamed_function,
    renamed_keywords,
)


class Attack:
    solver = "compiled"
    method = RenamedAttribute("solver")
    minimise = RenamedAttribute("minimize")

    def minimize(self, x):
        return 2 * x


class OwnAttack(Attack):
    """Inherits the old names."""


@renamed_keywords(maximum="total")
def bar(start, total=1):
    return start, total


@pytest.mark.parametrize(
    ("use", "value", "says"),
    [
        (lambda: Attack().method, "compiled", "Attack.method .* use Attack.solver"),
        (lambda: Attack().minimise(3), 6, "Attack.minimise .* use Attack.minimize"),
        (lambda: OwnAttack().minimise(3), 6, "OwnAttack.minimise .* use OwnAttack.minimize"),
        (lambda: bar(1, **{"maximum": 5}), (1, 5), "`maximum` .* use `total`"),
        (lambda: renamed_function("rod", bar)(2), (2, 1), "`rod` .* use `bar`"),
        (lambda: moved_names("old", "math")("tau"), 6.283185307179586, "old.tau .* use math.tau"),
    ],
    ids=["attribute", "method", "inherited", "keyword", "function", "module"],
)
def test_an_old_name_works_and_warns_here(use, value, says):
    with pytest.warns(DeprecationWarning, match=says) as caught:
        assert use() == value
    assert caught[0].filename == __file__


def test_both_names_at_once_are_refused():
    with pytest.raises(TypeError, match="Received: `total` and its old name `maximum`"):
        bar(1, total=2, **{"maximum": 3})


@pytest.mark.parametrize("names", [(), ("tau",)], ids=["all", "some"])
def test_a_moved_module_lacks_what_the_new_one_lacks(names):
    module = types.ModuleType("moved_once")
    module.__getattr__ = moved_names("moved_once", "math", *names)
    sys.modules["moved_once"] = module
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            assert module.tau > 6
            assert not hasattr(module, "squaring_the_circle")
            assert not hasattr(module, "__path__")
            assert hasattr(module, "pi") is (not names)
    finally:
        del sys.modules["moved_once"]


def deprecated(file: Path) -> Iterator[str]:
    """Yields the old names that a module still knows, and the old flags of a command."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            if isinstance(node, ast.Assign) and "RenamedAttribute(" in ast.unparse(node.value):
                yield ast.unparse(node.targets[0])
            continue
        called = ast.unparse(node.func)
        if called == "moved_names":
            yield from [ast.literal_eval(each) for each in node.args[2:]] or [file.stem]
        elif called == "renamed_function":
            yield ast.literal_eval(node.args[0])
        elif called == "renamed_keywords":
            yield from (f"{keyword.arg}=" for keyword in node.keywords)
        elif called.startswith("{") and called.endswith(".get"):  # of a module's `__getattr__`
            yield from ast.literal_eval(called.removesuffix(".get"))
        for keyword in node.keywords:
            if keyword.arg == "renamed":
                yield from (f"--{old}" for old in ast.literal_eval(keyword.value))


def test_the_changelog_lists_every_old_name():
    root = Path(__file__).parents[1]
    changes = (root / "CHANGELOG.md").read_text("utf-8")
    table = re.search(r"### Deprecated.*?(?=\n### )", changes, re.S)[0]
    old: set[str] = set()
    for file in [*(root / "intriguing_tf").rglob("*.py"), *(root / "scripts").glob("*.py")]:
        text = file.read_text("utf-8")
        if "intriguing_tf.aliases import" in text or re.search(r"renamed=\{", text):
            found = set(deprecated(file))
            assert found, f"of {file} no old name was found"
            old |= found
    assert {"summarise", "Minimizer", "Run", "progress=", "--images"} <= old
    missing = {name for name in old if not re.search(rf"(?<!\w){re.escape(name)}", table)}
    assert not missing
