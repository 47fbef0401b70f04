"""The flags of the commands: the same thing has the same flag, help and check everywhere."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from intriguing_tf.scripts import inputs, parsers
from intriguing_tf.scripts import outputs as outputs_folder
from intriguing_tf.scripts.command import Option

from intriguing_tf.files import check_folder, check_places, with_matches

flags.disclaim_key_flags()  # a flag belongs to the script, not to the module that defines it

# Name, default and help (of a choice also the valid values) -> an option of `command`.
string: Callable[..., Option] = functools.partial(functools.partial, flags.DEFINE_string)
integer: Callable[..., Option] = functools.partial(functools.partial, flags.DEFINE_integer)
real: Callable[..., Option] = functools.partial(functools.partial, flags.DEFINE_float)
boolean: Callable[..., Option] = functools.partial(functools.partial, flags.DEFINE_bool)
choice: Callable[..., Option] = functools.partial(functools.partial, flags.DEFINE_enum)
strings: Callable[..., Option] = functools.partial(functools.partial, flags.DEFINE_list)

_BY_DEFAULT = "by default those that networks of the zoo take, for other models 0,1"
_ALL = "any other name lists all"


def integers(name: str, default: Sequence[int], text: str) -> Option:
    """An option of integers between commas."""
    return _parsed(parsers.Numbers(int), name, default, text)


def reals(name: str, default: Sequence[float], text: str) -> Option:
    """An option of numbers between commas."""
    return _parsed(parsers.Numbers(float), name, default, text)


def path(name: str, default: str | None, text: str) -> Option:
    """An option that names a file or folder to write, `~` being the home folder."""
    return functools.partial(flags.DEFINE, parsers.Path(), name, default, text)


def checked(option: Option, name: str, check: Callable[[Any], object]) -> Option:
    """An option whose value is checked before anything heavy is imported.

    Args:
        option: defines the flag `name`.
        name: of the flag.
        check: raises `ValueError`, `OSError` or `ImportError` for a wrong value; `None` is not
            checked.
    """

    def is_valid(value: Any) -> bool:
        try:
            if value is not None:
                check(value)
        except (ValueError, OSError, ImportError) as error:
            raise flags.ValidationError(str(error)) from error
        return True

    def define(*, flag_values: flags.FlagValues) -> None:
        option(flag_values=flag_values)
        flags.register_validator(name, is_valid, flag_values=flag_values)

    return define


def one_of(*names: str) -> Option:
    """Demands exactly one of several flags, which are `None` by default."""

    def is_one(values: Mapping[str, Any]) -> bool:
        given = [f"--{name}" for name in names if values[name] is not None]
        if len(given) != 1:
            choice = " or ".join(f"--{name}" for name in names)
            raise flags.ValidationError(
                f"give {choice}. Received: {' and '.join(given) or 'none'}."
            )
        return True

    return functools.partial(flags.register_multi_flags_validator, names, is_one)


def model(default: str | None, name: str = "model") -> Option:
    """--model and --preprocess: which model a command works on; a further model under a name."""
    named = checked(string(name, default, inputs.MODELS), name, inputs.check_model_name)
    return together(named, preprocess(name)) if name == "model" else named


def models(default: Sequence[str]) -> Option:
    """--models and --preprocess: which models a command works on."""

    def check(names: Sequence[str]) -> None:
        if not names:
            raise ValueError("name at least one model, such as --models=mnist/conv.")
        for name in names:
            inputs.check_model_name(name)

    named = checked(strings("models", [*default], f"each {inputs.MODELS}"), "models", check)
    return together(named, preprocess("models"))


def preprocess(of: str) -> Option:
    """--preprocess: what stands in front of a model of one's own, which the flag `of` must name."""
    text = (
        "what a model of your own wants done with pixels in [0, 1]: a mode of keras.applications, "
        "or 'pixels' for values from 0 to 255"
    )

    def fits(values: Mapping[str, Any]) -> bool:
        names = inputs.named(values[of])
        if names and not any(map(inputs.is_own, names)):
            try:
                inputs.check_model_name(names[0], values["preprocess"])
            except ValueError as error:
                raise flags.ValidationError(str(error)) from error
        return True

    def define(*, flag_values: flags.FlagValues) -> None:
        choice("preprocess", None, [*inputs.PREPROCESSING], text)(flag_values=flag_values)
        flags.register_multi_flags_validator([of, "preprocess"], fits, flag_values=flag_values)

    return define


