"""What a name of a model stands for: an entry of the zoo, a file or folder, or a Python function.

`check_model_name` takes moments and needs no TensorFlow, so that a mistyped name is told at once;
`load_model` does the work. Only a zoo's files are promised to run no code: an `.h5` file, a
SavedModel and a Python file are loaded from where the user says, and from nowhere else.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import inspect
import re
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from intriguing_tf import layers, training
from intriguing_tf.files import expanded, not_there
from intriguing_tf.text import cut, words
from intriguing_tf.zoo import applications, pixels
from intriguing_tf.zoo.applications import APPLICATIONS, meant

if TYPE_CHECKING:
    import keras

MODELS = (
    "a name of the zoo, a .keras or .h5 file, a SavedModel folder, applications/NAME of "
    "keras.applications (applications/NAME:random for random weights), or module:function or "
    "file.py:function that returns a model"
)
PREPROCESSING = ("caffe", "tf", "torch", "pixels")
_FILES = {".keras", ".h5", ".hdf5"}
_SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")
_FUNCTION = re.compile(r"(?P<module>.+):(?P<function>[A-Za-z_]\w*)")


def check_model_name(name: str, preprocess: str | None = None) -> None:
    """Checks a name of a model, as far as that goes without loading it.

    Args:
        name: as in `load_model`.
        preprocess: what is to stand in front of it.

    Raises:
        TypeError: the name is not a str.
        ValueError: it stands for nothing; what may be meant is said. Or preprocessing for a model
            that brings its own.
        FileNotFoundError: no such file.
    """
    if not isinstance(name, str):
        raise TypeError(f"`name` must be a str. Received: {type(name).__name__}.")
    if not name:
        raise ValueError(f"a model is {MODELS}. Received: ''.")
    path = expanded(name)
    if name.startswith(APPLICATIONS):
        applications.check(name)
    elif path.suffix.lower() in _FILES:
        if not path.is_file():
            raise not_there(name)
    elif path.is_dir():
        if not is_own(name):
            _check_entry(name)
        elif not _is_saved_model(path):
            raise ValueError(
                f"a folder that is a model holds {_SAVED_MODEL[0]} (a SavedModel). Received: "
                f"the folder {name}."
            )
    elif path.is_file():
        hint = f" A function in it is named {name}:FUNCTION." if path.suffix == ".py" else ""
        raise ValueError(f"a model is {MODELS}. Received: the file {name}.{hint}")
    elif _FUNCTION.fullmatch(name):
        _check_function(name)
    else:
        _check_entry(name)
    if preprocess is not None and not is_own(name):
        raise ValueError(
            f"{name!r} takes pixels in [0, 1] as it is, its preprocessing inside: leave "
            f"`preprocess` out. Received: {preprocess!r}."
        )


def load_model(
    name: str, *, preprocess: str | None = None, application_weights: str | None = "imagenet"
) -> keras.Model:
    """Returns the model that a name stands for; it is not compiled.

    Args:
        name: of an entry of the zoo ("mnist/conv"); a `.keras` or `.h5` file, of an
            `AdversarialModel` the model that it trains; a SavedModel folder, which becomes a model
            through `keras.layers.TFSMLayer`; "applications/" and the name of a network of
            `keras.applications`, which then takes pixels in [0, 1], with ":random" behind it for
            random weights; or "module:function" or "file.py:function", a function that takes no
            arguments and returns a model. That file may also define the layers of the user's own
            that the model has.
        preprocess: what a file's or function's model wants done with pixels in [0, 1]; it becomes
            part of the model, in front. One of keras.applications' modes "caffe", "tf", "torch",
            or "pixels" for values from 0 to 255; `None` for nothing.
        application_weights: of "applications/NAME" with nothing behind it: "imagenet", which Keras
            downloads and checks, or `None` for random ones.

    Returns:
        A built `keras.Model`.

    Raises:
        TypeError: the name is not a str; the function returns something else than a model.
        ValueError: an unknown name, a file that Keras cannot load, a function that fails,
            unavailable weights, or preprocessing for a model that brings its own.
        FileNotFoundError: no such file.

    Example:

        model = itf.load_model("mnist/fc100-100-10")
        model = itf.load_model("my.keras", preprocess="torch")
    """
    from intriguing_tf.checks import check_choice  # here: --help must not load NumPy

    check_choice("preprocess", preprocess, (None, *PREPROCESSING))
    check_model_name(name, preprocess)
    path = expanded(name)
    if name.startswith(APPLICATIONS):
        return applications.load(name, application_weights)
    if path.suffix.lower() in _FILES:
        model = _load_file(path)
    elif path.is_dir() and is_own(name):
        model = _load_saved_model(path)
    elif match := _FUNCTION.fullmatch(name):
        model = _call(name, **match.groupdict())
    else:
        from intriguing_tf.zoo import loading  # here: --help must not load NumPy

        return loading.load(name)
    return model if preprocess is None else pixels.preprocessed(model, preprocess)


def is_own(name: str) -> bool:
    """Whether a name stands for a file, folder or function of the user's own."""
    path = expanded(name)
    if name.startswith(APPLICATIONS):
        return False
    if path.is_dir() and path.suffix.lower() not in _FILES and not _is_saved_model(path):
        from intriguing_tf.zoo import catalogue  # here: --help must not load NumPy

        return not catalogue.list(name)  # a folder of an entry's name, as `itf-zoo site` makes it
    return path.suffix.lower() in _FILES or path.is_dir() or _FUNCTION.fullmatch(name) is not None


