"""Charts as pictures that follow the reader's light or dark setting."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from intriguing_tf.checks import (
    check_between,
    check_kind,
    check_kinds,
    check_unmasked,
    real_numbers,
)
from intriguing_tf.text import printable

# Drawn for black on white, then swapped for colors that follow the reader's setting.
INK = "#010203"
_LETTERS_PER_INCH = 14  # of a caption
_SHORT = 6  # letters that fit below a cell of a heat map
_CAPTION_GAP = 0.12  # inches between a drawing and its caption
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "intriguing_tf",  # the same picture gives the same bytes
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
_THEME = """<style>
svg { color: #1d2127; font-family: system-ui, "DejaVu Sans", sans-serif; }
image { image-rendering: pixelated; }
@media (prefers-color-scheme: dark) { svg { color: #dfe3e8; } }
</style>"""
# Told apart in both settings, and by readers who see fewer colors (after Okabe and Ito).
COLORS = ("#3d8fd1", "#d9822b", "#8a8f98", "#1fa187", "#c05bb0")


@dataclasses.dataclass(frozen=True)
class Picture:
    """A drawing with its name and caption.

    Args:
        name: of its file, without ending.
        caption: what it shows; also the text for readers who do not see it. Control characters
            become escapes, here and in all names that are drawn.
        figure: of matplotlib.

    Raises:
        TypeError: a name or caption that is not a str, or another figure.
    """

    name: str
    caption: str
    figure: Figure

    def __post_init__(self) -> None:
        check_kind("name", self.name, str, "a str")
        check_kind("caption", self.caption, str, "a str")
        check_kind("figure", self.figure, Figure, "a matplotlib.figure.Figure")
        object.__setattr__(self, "caption", printable(self.caption))

    def svg(self, captioned: bool = False) -> str:
        """Returns an SVG document whose ink is dark in a light setting and light in a dark one.

        Args:
            captioned: with the caption below, for a file that stands alone.
        """
        return self._drawn(captioned) if captioned else self._svg

    @functools.cached_property  # a page and the folder beside it ask for the same
    def _svg(self) -> str:
        return self._drawn(captioned=False)

    def _drawn(self, captioned: bool) -> str:
        buffer = io.StringIO()
        with rc_context(STYLE), self._captioned(captioned):
            self.figure.savefig(
                buffer, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None}
            )
        svg = buffer.getvalue().replace(INK, "currentColor")
        head = svg.index(">", svg.index("<svg")) + 1
        return svg[:head] + _THEME + svg[head:]

    def png(self, dpi: int = 120, captioned: bool = True) -> bytes:
        """Returns a PNG on white, for viewers that take nothing else.

        Args:
            dpi: dots per inch, more than 10: fewer make letters smaller than a dot.
            captioned: with the caption below; the file also carries it as its description.
        """
        check_between("dpi", dpi, 10, 10_000)
        buffer = io.BytesIO()
        with rc_context(STYLE), self._captioned(captioned):
            self.figure.savefig(
                buffer,
                format="png",
                dpi=dpi,
                bbox_inches="tight",
                facecolor="white",
                metadata={"Title": self.name, "Description": self.caption},
            )
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return self.png()

    @contextlib.contextmanager
    def _captioned(self, captioned: bool) -> Iterator[None]:
        """Writes the caption below the drawing, broken into lines of its width, for a while."""
        if not captioned or not self.caption:
            yield
            return
        figure = self.figure
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
        letters = max(24, int(box.width * _LETTERS_PER_INCH))
        text = figure.text(
            box.x0 / figure.get_figwidth(),
            (box.y0 - _CAPTION_GAP) / figure.get_figheight(),
            "\n".join(textwrap.wrap(self.caption, letters)),
            ha="left",
            va="top",
            color=INK,
            fontsize=9,
        )
        try:
            yield
        finally:
            text.remove()


def image_rows(
    name: str, caption: str, images: Any, row_names: Sequence[str], gap: int = 2
) -> Picture:
    """Draws rows of small images, each row named on its left (as Figures 1, 2 and 7).

    Args:
        name, caption: of the picture.
        images: floats in [0, 1], `[rows, columns, height, width, 1 or 3]`.
        row_names: one per row.
        gap: pixels between two images, at least 0.

    Raises:
        TypeError, ValueError: arguments that are not as above.
    """
    check_unmasked("images", images)
    images = np.asarray(images)
    if images.ndim != 5 or not images.size or images.shape[-1] not in (1, 3):
        raise ValueError(
            "`images` must have the shape [rows, columns, height, width, 1 or 3]. "
            f"Received: {images.shape}."
        )
    check_fractions("images", images)
    rows, columns, height, width, channels = images.shape
    row_names = printable_names("row_names", row_names, rows)
    if not isinstance(gap, int) or gap < 0:
        raise ValueError(f"`gap` must be an integer of at least 0. Received: {gap!r}.")
    colors = np.repeat(images, 3, axis=-1) if channels == 1 else images
    tiles = np.concatenate([colors, np.ones((*images.shape[:-1], 1))], axis=-1)
    tiles = np.pad(tiles, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)))  # the gaps stay clear
    sheet = tiles.swapaxes(1, 2).reshape(rows * (height + gap), columns * (width + gap), 4)
    sheet = sheet[: len(sheet) - gap, : sheet.shape[1] - gap]
    with rc_context(STYLE):
        figure = Figure(figsize=(0.5 * columns + 1, 0.5 * rows))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(sheet, interpolation="none", aspect="equal")
        axes.set_yticks([r * (height + gap) + height / 2 for r in range(rows)], row_names)
        axes.tick_params(length=0)
        axes.set_xticks([])
        axes.spines[:].set_visible(False)
    return Picture(name, caption, figure)


def interval_chart(
    name: str,
    caption: str,
    groups: Sequence[str],
    series: Mapping[str, Sequence[tuple[float, float, float]]],
    axis: str,
) -> Picture:
    """Draws values with their intervals, one line per group and a mark per series.

    Args:
        name, caption: of the picture.
        groups: names of the lines.
        series: by name, a (value, low, high) per group; low = high for a value without one.
        axis: what the values are, with their unit; it begins at 0, if no interval goes below.

    Raises:
        TypeError, ValueError: arguments that are not as above.
    """
    groups = printable_names("groups", groups)
    check_kind("axis", axis, str, "a str")
    check_named("series", series)
    triples = {each: real_numbers(f"series[{each!r}]", values) for each, values in series.items()}
    for label, triple in triples.items():
        ordered = triple.shape == (len(groups), 3) and np.isfinite(triple).all()
        if not ordered or (np.diff(triple[:, [1, 0, 2]]) < 0).any():
            raise ValueError(
                f"series[{label!r}] must be a finite (value, low, high) for each of {len(groups)} "
                f"groups, low ≤ value ≤ high. Received: {series[label]!r}."
            )
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 0.9 + 0.42 * len(groups)))
        axes = figure.add_subplot()
        offsets = np.linspace(-0.24, 0.24, len(series))
        markers = "osD^v"
        for i, (label, triple) in enumerate(triples.items()):
            value, low, high = triple.T
            axes.errorbar(
                value,
                np.arange(len(groups)) + offsets[i],
                xerr=[value - low, high - value],
                fmt=markers[i % 5],
                markersize=4.5,
                color=COLORS[i % 5],
                capsize=2,
                linewidth=1.2,
                label=printable(label),
            )
        axes.set_yticks(range(len(groups)), groups)
        axes.set_ylim(len(groups) - 0.5, -0.5)
        if all(triple.min() >= 0 for triple in triples.values()):
            axes.set_xlim(left=0)
        axes.set_xlabel(printable(axis))
        axes.grid(axis="x", color="#80808040", linewidth=0.6)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=min(3, len(series)))
    return Picture(name, caption, figure)


def heat_maps(
    name: str,
    caption: str,
    panels: Mapping[str, Any],
    rows: Sequence[str],
    columns: Sequence[str],
) -> Picture:
    """Draws matrices of fractions side by side, in percent, each cell with its number.

    Args:
        name, caption: of the picture.
        panels: by title, float arrays `[rows, columns]` in [0, 1].
        rows, columns: their names.

    Raises:
        TypeError, ValueError: arguments that are not as above.
    """
    rows, columns = printable_names("rows", rows), printable_names("columns", columns)
    check_named("panels", panels)
    for title, matrix in panels.items():
        check_fractions(f"panels[{title!r}]", matrix, (len(rows), len(columns)))
    short = max(map(len, columns)) <= _SHORT
    slant: Any = {} if short else {"rotation": 40, "ha": "right"}
    with rc_context(STYLE):
        wide = 0.62 * len(columns) + 0.3
        figure = Figure(figsize=(wide * len(panels) + 2, 0.36 * len(rows) + 1.4))
        for i, (title, matrix) in enumerate(panels.items()):
            axes = figure.add_subplot(1, len(panels), i + 1)
            matrix = 100 * np.asarray(matrix)
            axes.imshow(np.sqrt(matrix / 100), cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
            for r, c in np.ndindex(matrix.shape):
                dark = matrix[r, c] > 35
                axes.text(
                    c,
                    r,
                    f"{matrix[r, c]:.0f}" if matrix[r, c] >= 99.95 else f"{matrix[r, c]:.1f}",
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color="white" if dark else "#10243a",
                )
            axes.set_title(printable(title), fontsize=9)
            axes.set_xticks(range(len(columns)), columns, **slant, fontsize=8)
            axes.set_yticks(range(len(rows)), rows if i == 0 else [""] * len(rows), fontsize=8)
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
        figure.subplots_adjust(wspace=0.06)
    return Picture(name, caption, figure)


def distribution_chart(
    name: str, caption: str, panels: Mapping[str, Mapping[str, Any]], height: float = 2.4
) -> Picture:
    """Draws cumulative distributions: a panel per measure, a line per population.

    Args:
        name, caption: of the picture.
        panels: by measure, then by population, float arrays `[n]`.
        height: of the picture, in inches.

    Raises:
        TypeError, ValueError: arguments that are not as above.
    """
    check_between("height", height, 0, 100)
    check_named("panels", panels)
    for measure, populations in panels.items():
        check_named(f"panels[{measure!r}]", populations)
        for population, values in populations.items():
            check_finite(f"panels[{measure!r}][{population!r}]", values)
    with rc_context(STYLE):
        figure = Figure(figsize=(3.1 * len(panels), height))
        for i, (measure, populations) in enumerate(panels.items()):
            axes = figure.add_subplot(1, len(panels), i + 1)
            for j, (population, values) in enumerate(populations.items()):
                axes.ecdf(
                    values,
                    color=COLORS[j % 5],
                    linewidth=1.5,
                    linestyle=("-", "--", ":", "-.", "-")[j % 5],
                    label=printable(population),
                )
            axes.set_xlabel(printable(measure))
            axes.set_yticks([0, 0.5, 1])
            if i == 0:
                axes.set_ylabel("share of directions below")
                handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", bbox_to_anchor=(0.5, 0.98), ncols=5)
        figure.tight_layout()
    return Picture(name, caption, figure)


def printable_names(argument: str, names: Any, number: int | None = None) -> list[str]:
    """Returns names as they can be drawn: neither SVG nor a font has control characters.

    Raises:
        TypeError, ValueError: they are not str, at least one, or as many as there must be.
    """
    check_kinds(argument, names, str, "names")
    if len(names) != (number or max(len(names), 1)):
        raise ValueError(f"`{argument}` must be {number or 'some'} names. Received: {len(names)}.")
    return list(map(printable, names))


def check_named(argument: str, values: Any) -> None:
    """Raises unless this is a dictionary with names, and not empty."""
    check_kind(argument, values, Mapping, "a dictionary by name")
    printable_names(argument, list(values))


def check_fractions(argument: str, values: Any, shape: tuple[int, ...] | None = None) -> None:
    """Raises unless these are numbers from 0 to 1, of that shape."""
    array = check_finite(argument, values, None if shape is None else len(shape))
    if shape not in (None, array.shape) or array.min() < 0 or array.max() > 1:
        raise ValueError(
            f"`{argument}` must be numbers in [0, 1], of shape {shape or array.shape}. Received: "
            f"{array.min()} to {array.max()}, of shape {array.shape}."
        )


def check_finite(argument: str, values: Any, rank: int | None = 1) -> np.ndarray:
    """Raises unless these are finite numbers with so many axes; returns them."""
    check_unmasked(argument, values)
    array = np.asarray(values)
    fits = array.dtype.kind in "fiub" and array.size and rank in (None, array.ndim)
    if not fits or not np.isfinite(array).all():
        raise ValueError(
            f"`{argument}` must be finite numbers{'' if rank is None else f' with {rank} axes'}. "
            f"Received: dtype {array.dtype}, shape {array.shape}."
        )
    return array
