"""The tables and pictures of an evaluation, and the page that they make up."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from intriguing_tf.adversary.naming import clear_name, name_of
from intriguing_tf.adversary.pictures import kind_of, plot, titles
from intriguing_tf.digits import percent, percent_down, percent_up, rounded_down, rounded_up
from intriguing_tf.lipschitz import LipschitzReport
from intriguing_tf.reporting import (
    Picture,
    Report,
    Section,
    Table,
    accuracy_curves,
    changed_series,
    distances_by_class,
    heat_maps,
    layer_bars,
)

Evaluation = Any  # whose module imports this one
FIGURES = ("accuracy", "distances", "classes", "nearest", "farthest", "layers")
_NOUNS = {"images": ("image", "images"), "series": ("series", "series"), "table": ("row", "rows")}
_FINE = 200  # radii of the drawn curve
_CLASSES = 20  # classes at most that a picture shows, each by itself
_LAYERS = 60  # likewise


def summary(evaluation: Evaluation) -> Table:
    """Returns the numbers that answer the question, with the doubts below."""
    found = evaluation.l2[evaluation.status == "found"]
    many = _noun(evaluation)[1]
    rows: list[tuple[str, Any]] = [(many, len(evaluation))]
    if evaluation.labels is not None:
        rows.append(("accuracy", percent(evaluation.accuracy)))
    for radius in evaluation.radii[evaluation.radii > 0][:4]:
        least = evaluation.certified_accuracy(radius)
        proven = "" if math.isnan(least) else f", at least {percent_down(least)} (certified)"
        most = percent_up(evaluation.robust_accuracy(radius))
        rows.append((f"robust at l2 {radius:g}", f"at most {most} (attack){proven}"))
    if len(found):
        rows.append(("distance found, median", rounded_up(np.median(found))))
        if evaluation.distortion is not None:
            middle = rounded_up(np.median(_found(evaluation, "distortion")))
            rows.append(("distortion found, median", middle))
    if evaluation.failed.any():
        rows.append(("attack failed", f"{evaluation.failed.sum()} {many}"))
    if evaluation.certified is not None and evaluation.correct.any():
        middle = rounded_down(np.median(evaluation.certified[evaluation.correct]))
        rows.append(("certified radius, median", middle))
    if evaluation.survives_rounding is not None and len(found):
        share = evaluation.survives_rounding[evaluation.status == "found"].mean()
        rows.append(("still adversarial in 8 bits", percent(share)))
    rows.append(("seconds", float(evaluation.seconds["all"])))
    notes = [f"Doubt: {doubt}" for doubt in evaluation.doubts]
    if evaluation.why_not_certified:
        notes.append(f"Nothing is certified: {evaluation.why_not_certified}")
    if evaluation.skipped:
        notes.append(f"{len(evaluation.skipped)} files were skipped.")
    return Table(f"Evaluation of {evaluation.model}", ("", ""), rows, notes)


def curve(evaluation: Evaluation) -> Table:
    """Returns a row for each radius."""
    rows = []
    for radius in evaluation.radii:
        least = evaluation.certified_accuracy(radius)
        certified = None if math.isnan(least) else percent_down(least)
        rows.append((float(radius), percent_up(evaluation.robust_accuracy(radius)), certified))
    head = ("l2 radius", "robust at most (attack)", "robust at least (certified)")
    return Table("Accuracy by radius", head, rows)


def by_class(evaluation: Evaluation) -> Table:
    """Returns a row for each class that has images."""
    truth, rows = _truth(evaluation), []
    for label in np.unique(truth[truth >= 0]):
        these = truth == label
        found = these & (evaluation.status == "found")
        become = collections.Counter(evaluation.adversarial_predictions[found].tolist())
        most = ", ".join(
            f"{_name(evaluation, other)} ({percent(count / found.sum(), 0)})"
            for other, count in become.most_common(3)
        )
        certified, right = evaluation.certified, these & evaluation.correct
        rows.append(
            (
                _name(evaluation, label),
                int(these.sum()),
                None if evaluation.labels is None else percent(evaluation.correct[these].mean()),
                _median(evaluation.l2[found], rounded_up),
                *([] if certified is None else [_median(certified[right], rounded_down)]),
                most,
            )
        )
    many = _noun(evaluation)[1]
    proven = [] if evaluation.certified is None else ["certified, median"]
    head = ("class", many, "accuracy", "distance found, median", *proven, "becomes")
    return Table("Distances by class", head, rows)


def layers(report: LipschitzReport) -> Table:
    """Returns a row for each layer with its share of the product, on a logarithmic scale."""
    logs = [math.log(row.bound) if 0 < row.bound < math.inf else 0.0 for row in report.rows]
    whole = sum(log for log in logs if log > 0)
    rows = [
        (
            row.layer,
            row.kind,
            rounded_up(row.bound) if math.isfinite(row.bound) else "no bound",
            None if row.attained is None else rounded_down(row.attained),
            f"{log / whole:.0%}" if whole and log > 0 else None,
            row.how,
        )
        for row, log in zip(report.rows, logs, strict=True)
    ]
    product, total = rounded_up(report.product, 5), rounded_up(report.total, 5)
    notes = [f"Product of the layers {product:.5g}; all together {total:.5g}."]
    head = ("layer", "kind", "bound", "lower bound", "share of the product", "method")
    return Table("Lipschitz bounds of the layers", head, rows, notes)


def curve_picture(evaluation: Evaluation) -> Picture:
    """Draws both curves finely, up to the largest radius of the table."""
    edge = float(evaluation.radii.max()) or 1.0
    radii = np.linspace(0, edge, _FINE)
    curves = {
        "not fooled by the attack (upper bound)": [evaluation.robust_accuracy(r) for r in radii]
    }
    many = _noun(evaluation)[1]
    caption = (
        f"{many.capitalize()} that are correctly classified and that the attack does not turn into "
        "another class, by radius"
    )
    if evaluation.labels is None:
        caption = "Predictions that the attack does not change, by radius"
    if evaluation.certified is not None:
        curves["certified (lower bound)"] = [evaluation.certified_accuracy(r) for r in radii]
        caption += "; below, those of which that is proven. The truth lies in the gray between them"
    return accuracy_curves(
        "accuracy", f"{caption}.", radii, curves, _distance(evaluation), f"{many}, %"
    )


def report(evaluation: Evaluation) -> Report:
    """Returns the page."""
    title = f"How robust is {evaluation.model}?"
    return Report(title, list(_paragraphs(evaluation)), list(_sections(evaluation)))


def _paragraphs(evaluation: Evaluation) -> Iterator[str]:
    accuracy = (
        "Labels were not given, so that its own predictions are what must not change."
        if evaluation.labels is None
        else f"It classifies {percent(evaluation.accuracy)} of them correctly."
    )
    many = _noun(evaluation)[1]
    yield f"{len(evaluation)} {many}, {evaluation.classes} classes. {accuracy}"
    if (evaluation.status == "found").any():
        yield _median_distance(evaluation)
    if evaluation.ranges is not None:
        yield (
            "Each value has its own range, and distances are in units of these ranges: a change "
            "of 1 leads one value from its least to its largest."
        )
    for doubt in evaluation.doubts:
        yield f"Doubt: {doubt}"
    if evaluation.skipped:
        shown = "; ".join(f"{file}: {reason}" for file, reason in evaluation.skipped[:20])
        yield f"{len(evaluation.skipped)} files were skipped. {shown}."


def _median_distance(evaluation: Evaluation) -> str:
    """Returns how near another class is: to half of all, or where fewer were found, of those."""
    many, found = _noun(evaluation)[1], evaluation.status == "found"
    attacked = found | evaluation.failed
    half = f"Half of the {many} that were attacked take another class"
    if 2 * found.sum() <= attacked.sum():
        share = percent(found.sum() / attacked.sum())
        half = f"Of the {many} that were attacked {share} take another class, half of these"
        attacked = found
    distance, distortion = (
        None if values is None else _median(np.where(found, values, np.inf)[attacked], rounded_up)
        for values in (evaluation.l2, evaluation.distortion)
    )
    change = "."
    if distortion is not None:
        change = f": a root mean square change of {distortion:.4g} of the range of a value."
    return f"{half} within an l2 distance of {distance:.4g}{change}"


def _sections(evaluation: Evaluation) -> Iterator[Section]:
    yield Section(
        "Accuracy", _explained(evaluation), [curve(evaluation)], [curve_picture(evaluation)]
    )
    pictures = [each for each in (_distances(evaluation), _becomes(evaluation)) if each]
    yield Section("Classes", [], [by_class(evaluation)], pictures)
    yield _examples(evaluation)
    yield _layers(evaluation)
    yield Section("Cost", [], [_cost(evaluation)])


def _explained(evaluation: Evaluation) -> list[str]:
    one = _noun(evaluation)[0]
    lines = [
        f"The attack finds, for each {one}, a near {one} of another class. Up to that distance the "
        f"{one} counts as robust: an upper bound, since another attack may find a nearer one."
    ]
    if evaluation.certified is None:
        return [*lines, f"Nothing is certified: {evaluation.why_not_certified}"]
    return [
        *lines,
        f"A certified radius is a proof that no {one} within it has another class: a lower bound.",
    ]


def _distances(evaluation: Evaluation) -> Picture | None:
    truth, found = _truth(evaluation), evaluation.status == "found"
    classes = [label for label in np.unique(truth) if (found & (truth == label)).any()]
    if not 0 < len(classes) <= _CLASSES:
        return None
    return distances_by_class(
        "distances",
        "Distances at which the attack found another class, by true class; bars are their medians.",
        [name_of(label, evaluation.class_names) for label in classes],
        [evaluation.l2[found & (truth == label)] for label in classes],
        _distance(evaluation),
    )


def _becomes(evaluation: Evaluation) -> Picture | None:
    """Draws which classes fall into which, as shares of each class's examples."""
    found = evaluation.status == "found"
    before, after = evaluation.predictions[found], evaluation.adversarial_predictions[found]
    classes = np.unique(np.concatenate([before, after]))
    if not 2 < len(classes) <= _CLASSES:  # of two, each can only become the other
        return None
    counts = np.array([[((before == a) & (after == b)).sum() for b in classes] for a in classes])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [name_of(label, evaluation.class_names) for label in classes]
    many = _noun(evaluation)[1]
    caption = (
        f"What the attack made of {many} that the model classifies as the class on the left: the "
        "class below, in % of the line."
    )
    return heat_maps("classes", caption, {"": shares}, names, names)


