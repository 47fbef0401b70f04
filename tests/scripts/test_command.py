"""What every command does alike, from the outside."""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from intriguing_tf.scripts import options
from intriguing_tf.scripts.command import command

SCRIPTS = Path(__file__).parents[2] / "scripts"
COMMANDS = sorted(path.stem for path in SCRIPTS.glob("*.py") if "\nif __name__" in path.read_text())
SHARED = {
    "evaluate": "model preprocess data class_names bounds number outputs output ray",
    "itf": "",
    "attack": "model preprocess class_names data bounds number seed output overwrite",
    "lipschitz": "model data bounds number output overwrite",
    "ostrich": "model data number output overwrite",
    "reproduce": "number seed output",
    "sweep": "models data bounds number seed output",
    "transfer": "models data bounds number seed output overwrite",
    "units": "model data bounds number seed output overwrite",
    "adversarial_training": "number output",
    "zoo": "number",
}
OLD_NAMES = [
    ("lipschitz", "--model=mnist/conv --sandwich=7", "number", 7),
    ("ostrich", f"--images={__file__}", "data", [__file__]),
    ("sweep", "--folder=there", "output", "there"),
    ("adversarial_training", "--attacked=7", "number", 7),
]


def run_of(name):
    return importlib.import_module(f"intriguing_tf.scripts.{name}").run


def python(code, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, timeout=120, **options,
    )  # fmt: skip


def test_every_command_is_listed_here():
    assert set(SHARED) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_every_flag(name, capsys):
    assert run_of(name).main(["--help"]) == 0
    printed = capsys.readouterr().out
    own = set(run_of(name).define_flags()) - {"h"}  # -h is --help
    for flag in {*own, *SHARED[name].split()}:
        assert f"--{flag}:" in printed or f"--[no]{flag}:" in printed
    title = importlib.import_module(f"intriguing_tf.scripts.{name}").__doc__.splitlines()[0]
    assert printed.startswith(title)


@pytest.mark.parametrize(
    "name", sorted(name for name in SHARED if {"bounds", "number"} <= {*SHARED[name].split()})
)
def test_help_says_which_images_a_number_takes(name, capsys):
    run_of(name).main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "--number: images, from the first on, of a folder spread over its files" in said


def test_help_is_quick_and_imports_neither_tensorflow_nor_numpy():
    code = (
        "import sys, time\n"
        + "".join(f"import intriguing_tf.scripts.{name} as {name}\n" for name in COMMANDS)
        + "".join(f"assert {name}.run.main(['--help']) == 0\n" for name in COMMANDS)
        + "print(time.process_time(), {'tensorflow', 'keras', 'numpy'} & set(sys.modules))"
    )
    done = python(code)
    seconds, loaded = done.stdout.splitlines()[-1].split(maxsplit=1)
    assert loaded == "set()" and float(seconds) < 1, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_that_is_installed_shows_its_help(name):
    code = f"from intriguing_tf.scripts.{name} import run; run()"
    done = python(code, "--help")
    assert done.returncode == 0 and "--[no]help" in done.stdout and not done.stderr


@pytest.mark.parametrize("name, arguments, new, value", OLD_NAMES, ids=[n[0] for n in OLD_NAMES])
def test_old_names_of_flags_work_and_warn(name, arguments, new, value, capsys):
    seen = []
    old = run_of(name)
    replaced = type(old)(seen.append, old.options, old.renamed, False, False)
    assert replaced.main(arguments.split()) == 0
    assert seen[0][new].value == value
    assert f"is deprecated: use --{new}." in capsys.readouterr().err


def test_flags_of_one_run_are_not_those_of_the_next():
    seen = []

    @command(options.integer("number", 1, "a number"), imports_tensorflow=False)
    def run(flags):
        seen.append(flags.number)

    assert [run.main(["--number=2"]), run.main([])] == [0, 0]
    assert seen == [2, 1]


@pytest.mark.parametrize("error", [ValueError, TypeError, OSError, ImportError, RuntimeError])
def test_an_error_is_one_line_and_status_1(error, capsys):
    @command(imports_tensorflow=False)
    def run(flags):
        raise error("what was wrong")

    assert run.main([]) == 1
    assert capsys.readouterr().err == "error: what was wrong\n"


@pytest.mark.parametrize("compiled", [False, True])
def test_an_error_of_tensorflow_is_one_line(compiled, capsys):
    @command()
    def run(flags):
        import tensorflow as tf

        def gather(x):
            return tf.raw_ops.GatherV2(params=tf.constant([1.0]), indices=x, axis=0)

        (tf.function(gather) if compiled else gather)(tf.constant([7]))

    assert run.main([]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: TensorFlow cannot compute this: ") and error.count("\n") == 1
    assert "indices[0] = 7 is not in [0, 1)" in error and "{{" not in error


def test_an_error_of_ours_keeps_its_traceback():
    @command(imports_tensorflow=False)
    def run(flags):
        raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        run.main([])


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        (["--nmber=2"], 1, "Did you mean: number"),
        (["--number=x"], 1, "--number=x"),
        (["--number=0"], 1, "positive"),
        (["surplus"], 2, "Received: surplus"),
    ],
    ids=["unknown flag", "no number", "out of range", "no flag"],
)
def test_wrong_flags_are_told_before_the_command_runs(arguments, status, words, capsys):
    @command(options.number("images"), imports_tensorflow=False)
    def run(flags):
        raise AssertionError

    assert run.main(arguments) == status
    error = capsys.readouterr().err
    assert error.startswith("error: ") and words in error and error.count("\n") == 1