def data(default: str = "sample") -> Option:
    """--data and --class_names: which images a command works on, and what their classes are."""
    images = f"{inputs.DATA}; files that cannot be read are left out"
    text = "'imagenet', or a text file with a class name per line in the order of the outputs"
    return together(
        checked(strings("data", [default], images), "data", inputs.check_data_name),
        checked(
            string("class_names", None, text),
            "class_names",
            inputs.check_class_names,
        ),
    )


def only(names: Sequence[str], where: str, value: bool = True) -> Option:
    """Refuses flags that do nothing unless the flag `where` is, or is not, given or true."""

    def define(*, flag_values: flags.FlagValues) -> None:
        def fits(_: Mapping[str, Any]) -> bool:
            idle = [name for name in names if flag_values[name].present]
            if idle and bool(flag_values[where].value) != value:
                needed = f"{'needs' if value else 'does nothing with'} --{where}"
                raise flags.ValidationError(f"--{idle[0]} {needed}.")
            return True

        flags.register_multi_flags_validator([*names, where], fits, flag_values=flag_values)

    return define


def not_both(first: str, second: str, why: str) -> Option:
    """Refuses two flags that are `None` by default beside each other."""

    def fits(values: Mapping[str, Any]) -> bool:
        if values[first] is not None and values[second] is not None:
            raise flags.ValidationError(f"{why}: leave out --{first} or --{second}.")
        return True

    return functools.partial(flags.register_multi_flags_validator, [first, second], fits)


def together(*options: Option) -> Option:
    """Several options as one."""

    def define(*, flag_values: flags.FlagValues) -> None:
        for option in options:
            option(flag_values=flag_values)

    return define


def photographs() -> Option:
    """--data: which image files a command works on."""
    text = "image files, and folders of them or of class folders; what cannot be read is left out"
    return checked(strings("data", [], text), "data", inputs.image_files)


def bounds() -> Option:
    """--bounds: least and largest pixel value, a pair of floats; `inputs.bounds` reads it."""
    text = f"least and largest pixel value; MNIST and pictures are scaled to them; {_BY_DEFAULT}"
    return _fitting_bounds(parsers.Bounds("bounds"), text)


def bounds_of_data() -> Option:
    """--bounds: as `bounds`, or each value's own in the data."""
    text = (
        "least and largest value of the data; MNIST and pictures are scaled to them; "
        f"{_BY_DEFAULT}. 'data' for tables and series whose values have different units: each "
        "value's own least and largest"
    )
    return _fitting_bounds(parsers.BoundsOrData("bounds"), text)


def _fitting_bounds(parser: flags.ArgumentParser, text: str) -> Option:
    """Refuses other bounds than models are known to take, of flags that are defined before."""

    def define(*, flag_values: flags.FlagValues) -> None:
        def fits(_: Mapping[str, Any]) -> bool:
            try:
                inputs.bounds(flag_values)
            except ValueError as error:
                raise flags.ValidationError(str(error)) from error
            return True

        serializer = flags.CsvListSerializer(",")
        flags.DEFINE(parser, "bounds", None, text, flag_values=flag_values, serializer=serializer)
        names = [*inputs.OF_MODELS, "preprocess", "bounds"]
        flags.register_multi_flags_validator(
            [name for name in names if name in flag_values], fits, flag_values=flag_values
        )

    return define


def domain() -> Option:
    """--domain: least and largest number of an input, a pair of floats; by default all inputs."""
    text = "bound the model for inputs between these two numbers only, such as 0,255"
    serializer = flags.CsvListSerializer(",")
    parser = parsers.Bounds("domain")
    return functools.partial(flags.DEFINE, parser, "domain", None, text, serializer=serializer)


def ray() -> tuple[Option, Option]:
    """--ray and --workers: where shards are made."""
    text = (
        "'local' for worker processes on this machine, or the address of a Ray cluster; by default "
        "this process does the work"
    )
    return string("ray", None, text), integer("workers", None, "processes of Ray", lower_bound=1)


