"""What every table and figure can do with what it measured: print it, report it."""

from __future__ import annotations

import abc
from typing import ClassVar

from intriguing_tf.experiments.workspace import Workspace
from intriguing_tf.reporting import Picture, Section, Table


class Result(abc.ABC):
    """What was measured for a table or figure; prints as its tables."""

    @abc.abstractmethod
    def table(self) -> Table:
        """Returns the table that answers the paper's."""

    def tables(self) -> list[Table]:
        """Returns all tables that it prints as."""
        return [self.table()]

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.tables()))

    def _repr_html_(self) -> str:
        return "\n".join(table._repr_html_() for table in self.tables())


class KeptResult(Result):
    """A `Result` that a workspace keeps as JSON and a report shows as a section.

    Subclasses are frozen dataclasses whose fields are of JSON's types, tuples, dictionaries by
    name, and dataclasses such as `Estimate`.

    Attributes:
        reference: where the paper has it, such as "Table 1"; the section's title.
        paragraphs: what the section says above its tables.
    """

    reference: ClassVar[str]
    paragraphs: ClassVar[tuple[str, ...]]

    def details(self) -> list[Table]:
        """Returns further tables that the report shows."""
        return []

    def pictures(self, workspace: Workspace) -> list[Picture]:
        """Draws it, with the images of the workspace that it was measured in."""
        del workspace
        return []

    def section(self, workspace: Workspace) -> Section:
        """Returns this part of the report."""
        tables = [*self.tables(), *self.details()]
        return Section(self.reference, self.paragraphs, tables, self.pictures(workspace))
