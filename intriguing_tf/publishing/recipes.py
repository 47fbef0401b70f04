"""Training recipes of the zoo: JSON files, read and checked.

    print(load_recipe("mnist/fc100-100-10").fitting)

A recipe's classes are its schema too: `Recipe.schema()`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from intriguing_tf.archives import read_json
from intriguing_tf.files import expanded, not_there
from intriguing_tf.fingerprints import json_fingerprint
from intriguing_tf.zoo.cards import Line, Name
from intriguing_tf.zoo.locations import bundled_folder
from intriguing_tf.zoo.records import Record, read

# Whole numbers stay whole, so that what is written is what was read.
Number = int | float
Positive = Annotated[int, Meta(gt=0)] | Annotated[float, Meta(gt=0)]
NotNegative = Annotated[int, Meta(ge=0)] | Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(gt=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]
Text = Annotated[str, Meta(min_length=1)]

# What of a recipe determines the weights.
DETERMINING = (
    *("builder", "arguments", "data", "seed", "fitting", "initialisation", "autoencoder"),
    *("pools", "penalties", "constraint", "shift", "rounding"),
)


class Part(Record, frozen=True, forbid_unknown_fields=True):
    """A part of a recipe. What is `UNSET` is left to the function that takes it."""

    def keywords(self) -> dict[str, Any]:
        """Returns the fields that are set, as keyword arguments."""
        set_fields = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {name: value for name, value in set_fields if value is not UNSET}


class Minibatches(Part, frozen=True, tag_field="method", tag="minibatches"):
    """Stochastic gradient descent: see `intriguing_tf.training.fit`.

    Args:
        optimizer: "adam" or "sgd".
        learning_rate: of the first batch.
        schedule: from `learning_rate` to 0 at the last batch: "constant", "cosine" or "linear".
        epochs, batch_size: as in Keras.
    """

    optimizer: Literal["adam", "sgd"] = field(name="optimiser")
    learning_rate: Positive
    schedule: Literal["constant", "cosine", "linear"]
    epochs: Count
    batch_size: Count


class Optimum(Part, frozen=True, tag_field="method", tag="optimum"):
    """L-BFGS to the optimum of a convex objective: see `intriguing_tf.training.minimize`.

    Args:
        tolerance: largest component of the gradient.
        iterations: at most.
    """

    tolerance: Positive
    iterations: Count


class Initialization(Part, frozen=True):
    """Kernels by `keras.initializers.VarianceScaling` with "fan_avg"."""

    scale: Positive
    distribution: Literal["uniform", "truncated_normal"]


class SparseAutoencoder(Part, frozen=True):
    """How the first layer is trained to reconstruct, before it is frozen.

    The objective is the cross-entropy of the pixels, summed over an image, plus
    `penalty` Σ_j KL(`sparsity` ‖ mean activation of unit j) plus `weight_decay` Σ w², summed over
    encoder and decoder.
    """

    sparsity: Share
    penalty: NotNegative
    weight_decay: NotNegative
    fitting: Minibatches


class Attack(Part, frozen=True):
    """Arguments of `intriguing_tf.LBFGSAdversary` in a pool."""

    maxfun: Count | UnsetType = UNSET
    maxcor: Count | UnsetType = UNSET


class Pool(Part, frozen=True):
    """Arguments of `intriguing_tf.training.AdversarialPool`; `layer` `None`: the images.

    Pools are renewed between compiled calls, which have as many steps as the smallest `interval`
    that is not 0, and at most 50: other intervals are rounded up to whole calls.
    """

    layer: str | UnsetType | None = UNSET
    size: Count | UnsetType = UNSET
    share: Share | UnsetType = UNSET
    refresh: Count | UnsetType = UNSET
    interval: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    distortion: Positive | UnsetType = UNSET
    targets: Literal["runner_up", "random", "least_likely"] | UnsetType = UNSET
    attack: Attack | UnsetType = UNSET

    def keywords(self) -> dict[str, Any]:
        attack = {} if self.attack is UNSET else {"attack": self.attack.keywords()}
        return super().keywords() | attack


class Lipschitz(Part, frozen=True, tag_field="kind", tag="lipschitz"):
    """Arguments of `intriguing_tf.training.LipschitzPenalty`."""

    weight: Positive | UnsetType = UNSET
    target: Number | dict[str, Any] | UnsetType = UNSET
    total: Positive | UnsetType = UNSET


class Gradient(Part, frozen=True, tag_field="kind", tag="gradient"):
    """Arguments of `intriguing_tf.training.GradientPenalty`."""

    weight: Positive | UnsetType = UNSET
    of: Literal["loss", "jacobian"] | UnsetType = UNSET
    projections: Count | UnsetType = UNSET


class Certified(Part, frozen=True, tag_field="kind", tag="certified"):
    """Arguments of `intriguing_tf.training.CertifiedMargin`.

    Args:
        radius: at the end.
        ramp: part of the training in which it grows from 0, one step at least.
        weight, loss: as there.
    """

    radius: Positive
    ramp: Share | UnsetType = UNSET
    weight: Positive | UnsetType = UNSET
    loss: Literal["extra class", "worst"] | UnsetType = UNSET


class PaperValues(Part, frozen=True):
    """What the paper has for a network: its name, its λ, errors as fractions, distortion."""

    model: str | UnsetType = UNSET
    weight_decay: Number | tuple[Number, ...] | UnsetType = UNSET
    train_error: Number | UnsetType = UNSET
    test_error: Number | UnsetType = UNSET
    distortion: Number | UnsetType = UNSET


class Recipe(Record, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one entry of the zoo is trained.

    Args:
        name: the entry's name in the zoo.
        title: one line that says what the network is.
        builder: the function in `intriguing_tf.models` that builds the network.
        arguments: keyword arguments of the builder.
        data: "train", or its half "p1" or "p2".
        seed: of the initial weights, the order of the data and dropout.
        fitting: `Minibatches` or `Optimum`.
        selection: how the values were chosen, on training images that were held out; of a recipe
            of one's own it may be missing, as may
        paper: what the paper has for this network.
        initialization: of the kernels; None: the builder's.
        autoencoder: what the first layer learns before the rest; None for the others.
        pools: of adversarial examples that it is trained with.
        penalties: that it is trained with.
        constraint: of the kernels below the last while it is trained; None: none.
        shift: pixels by which a batch of training images is moved at most, both ways.
        license: of the weights, for the card of a recipe of one's own; None: not stated.
        rounding: precision to which the trained weights are rounded, so that they can be stored in
            half the bytes; None: as they are.
    """

    name: Name
    title: Text
    builder: Literal[
        "fc10", "fc100_100_10", "fc200_200_10", "fc123_456_10", "ae400_10", "conv", "group_sort"
    ]
    arguments: dict[str, Any]
    data: Literal["train", "p1", "p2"]
    seed: Annotated[int, Meta(ge=0, lt=1 << 32)]
    fitting: Minibatches | Optimum
    selection: str = ""
    paper: PaperValues = PaperValues()
    initialization: Initialization | None = field(name="initialisation", default=None)
    autoencoder: SparseAutoencoder | None = None
    pools: Annotated[tuple[Pool, ...], Meta(min_length=1)] = ()
    penalties: Annotated[tuple[Lipschitz | Gradient | Certified, ...], Meta(min_length=1)] = ()
    constraint: Literal["orthogonal"] | None = None
    shift: Annotated[int, Meta(ge=0, le=27)] = 0
    rounding: Literal["float16"] | None = None
    license: Line | None = field(name="licence", default=None)

    def __post_init__(self) -> None:
        by_minibatches = isinstance(self.fitting, Minibatches) and self.autoencoder is None
        if (self.pools or self.penalties) and not by_minibatches:
            raise ValueError(
                "`pools` and `penalties` need `fitting` by minibatches and no `autoencoder`"
            )
        if (self.constraint or self.shift) and not (self.pools or self.penalties):
            raise ValueError("`constraint` and `shift` need `pools` or `penalties`")

    @property
    def subset(self) -> str | None:
        """The half of MNIST's training set that it is trained on, as `datasets.mnist` takes it."""
        return None if self.data == "train" else self.data

    @classmethod
    def from_json(cls, values: Any) -> Recipe:
        """Returns the recipe that JSON `values` describe.

        Raises:
            ValueError: when a field is missing, unknown, or not as its type wants it.
        """
        return read(values, cls, "a recipe")


