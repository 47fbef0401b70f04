"""Flags that commands share: what they take, and what they say to anything else."""

import pytest
from intriguing_tf.scripts import inputs, options
from intriguing_tf.scripts.command import command


def parsed(*arguments, option):
    """The flags of a command with one option, or what it says to them."""
    seen = []
    run = command(option, imports_tensorflow=False)(seen.append)
    run.main(arguments)
    return seen[0] if seen else None


def bounds_of(*arguments, option):
    """The bounds that a command works within."""
    return inputs.bounds(parsed(*arguments, option=option))


BOUNDS = options.together(options.model(None), options.bounds())


@pytest.mark.parametrize(
    "argument, bounds", [("0,1", (0, 1)), ("-1,1", (-1, 1)), ("0, 255", (0, 255))]
)
def test_bounds_are_two_numbers(argument, bounds):
    assert bounds_of(f"--bounds={argument}", option=BOUNDS) == bounds


def test_bounds_may_be_those_of_each_value():
    option = options.together(options.model(None), options.bounds_of_data())
    assert bounds_of("--bounds=data", option=option) == "data"
    assert bounds_of("--bounds=-1,1", option=option) == (-1.0, 1.0)
    assert parsed("--bounds=date", option=option) is None


def test_bounds_are_0_and_1_by_default():
    assert bounds_of(option=BOUNDS) == (0.0, 1.0)


@pytest.mark.parametrize("argument", ["0", "0,1,2", "1,0", "1,1", "0,x", "0,inf", "nan,1", ""])
def test_other_bounds_are_refused(argument, capsys):
    assert parsed(f"--bounds={argument}", option=BOUNDS) is None
    assert f"must be two numbers, finite and the smaller first, such as 0,1. Received: {argument}."\
        in capsys.readouterr().err  # fmt: skip


@pytest.mark.parametrize(
    "arguments, what",
    [
        ("--model=mnist/conv", "'mnist/conv'"),
        ("--model=applications/ResNet50:random", "'applications/ResNet50:random'"),
        ("--model=json:loads --preprocess=pixels", "--preprocess"),
    ],
)
def test_bounds_that_a_model_does_not_take_are_refused(arguments, what, capsys):
    assert parsed("--bounds=0,255", *arguments.split(), option=BOUNDS) is None
    said = f"{what} takes pixels in [0, 1], and --bounds must be these. Received: 0,255."
    assert said in capsys.readouterr().err
    assert parsed("--bounds=0,1", *arguments.split(), option=BOUNDS) is not None
    assert parsed("--bounds=0,255", "--model=json:loads", option=BOUNDS) is not None


def test_bounds_are_by_default_those_that_a_network_of_the_zoo_takes(signed, capsys):
    signed("mnist/conv")
    assert bounds_of("--model=mnist/conv", option=BOUNDS) == (-1.0, 1.0)
    assert parsed("--model=mnist/conv", option=BOUNDS).bounds is None  # a check writes no flag
    assert bounds_of("--model=mnist/conv", "--bounds=-1,1", option=BOUNDS) == (-1.0, 1.0)
    assert parsed("--model=mnist/conv", "--bounds=0,1", option=BOUNDS) is None
    assert "'mnist/conv' takes pixels in [-1, 1], and --bounds must" in capsys.readouterr().err
    of_data = options.together(options.model(None), options.bounds_of_data())
    assert bounds_of("--model=mnist/conv", option=of_data) == (-1.0, 1.0)
    assert bounds_of("--model=mnist/conv", "--bounds=data", option=of_data) == "data"


def test_bounds_are_those_of_all_models(signed, capsys):
    signed("mnist/conv")
    option = options.together(
        options.models(["mnist/conv"]),
        options.model(None, "feature_model"),
        options.bounds(),
    )
    assert bounds_of("--models=json:loads,mnist/conv", option=option) == (-1.0, 1.0)
    for others in ("--models=mnist/conv,mnist/fc10-1", "--feature_model=mnist/fc10-1"):
        assert parsed(others, option=option) is None
        said = "'mnist/fc10-1' takes pixels in [0, 1], and --bounds must be these. Received: -1,1, "
        assert f"{said}which 'mnist/conv' takes." in capsys.readouterr().err


@pytest.mark.parametrize("of", ["model", "models"])
def test_outputs_of_the_zoos_models_are_not_the_users_to_say(of, capsys):
    option = options.together(
        getattr(options, of)(None if of == "model" else []), options.outputs(of)
    )
    assert parsed("--outputs=logits", f"--{of}=mnist/conv", option=option) is None
    assert "--outputs is of models of your own" in capsys.readouterr().err
    assert parsed("--outputs=logits", f"--{of}=json:loads", option=option)
    if of == "models":
        assert parsed("--outputs=logits", "--models=mnist/conv,json:loads", option=option)


def test_bounds_of_each_value_are_said_to_be_for_an_evaluation(capsys):
    assert parsed("--bounds=data", option=BOUNDS) is None
    assert "each value's own range is for itf-evaluate. Received: data." in capsys.readouterr().err


OUTPUTS = {
    "output": (options.output("results"), "output"),
    "work": (options.work_folder("results", ""), "output"),
    "path": (options.path("table", None, ""), "table"),
}


