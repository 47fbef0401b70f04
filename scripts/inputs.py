"""What flags name: models and images, as the package resolves their names, for every command.

The `check_...` functions take moments and need no TensorFlow, so that a mistyped name is told at
once; the `load_...` functions do the work.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intriguing_tf.scripts.command import say

from intriguing_tf import datasets
from intriguing_tf.datasets import names as data_names
from intriguing_tf.files import expanded, not_there
from intriguing_tf.zoo import names as model_names
from intriguing_tf.zoo.pixels import UNIT

if TYPE_CHECKING:
    import keras

MODELS, PREPROCESSING, DATA = model_names.MODELS, model_names.PREPROCESSING, data_names.DATA
check_model_name, check_data_name = model_names.check_model_name, data_names.check_data_name
is_own, known_bounds = model_names.is_own, model_names.known_bounds
_OF_IMAGENET = ("imagenet/", "applications/")
OF_MODELS = ("model", "models", "feature_model")  # flags that name some


def check_file(name: str) -> Path:
    """Returns the path of a file.

    Raises:
        FileNotFoundError: no such file.
    """
    path = expanded(name)
    if not path.is_file():
        raise not_there(name)
    return path


def named(value: str | Sequence[str] | None) -> Sequence[str]:
    """Returns the names of models in a flag's value."""
    return [value] if isinstance(value, str) else value or []


def bounds(flags: Any) -> Any:
    """Returns the bounds to work within: those of --bounds, by default those that models take.

    Args:
        flags: with --bounds, which may be "data", --preprocess and those that name models.

    Raises:
        ValueError: one of the models takes others.
    """
    found, of = flags.bounds, ""
    for name in (name for flag in OF_MODELS for name in named(getattr(flags, flag, None))):
        taken = known_bounds(name, flags.preprocess)
        if found is None and taken is not None:
            found, of = taken, f", which {name!r} takes"
        if isinstance(found, tuple) and taken not in (None, found):
            what = "--preprocess" if is_own(name) else repr(name)
            raise ValueError(
                f"{what} takes pixels in [{taken[0]:g}, {taken[1]:g}], and --bounds must be these. "
                f"Received: {found[0]:g},{found[1]:g}{of}."
            )
    return UNIT if found is None else found


def check_class_names(name: str) -> None:
    """Checks what --class_names names.

    Raises:
        FileNotFoundError: neither "imagenet" nor a file.
    """
    if name != "imagenet":
        check_file(name)


def load_model(
    flags: Any, name: str | None = None, application_weights: str | None = "imagenet"
) -> keras.Model:
    """Returns the model that --model names, or that of another name.

    --preprocess stands in front of models of the user's own, and must find one in --model.

    Raises:
        TypeError, ValueError, OSError: as `intriguing_tf.load_model`.
    """
    preprocess = flags.preprocess if name is None or is_own(name) else None
    return model_names.load_model(
        name or flags.model, preprocess=preprocess, application_weights=application_weights
    )


def outputs_of(flags: Any, name: str) -> str:
    """Returns what a model returns: what --outputs says, of those of the user's own alone."""
    return flags.outputs if is_own(name) else "auto"


def load_data(
    flags: Any,
    model: keras.Model,
    name: str | None = None,
    *,
    of_known: int | None = None,
    in_memory: bool = True,
    of_classifier: bool = True,
) -> datasets.ImageSet:
    """Returns the images that --data names, in the size that a model takes, within --bounds.

    Args:
        flags: with --data, --number, --bounds and --class_names.
        model: that takes the images.
        name: of the model; by default --model.
        of_known: how many images of MNIST or tensorflow-datasets without --number.
        in_memory: whether the images must be an array.
        of_classifier: whether the model's outputs are the classes of the images.

    Raises:
        TypeError, ValueError, OSError: as `load_data` of `intriguing_tf.datasets.loading`.
    """
    from intriguing_tf import classifier  # here, as below: --help must load neither TensorFlow
    from intriguing_tf.datasets import loading  # nor NumPy
    from intriguing_tf.evaluation import doubts

    name = name or flags.model
    within = bounds(flags)
    if within == "data":  # pixels are the model's all the same
        within = known_bounds(name, flags.preprocess) or UNIT
    found = loading.load_data(
        flags.data,
        classifier.input_shape(model),
        number=flags.number,
        of_known=of_known,
        bounds=within,
        class_names=class_names(flags, name if of_classifier else ""),
        outputs=doubts.units_of(model) if of_classifier else None,
        resize="crop" if name.startswith(_OF_IMAGENET) else None,
    )
    if of_classifier:
        found.check_classes(doubts.units_of(model))
    if found.skipped:
        say(f"skipped {len(found.skipped)} files:", file=sys.stderr)
    for file, reason in found.skipped:
        say(f"  {file}: {reason}", file=sys.stderr)
    return found.in_memory() if in_memory else found


def class_names(flags: Any, model: str) -> Sequence[str] | None:
    """Returns the class names that --class_names gives, or ImageNet's for a network of ImageNet."""
    if flags.class_names is None and not model.startswith(_OF_IMAGENET):
        return None
    if flags.class_names in (None, "imagenet"):
        return datasets.imagenet_class_names()
    from intriguing_tf.datasets import folders  # here: --help must not load NumPy

    return folders.read_class_names(flags.class_names)


def size_of_images(model: keras.Model) -> tuple[int, int]:
    """Returns the height and the width of the images that a model takes.

    Raises:
        ValueError: a model of another input than RGB images of one size.
    """
    from intriguing_tf import classifier  # here: --help must not load TensorFlow

    classifier.check_model(model)
    shape = classifier.input_shape(model) or ()
    if len(shape) != 3 or shape[2] != 3 or None in shape:
        raise ValueError(f"The model must take images [height, width, 3]. Received: {shape}.")
    height, width, _ = (int(each or 0) for each in shape)
    return height, width


def image_files(names: Sequence[str]) -> list[Path]:
    """Returns image files: those named, and those in the folders named or in class folders there.

    Raises:
        ValueError: no names, or a folder without images.
        FileNotFoundError: a name that is neither file nor folder.
    """
    if not names:
        raise ValueError("name image files or folders of them, such as --data=cat.jpg.")
    from intriguing_tf.datasets import folders  # here: --help must not load NumPy

    return [file for name in names for file in folders.image_files_in(name)]
