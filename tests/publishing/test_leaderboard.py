"""The leaderboard: what is measured, kept, and shown."""

import keras
import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf import publishing, zoo
from intriguing_tf.fingerprints import model_fingerprint
from intriguing_tf.publishing import leaderboard as measuring
from intriguing_tf.zoo import leaderboard, locations

NUMBER = 4


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A linear classifier of digits, its folder, the leaderboard with it, what the attack found."""
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    images, labels = itf.datasets.mnist_sample()
    pixels = images.reshape(len(images), -1)  # least squares, with a ridge
    ridge = pixels.T @ pixels + 10 * np.eye(pixels.shape[1])
    kernel = np.linalg.solve(ridge, pixels.T @ (np.eye(10)[labels] - 0.1))
    model.set_weights([kernel, np.full(10, 0.1)])
    home = tmp_path_factory.mktemp("leaderboard")
    model.save(home / "own.keras")
    results = []
    attack = measuring._attack
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(home / "nothing"))
        patch.setattr(
            measuring, "_attack", lambda *args: results.append(attack(*args)) or results[0]
        )
        board = publishing.rank(
            [str(home / "own.keras")], home / "out", number=NUMBER, starts=1, verbose=False
        )
    return model, home, board, results[0]


@pytest.fixture
def quick(own, monkeypatch):
    """Has every attack find the same at once, and measures nothing else."""

    def attack(model, images, labels, place, *_):
        place.mkdir(parents=True)
        return own[3]

    monkeypatch.setattr(measuring, "_attack", attack)
    monkeypatch.setattr(measuring, "_metrics", lambda model: {})


def row_of(board, name):
    return dict(zip(board.columns, next(row for row in board.rows if row[0] == name), strict=True))


@pytest.mark.slow
def test_a_model_of_ones_own_is_measured(own):
    model, _, board, result = own
    images, labels = itf.datasets.mnist_sample()
    right = model.predict(images, verbose=0).argmax(1) == labels
    cells = row_of(board, "own")
    assert cells["accuracy"] == f"{right.mean():.1%}"
    np.testing.assert_array_equal(result.originals, images[:NUMBER])
    changed = model.predict(result.images, verbose=0).argmax(1)
    found = result.status == "found"
    assert found.any() and (changed[found] != labels[:NUMBER][found]).all()
    for radius in leaderboard.ROBUST:
        left = (right[:NUMBER] & (result.l2 > radius)).mean()
        assert cells[f"robust at {radius:g}"] == f"{left:.1%}"
    assert float(cells["mean distance"]) == pytest.approx(result.l2[found].mean(), abs=1e-3)
    certified = itf.lipschitz.certified_radius(model, images)
    assert (certified[:NUMBER][found] <= result.l2[found]).all()
    assert cells["certified at 0.3"] == f"{(right & (certified >= 0.3)).mean():.1%}"
    assert cells["parameters"] == "7,850"
    assert {row[0] for row in board.rows} > {*zoo.list("mnist/*")}


def test_the_page_has_every_model_and_sorts(own):
    page = (own[1] / "out" / "report.html").read_text()
    assert "own" in page and "aria-sort" in page and "mnist/conv-pools" in page
    assert not (own[1] / "out" / "work").exists()


def test_what_is_known_is_not_measured_again(own, monkeypatch):
    def attack(*_):
        raise AssertionError("attacked again")

    monkeypatch.setattr(measuring, "_attack", attack)
    again = publishing.rank([str(own[1] / "own.keras")], own[1] / "out", number=NUMBER, starts=1)
    assert row_of(again, "own") == row_of(own[2], "own")
    with pytest.raises(AssertionError, match="attacked again"):
        publishing.rank([str(own[1] / "own.keras")], own[1] / "out", number=NUMBER, starts=2)


def test_models_of_one_file_name_have_a_row_each(own, quick, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hashes = {}
    for folder in ("c", "d"):
        model = keras.models.clone_model(own[0])
        model.set_weights([weight + len(hashes) for weight in own[0].get_weights()])
        (tmp_path / folder).mkdir()
        model.save(tmp_path / folder / "net.keras")
        hashes[folder] = model_fingerprint(model)
    board = publishing.rank(["c/net.keras"], "out", number=NUMBER, starts=1)
    assert "net" in {row[0] for row in board.rows}
    for starts in (1, 2):  # the second replaces the first, model by model
        models = [f"{folder}/net.keras" for folder in hashes]
        board = publishing.rank(models, "out", number=NUMBER, starts=starts)
        rows = leaderboard.read_attacked(tmp_path / "out")
        found = {(row.name, row.title, row.sha256, row.starts) for row in rows}
        assert found == {("net", f"{f}/net.keras", hashes[f], starts) for f in hashes}
        assert len(rows) == 2
        shown = {f"{folder}/net.keras ({hashes[folder][:8]})" for folder in hashes}
        assert shown <= {row[0] for row in board.rows}


def test_a_name_that_is_no_line_leaves_the_leaderboard_readable(own, quick, tmp_path):
    path = tmp_path / ("x" * 200) / ("x" * 200) / ("x" * 200) / "a\nb\x1b.keras"
    path.parent.mkdir(parents=True)
    own[0].save(path)
    publishing.rank([str(path)], tmp_path / "out", number=NUMBER, starts=1)
    (row,) = leaderboard.read_attacked(tmp_path / "out")
    assert row.name == r"a\nb\x1b" and row.title.endswith(rf"xxx/{row.name}.keras")


def test_models_of_other_data_are_refused(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(10)])
    model.save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match=r"classifiers of digits.*Received: .*other"):
        publishing.rank([str(tmp_path / "other.keras")], tmp_path / "out")


def test_the_digits_are_in_the_range_that_an_entry_takes(own, signed, tmp_path, monkeypatch):
    seen = []

    def attack(model, images, labels, place, *_):
        place.mkdir(parents=True)
        seen.extend([model, images])
        return own[3]

    signed("mnist/fc10-1")
    monkeypatch.setattr(measuring, "_attack", attack)
    publishing.rank(["mnist/fc10-1"], tmp_path, number=NUMBER, starts=1)
    model, images = seen
    expected = zoo.load("mnist/fc10-1")(2 * images - 1)
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-4)
    assert (images.min(), images.max()) == (0, 1)


@pytest.mark.parametrize("file", ["report.html", "report.md"])
def test_another_report_is_not_replaced(file, tmp_path):
    (tmp_path / file).write_text("of an evaluation")
    with pytest.raises(ValueError, match=f"would be replaced.*Received: {file}"):
        publishing.rank(["mnist/fc10-1e-4"], tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    ("there", "left"),
    [
        ([], []),
        (["work"], ["work"]),
        (["work/mine"], ["work", "work/mine"]),
        (["work/{sha256}-1-1-earlier"], []),
    ],
)
def test_a_folder_work_of_others_stays(there, left, own, quick, tmp_path):
    sha256 = model_fingerprint(own[0])[:16]
    for each in there:
        (tmp_path / each.format(sha256=sha256)).mkdir(parents=True)
    publishing.rank([str(own[1] / "own.keras")], tmp_path, number=NUMBER, starts=1)
    found = {each.relative_to(tmp_path).as_posix() for each in tmp_path.rglob("*")}
    assert found == {*left, "leaderboard.json", "report.html", "report.md"}


def test_the_page_is_the_one_that_is_written(tmp_path):
    (tmp_path / "index.html").write_text("mine")
    assert measuring.page(tmp_path) == tmp_path / "report.html"
    measuring.write_pages(tmp_path)
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "index.html").read_text() == "mine"
    (tmp_path / "catalogue.json").write_text('{"mine": 1}')
    assert measuring.page(tmp_path) == tmp_path / "index.html"
    with pytest.raises(zoo.CatalogueError, match="catalogue version None"):
        publishing.rank(["mnist/fc10-1e-4"], tmp_path)


def test_the_bundled_leaderboard_speaks_of_the_bundled_weights():
    rows = leaderboard.read_attacked(locations.bundled_folder())
    cards = [zoo.info(name) for name in zoo.list()]
    digits = {card.name: card for card in cards if "test_error" in card.metrics}
    assert rows and {row.name for row in rows} <= {*digits}
    assert len({(row.images, row.starts) for row in rows}) == 1  # or they do not compare
    for row in rows:
        assert row.sha256 == digits[row.name].sha256
        assert list(row.robust) == sorted(row.robust, reverse=True)
        # Shares of few images scatter; beyond that no certificate may exceed what was found.
        certified = digits[row.name].metrics.get("vra_0.5", 0)
        assert row.robust[0] > certified - 4 * np.sqrt(0.25 / row.images)