@pytest.mark.parametrize("option, flag", OUTPUTS.values(), ids=OUTPUTS)
def test_outputs_begin_at_home(option, flag, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parsed(f"--{flag}=~/a", option=option)[flag].value == f"{tmp_path}/a"
    (tmp_path / "a").write_text("")
    assert flag == "table" or parsed(f"--{flag}=~/a", option=option) is None
    assert flag == "table" or f"{tmp_path}/a is a file" in capsys.readouterr().err
    assert parsed(option=option)[flag].value == (None if flag == "table" else "results")


def test_numbers_between_commas():
    seeds, noise = options.integers("seeds", [0, 1], ""), options.reals("noise", [0.1], "")
    assert parsed(option=seeds).seeds == [0, 1]
    assert parsed("--seeds=3,4", option=seeds).seeds == [3, 4]
    assert parsed("--seeds=", option=seeds).seeds == []
    assert parsed("--noise=1e-2,3", option=noise).noise == [0.01, 3.0]


def test_other_numbers_are_refused(capsys):
    assert parsed("--seeds=1,2.5", option=options.integers("seeds", [], "")) is None
    assert "must be integers between commas. Received: 1,2.5." in capsys.readouterr().err


def test_a_folder_that_holds_something_is_left_alone(tmp_path, capsys):
    output = options.output("results")
    assert parsed(f"--output={tmp_path}", option=output).output == str(tmp_path)
    (tmp_path / ".lock").write_text("")  # of a run that was killed before it wrote anything
    assert parsed(f"--output={tmp_path}", option=output).output == str(tmp_path)
    (tmp_path / "file").write_text("")
    assert parsed(f"--output={tmp_path}", option=output) is None
    assert "is not empty: give another --output, or --overwrite." in capsys.readouterr().err
    assert parsed(f"--output={tmp_path}", "--overwrite", option=output).overwrite
    assert parsed(f"--output={tmp_path / 'file'}", option=output) is None
    assert "is a file, where a folder is needed." in capsys.readouterr().err


@pytest.mark.parametrize("option, flag", [(options.model, "model"), (options.models, "models")])
def test_preprocessing_is_for_a_model_of_ones_own(tmp_path, capsys, option, flag):
    (tmp_path / "own.keras").write_bytes(b"")
    own, none = f"{tmp_path / 'own.keras'}", None if flag == "model" else []
    for name in ("mnist/conv", "applications/ResNet50:random"):
        assert parsed(f"--{flag}={name}", "--preprocess=tf", option=option(none)) is None
        assert f"{name!r} takes pixels in [0, 1] as it is" in capsys.readouterr().err
    names = own if flag == "model" else f"mnist/conv,{own}"
    assert parsed(f"--{flag}={names}", "--preprocess=tf", option=option(none)).preprocess == "tf"


@pytest.mark.parametrize("value, words", [(True, "needs"), (False, "does nothing with")])
def test_flags_that_would_do_nothing_are_refused(value, words, capsys):
    option = options.together(
        options.integer("seed", 0, ""),
        options.boolean("train", not value, ""),
        options.only(["seed"], where="train", value=value),
    )
    assert parsed(option=option).seed == 0
    assert parsed("--seed=1", f"--train={value}", option=option).seed == 1
    assert parsed("--seed=1", option=option) is None
    assert f"--seed {words} --train" in capsys.readouterr().err


def test_one_of_two(capsys):
    def both(*, flag_values):
        for define in (options.model(None), options.string("other", None, "")):
            define(flag_values=flag_values)
        options.one_of("model", "other")(flag_values=flag_values)

    assert parsed("--other=x", option=both).other == "x"
    assert parsed("--model=mnist/conv", option=both).model == "mnist/conv"
    assert (
        parsed(option=both) is None
        and parsed("--other=x", "--model=mnist/conv", option=both) is None
    )
    assert capsys.readouterr().err.count("give --model or --other") == 2


@pytest.mark.parametrize(
    "option, argument, words",
    [
        (options.model(None), "--model=my.keras", "no such file: my.keras"),
        (options.models([]), "--models=mnist/conv,my.h5", "no such file: my.h5"),
        (options.data(), "--data=my.npz", "no such file: my.npz"),
        (options.models([]), "--models=", "at least one model"),
        (options.photographs(), "--data=cat.jpg", "no such file or folder: cat.jpg"),
        (options.photographs(), "--data=", "such as --data=cat.jpg"),
    ],
    ids=["model", "models", "data", "no models", "photographs", "no photographs"],
)
def test_wrong_names_are_told_before_the_command_runs(option, argument, words, capsys):
    assert parsed(argument, option=option) is None
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0,0", "-1", "0,2147483648", "x"])
def test_seeds_that_are_none_or_named_twice_are_refused(value, capsys):
    assert parsed(f"--seeds={value}", option=options.seeds("seeds", [0, 1], "all")) is None
    assert f"--seeds={value}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "option"), [("seed", options.seed("of all")), ("shard_size", options.shard_size())]
)
def test_integers_have_an_end(name, option, capsys):
    assert parsed(f"--{name}=99999999999999999999", option=option) is None
    assert "is not an integer in the range" in capsys.readouterr().err
