"""Pictures of Lipschitz bounds: bars per layer, and radii between certificate and attack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from intriguing_tf.checks import check_kind, real_numbers
from intriguing_tf.digits import rounded_up
from intriguing_tf.reporting.charts import COLORS, STYLE, Picture, printable_names

_WIDE = 300  # ratio of an axis's ends from which powers of ten are labels enough


def layer_bars(
    name: str,
    caption: str,
    layers: Sequence[str],
    bounds: Sequence[float],
    attained: Sequence[float | None],
) -> Picture:
    """Draws a bar per layer up to its bound, with a tick at its lower bound.

    Args:
        name, caption: of the picture.
        layers: their names, from the input up; they are drawn from top to bottom.
        bounds: one per layer, positive or infinite (drawn to the edge and marked).
        attained: the lower bounds, one per layer, `None` where it is not known.

    Raises:
        TypeError, ValueError: arguments that are not as above.
    """
    layers = printable_names("layers", layers)
    for argument, values in (("bounds", bounds), ("attained", attained)):
        check_kind(argument, values, Sequence, "a sequence of numbers")
        numbers = np.array([np.nan if v is None else v for v in values], np.float64)
        known = ~np.isnan(numbers) if argument == "attained" else np.ones(len(numbers), bool)
        if len(numbers) != len(layers) or not (numbers[known] >= 0).all():
            raise ValueError(
                f"`{argument}` must be {len(layers)} numbers of at least 0. Received: {values!r}."
            )
    finite = [bound for bound in bounds if np.isfinite(bound) and bound > 0]
    edge = 1.6 * max(finite, default=1.0)
    floor = min([0.5, *(0.6 * bound for bound in finite)])
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 0.8 + 0.24 * len(layers)))
        axes = figure.add_subplot()
        for y, (bound, reached) in enumerate(zip(bounds, attained, strict=True)):
            known = np.isfinite(bound)
            axes.barh(
                y,
                (bound if known else edge) - floor,
                left=floor,
                color=COLORS[0] if known else COLORS[2],
                height=0.62,
                hatch=None if known else "///",
                label="bound" if y == 0 else None,
            )
            text = f"{rounded_up(bound, 3):.3g}" if known else "no bound"
            axes.text((bound if known else edge) * 1.03, y, text, va="center", fontsize=8)
            if reached is not None and reached > 0:
                axes.plot(
                    [reached] * 2,
                    [y - 0.42, y + 0.42],
                    color=COLORS[1],
                    linewidth=1.6,
                    label="lower bound" if y == 0 else None,
                )
        axes.axvline(1, color="#80808080", linewidth=0.7)
        axes.set_xscale("log")
        axes.set_xlim(floor, edge * 1.5)
        _label_plainly(axes.xaxis, edge * 1.5 / floor)
        axes.set_yticks(range(len(layers)), layers)
        axes.set_ylim(len(layers) - 0.4, -0.6)
        axes.set_xlabel("Lipschitz constant of the layer")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return Picture(name, caption, figure)


def sandwich(
    name: str, caption: str, certified: Sequence[float], found: Sequence[float]
) -> Picture:
    """Draws, per image, the certified radius below the distance that an adversary found.

    The distance to the nearest image of another class lies between the two marks.

    Args:
        name, caption: of the picture.
        certified: l2 radii within which no prediction changes; infinite ones are not drawn.
        found: l2 distances of adversarial images; infinite where none was found.

    Raises:
        TypeError: lists of other things than numbers, or masked arrays.
        ValueError: lists of different lengths, or with anything but numbers of at least 0.
    """
    low, high = real_numbers("certified", certified), real_numbers("found", found)
    if low.ndim != 1 or low.shape != high.shape or not (low >= 0).all() or not (high >= 0).all():
        raise ValueError(
            "`certified` and `found` must be lists of as many numbers of at least 0. "
            f"Received: {certified!r} and {found!r}."
        )
    order = np.argsort(high, kind="stable")
    x = np.arange(len(order))
    low, high = low[order], high[order]
    shown, certain = np.isfinite(high), np.isfinite(low)
    both = shown & certain
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.2))
        axes = figure.add_subplot()
        axes.vlines(x[both], low[both], high[both], color="#80808055", linewidth=1.2)
        axes.plot(x[shown], high[shown], "v", color=COLORS[1], markersize=4, label="adversary")
        axes.plot(x[certain], low[certain], "^", color=COLORS[0], markersize=4, label="certified")
        axes.set_yscale("log")
        drawn = np.concatenate([low[certain & (low > 0)], high[shown & (high > 0)]])
        _label_plainly(axes.yaxis, drawn.max() / drawn.min() if len(drawn) else 1.0)
        axes.set_xlabel("images, by the adversary's distance")
        axes.set_ylabel("l2 distance")
        axes.set_xticks([])
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return Picture(name, caption, figure)


def _label_plainly(axis: Axis, ratio: float) -> None:
    """Labels a logarithmic axis by few plain numbers that do not touch.

    Args:
        axis: of the axes.
        ratio: of its ends.
    """
    few = (1, 2, 5) if ratio < _WIDE else (1,)
    axis.set_major_locator(LogLocator(subs=few, numticks=9))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
