"""The code in the README runs as it stands."""

import re
from pathlib import Path

import keras
import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("code", BLOCKS, ids=["zoo", "own model"])
def test_readme_code_runs(code, keras_without_xla):
    keras.utils.set_random_seed(0)  # the code's own network has random weights
    names: dict = {}
    exec(compile(code, str(README), "exec"), names)
    result = names["result"]
    assert result.success.all()
    assert (result.distortion[result.status == "found"] > 0).all()


def test_pictures_and_pages_of_the_readme_are_there():
    for link in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        if "://" not in link:
            assert (README.parent / link).exists(), link