def recipe_names() -> list[str]:
    """Returns the names of all recipes, sorted: the zoo's entries that are trained here."""
    folder = _folder()
    return sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.glob("*/*.json"))


def load_recipe(name: str | Path) -> Recipe:
    """Returns a recipe by the name of its entry, or from a JSON file.

    Args:
        name: a name of `recipe_names()`, or a path that ends in ".json".

    Raises:
        ValueError: when there is no recipe of that name, or the file is not a valid recipe.
        FileNotFoundError: when there is no such file.

    Example:

        print(load_recipe("mnist/fc10-1e-4").fitting)
    """
    if str(name) in recipe_names():
        path = _folder() / f"{name}.json"
    elif str(name).endswith(".json"):
        path = expanded(name)
        if not path.is_file():
            raise not_there(name)
    else:
        raise ValueError(
            f"No recipe is called {str(name)!r}. Known: {', '.join(recipe_names())}; or give the "
            "path of a .json file."
        )
    try:
        return Recipe.from_json(read_json(path.read_bytes()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def fingerprint(recipe: Recipe) -> str:
    """Returns the SHA-256 of what determines a recipe's weights: not of titles and remarks."""
    values = {key: value for key, value in recipe.json().items() if key in DETERMINING}
    return json_fingerprint(values)


def _folder() -> Path:
    return bundled_folder() / "recipes"
