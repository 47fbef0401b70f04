"""The field's words, everywhere; identifiers spell as Keras does."""

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = [file for folder in ("intriguing_tf", "scripts") for file in (ROOT / folder).rglob("*.py")]
TEXTS = [
    *CODE,
    *(ROOT / "intriguing_tf").rglob("*.pyi"),
    *(ROOT / "intriguing_tf").rglob("*.jinja"),
    *(ROOT / "benchmarks").glob("*.*"),  # and not what Python keeps beside them
    *(ROOT / "docs").rglob("*.md"),
    *ROOT.glob("*.md"),
    *(ROOT / name for name in ("Makefile", "setup.cfg", "pyproject.toml", ".ci/run", "NOTICE")),
]

# What not to write, and what to write.
INSTEAD = {
    r"misread\w*": "misclassified; of an attack: it succeeded",
    r"(read|classified|predicted) rightly|rightly (read|classified)": "correctly classified",
    r"(network|model|classifier|net|pair)s? reads?\b(?! (from|only|its|their))": "classifies x as",
    r"reads? (it|them|x|an image|images|the image|each image) as": "classifies x as",
    r"(shall be )?taken for\b": "target class",
    r"likeliest": "second most likely class, most likely classes",
    r"none is guessed|(has no|without a) Lipschitz rule": "no Lipschitz rule is registered for",
    r"nobody (has said|knows)": "no SHA-256 is known: pin the file",
    r"can(not|'t)? be had": "is unavailable; the download failed",
    r"clearance|\bspare\b": "required confidence κ",
    r"\bslack\b|\w*_slack|slack_\w*": "overshoot",
    r"is_lost": "stalled",
    r"to_the_boundary": "DeepFool step",
    r"(is|are) no (text|string)s?\b": "must be a str",
    r"whom to fool": "model to attack",
    r"how steep": "certified Lipschitz bounds per layer",
    r"whole or not at all|not at all or whole": "atomically",
    r"\banew\b": "again, recomputed",
    r"(run|sweep|it|that|which|stopped|training|call)s? (goes|go|went) on\b|goes on": "resumes",
    r"\bmend(s|ed|ing)?\b": "fixed",
    r"is or shall be|are or shall be": "the data directory",
    r"home-?made": "custom",
    r"rectifiers?\b": "ReLU",
    r"paper lies": "where the paper's value falls",
    r"""["']attained["'], ["']how["']|\| attained \||\| how \|""": "lower bound, method",
    # It is on no index; a checkout takes '.[ray]', and a message names the package that is missing.
    r"pip install( --upgrade)? [\"']?intriguing[-_]tf\b": "pip install ray, pip install '.[ray]'",
}
# Where a word stands for another thing, or belongs to what is stored: (file, text of the line).
MAY_STAY: set[tuple[str, str]] = set()

BRITISH = re.compile(
    r"\w*(optimis|minimis|maximis|normalis|serialis|regularis|initialis|quantis|organis|"
    r"generalis|penalis|neighbour|behaviour|colour|licence|centre|favour)\w*",
    re.IGNORECASE,
)
STORED = {"optimiser", "licence"}  # keys of recipes and cards
OLD_NAMES = re.compile(r"Renamed\w*\(|renamed\w*\(|moved_names\(|warn_renamed\(")


def matches(banned, text):
    """Numbers and text of the lines where a pattern begins; it may run over the end of a line."""
    pattern = re.compile(banned.replace(" ", r"\s+(?:# |[\"']\s+f?[\"'])?"), re.IGNORECASE)
    lines = text.splitlines()
    for found in pattern.finditer(text):
        number = text.count("\n", 0, found.start())
        yield number + 1, lines[number].strip()


@pytest.mark.parametrize("banned", INSTEAD, ids=INSTEAD.values())
def test_no_banned_word(banned):
    found = []
    for file in TEXTS:
        name = file.relative_to(ROOT).as_posix()
        for number, line in matches(banned, file.read_text()):
            if (name, line) not in MAY_STAY:
                found.append(f"{name}:{number}: {line}")
    assert not found, f"say: {INSTEAD[banned]}\n" + "\n".join(found)


@pytest.mark.slow
def test_identifiers_spell_as_keras_does():
    found = []
    for file in CODE:
        text = file.read_text()
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            is_name = token.type == tokenize.NAME and BRITISH.fullmatch(token.string)
            if is_name and token.string not in STORED and not OLD_NAMES.search(token.line):
                found.append(f"{file.relative_to(ROOT)}:{token.start[0]}: {token.string}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "sentence",
    [
        "digits that the network misreads",
        "images that are read rightly",
        "what the network reads in them",
        "which class each image shall be taken for",
        "a run that was stopped goes on where it was",
        "trained anew",
        "a run that was stopped\n# goes on",
        "pip install 'intriguing_tf[ray]'",
        'pip install --upgrade "\n    "intriguing-tf',
    ],
)
def test_the_patterns_find_what_they_are_for(sentence):
    assert any([*matches(banned, sentence)] for banned in INSTEAD)