def known_bounds(name: str, preprocess: str | None = None) -> tuple[float, float] | None:
    """Returns the bounds of the pixels that a model takes; `None` where only its user knows.

    Args:
        name: of the model, which is there.
        preprocess: what stands in front of it, if it is the user's own.
    """
    if is_own(name):
        return None if preprocess is None else pixels.UNIT
    if name.startswith(APPLICATIONS):
        return pixels.UNIT
    from intriguing_tf.zoo import catalogue  # here: --help must not load NumPy

    return catalogue.info(name).bounds


def _is_saved_model(path: Path) -> bool:
    return any((path / file).is_file() for file in _SAVED_MODEL)


def short_name(name: str) -> str:
    """Returns what tables call a model: its name in the zoo, or its file's without the suffix.

    Example:

        short_name("models/my.keras")  # "my"
    """
    if match := None if name.startswith(APPLICATIONS) else _FUNCTION.fullmatch(name):
        return match["function"]
    path = expanded(name)
    if name.startswith(APPLICATIONS):
        return name.replace(":", "-")
    is_folder = path.is_dir() and is_own(name)
    return path.stem if path.suffix.lower() in _FILES else path.name if is_folder else name


def _check_function(name: str) -> None:
    """Checks module and function without running anything of them."""
    match = _FUNCTION.fullmatch(name)
    assert match is not None
    module, function = match.groups()
    source = _source(module)
    if source is None:
        return
    try:
        body = ast.parse(source.read_text("utf-8"), str(source)).body
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{source} is no Python file: {error}.") from None
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in body):
        return
    names = [each for node in body for each in _defined(node)]
    if function not in names:
        functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
        has = f"It has: {', '.join(functions)}." if functions else "It has no functions."
        hint = " ".join(filter(None, (meant(function, functions), has)))
        raise ValueError(f"{module} has no {function!r}. {hint}")


