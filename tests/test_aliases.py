"""Old names give what the new ones give, and warn at the line that used them."""

import sys
import types
import warnings

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


@renamed_keywords(maximum="total")
def bar(start, total=1):
    return start, total


@pytest.mark.parametrize(
    ("use", "value", "says"),
    [
        (lambda: Attack().method, "compiled", "Attack.method .* use Attack.solver"),
        (lambda: Attack().minimise(3), 6, "Attack.minimise .* use Attack.minimize"),
        (lambda: bar(1, **{"maximum": 5}), (1, 5), "`maximum` .* use `total`"),
        (lambda: renamed_function("rod", bar)(2), (2, 1), "`rod` .* use `bar`"),
        (lambda: moved_names("old", "math")("tau"), 6.283185307179586, "old.tau .* use math.tau"),
    ],
    ids=["attribute", "method", "keyword", "function", "module"],
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
