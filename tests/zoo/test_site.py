"""The folder that can be served."""

import errno
import io
import shutil
import zipfile
from html.parser import HTMLParser

import pytest

from intriguing_tf import zoo
from intriguing_tf.zoo import locations, site
from intriguing_tf.zoo.cards import ModelCard
from intriguing_tf.zoo.records import Facts
from tests.zoo import fault_server as faults


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.links, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [values[key] for key in ("href", "src") if key in values]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_a_full_disk_leaves_no_half_copy(tmp_path, monkeypatch):
    def copy(source, target):
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", copy)
    with pytest.raises(OSError, match=r"No space left on device: .*fc10-1.model\.keras"):
        site.export(tmp_path / "out", "mnist/fc10-1")
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file()]


def test_a_damaged_entry_ends_an_export_before_it_begins(tmp_path, monkeypatch):
    path = site.loading.path

    def damaged(name):
        if name == "mnist/fc10-1e-2":
            raise zoo.IntegrityError("damaged")
        return path(name)

    monkeypatch.setattr(site.loading, "path", damaged)
    with pytest.raises(zoo.IntegrityError, match="damaged"):
        site.export(tmp_path / "out", "mnist/fc10-*")
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file()]


@pytest.mark.parametrize(
    ("file", "error"),
    [
        ("mnist/fc10-1/model.keras", r"would be replaced.*Received: mnist/fc10-1/model\.keras"),
        ("mnist/fc10-1/README.md", r"would be replaced.*Received: mnist/fc10-1/README\.md"),
        ("mnist/fc10-1e-4", "mnist/fc10-1e-4 must be a folder"),
        ("mnist", "mnist must be a folder"),
        ("mnist/fc10-1/card.json", "is not a card of the zoo"),
        ("catalogue.json", "catalogue version None"),
        ("leaderboard.json", "not a leaderboard"),
        ("index.html", r"would be replaced.*Received: index\.html"),
    ],
)
def test_files_of_others_are_not_replaced(file, error, tmp_path):
    (path := tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"mine": 1}')
    with pytest.raises(ValueError, match=error):
        site.export(tmp_path, "mnist/conv", "mnist/fc10-1*")
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]
    assert path.read_text() == '{"mine": 1}'


