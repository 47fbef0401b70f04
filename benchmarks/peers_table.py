"""Distances, optimality and costs of the adversary and its peers, all networks in one table.

    python benchmarks/peers_table.py
    python benchmarks/peers_table.py --rows=peers.jsonl --networks=conv --picture=peers.png

Measures nothing: it lays out the rows that `adversary_peers.py` kept. Optimality is AttackBench's
(Cinà et al. 2024): 1 where every distance is the least that any attack found, 0 where it finds
nothing nearer than the farthest of those.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from intriguing_tf.reporting import Table  # noqa: E402

ROWS = ROOT / "docs" / "measured" / "peers.jsonl"
_EQUAL = 1e-3
TITLES = {"random": "random targets", "nearest": "whichever class is nearest"}


def optimality(distances: np.ndarray, best: np.ndarray) -> float:
    """How near distances [n] are to the best known ones, infinite where nothing was found."""
    farthest, least = best.max(), best.mean()
    area = np.minimum(distances, farthest).mean()  # under the curve of robust accuracy
    return float(1 - (area - least) / max(farthest - least, 1e-12))


def tables(rows: list[dict]) -> list[Table]:
    """For each kind of target who is nearest, and three tables of all attacks and networks."""
    made = []
    for kind, title in TITLES.items():
        some = [row for row in rows if row["targets"] == kind and "error" not in row]
        if not some:
            continue
        networks = list(dict.fromkeys(row["network"] for row in some))
        attacks = sorted(
            {(row["attack"], row["budget"]) for row in some},
            key=lambda one: (one[1] > 160, not one[0].startswith("L-BFGS"), one[1], one[0]),
        )
        found = {(row["network"], row["attack"], row["budget"]): row for row in some}
        best = {name: _best(some, name) for name in networks}
        made.append(_ranking(f"{title.capitalize()}: the nearest", some))
        for what, cell in (("mean l2", _mean), ("optimality", _optimality), ("gradients", _cost)):
            cells = [
                (f"{attack}, {budget}", *(
                    cell(found.get((name, attack, budget)), best[name]) for name in networks
                ))
                for attack, budget in attacks
            ]  # fmt: skip
            units = ", CPU seconds of all images" if what == "gradients" else ""
            made.append(Table(f"{title.capitalize()}: {what}{units}", ("attack", *networks), cells))
    return made


def _ranking(title: str, rows: list[dict]) -> Table:
    """The adversary beside the best of the others at equal, and at half of their, gradients.

    Attacks that fail on an image are left out: their mean is one of other images.
    """
    columns = ["network"]
    for ours, theirs in ((100, 100), (500, 1000)):
        columns += [f"L-BFGS, {ours}", f"best other, {theirs}", "difference"]
    columns.append(f"L-BFGS, 100, as near as DDN, 100, within {_EQUAL:.1%}: images")
    cells = []
    for network in dict.fromkeys(row["network"] for row in rows):
        complete = [row for row in rows if row["network"] == network and row["found"] == 1]
        by_attack = {(row["attack"], row["budget"]): row for row in complete}
        line = [network]
        for ours, theirs in ((100, 100), (500, 1000)):
            mine = by_attack.get(("L-BFGS", ours))
            others = [
                row for (attack, budget), row in by_attack.items()
                if budget == theirs and not attack.startswith("L-BFGS")
            ]  # fmt: skip
            other = min(others, key=lambda row: row["l2"], default=None)
            line += [_mean(mine, None), f"{other['attack']} {other['l2']:.4f}" if other else ""]
            line.append(f"{mine['l2'] / other['l2'] - 1:+.1%}" if mine and other else "")
        mine, other = (by_attack.get((attack, 100)) for attack in ("L-BFGS", "DDN"))
        near = mine and other and _distances(mine) <= (1 + _EQUAL) * _distances(other)
        cells.append((*line, f"{near.mean():.0%}" if mine and other else ""))
    return Table(title, tuple(columns), cells)


def _distances(row: dict) -> np.ndarray:
    return np.array([np.inf if d is None else d for d in row["distances"]])


def _best(rows: list[dict], network: str) -> np.ndarray:
    return np.min([_distances(row) for row in rows if row["network"] == network], axis=0)


def _mean(row: dict | None, best: np.ndarray | None) -> str:
    if row is None or row["l2"] is None:
        return "" if row is None else "none found"
    share = "" if row["found"] == 1 else f" ({row['found']:.0%} found)"
    return f"{row['l2']:.4f}{share}"


def _optimality(row: dict | None, best: np.ndarray) -> str:
    return "" if row is None else f"{optimality(_distances(row), best):.3f}"


def _cost(row: dict | None, best: np.ndarray) -> str:
    return "" if row is None else f"{row['gradients']:.0f}, {row['seconds']:.3g} s"


def picture(rows: list[dict], kind: str = "random") -> bytes:
    """Optimality against gradients, network by network."""
    from matplotlib.figure import Figure

    some = [row for row in rows if row["targets"] == kind and "error" not in row]
    networks = list(dict.fromkeys(row["network"] for row in some))
    across = min(len(networks), 4)
    down = -(-len(networks) // across)
    figure = Figure(figsize=(3.2 * across, 2.8 * down + 0.6), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    names = list(dict.fromkeys(row["attack"] for row in some))
    for ax, network in zip(axes, networks, strict=False):
        best = _best(some, network)
        for number, name in enumerate(names):
            mine = [row for row in some if (row["network"], row["attack"]) == (network, name)]
            mine.sort(key=lambda row: row["gradients"])
            marker = "o-" if name == "L-BFGS" else f"{'sD^vP*Xp'[number % 8]}:"
            ax.plot(
                [row["gradients"] for row in mine],
                [max(optimality(_distances(row), best), 0.8) for row in mine],
                marker, color=f"C{number}", label=name, markersize=5,
            )  # fmt: skip
        ax.set_xscale("log")
        ax.set_xlim(30, 1200)
        ax.set_xticks([100, 1000], ["100", "1 000"])
        ax.set_ylim(0.8, 1.005)
        ax.set_title(network, fontsize=9)
        ax.grid(color="#80808040")
    for ax in axes[len(networks) :]:
        ax.set_axis_off()
    figure.supxlabel("gradients of each image")
    figure.supylabel("optimality")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncol=4)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def main(arguments: list[str]) -> None:
    """Prints the tables, and draws the picture where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--networks", default="", help="only these")
    parser.add_argument("--picture", type=Path, default=None, help="of random targets, .png")
    flags = parser.parse_args(arguments)
    rows = [json.loads(line) for line in flags.rows.read_text().splitlines()]
    only = [name for name in flags.networks.split(",") if name]
    rows = [row for row in rows if not only or row["network"] in only]
    for table in tables(rows):
        print(table.markdown(), end="\n\n")
    if flags.picture is not None:
        flags.picture.write_bytes(picture(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