def shard_size() -> Option:
    """--shard_size: how often finished work is saved."""
    text = "images that are attacked between two saves; by default one batch of them, 8 to 256"
    return integer("shard_size", None, text, lower_bound=1, upper_bound=2**31 - 1)


def number(text: str, default: int | None = None, least: int = 1) -> Option:
    """--number: how many images; files that cannot be read do not count."""
    return integer("number", default, text, lower_bound=least)


def number_of_data(default: str, least: int = 1) -> Option:
    """--number: how many images of --data, taken as `load_data` takes them."""
    text = f"images, from the first on, of a folder spread over its files; by default {default}"
    return number(text, least=least)


def seed(text: str, name: str = "seed") -> Option:
    """--seed: of everything that is random."""
    return integer(name, 0, text, lower_bound=0, upper_bound=2**31 - 1)


def seeds(name: str, default: Sequence[int], text: str) -> Option:
    """Seeds between commas, each once."""

    def check(values: Sequence[int]) -> None:
        if len(set(values)) < len(values) or not all(0 <= each < 2**31 for each in values):
            raise ValueError("seeds are at least 0 and below 2**31, each named once.")

    return checked(integers(name, default, text), name, check)


def outputs(of: str) -> Option:
    """--outputs: what those models of a flag return that are the user's own."""
    text = (
        "what a model of your own returns; 'auto' finds a softmax at its end, but not within a "
        "SavedModel or a function: then say so"
    )

    def fits(values: Mapping[str, Any]) -> bool:
        names = inputs.named(values[of])
        if values["outputs"] != "auto" and not any(map(inputs.is_own, names)):
            raise flags.ValidationError(
                "--outputs is of models of your own, and those of the zoo say theirs: leave it "
                f"out. Received: {values['outputs']}, for {','.join(names)}."
            )
        return True

    told = functools.partial(flags.register_multi_flags_validator, [of, "outputs"], fits)
    return together(choice("outputs", "auto", ["auto", "logits", "probabilities"], text), told)


def loss() -> Option:
    """--loss: the adversary's, who knows which there are; --help cannot wait for TensorFlow."""
    return string("loss", "margin", f"the adversary's, as 'margin', 'cross_entropy'; {_ALL}")


def losses() -> Option:
    """--losses: the adversary's, one after another."""
    return strings("losses", ["margin"], f"each as 'margin', 'cross_entropy'; {_ALL}")


def solver(default: str | None = "compiled") -> Option:
    """--solver: the adversary's."""
    return string("solver", default, f"the adversary's, as 'compiled', 'scipy'; {_ALL}")


def work_folder(
    default: str, text: str, writes: Sequence[str] = (), begun: Sequence[str] = ()
) -> Option:
    """--output: of work that a command resumes when it is started again.

    Args:
        default, text: of the flag.
        writes: names of what stands beside the work; others' files of these names are left alone.
        begun: names of what only the command's work leaves, before it writes those: where one is
            there, they are its own. Both may be as `figures/*.svg`.
    """

    def check(value: str) -> None:
        folder = check_folder(value)
        own = any(path.exists() for name in begun for path in folder.glob(name))
        check_places(folder, with_matches(folder, writes), own)

    return checked(path("output", default, text), "output", check)


def output(default: str | None, text: str = "folder of the results") -> Option:
    """--output and --overwrite: where results go; a folder that holds something is left alone."""

    def is_free(values: dict[str, Any]) -> bool:
        folder = values["output"]
        if folder is None:
            return True
        try:
            check_folder(folder)
        except OSError as error:
            raise flags.ValidationError(str(error)) from error
        if not values["overwrite"] and outputs_folder.holds_something(Path(folder)):
            raise flags.ValidationError(outputs_folder.not_empty(Path(folder)))
        return True

    def define(*, flag_values: flags.FlagValues) -> None:
        path("output", default, text)(flag_values=flag_values)
        boolean("overwrite", False, "write to --output even if it holds something")(
            flag_values=flag_values
        )
        flags.register_multi_flags_validator(
            ["output", "overwrite"], is_free, flag_values=flag_values
        )

    return define


def _parsed(parser: flags.ArgumentParser, name: str, default: Sequence[Any], text: str) -> Option:
    serializer = flags.CsvListSerializer(",")
    shown = ",".join(map(str, default))
    return functools.partial(flags.DEFINE, parser, name, shown, text, serializer=serializer)