def _defined(node: ast.stmt) -> Iterable[str]:
    """Names that a statement at the top of a file gives."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name for alias in node.names]
    return [
        each.id
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    ]


def _source(module: str) -> Path | None:
    """Returns the file of a module, or `None` where only importing would tell.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such module.
    """
    if module.endswith(".py") or "/" in module or "\\" in module:
        path = expanded(module)
        if not path.is_file():
            raise not_there(module)
        return path
    if not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(f"a model is {MODELS}. Received: the module {module!r}.")
    here = Path(*module.split(".")).with_suffix(".py")
    if here.is_file():
        return here
    root = module.split(".")[0]
    if root == "__main__":
        raise ValueError(
            f"{module} is the program that runs: name the file, such as file.py:function. "
            f"Received: the module {module!r}."
        )
    if not Path(root).is_dir() and importlib.util.find_spec(root) is None:
        raise ValueError(f"there is no Python module {module!r}, and no {here} here.")
    return None


def _check_entry(name: str) -> None:
    """Checks a name that is no file's; unless it begins as the zoo's do, a file may be meant."""
    from intriguing_tf.zoo import catalogue  # here: --help must not load NumPy

    try:
        catalogue.info(name)
    except ValueError as error:
        if catalogue.list(f"{name.split('/')[0]}/*"):
            raise
        there = [f"{name}{suffix}" for suffix in sorted(_FILES)]
        there = [file for file in there if expanded(file).is_file()]
        said = str(not_there(name))
        hint = f" Did you mean {there[0]}?" if there and there[0] not in said else ""
        raise ValueError(f"{said}{hint} {error}") from None


def _load_file(path: Path) -> keras.Model:
    import keras  # here: --help must not load it

    if path.suffix.lower() == ".keras" and not zipfile.is_zipfile(path):
        raise ValueError(
            f"Keras cannot load {path}: a .keras file is a zip archive, and this is none; "
            f"it may be cut off. Received: {path.stat().st_size:,} bytes."
        )
    for package in (layers, training):  # Keras finds what is registered once it was imported
        for name in dir(package):
            getattr(package, name)
    try:
        with _in_small_letters(path) as file:
            model = keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for one cause: the file is wrong
        said = cut(str(error), 1000)
        if "register_keras_serializable" in str(error) or "Unknown layer" in str(error):
            said += (
                " Layers of your own are known to file.py:function, where the file defines them "
                "and the function returns keras.models.load_model(...)."
            )
        raise ValueError(f"Keras cannot load {path}: {said}") from error
    return model.model if isinstance(model, training.AdversarialModel) else model


@contextlib.contextmanager
def _in_small_letters(path: Path) -> Iterator[Path]:
    """Gives a name of the file whose suffix Keras knows."""
    if path.suffix == path.suffix.lower():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, f"{path.stem}{path.suffix.lower()}")
        link.symlink_to(path.resolve())
        yield link


def _load_saved_model(path: Path) -> keras.Model:
    import keras  # here: --help must not load it
    import tensorflow as tf

    try:
        signatures = tf.saved_model.load(str(path)).signatures
    except Exception as error:  # TensorFlow raises many kinds for one cause: the folder is wrong
        raise ValueError(f"TensorFlow cannot load {path}: {error}") from error
    valid = [name for name in ("serving_default", "serve") if name in signatures]
    if not valid:
        raise ValueError(
            f"{path} must have the signature 'serving_default' or 'serve'. Received: "
            f"{sorted(signatures)}."
        )
    signature = signatures[valid[0]]
    taken, given = signature.structured_input_signature[1], signature.structured_outputs
    if len(taken) != 1 or len(given) != 1:
        raise ValueError(
            f"{path} must have one input and one output. Received: {sorted(taken)} to "
            f"{sorted(given)}."
        )
    ((key, spec),) = taken.items()
    inputs = keras.Input(spec.shape[1:], dtype=spec.dtype.name, name=key)
    layer = keras.layers.TFSMLayer(str(path), call_endpoint=valid[0])
    (outputs,) = layer(inputs).values()
    name = re.sub(r"\W", "_", path.resolve().name, flags=re.ASCII).lstrip("_")
    return keras.Model(inputs, outputs, name=name or "saved_model")


def _call(name: str, module: str, function: str) -> keras.Model:
    """Imports a module and calls its function, which must return a model."""
    import keras  # here: --help must not load it

    with _running(name):
        found = getattr(_imported(module), function, None)
    if not callable(found):
        raise ValueError(f"{module} has no function {function!r}.")
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise TypeError(f"{name} must be a function without arguments: {error}.") from None
    except ValueError:
        pass  # Python does not know what it takes
    with _running(name):
        model: Any = found()
    if not isinstance(model, keras.Model):
        raise TypeError(f"{name} must return a keras.Model. Received: {type(model).__name__}.")
    return model


@contextlib.contextmanager
def _running(name: str) -> Iterator[None]:
    """Says where code of the user's failed, in one line."""
    try:
        yield
    except (Exception, SystemExit) as error:
        stack = traceback.extract_tb(error.__traceback__)
        places = [p for p in stack if Path(p.filename).exists() and p.filename != __file__]
        own = [each for each in places if "site-packages" not in each.filename] or places
        where = f" in line {own[-1].lineno} of {own[-1].filename}" if own else ""
        raise ValueError(f"{name} failed{where}: {words(error)}") from error


def _imported(module: str) -> ModuleType:
    """Imports a module by its name, from the current folder too, or by its file."""
    source = _source(module)
    if source is None or not module.endswith(".py"):
        sys.path.insert(0, str(Path.cwd()))
        try:
            return importlib.import_module(module)
        finally:
            sys.path.remove(str(Path.cwd()))
    spec = importlib.util.spec_from_file_location(source.stem, source)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(source.stem, loaded)  # Keras looks classes up by their module
    sys.path.insert(0, str(source.resolve().parent))
    try:
        spec.loader.exec_module(loaded)
    finally:
        sys.path.remove(str(source.resolve().parent))
    return loaded
