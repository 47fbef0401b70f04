"""A report as one self-contained HTML page and as Markdown with its pictures beside it."""

from __future__ import annotations

import base64
import dataclasses
import functools
import os
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2

from intriguing_tf.checks import check_kind, check_kinds
from intriguing_tf.files import expanded, write_atomically
from intriguing_tf.reporting.charts import Picture
from intriguing_tf.reporting.tables import Table
from intriguing_tf.text import markdown, printable


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading with what stands below it.

    Args:
        title: the heading.
        paragraphs: plain text.
        tables: in order.
        pictures: in order, below the tables.

    Raises:
        TypeError: anything else than these.
    """

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()

    def __post_init__(self) -> None:
        check_kind("title", self.title, str, "a str")
        check_kinds("paragraphs", self.paragraphs, str, "str")
        check_kinds("tables", self.tables, Table, "Tables")
        check_kinds("pictures", self.pictures, Picture, "Pictures")

    @property
    def anchor(self) -> str:
        """The heading as a link target: "table-1"; "section", if nothing of it can be in one."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "section"


@dataclasses.dataclass(frozen=True)
class Report:
    """A titled sequence of sections.

    The HTML page carries its pictures, style and script, and asks the network for nothing. It
    follows the reader's light or dark setting, reads on a phone, sorts a table by a column at a
    click on its head, and enlarges a picture at a click.

    Args:
        title: of the page.
        summary: paragraphs below the title.
        sections: in order. Each picture in them needs a name of its own, upper and lower case
            being the same: its file is called so.

    Raises:
        TypeError: anything else than these.
        ValueError: pictures of one name, or a name of other signs than letters, digits, "_", "-",
            and "." inside.

    Example:

        Report("Digits", ["What was measured."], [Section("Errors", tables=[table])]).save("out")
    """

    title: str
    summary: Sequence[str]
    sections: Sequence[Section]

    def __post_init__(self) -> None:
        check_kind("title", self.title, str, "a str")
        check_kinds("summary", self.summary, str, "str")
        check_kinds("sections", self.sections, Section, "Sections")
        _check_file_names([picture.name for picture in self._pictures])

    @property
    def _pictures(self) -> list[Picture]:
        return [picture for section in self.sections for picture in section.pictures]

    @property
    def anchors(self) -> tuple[str, ...]:
        """The link target of each section: its `anchor`, numbered where that is taken."""
        pictures, found = {picture.name for picture in self._pictures}, []
        for section in self.sections:
            anchor, number = section.anchor, 1
            while anchor in pictures or anchor in found:
                number += 1
                anchor = f"{section.anchor}-{number}"
            found.append(anchor)
        return tuple(found)

    def html(self) -> str:
        """Returns the page."""
        return _template("report.html.jinja").render(report=self)

    def markdown(self) -> str:
        """Returns GitHub-flavoured Markdown that refers to `figures/<name>.svg`."""
        lines = [f"# {markdown(self.title)}", *map(markdown, self.summary)]
        for section in self.sections:
            lines += [f"## {markdown(section.title)}", *map(markdown, section.paragraphs)]
            lines += [table.markdown() for table in section.tables]
            for picture in section.pictures:
                caption = markdown(picture.caption)
                lines += [f"![{caption}]({_figure(picture)})", caption]
        return "\n\n".join(lines) + "\n"

    def save(self, folder: str | os.PathLike) -> Path:
        """Writes `report.html`, `report.md` and `figures/*.svg`, each atomically.

        Args:
            folder: made when it is not there; files of these names in it are replaced.

        Returns:
            The path of `report.html`.
        """
        folder = expanded(folder)
        for picture in self._pictures:
            write_atomically(folder / _figure(picture), picture.svg())
        write_atomically(folder / "report.md", self.markdown())
        return write_atomically(folder / "report.html", self.html())

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files that `save` writes."""
        return (*map(_figure, self._pictures), "report.md", "report.html")


def _check_file_names(names: Sequence[str]) -> None:
    """Raises unless each name is a plain one of a file, and its own on any system."""
    for name in names:
        if not re.fullmatch(r"\w[\w-]*(\.[\w-]+)*", name):
            raise ValueError(
                "A picture's `name` in a report must be that of a file: letters, digits, '_', '-', "
                f"and '.' inside. Received: {name!r}."
            )
    folded = [name.casefold() for name in names]
    repeated = [name for name, each in zip(names, folded, strict=True) if folded.count(each) > 1]
    if repeated:
        raise ValueError(
            "Each picture in a report must have a `name` of its own. Received: "
            f"{', '.join(map(repr, repeated))}."
        )


def _figure(picture: Picture) -> str:
    return f"figures/{picture.name}.svg"


def sorting_script() -> str:
    """Returns JavaScript that sorts each table of a page by a column, at a click on its head."""
    return _template("sorting.js.jinja").render()


@functools.cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters["base64"] = lambda text: base64.b64encode(text.encode()).decode()
    return environment.get_template(name)
