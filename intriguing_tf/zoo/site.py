"""The zoo as a folder that any web server can serve: catalogue, cards as Markdown, index page."""

from __future__ import annotations

import contextlib
import filecmp
import functools
import json
import re
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from intriguing_tf.digits import rounded_down, rounded_up
from intriguing_tf.files import check_folder, check_places, naming, write_atomically
from intriguing_tf.reporting import sorting_script
from intriguing_tf.zoo import catalogue, foreign, leaderboard, loading, locations
from intriguing_tf.zoo.cards import ModelCard
from intriguing_tf.zoo.errors import CatalogueError, UnpinnedError
from intriguing_tf.zoo.records import Facts

INDEX = "index.html"
CARD = "card.json"
PAGE = "README.md"
PICTURE = "picture.png"
FILTERS = "filters.png"
SANDWICH = "sandwich.png"
RADIUS = "radius.png"
PICTURES = (PICTURE, FILTERS, SANDWICH, RADIUS)


def write_card(folder: Path, card: ModelCard) -> None:
    """Writes an entry's card as JSON and as Markdown into its folder of the zoo at `folder`."""
    home = folder / card.name
    write_atomically(home / CARD, _json(card.json()))
    write_atomically(home / PAGE, card_page(card, home))


def read_card(file: Path, folder: Path) -> ModelCard:
    """Returns the card in a file of the zoo at `folder`.

    Raises:
        CatalogueError: it is missing or damaged, or lies in a folder of another name.
    """
    with foreign.reading(file, "a card of the zoo", CatalogueError):
        card = ModelCard.from_json(foreign.json_values(foreign.read_bytes(file)))
    if (home := file.parent.relative_to(folder).as_posix()) != card.name:
        raise CatalogueError(f"{file} is the card of {card.name!r} in the folder of {home!r}.")
    return card


def check(folder: Path, files: Mapping[str, Iterable[str]] | None = None) -> None:
    """Checks a folder before the work that writes a zoo, or more of one, into it.

    Args:
        folder: need not be there.
        files: that will be written or removed beside the card and the page of entries, by the name
            of the entry. Beside an entry's card all is the entry's.

    Raises:
        CatalogueError: what `refresh` reads or replaces is not a zoo's, or damaged.
        ValueError: an index page without a catalogue, or an entry's files without its card; what
            is no file, or no folder, in the place of one.
    """
    leaderboard.read_attacked(folder)
    entries: dict[str, Iterable[str]] = {card.name: () for card in _read_cards(folder)}
    entries.update(files or {})
    if catalogued := (folder / locations.CATALOGUE).exists():
        catalogue.read_file(folder / locations.CATALOGUE)
    check_places(folder, [INDEX], own=catalogued)
    check_places(folder, [leaderboard.FILE], own=True)
    for name, others in entries.items():
        places = [f"{name}/{file}" for file in (CARD, PAGE, *others)]
        check_places(folder, places, own=(folder / name / CARD).exists())


def refresh(folder: Path) -> list[ModelCard]:
    """Makes catalogue, Markdown cards and index page of a zoo from its entries' `card.json`.

    Args:
        folder: of the zoo; entries lie two levels below, `family/model/card.json`.

    Returns:
        The cards, by name.

    Raises:
        CatalogueError: a card is damaged, or lies in a folder of another name.
    """
    cards = _read_cards(folder)
    for card in cards:
        write_card(folder, card)
    entries = {"version": catalogue.VERSION, "entries": [card.json() for card in cards]}
    write_atomically(folder / locations.CATALOGUE, _json(entries))
    write_atomically(folder / INDEX, index_page(cards, folder))
    return cards


def export(folder: Path, *patterns: str) -> list[ModelCard]:
    """Writes a whole zoo, weights included, to serve as it is: a mirror of the zoo in use.

    Args:
        folder: made if it is missing; other entries in it stay.
        patterns: entries to take, as in `zoo.list`; all by default. Unpinned entries go without
            their weights.

    Returns:
        The cards of all the entries that the folder now holds.

    Raises:
        DownloadError, IntegrityError: weights that are unavailable or damaged.
        NotADirectoryError: the folder is a file, or lies below one.
        ValueError: files that are not a zoo's are in the places of those to be written.
    """
    folder = check_folder(folder)
    where = locations.zoo()
    names = [name for pattern in patterns or ["*"] for name in catalogue.list(pattern)]
    files = {name: _files(name, where) for name in names}
    check(folder, {name: _uncopied(files[name], folder / name) for name in names})
    for name, sources in files.items():
        home = folder / name
        home.mkdir(parents=True, exist_ok=True)
        for target, source in sources.items():
            _copy(source, home / target)
        write_card(folder, catalogue.info(name))
    if isinstance(where, Path) and (rows := leaderboard.read_attacked(where)):
        here = [row for row in rows if (folder / row.name / CARD).is_file()]
        copied = {row.name for row in here}
        others = [row for row in leaderboard.read_attacked(folder) if row.name not in copied]
        leaderboard.write_attacked(folder, [*others, *here])
    return refresh(folder)


def _files(name: str, where: Path | str) -> dict[str, Path]:
    """Returns an entry's files by name: its weights if it is pinned, pictures that are here."""
    files: dict[str, Path] = {}
    with contextlib.suppress(UnpinnedError):
        files[catalogue.info(name).file] = loading.path(name)
    if isinstance(where, Path):
        pictures = {picture: where / name / picture for picture in PICTURES}
        files |= {picture: file for picture, file in pictures.items() if file.is_file()}
    return files


def _uncopied(sources: Mapping[str, Path], home: Path) -> list[str]:
    """Returns the names of an entry's files but those that an export which was stopped copied.

    Where the entry's card is, all are its own, and none is compared.
    """
    own = (home / CARD).exists()
    return [
        name
        for name, source in sources.items()
        if own or not (home / name).is_file() or not filecmp.cmp(source, home / name, shallow=False)
    ]


def _read_cards(folder: Path) -> list[ModelCard]:
    return [read_card(file, folder) for file in sorted(folder.glob(f"*/*/{CARD}"))]


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
            rounded_up=rounded_up,
            rounded_down=rounded_down,
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


def _own_layers(file: Path) -> list[str]:
    """Names the layers of this package in a `.keras` file, if it is here."""
    if file.suffix != ".keras":
        return []
    try:
        with zipfile.ZipFile(file) as archive, archive.open("config.json") as member:
            configuration = member.read(foreign.BUDGET.json).decode()
    except Exception:  # of any kind where bytes are damaged: `verify` says that they are
        return []
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
