"""What is found in the cache, and what is removed from it."""

from intriguing_tf import zoo


def test_verify_finds_everything_that_is_wrong(server, entry, content, own_cache):
    assert [(c.name, c.status) for c in zoo.verify()] == [("test/entry", "absent")]
    file = zoo.path("test/entry")
    assert [(c.name, c.status, c.file) for c in zoo.verify()] == [("test/entry", "verified", file)]
    stray = own_cache / "test/old/0123456789abcdef/model.keras"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"old")
    file.write_bytes(content[1:])
    assert [(c.name, c.status) for c in zoo.verify()] == [
        ("test/entry", "damaged"),
        (str(stray), "unknown"),
    ]


def test_clear_removes_downloads_only(server, entry, content, own_cache):
    zoo.path("test/entry")
    bystander = own_cache / "pins.json"
    bystander.write_text("{}")
    assert zoo.clear("nothing/*") == 0
    assert zoo.clear("test/*") >= len(content)
    assert [check.status for check in zoo.verify()] == ["absent"]
    zoo.path("test/entry")
    assert zoo.clear() >= len(content)
    assert not list(own_cache.rglob("model.keras")) and bystander.exists()
    assert zoo.clear() == 0
    assert [check.status for check in zoo.verify("mnist/*")] == []


def test_clear_leaves_folders_of_others_and_links_alone(server, entry, own_cache, tmp_path):
    file = zoo.path("test/entry")
    outside = tmp_path / "outside"
    others = [
        own_cache / "photographs/2024/summer/beach.jpg",
        own_cache / ".git/objects/0123456789abcdef/pack",
        outside / "0123456789abcdef/thesis.tex",
    ]
    for other in others:
        other.parent.mkdir(parents=True)
        other.write_text("precious")
    others.append(own_cache / "test/entry/model.keras")  # not where a download of it would be
    others[-1].write_text("precious")
    (own_cache / "test/linked").symlink_to(outside)
    assert {check.name for check in zoo.verify()} == {"test/entry"}
    zoo.clear()
    assert not file.exists() and all(other.read_text() == "precious" for other in others)


def test_clearing_an_entry_removes_its_downloads_and_nothing_beside_them(server, entry, own_cache):
    file = zoo.path("test/entry")
    note = own_cache / "test" / "entry" / "notes.txt"
    note.write_text("precious")
    assert zoo.clear("test/entry") > 0
    assert not file.exists() and note.read_text() == "precious"
    note.unlink()
    zoo.path("test/entry")
    zoo.clear("test/entry")
    assert not note.parent.exists()