def test_arguments_may_stand_before_flags():
    seen = []

    @command(options.boolean("all", False, ""), takes_arguments=True, imports_tensorflow=False)
    def run(flags, arguments):
        seen.append((flags.all, arguments))
        return 3

    assert run.main(["list", "--all", "mnist/*"]) == 3
    assert seen == [(True, ["list", "mnist/*"])]


WAITING = """
import hashlib, pathlib, sys, time
from intriguing_tf.scripts.command import command

@command(imports_tensorflow=False)
def run(flags):
    pathlib.Path("written").write_text("whole")
    print("ready", flush=True)
    {wait}

run()
"""
WAITS = [
    pytest.param("time.sleep(60)", id="in Python"),
    pytest.param(
        "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",
        id="in a call that does not answer",
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent otherwise there")
@pytest.mark.parametrize("read", [True, False], ids=["read", "unread"])
@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_a_command(wait, read, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING.format(wait=wait)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    errors = process.stderr if read else process.stderr.close()
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert time.monotonic() - started < 10  # 1.5 s, but for a busy machine
    assert errors is None or errors.read() == "\nStopped.\n"
    assert (tmp_path / "written").read_text() == "whole"


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
@pytest.mark.parametrize("written", [1, 10**6], ids=["at the end", "while it writes"])
def test_nobody_reads_the_output(written):
    """As behind `| head`."""
    code = f"""
from intriguing_tf.scripts.command import command

@command(imports_tensorflow=False)
def run(flags):
    for _ in range({written}):
        print("line")
run()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(timeout=30) == 141


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
@pytest.mark.parametrize("status", [0, 1])
def test_nobody_reads_the_errors(status):
    """As behind `2> >(head)`."""
    code = f"""
import sys, warnings
from intriguing_tf.scripts.command import command, say

@command(imports_tensorflow=False)
def run(flags):
    sys.stdin.readline()
    warnings.warn("one")
    say("skipped", file=sys.stderr)
    print("progress" * 10**5, file=sys.stderr)
    print("result")
    if {status}:
        raise ValueError
run()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stderr.close()
    process.stdin.write("\n")
    process.stdin.close()
    assert process.stdout.read() == "result\n" and process.wait(timeout=30) == status


PRINTING = """
import os, sys
from intriguing_tf.scripts.command import command

@command(imports_tensorflow=False)
def run(flags):
    print("line")
    with open("taken", "w") as file:
        print("warning", file=sys.stderr, flush=True)
        return 7 if file.fileno() < 3 else 0
run()
"""


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere(closed, tmp_path):
    line = f'exec "$0" -c "$1" {closed}'
    done = subprocess.run(["sh", "-c", line, sys.executable, PRINTING], cwd=tmp_path, timeout=60)
    assert done.returncode == 0 and not (tmp_path / "taken").read_text()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
@pytest.mark.parametrize("written", [1, 10**5], ids=["at the end", "while it writes"])
def test_output_that_cannot_be_written_is_an_error_of_one_line(written):
    code = f"""
from intriguing_tf.scripts.command import command
command(imports_tensorflow=False)(lambda flags: print("line\\n" * {written}))()
"""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": ""}, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent otherwise there")
def test_a_second_ctrl_c_adds_no_words():
    code = """
import os, signal, time
from intriguing_tf.scripts.command import command

@command(imports_tensorflow=False)
def run(flags):
    for _ in range(2):  # the thread that watches has the time to read the first
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        except KeyboardInterrupt:
            time.sleep(0.2)
run()
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent otherwise there")
def test_a_command_that_has_ended_leaves_ctrl_c_alone():
    code = """
import os, signal, time
from intriguing_tf.scripts import command
run = command.command(imports_tensorflow=False)(lambda flags: None)
try:
    run()
except SystemExit:
    pass
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(command.GRACE + 0.5)  # by then a command would have ended the process
print("alive", signal.set_wakeup_fd(-1))
"""
    done = python(code)
    assert (done.returncode, done.stdout) == (0, "alive -1\n"), done.stderr


def test_a_warning_is_a_line_without_code():
    code = """
import warnings
from intriguing_tf.scripts import command
@command.command(imports_tensorflow=False)
def run(flags):
    warnings.warn("one")
run()
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "warning: one\n")


@pytest.mark.slow
def test_tensorflow_writes_no_log_lines(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "XLA_"))}
    code = "from intriguing_tf.scripts.attack import run; run()"
    arguments = (
        "--number=2",
        "--model=mnist/fc10-1",
        "--solver=scipy",
        f"--output={tmp_path / 'out'}",
    )
    done = python(code, *arguments, env=environment)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_a_failing_import_shows_what_was_held_back(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'the reason\\n')\nraise ImportError('no TensorFlow')"
    )
    code = "from intriguing_tf.scripts.command import command\ncommand()(lambda flags: None)()"
    done = python(code, env=dict(os.environ, PYTHONPATH=str(tmp_path)))
    assert done.returncode == 1
    assert done.stderr == "the reason\nerror: no TensorFlow\n"
