import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from intriguing_tf import reporting
from intriguing_tf.reporting import distribution_chart, heat_maps, image_rows, interval_chart

NO_DRAWINGS = {"sorting_script", "log_to_tensorboard"}


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


@pytest.mark.parametrize(("low", "from_zero"), [(-3, False), (0, True), (2, True)])
def test_an_interval_is_inside_its_chart_whole(low, from_zero):
    series = {"a": [(5, 4, 6)], "b": [(3, low, 5)]}
    (axes,) = interval_chart("c", "", ["g"], series, "x").figure.axes
    left, right = axes.get_xlim()
    assert left <= low and right >= 6
    assert (left == 0) == from_zero


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


def drawn(name):
    """Every drawing that takes names, with one that goes wherever one may go."""
    small = np.random.default_rng(0).random((1, 3, 4, 4, 1))
    image, series, line = small[0, :1], small[0, 0], [(1, 0.5, 2)]
    return {
        "adversarial_rows": ("adversarial_rows", image, image, [name]),
        "changed_series": ("changed_series", series[None, :, :, 0], series[None, :, :, 0], [name]),
        "image_triples": ("image_triples", "name", name, small, [[name] * 3]),
        "image_rows": ("image_rows", "name", name, small, [name]),
        "interval_chart": ("interval_chart", "name", name, [name], {name: line}, name),
        "heat_maps": ("heat_maps", "name", name, {name: [[0.5]]}, [name], [name]),
        "distribution_chart": ("distribution_chart", "name", name, {name: {name: [1.0, 2.0]}}),
        "layer_bars": ("layer_bars", "name", name, [name], [2.0], [1.0]),
        "sandwich": ("sandwich", "name", name, [1.0], [2.0]),
        "accuracy_curves": ("accuracy_curves", "n", name, [0, 1], {name: [1, 0.5]}, name, name),
        "distances_by_class": ("distances_by_class", "name", name, [name], [[1.0]], name),
    }


@pytest.mark.parametrize("kind", drawn(""))
def test_control_characters_in_names_are_drawn_as_escapes(kind):
    name = "a\x1b[31m\x00\ud800\ufffe<&\u202e"
    function, *arguments = drawn(name)[kind]
    picture = getattr(reporting, function)(*arguments)
    for captioned in (False, True):
        svg = picture.svg(captioned)
        ElementTree.fromstring(svg.encode())
    if kind != "sandwich":  # which has no names
        assert r"a\x1b[31m\x00\ud800\ufffe&lt;&amp;\u202e" in picture.svg()
    assert picture.png().startswith(b"\x89PNG")


def test_all_drawings_are_among_them():
    made = {each for each in dir(reporting) if each.islower() and each not in NO_DRAWINGS}
    assert set(drawn("")) == made


def test_radii_and_distances_are_lists():
    with pytest.raises(ValueError, match="lists of as many numbers"):
        reporting.sandwich("name", "caption", 0.5, 1.0)


def test_row_names_must_fit():
    with pytest.raises(ValueError, match="2 names"):
        image_rows("rows", "Rows", np.zeros((2, 3, 5, 4, 1)), ["one"])


def test_saved_pictures_carry_their_captions():
    picture = image_rows("rows", "What is shown, in words.", np.ones((1, 2, 3, 3, 1)), ["a"])
    plain = Image.open(io.BytesIO(picture.png(captioned=False)))
    captioned = Image.open(io.BytesIO(picture.png()))
    assert captioned.height > plain.height + 10
    assert captioned.info["Description"] == picture.caption
    assert "What is shown" in picture.svg(captioned=True) and "What is" not in picture.svg()
    assert Image.open(io.BytesIO(picture._repr_png_())).size == captioned.size
