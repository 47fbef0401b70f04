import numpy as np
import pytest

from intriguing_tf.reporting import adversarial_rows, image_triples

ORIGINALS = np.full((3, 4, 5, 1), 0.25, np.float32)
ADVERSARIAL = ORIGINALS + np.array([0.01, 0.02, -0.02], np.float32)[:, None, None, None]


def drawn(picture):
    """The images of a picture, with their places: {(left, top): value of a pixel}."""
    (axes,) = picture.figure.axes
    return {
        tuple(np.round([image.get_extent()[0], image.get_extent()[3]], 6)): np.unique(
            np.asarray(image.get_array())
        )
        for image in axes.images
    }


def test_each_column_is_original_perturbation_and_adversarial():
    places = drawn(adversarial_rows(ORIGINALS, ADVERSARIAL, magnification=10))
    for i, left in enumerate(sorted({left for left, _ in places})):
        tops = sorted(top for x, top in places if x == left)
        values = [places[left, top].item() for top in tops]
        change = float(ADVERSARIAL[i, 0, 0, 0] - 0.25)
        np.testing.assert_allclose(values, [0.25, 0.5 + 10 * change, 0.25 + change], atol=1e-6)


def test_the_caption_says_how_much_the_perturbation_is_magnified():
    picture = adversarial_rows(ORIGINALS, ADVERSARIAL)
    assert picture.caption == (
        "From above: original, perturbation magnified 24 times around gray, adversarial image."
    )


def test_titles_have_the_room_that_they_take():
    """Of large pictures as of small ones, one line or two: the titles are over their images."""
    for size in (8, 64):
        pictures = np.full((2, size, size, 1), 0.25, np.float32)
        for title in ("1 → 2", "a cat (50 %)\n→ a dog (51 %)"):
            figure = adversarial_rows(pictures, pictures, [title] * 2, columns=1).figure
            figure.draw_without_rendering()
            (axes,) = figure.axes
            boxes = [text.get_window_extent() for text in axes.texts]
            tops = [image.get_window_extent().y1 for image in axes.images]
            assert boxes[0].y1 <= figure.bbox.y1 + 1  # pixels
            free = axes.images[2].get_window_extent().y0 - boxes[1].y1
            assert 0 < free < 0.4 * (tops[0] - axes.images[0].get_window_extent().y0)


def test_titles_must_fit():
    with pytest.raises(ValueError, match="3 names"):
        adversarial_rows(ORIGINALS, ADVERSARIAL, ["7 classified as 3"])
    with pytest.raises(ValueError, match="one shape"):
        adversarial_rows(ORIGINALS, ADVERSARIAL[:2])


@pytest.mark.parametrize("titles", [{"": 0}, {0: ["a", "b", "c"]}, None, [["a", "b"]], ["abc"]])
def test_rows_of_titles_are_three_names_each(titles):
    with pytest.raises((TypeError, ValueError), match="titles"):
        image_triples("a", "b", np.zeros((1, 3, 2, 2, 1)), titles)


@pytest.mark.parametrize("rows", [2, 5])
def test_titles_lie_between_the_rows_of_images(rows):
    images = np.zeros((rows, 3, 8, 8, 1))
    figure = image_triples("a", "b", images, [("a", "b", "c")] * rows).figure
    figure.draw_without_rendering()
    pictures = [axes.images[0].get_window_extent() for axes in figure.axes]
    titles = [axes.title.get_window_extent() for axes in figure.axes]
    assert not any(title.overlaps(picture) for title in titles for picture in pictures)
