"""Rows of the leaderboard: read, written, joined with cards."""

import pytest

from intriguing_tf import zoo
from intriguing_tf.zoo import site
from intriguing_tf.zoo.cards import ModelCard
from intriguing_tf.zoo.leaderboard import (
    COLUMNS,
    FILE,
    NUMBERS,
    Attacked,
    leaderboard,
    read_attacked,
    standings,
    write_attacked,
)
from intriguing_tf.zoo.locations import bundled_folder
from tests.zoo import fault_server as faults


def attacked(name, sha256="0" * 64, robust=(0.9, 0.5, 0.25, 0.0), **fields):
    return Attacked(
        name=name, title=name, sha256=sha256, images=8, starts=5, robust=robust,
        mean_distance=1.0, parameters=7, **fields,
    )  # fmt: skip


def card(name, **metrics):
    values = faults.card(name, b"x", metrics={"test_error": 0.25, "vra_0.5": 0.125, **metrics})
    return ModelCard.from_json(values)


def test_rows_are_written_and_read(tmp_path):
    rows = [attacked("a/c"), attacked("a/b", metrics=zoo.records.Facts({"test_error": 0.5}))]
    write_attacked(tmp_path, rows)
    assert read_attacked(tmp_path) == rows[::-1]
    assert read_attacked(tmp_path / "nothing") == []


@pytest.mark.parametrize(
    "content", ["{", "{}", '[{"name": "a/b"}]', "[1]"], ids=["cut", "object", "fields", "number"]
)
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(zoo.CatalogueError, match=FILE):
        read_attacked(tmp_path)


def test_cards_and_attacks_are_joined_the_most_robust_first():
    cards = [card("a/weak"), card("a/strong"), card("a/new"), card("a/other")]
    cards[3] = cards[3].replace(metrics=zoo.records.Facts())  # of other data
    rows = [
        attacked("a/weak", cards[0].sha256),
        attacked("a/strong", cards[1].sha256, (1.0, 0.75, 0.5, 0.0)),
        attacked("a/new", "1" * 64),  # of other weights
        attacked("own", metrics=zoo.records.Facts({"sample_error": 0.125})),
    ]
    table = leaderboard(cards, rows)
    assert [row[0] for row in table.rows] == ["a/strong", "a/weak", "own", "a/new"]
    strong, own, new = (dict(zip(table.columns, table.rows[i], strict=True)) for i in (0, 2, 3))
    assert strong["accuracy"] == "75.0%" and strong["certified at 0.5"] == "12.5%"
    assert strong["robust at 1"] == "75.0%" and strong["mean distance"] == "1.000"
    assert own["accuracy"] == "87.5%" and own["certified at 0.5"] is None
    assert new["robust at 1"] is None and new["accuracy"] == "75.0%"


def test_shares_and_bounds_claim_no_more_than_was_proven():
    metrics = {
        "test_error": 0.00004,
        "vra_0.3": 0.9745,
        "vra_0.5": 0.0005,
        "lipschitz_total": 2.00001,
    }
    row = attacked("own", robust=(0.99996, 0.8321, 0.29, 0.0), metrics=zoo.records.Facts(metrics))
    table = leaderboard([], [row])
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    assert [cells[f"robust at {each}"] for each in ("0.5", "1", "1.5", "2")] == [
        *("100.0%", "83.3%", "29.0%", "0.0%")
    ]
    assert (cells["certified at 0.3"], cells["certified at 0.5"]) == ("97.4%", "0.0%")
    assert (cells["accuracy"], cells["Lipschitz bound"]) == ("99.9%", "2.001")


def test_rows_of_other_numbers_say_theirs():
    cards = [card("a/b"), card("a/c")]
    alike = [attacked(each.name, each.sha256, (0.75, 0.5, 0.25, 0.0)) for each in cards]
    table = leaderboard(cards, alike)
    assert table.columns == COLUMNS and "8 images × 5 starts" in table.notes[0]
    assert "above the accuracy" not in table.notes[0]
    few = alike[0].replace(images=2, starts=1, robust=(1.0, 1.0, 0.0, 0.0))
    table = leaderboard(cards, [*alike, few])
    assert [(row[0], row[-1]) for row in table.rows] == [
        ("a/b", "2 × 1"), ("a/b", "8 × 5"), ("a/c", "8 × 5")
    ]  # fmt: skip
    assert table.columns[-1] == NUMBERS and "only rows of the same 'attacked'" in table.notes[0]
    assert "A share above the accuracy" in table.notes[0]


def test_models_of_one_name_are_shown_by_title_and_hash():
    first = attacked("net", "1" * 64).replace(title="c/net.keras")
    rows = [first, first.replace(starts=2), attacked("net", "2" * 64)]
    names = [row[0] for row in leaderboard([], rows).rows]
    assert names == ["c/net.keras (11111111)"] * 2 + ["net (22222222)"]
    assert [row[0] for row in leaderboard([], rows[:2]).rows] == ["net"] * 2


def test_a_folders_rows_stand_beside_those_of_the_zoo(tmp_path):
    mine = {row.name: row for row in read_attacked(bundled_folder())}["mnist/fc10-1"]
    again, few = mine.replace(mean_distance=9.0), mine.replace(images=2)
    write_attacked(tmp_path, [again, few])
    rows = [row for row in standings(tmp_path).rows if row[0] == "mnist/fc10-1"]
    assert {row[-1] for row in rows} == {"2 × 5", "200 × 5"} and "9.000" in map(str, rows[0])
    assert len(rows) == 2


def test_the_index_has_the_leaderboard_escaped(tmp_path):
    site.write_card(tmp_path, card("a/b"))
    write_attacked(tmp_path, [attacked("a/b", card("a/b").sha256), attacked("<script>alert(1)")])
    site.refresh(tmp_path)
    html = (tmp_path / "index.html").read_text()
    assert "aria-sort" in html and "12.5%" in html and "90.0%" in html
    assert "<script>alert" not in html and "&lt;script&gt;alert" in html
