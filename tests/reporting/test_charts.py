import base64
import io
import re

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from intriguing_tf.reporting import distribution_chart, heat_maps, image_rows, interval_chart


def charts():
    rng = np.random.default_rng(0)
    return [
        image_rows("rows", "Rows", rng.random((2, 3, 5, 4, 1)), ["unit 1", "unit 2"]),
        interval_chart(
            "dots", "Dots", ["a", "b"], {"here": [(1, 0.5, 2), (3, 3, 3)]}, "distortion"
        ),
        heat_maps("heat", "Heat", {"paper": rng.random((2, 3))}, ["r", "s"], ["x", "y", "z"]),
        distribution_chart("ecdf", "Ecdf", {"purity": {"units": rng.random(9)}}),
    ]


@pytest.mark.parametrize("chart", charts(), ids=lambda chart: chart.name)
def test_ink_follows_the_reader_and_bytes_repeat(chart):
    svg = chart.svg()
    assert "currentColor" in svg and "prefers-color-scheme: dark" in svg
    assert "#010203" not in svg  # the ink it was drawn with
    assert svg == chart.svg()
    again = next(c for c in charts() if c.name == chart.name)
    assert svg == again.svg()
    assert chart.png().startswith(b"\x89PNG")


def test_image_rows_hold_every_image_in_its_place():
    images = np.random.default_rng(1).random((2, 3, 5, 4, 1))
    svg = image_rows("rows", "Rows", images, ["first", "second"], gap=2).svg()
    assert "first" in svg and "second" in svg
    data = re.search(r"data:image/png;base64,\s*([^\"]+)", svg).group(1)
    sheet = imread(io.BytesIO(base64.b64decode(data)))
    if sheet.shape[0] != 12:  # drawn larger: every pixel must be a block
        pytest.fail(f"the sheet was resampled to {sheet.shape}")
    for r in range(2):
        for c in range(3):
            tile = sheet[7 * r : 7 * r + 5, 6 * c : 6 * c + 4]
            np.testing.assert_allclose(tile[..., 0], images[r, c, ..., 0], atol=1 / 255)
            assert (tile[..., 3] == 1).all()
    assert (sheet[5:7, :, 3] == 0).all()  # the gap is clear


def test_every_cell_of_a_heat_map_is_written():
    svg = heat_maps("h", "H", {"": [[0.117, 1.0], [0.0, 0.052]]}, ["a", "b"], ["c", "d"]).svg()
    texts = re.findall(r">([\d.]+)</text>", svg)
    assert {"11.7", "100", "0.0", "5.2"} <= set(texts)


def test_row_names_must_fit():
    with pytest.raises(ValueError, match="2 names"):
        image_rows("rows", "Rows", np.zeros((2, 3, 5, 4, 1)), ["one"])


def test_saved_pictures_carry_their_captions():
    picture = image_rows("rows", "What is shown, in words.", np.ones((1, 2, 3, 3, 1)), ["a"])
    plain = Image.open(io.BytesIO(picture.png(captioned=False)))
    captioned = Image.open(io.BytesIO(picture.png()))
    assert captioned.height > plain.height + 10
    assert captioned.text["Description"] == picture.caption
    assert "What is shown" in picture.svg(captioned=True) and "What is" not in picture.svg()
    assert Image.open(io.BytesIO(picture._repr_png_())).size == captioned.size
