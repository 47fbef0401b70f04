"""The documentation's code runs as it stands, and its reference has every public name."""

import functools
import json
import re
from pathlib import Path

import pytest

import intriguing_tf as itf

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS / "index.md", DOCS / "evaluation.md", *sorted((DOCS / "tutorials").glob("*.md"))]


# What a page does at length, and what does as much here.
SHORTER = {
    "certify-your-own-model": {
        "epochs, steps = 40, 16": "epochs, steps = 10, 16",
        "slice(800, 1000)": "slice(800, 840)",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.drawn(3)
def test_tutorial_runs(page, keras_without_xla):
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    assert "intriguing_tf" in code
    for long, short in SHORTER.get(page.stem, {}).items():
        assert long in code
        code = code.replace(long, short)
    exec(compile(code, str(page), "exec"), {"__name__": "__tutorial__"})


NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def cells_of(notebook):
    """The code of a notebook, cell by cell."""
    cells = json.loads(notebook.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_notebooks_are_kept_without_what_they_print(notebook):
    """The site's build runs them: what they show is always of today's code."""
    for cell in cells_of(notebook):
        assert not cell["outputs"] and cell["execution_count"] is None


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_names_in_notebooks_are_public(notebook):
    """The build of the site runs them (`make docs`); what this finds it finds sooner."""
    code = "\n".join("".join(cell["source"]) for cell in cells_of(notebook))
    compile(code, str(notebook), "exec")
    names = set(re.findall(r"\bitf\.((?:\w+\.)?\w+)\(", code))
    assert names
    for name in names:
        assert functools.reduce(getattr, name.split("."), itf) is not None


def exports():
    """Module and name of everything that the packages' stubs export."""
    for stub in sorted((DOCS.parent / "intriguing_tf").glob("*/**/__init__.pyi")):
        package = ".".join(stub.parent.relative_to(DOCS.parent).parts)
        for module, name in re.findall(r"^from \.(\S+) import (\w+)", stub.read_text(), re.M):
            yield f"{package}.{module}", name


def test_the_reference_has_every_public_name():
    pages = [page.read_text() for page in (DOCS / "reference").glob("*.md")]
    there = set(re.findall(r"^::: (\S+)$", "\n".join(pages), re.M))
    missing = [
        f"{module}.{name}" for module, name in exports() if not {module, f"{module}.{name}"} & there
    ]
    assert not missing


MAINTAINERS = [
    DOCS.parent / "CONTRIBUTING.md",
    DOCS.parent / "SECURITY.md",
    DOCS.parent / "BUILD.md",
]
# Files that a contributor writes.
TO_WRITE = re.compile(r"my_solver|table6|thing")
ROOTS = (DOCS.parent, DOCS.parent / "intriguing_tf")


@pytest.mark.parametrize(
    "page", [*MAINTAINERS, *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.stem
)
def test_code_that_a_page_names_is_there(page):
    names = set(re.findall(r"[`\s]((?:\w+/)+\w+\.py)\b", page.read_text()))
    missing = [
        name
        for name in names
        if not TO_WRITE.search(name) and not any((root / name).exists() for root in ROOTS)
    ]
    assert not missing
