"""What names of data may stand for, and how soon a wrong one is told."""

import subprocess
import sys

import numpy as np
import pytest

from intriguing_tf.datasets.names import check_data_name


@pytest.mark.parametrize(
    "name, error, words",
    [
        ("my.npz", FileNotFoundError, r"no such file: my\.npz"),
        ("no/such/folder", FileNotFoundError, "no such file or folder: no/such/folder"),
        ("cifar99", FileNotFoundError, "tensorflow-datasets has no 'cifar99'"),
        (__file__, ValueError, "the bundled 'sample'"),
        ([], ValueError, "name image files"),
    ],
    ids=["npz", "path", "tfds", "other file", "nothing"],
)
def test_wrong_names(name, error, words):
    with pytest.raises(error, match=words):
        check_data_name(name)


def test_arrays_of_other_names_are_told_before_anything_is_loaded(tmp_path):
    np.savez(tmp_path / "xy.npz", x=[1.0], y=[0])
    with pytest.raises(ValueError, match=r"images=x, labels=y\)\. Received: x, y"):
        check_data_name(str(tmp_path / "xy.npz"))
    np.savez(tmp_path / "xy.npz", images=[1.0])
    check_data_name(str(tmp_path / "xy.npz"))


def test_a_file_of_numbers_is_told_how_to_become_arrays(tmp_path):
    (tmp_path / "credit.csv").write_text("1,2,0")
    with pytest.raises(ValueError, match=r"numpy\.savez\(.*Received: .*credit\.csv"):
        check_data_name(str(tmp_path / "credit.csv"))


@pytest.mark.slow
def test_names_are_checked_without_tensorflow():
    code = (
        "import sys\n"
        "from intriguing_tf.datasets.names import check_data_name\n"
        "check_data_name('sample')\n"
        "for name in ('a.npz', 'a/b.png', 'cifar99'):\n"
        "    try: check_data_name(name)\n"
        "    except (ValueError, OSError): pass\n"
        "    else: raise SystemExit(name)\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
