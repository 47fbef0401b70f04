"""Settings are checked in one place, and what is recorded is what ran."""

import dataclasses

import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf.adversary.losses import Margin
from intriguing_tf.adversary.settings import AttackSettings, SearchConstants
from tests.adversary.networks import points

OLD_NAMES = ("loss", "solver", "maxcor", "maxfun", "xtol", "jit_compile", "memory", "bounds")


@pytest.mark.parametrize("name", [*OLD_NAMES, "settings", "classifier", "anything"])
def test_an_adversary_cannot_change(network, name):
    adversary = itf.LBFGSAdversary(network, loss="margin")
    with pytest.raises(AttributeError, match=rf"LBFGSAdversary\(model, {name}=\.\.\.\).*'scipy'"):
        setattr(adversary, name, "scipy")
    assert adversary.loss == "margin" and adversary.solver == "compiled"


def test_settings_are_read_from_the_adversary_too(network):
    given = {"loss": "margin", "solver": "scipy", "maxcor": 3, "maxfun": 7, "xtol": 0.01}
    adversary = itf.LBFGSAdversary(network, **given, jit_compile=True, memory=2**20)
    assert {name: getattr(adversary, name) for name in given} == given
    assert adversary.jit_compile is True and adversary.memory == 2**20
    assert adversary.settings.loss == Margin()
    for name in set(OLD_NAMES) - {"loss"}:
        assert getattr(adversary, name) is getattr(adversary.settings, name)


@pytest.mark.slow
def test_the_old_name_of_minimize_warns_and_works(adversary):
    x = points(3)
    with pytest.warns(DeprecationWarning, match=r"LBFGSAdversary\.minimize"):
        old = adversary.minimise(x, [0, 1, 2], 0.1)
    np.testing.assert_array_equal(old, adversary.minimize(x, [0, 1, 2], 0.1))


def test_settings_are_frozen_to_the_last_bound(network):
    settings = itf.LBFGSAdversary(network, bounds=(np.zeros(8), 1.0)).settings
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.maxfun = 3
    for bound in settings.bounds:
        with pytest.raises(ValueError, match="read-only"):
            bound[...] = 2.0


def test_bounds_that_the_user_changes_later_stay_as_they_were(network):
    lower = np.zeros(8, np.float32)
    adversary = itf.LBFGSAdversary(network, bounds=(lower, 1.0))
    lower[:] = 0.5
    assert (adversary.bounds[0] == 0).all()


def test_numbers_of_numpy_become_numbers_that_json_holds():
    described = AttackSettings(maxcor=np.int64(4), xtol=np.float32(0.5)).to_json()
    assert type(described["maxcor"]) is int and described["xtol"] == 0.5


@pytest.mark.slow
def test_constants_of_the_search_are_used_and_recorded(network, adversary):
    x = points(20)
    plain = adversary(x)
    assert "constants" not in plain.settings
    hasty = SearchConstants(longest_step=0.002)
    result = itf.LBFGSAdversary(network, loss="margin", jit_compile=False, constants=hasty)(x)
    assert result.settings["constants"]["longest_step"] == 0.002
    assert result.nfev.mean() > 1.5 * plain.nfev.mean()


BAD_CONSTANTS = [
    ({"patience": 0}, "`patience` must be a positive integer"),
    ({"near": -0.1}, "`near` must be positive and finite"),
    ({"least_log_weight": 1.0}, "`least_log_weight` must be in"),
]


@pytest.mark.parametrize("constants, message", BAD_CONSTANTS, ids=lambda value: str(value)[:24])
def test_constants_out_of_range(constants, message):
    with pytest.raises(ValueError, match=message):
        SearchConstants(**constants)


@pytest.mark.parametrize(
    "bounds",
    [(1, 1 + 1e-12), (0, 1e-46), (-1e300, 1e300), "01", ("0", "1")],
    ids=["close", "tiny", "large", "text", "texts"],
)
def test_bounds_are_those_of_the_precision_that_the_model_computes_in(network, bounds):
    with pytest.raises((TypeError, ValueError), match="`bounds` must be"):
        itf.LBFGSAdversary(network, bounds=bounds)
