"""The leaderboard of a zoo: how robust its classifiers of digits are, beside one another.

What an attack found is kept in `leaderboard.json` beside the catalogue; all else is on the cards.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from intriguing_tf.digits import percent, percent_down, percent_up, rounded_up
from intriguing_tf.files import write_atomically
from intriguing_tf.reporting import Table
from intriguing_tf.zoo import catalogue, foreign, locations
from intriguing_tf.zoo.cards import Line, ModelCard, Sha256
from intriguing_tf.zoo.errors import CatalogueError
from intriguing_tf.zoo.records import Facts, Record, read

FILE = "leaderboard.json"
ROBUST = (0.5, 1.0, 1.5, 2.0)  # l2 radii at which the attack is counted
CERTIFIED = (0.3, 0.5, 1.0, 1.58)  # and the certificates: those of the cards' `vra_…`
COLUMNS = (
    "model",
    "accuracy",
    *(f"robust at {radius:g}" for radius in ROBUST),
    *(f"certified at {radius:g}" for radius in CERTIFIED),
    "mean distance",
    "Lipschitz bound",
    "parameters",
)
NUMBERS = "attacked"  # the column of how many images, with how many starts, where rows differ

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1, le=10**12)]


class Attacked(Record, frozen=True, kw_only=True):
    """What the best attack found on one model.

    Args:
        name: of the entry, or what the user calls the model.
        title: of an entry, its card's; of another model, the path or name that it was loaded by.
        sha256: of the entry's file; of another model, the fingerprint of its weights.
        images: how many were attacked: the first of the bundled ones.
        starts: of the attack, on each image.
        robust: share of the images that are correctly classified, and for which nothing was found
            within each radius of `ROBUST`.
        mean_distance: l2, over the images for which something was found.
        parameters: number of weights.
        metrics: by the names of `zoo.cards.METRICS`, of a model that has no card.
    """

    name: Line
    title: Line
    sha256: Sha256
    images: Count
    starts: Count
    robust: Annotated[tuple[Share, ...], Meta(min_length=len(ROBUST), max_length=len(ROBUST))]
    mean_distance: Annotated[float, Meta(ge=0, le=1e9)] | None
    parameters: Count
    metrics: Facts = Facts()


def read_attacked(folder: Path) -> list[Attacked]:
    """Returns what `leaderboard.json` of a folder holds; nothing if there is no such file.

    Raises:
        CatalogueError: it is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return []
    with foreign.reading(file, "a leaderboard", CatalogueError):
        values = foreign.json_values(foreign.read_bytes(file))
        return read(values, list[Attacked], "a leaderboard", CatalogueError)


def write_attacked(folder: Path, rows: Iterable[Attacked]) -> None:
    """Writes rows as `leaderboard.json`, sorted by name, in the place of what was there."""
    values = [row.json() for row in sorted(rows, key=lambda row: (row.name, row.sha256))]
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / FILE, text + "\n")


def leaderboard(cards: Sequence[ModelCard], attacked: Sequence[Attacked]) -> Table:
    """Returns the classifiers of digits, those that resist the attack best at l2 1 first.

    Where models were attacked with different numbers of images or starts, a column says which.
    Different models of one name, without a card, are shown by their titles and hashes.

    Args:
        cards: of a zoo; those of other data are left out.
        attacked: what was found on them, and on models without a card. What was found on other
            weights than a card's does not count.
    """
    known = {card.name: card for card in cards}
    rows: list[tuple[Attacked | None, list]] = []
    for card in cards:
        if "test_error" in card.metrics:
            rows += [
                (row, _cells(card.name, card.metrics, row, card.parameters))
                for row in _of_card(card, attacked)
            ]
    own = [row for row in attacked if row.name not in known]
    models = Counter(name for name, _ in {(row.name, row.sha256) for row in own})
    for row in own:
        name = row.name if models[row.name] == 1 else f"{row.title} ({row.sha256[:8]})"
        rows.append((row, _cells(name, row.metrics, row, row.parameters)))
    rows.sort(key=lambda pair: pair[0].robust[1:] if pair[0] else (), reverse=True)
    shown = [row for row, _ in rows if row is not None]
    columns, cells = COLUMNS, [each for _, each in rows]
    if len({(row.images, row.starts) for row in shown}) > 1:
        columns = (*COLUMNS, NUMBERS)
        cells = [[*each, None if row is None else _numbers(row)] for row, each in rows]
    exceeds = any(row and _accuracy(row, known) < row.robust[0] for row, _ in rows)
    return Table("Leaderboard", columns, cells, _notes(shown, exceeds))


def standings(folder: Path | None = None) -> Table:
    """Returns the leaderboard of the zoo in use, and of a folder's models beside it.

    A row of the folder replaces the zoo's of the same weights, images and starts.
    """
    where = locations.zoo()
    found = read_attacked(where) if isinstance(where, Path) else []
    found += [] if folder is None else read_attacked(folder)
    rows = {(row.name, row.sha256, row.images, row.starts): row for row in found}
    return leaderboard([catalogue.info(name) for name in catalogue.list()], [*rows.values()])


def _of_card(card: ModelCard, attacked: Sequence[Attacked]) -> Sequence[Attacked | None]:
    """Returns what was found on the card's weights, or one `None`."""
    found = [row for row in attacked if (row.name, row.sha256) == (card.name, card.sha256)]
    return found or [None]


def _cells(name: str, metrics: Facts, row: Attacked | None, parameters: int) -> list:
    error = metrics.get("test_error", metrics.get("sample_error"))
    bound = metrics.get("lipschitz_total")
    certified = [metrics.get(f"vra_{radius:g}") for radius in CERTIFIED]
    distance = None if row is None else row.mean_distance
    return [
        name,
        None if error is None else percent(1 - error),
        *(map(percent_up, row.robust) if row else [None] * len(ROBUST)),
        *(None if share is None else percent_down(share) for share in certified),
        None if distance is None else f"{distance:.3f}",
        None if bound is None else f"{rounded_up(bound):.4g}",
        f"{parameters:,}",
    ]


def _accuracy(row: Attacked, cards: Mapping[str, ModelCard]) -> float:
    """Returns the accuracy beside a row's shares; 1 where it is not known."""
    metrics = cards[row.name].metrics if row.name in cards else row.metrics
    return 1 - metrics.get("test_error", metrics.get("sample_error", 0.0))


def _numbers(row: Attacked) -> str:
    return f"{row.images} × {row.starts}"


def _notes(attacked: Sequence[Attacked], exceeds: bool) -> list[str]:
    numbers = sorted({(row.images, row.starts) for row in attacked})
    how = ", ".join(f"{images} images × {starts} starts" for images, starts in numbers[:1])
    if len(numbers) > 1:
        how = f"images × starts in the last column; only rows of the same {NUMBERS!r} compare"
    how = f"{how}; " if how else ""
    larger = (
        " A share above the accuracy: of the attacked images more are correctly classified than of "
        "those that the accuracy is on."
    )
    return [
        f"Robust: correctly classified, and no adversarial example found within the l2 radius "
        f"({how}loss margin, nearest class): an upper bound. Mean distance: l2, of the examples "
        f"found.{larger if exceeds else ''}",
        "Certified: correctly classified, and proven that nothing within the l2 radius has "
        "another class, on the 10 000 test images: a lower bound. Accuracy: on the same. Of a "
        "model that was added where the full MNIST is missing, both are on the 1 000 bundled ones. "
        "What is empty was not measured, or has no bound.",
    ]
