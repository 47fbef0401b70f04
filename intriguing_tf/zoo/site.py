"""The zoo as a folder that any web server can serve: catalogue, cards as Markdown, index page."""

from __future__ import annotations

import functools
import json
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from intriguing_tf.files import check_folder, naming, write_atomically
from intriguing_tf.reporting import sorting_script
from intriguing_tf.zoo import catalogue, foreign, leaderboard, loading, locations
from intriguing_tf.zoo.cards import ModelCard
from intriguing_tf.zoo.errors import CatalogueError, UnpinnedError
from intriguing_tf.zoo.records import Facts

CARD = "card.json"
PAGE = "README.md"
PICTURE = "picture.png"
FILTERS = "filters.png"
SANDWICH = "sandwich.png"
RADIUS = "radius.png"


def write_card(folder: Path, card: ModelCard) -> None:
    """Writes an entry's card as JSON and as Markdown into its folder of the zoo at `folder`."""
    home = folder / card.name
    write_atomically(home / CARD, _json(card.json()))
    write_atomically(home / PAGE, card_page(card, home))


def refresh(folder: Path) -> list[ModelCard]:
    """Makes catalogue, Markdown cards and index page of a zoo from its entries' `card.json`.

    Args:
        folder: of the zoo; entries lie two levels below, `family/model/card.json`.

    Returns:
        The cards, by name.

    Raises:
        CatalogueError: a card is damaged, or lies in a folder of another name.
    """
    cards = [_read_card(file, folder) for file in sorted(folder.glob(f"*/*/{CARD}"))]
    for card in cards:
        write_card(folder, card)
    entries = {"version": catalogue.VERSION, "entries": [card.json() for card in cards]}
    write_atomically(folder / locations.CATALOGUE, _json(entries))
    write_atomically(folder / "index.html", index_page(cards, folder))
    return cards


def export(folder: Path, pattern: str = "*") -> list[ModelCard]:
    """Writes a whole zoo, weights included, to serve as it is: a mirror of the zoo in use.

    Args:
        folder: made if it is missing; other entries in it stay.
        pattern: entries to take, as in `zoo.list`. Unpinned entries go without their weights.

    Returns:
        The cards of all the entries that the folder now holds.

    Raises:
        DownloadError, IntegrityError: weights that are unavailable or damaged.
        NotADirectoryError: the folder is a file, or lies below one.
    """
    folder = check_folder(folder)
    where = locations.zoo()
    files = {name: _weights(name) for name in catalogue.list(pattern)}  # before any is written
    for name, weights in files.items():
        card = catalogue.info(name)
        home = folder / name
        home.mkdir(parents=True, exist_ok=True)
        if weights is not None:
            _copy(weights, home / card.file)
        if isinstance(where, Path):
            for picture in (PICTURE, FILTERS, SANDWICH, RADIUS):
                if (where / name / picture).is_file():
                    _copy(where / name / picture, home / picture)
        write_card(folder, card)
    if isinstance(where, Path) and (rows := leaderboard.read_attacked(where)):
        here = [row for row in rows if (folder / row.name / CARD).is_file()]
        leaderboard.write_attacked(folder, here)
    return refresh(folder)


def _weights(name: str) -> Path | None:
    """Returns the file of an entry's weights; `None` if it is not pinned."""
    try:
        return loading.path(name)
    except UnpinnedError:
        return None


def card_page(card: ModelCard, home: Path) -> str:
    """Returns a card in Markdown; pictures are those in the entry's folder, `home`."""
    return (
        _templates()
        .get_template("card.md.jinja")
        .render(
            card=card,
            own_layers=_own_layers(home / card.file),
            picture=PICTURE if (home / PICTURE).is_file() else "",
            filters=FILTERS if (home / FILTERS).is_file() else "",
            sandwich=SANDWICH if (home / SANDWICH).is_file() else "",
            radius=RADIUS if (home / RADIUS).is_file() else "",
            metrics=card.measured(),
            attack=", ".join(
                f"{key} {text}" for key, text in _lines(card.metrics.get("attack", {}))
            ),
            published=card.metrics.get("published_source", ""),
            layers=[row for row in card.metrics.get("layers", ()) if len(row) == 4],
            recipe=json.dumps(card.recipe.json(), indent=2, ensure_ascii=False),
            training=_lines(card.training),
        )
    )


def index_page(cards: list[ModelCard], folder: Path) -> str:
    """Returns the index of a zoo as one static HTML page, whose leaderboard sorts at a click."""
    attacked = leaderboard.read_attacked(folder)
    families: dict[str, list[ModelCard]] = {}
    for card in cards:
        families.setdefault(card.name.split("/")[0], []).append(card)
    return (
        _templates()
        .get_template("index.html.jinja")
        .render(
            families=families,
            pictures={card.name for card in cards if (folder / card.name / PICTURE).is_file()},
            picture=PICTURE,
            page=PAGE,
            leaderboard=leaderboard.leaderboard(cards, attacked) if attacked else None,
            sorting=Markup(sorting_script()),
        )
    )


def _read_card(file: Path, folder: Path) -> ModelCard:
    with foreign.reading(file, "a card of the zoo", CatalogueError):
        card = ModelCard.from_json(foreign.json_values(foreign.read_bytes(file)))
    if (home := file.parent.relative_to(folder).as_posix()) != card.name:
        raise CatalogueError(f"{file} is the card of {card.name!r} in the folder of {home!r}.")
    return card


def _own_layers(file: Path) -> list[str]:
    """Names the layers of this package in a `.keras` file, if it is here."""
    if file.suffix != ".keras" or not file.is_file():
        return []
    with zipfile.ZipFile(file) as archive:
        configuration = archive.read("config.json").decode()
    return sorted({*re.findall(r'"registered_name": "intriguing_tf>(\w+)"', configuration)})


def _lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    def text(value: Any) -> str:
        if isinstance(value, Facts):
            return ", ".join(f"{key} {text(item)}" for key, item in value.items())
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    return [(key.replace("_", " "), text(value)) for key, value in facts.items()]


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.copy")
    try:
        with naming(target):
            shutil.copyfile(source, temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _json(values: Any) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=jinja2.select_autoescape(["html.jinja"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