def test_an_export_that_was_stopped_goes_on_and_one_is_renewed(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(site, "write_card", killed)
        site.export(tmp_path, "mnist/fc10-1")
    mine = site.leaderboard.read_attacked(locations.bundled_folder())[0].replace(name="mine")
    twins = [mine, mine.replace(sha256="0" * 64)]  # files of one name
    site.leaderboard.write_attacked(tmp_path, twins)
    site.export(tmp_path, "mnist/fc10-1")
    monkeypatch.delattr(site.filecmp, "cmp")  # beside its card nothing is compared
    site.export(tmp_path, "mnist/fc10-1")
    rows = site.leaderboard.read_attacked(tmp_path)
    assert {row.sha256 for row in rows if row.name == "mine"} == {row.sha256 for row in twins}


def test_a_folder_in_the_place_of_a_file_ends_an_export_before_it_begins(tmp_path):
    site.export(tmp_path, "mnist/fc10-1e-2")
    (tmp_path / "mnist/fc10-1e-2/README.md").unlink()
    (tmp_path / "mnist/fc10-1e-2/README.md").mkdir()
    with pytest.raises(ValueError, match=r"fc10-1e-2/README\.md must be a file"):
        site.export(tmp_path, "mnist/fc10-1")
    assert not (tmp_path / "mnist/fc10-1").exists()


def other_zip(content):
    with zipfile.ZipFile(other := io.BytesIO(), "w") as archive:
        archive.writestr("mine", content)
    return other.getvalue()


@pytest.mark.parametrize(
    "damaged",
    [
        lambda content: b"damaged",
        lambda content: content[:300] + bytes([content[300] ^ 0x55]) + content[301:],
        lambda content: content.replace(b"config.json", b"config.\xff\xff\xff\xff"),
        other_zip,
    ],
    ids=["no zip", "a byte", "a name", "another zip"],
)
def test_a_zoo_is_renewed_beside_damaged_weights(damaged, tmp_path):
    site.export(tmp_path, "mnist/fc10-1")
    weights = tmp_path / "mnist/fc10-1/model.keras"
    weights.write_bytes(damaged(weights.read_bytes()))
    assert [card.name for card in site.refresh(tmp_path)] == ["mnist/fc10-1"]


def test_an_exported_zoo_serves(server, tmp_path, monkeypatch):
    names = ["mnist/fc10-1", "mnist/fc10-1e-2"]
    expected = {name: zoo.path(name).read_bytes() for name in names}
    for name in names:
        cards = site.export(tmp_path / "out", name)
    assert [card.name for card in cards] == names
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file():
            path = "/zoo/" + file.relative_to(tmp_path / "out").as_posix()
            server.files[path] = file.read_bytes()
    monkeypatch.setenv("INTRIGUING_TF_ZOO", server.url("/zoo"))
    assert zoo.list() == names
    for name in names:
        assert zoo.path(name).read_bytes() == expected[name]
    page = Page((tmp_path / "out/index.html").read_text())
    assert not page.open and page.text.count("test error") == 2
    for link in page.links:
        assert link.removeprefix("#") in names or (tmp_path / "out" / link).is_file(), link


def test_pages_show_hostile_text_as_text(tmp_path):
    card = faults.card("a/b", b"x", title="<script>alert(1)</script>", licence='"><img src=x>')
    site.write_card(tmp_path, ModelCard.from_json(card))
    site.refresh(tmp_path)
    html = (tmp_path / "index.html").read_text()
    assert "<script" not in html and "<img" not in html and "&lt;script&gt;" in html


def test_a_page_shows_the_pictures_that_are_there(tmp_path):
    pictures = {site.PICTURE, site.FILTERS, site.SANDWICH, site.RADIUS}
    card = ModelCard.from_json(faults.card("a/b", b"x"))
    site.write_card(tmp_path, card)
    page = tmp_path / "a/b" / site.PAGE
    assert not any(f"]({picture})" in page.read_text("utf-8") for picture in pictures)
    for picture in pictures:
        (tmp_path / "a/b" / picture).write_bytes(b"x")
    site.write_card(tmp_path, card)
    assert all(f"]({picture})" in page.read_text("utf-8") for picture in pictures)


def test_refresh_refuses_a_card_in_the_wrong_folder(tmp_path):
    site.write_card(tmp_path, ModelCard.from_json(faults.card("a/b", b"x")))
    shutil.move(tmp_path / "a/b", tmp_path / "a/c")
    with pytest.raises(zoo.CatalogueError, match="'a/b' in the folder of 'a/c'"):
        site.refresh(tmp_path)


def test_the_bundled_pages_are_up_to_date(tmp_path):
    bundled = locations.bundled_folder()
    for name in zoo.list():
        shutil.copytree(bundled / name, tmp_path / name)
    shutil.copy(bundled / "leaderboard.json", tmp_path)
    site.refresh(tmp_path)
    for file in ("catalogue.json", "index.html", *(f"{n}/README.md" for n in zoo.list())):
        assert (tmp_path / file).read_text() == (bundled / file).read_text(), file
    assert sum(file.stat().st_size for file in bundled.rglob("*") if file.is_file()) < 20e6


def test_numbers_that_json_does_not_have_are_refused_where_they_are_published(tmp_path):
    """msgspec would write NaN as null, which no later release could read as a number."""
    with pytest.raises(ValueError, match="'new' must be finite"):
        Facts({"new": [1.0, float("nan")]})
    card = faults.card("a/b", b"x", metrics={"new": 1.5})
    site.write_card(tmp_path, ModelCard.from_json(card))
    file = tmp_path / "a/b" / site.CARD
    file.write_text(file.read_text().replace("1.5", "NaN"))
    with pytest.raises(zoo.CatalogueError, match=r"a/b/card.json is not a card .*'new'"):
        site.refresh(tmp_path)
    assert not (tmp_path / "catalogue.json").exists()


@pytest.mark.parametrize("catalogued", [0, 2])
def test_a_zoo_without_entries(catalogued, tmp_path, monkeypatch, capsys):
    """Nothing is listed, and a name is refused in the words of any other zoo."""
    cards = [faults.card(f"a/{i}", b"x", metrics=[]) for i in range(catalogued)]
    (tmp_path / "catalogue.json").write_bytes(faults.catalogue(*cards))
    monkeypatch.setenv("INTRIGUING_TF_ZOO", str(tmp_path))
    if catalogued:
        with pytest.raises(zoo.CatalogueError, match="no card that can be read"):
            zoo.list()
        return
    assert zoo.list() == [] and zoo.verify() == []
    with pytest.raises(ValueError, match=r"has no entry 'mnist/conv'.*has none at all"):
        zoo.info("mnist/conv")
    assert site.export(tmp_path / "out") == []
    Page((tmp_path / "out/index.html").read_text())