def _examples(evaluation: Evaluation) -> Section:
    tables, pictures = [], []
    order = np.argsort(evaluation.l2, kind="stable")
    order = order[evaluation.status[order] == "found"]  # the rows of the examples, nearest first
    few = len(order) <= len(evaluation.nearest)  # all of them are shown
    number = len(order) if few else min(len(evaluation.nearest), len(order) // 2)
    for which in ("nearest",) if few else ("nearest", "farthest"):
        examples = getattr(evaluation, which)[:number]
        if not len(examples):
            continue
        what = "All examples, the nearest first" if few else f"The {which} examples"
        rows = order if which == "nearest" else _farthest_first(evaluation, order)
        shown = _drawn(evaluation, examples, rows[:number].tolist())
        if isinstance(shown, Table):
            tables.append(Table(what, shown.columns, shown.rows, shown.notes))
        else:
            caption = f"{what}, each with its row in the data, counted from 0. {shown.caption}"
            pictures.append(Picture(which, caption, shown.figure))
    lines = [] if tables or pictures else ["The attack found no examples."]
    if evaluation.survives_rounding is not None and len(_found(evaluation, "l2")):
        share = percent(_found(evaluation, "survives_rounding").mean())
        lines.append(
            f"Rounded to 8 bits as they are, {share} of the examples still have another class; "
            "save_images of the result makes PNGs that do."
        )
    return Section("Examples", lines, tables, pictures)


def _farthest_first(evaluation: Evaluation, rows: np.ndarray) -> np.ndarray:
    rows = np.sort(rows)
    return rows[np.argsort(-evaluation.l2[rows], kind="stable")]


def _drawn(evaluation: Evaluation, examples: Any, rows: list[int]) -> Picture | Table:
    """Draws examples; series whose values have ranges of their own in these, to share an axis."""
    ranges, names = evaluation.ranges, evaluation.class_names
    if ranges is None or kind_of(examples.originals) != "series":
        return plot(examples, names, rows=rows)
    before, after = ranges.scaled(examples.originals), ranges.scaled(examples.images)
    return changed_series(before, after, titles(examples, names, examples.classifier, rows))


def _layers(evaluation: Evaluation) -> Section:
    if evaluation.lipschitz is None:
        return Section("Layers", [f"The layers are not bounded: {evaluation.why_not_bounded}"])
    rows = [row for row in evaluation.lipschitz.rows if row.bound != 1 or row.size]
    pictures = []
    if 0 < len(rows) <= _LAYERS:
        caption = "How much each layer can at most stretch a change of its input."
        columns = ([getattr(row, name) for row in rows] for name in ("layer", "bound", "attained"))
        pictures.append(layer_bars("layers", caption, *columns))
    line = (
        "A change of the input grows at most by the product of the layers' Lipschitz bounds. The "
        "layers with the largest share of it are where robustness is lost, or cannot be proven. "
        "Shares are of its logarithm; a layer that only changes units of the data counts as well."
    )
    return Section("Layers", [line], [layers(evaluation.lipschitz)], pictures)


def _cost(evaluation: Evaluation) -> Table:
    settings = evaluation.nearest.settings
    per_image = evaluation.evaluations / len(evaluation)
    rows = [
        ("seconds, attack", float(evaluation.seconds["attack"])),
        ("seconds, all", float(evaluation.seconds["all"])),
        (f"evaluations of the model per {_noun(evaluation)[0]}", float(per_image)),
        ("solver, loss", f"{settings.get('solver')}, {settings.get('loss')}"),
        *(
            (f"version of {name}", str(version))
            for name, version in settings.get("versions", {}).items()
        ),
    ]
    return Table("", ("", ""), rows)


def _noun(evaluation: Evaluation) -> tuple[str, str]:
    """Returns what the data are, one and many."""
    return _NOUNS[kind_of(evaluation.nearest.originals)]


def _distance(evaluation: Evaluation) -> str:
    """Returns what an axis of distances shows."""
    of = "the units of the data" if evaluation.ranges is None else "units of each value's range"
    return f"l2 distance, in {of}"


def _median(values: np.ndarray, rounded: Callable[[float], float]) -> float | None:
    return rounded(float(np.median(values))) if len(values) else None


def _found(evaluation: Evaluation, name: str) -> np.ndarray:
    return getattr(evaluation, name)[evaluation.status == "found"]


def _truth(evaluation: Evaluation) -> np.ndarray:
    return evaluation.predictions if evaluation.labels is None else evaluation.labels


def _name(evaluation: Evaluation, label: int) -> str:
    return clear_name(label, evaluation.class_names)
