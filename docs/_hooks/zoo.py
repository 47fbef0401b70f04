"""The zoo inside the site: a page for each card, a table with pictures, the leaderboard.

Nothing of it is kept in `docs`: it is read from the cards when the site is built. Links of
notebooks are made to lead to pages, as those of Markdown do.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from intriguing_tf.reporting import sorting_script
from intriguing_tf.zoo import catalogue
from intriguing_tf.zoo.cards import ModelCard
from intriguing_tf.zoo.leaderboard import standings
from intriguing_tf.zoo.locations import bundled_folder

ENTRIES = "entries"  # folder of the cards in the site
_SOURCE = re.compile(r'href="(?P<path>[^":?#]+\.(?:md|ipynb))(?=["#])')  # of a page, in this tree


def on_files(files: Files, config) -> Files:
    """Adds the cards and their pictures."""
    zoo = bundled_folder()
    for file in sorted([*zoo.glob("*/*/README.md"), *zoo.glob("*/*/*.png")]):
        place = f"{ENTRIES}/{file.relative_to(zoo).as_posix()}"
        files.append(File.generated(config, place, abs_src_path=str(file)))
    return files


def on_page_markdown(markdown: str, page, config, files) -> str:
    """Puts the tables where the pages want them."""
    if "<!-- entries -->" in markdown:
        markdown = markdown.replace("<!-- entries -->", entries(bundled_folder()))
    if "<!-- leaderboard -->" in markdown:
        markdown = markdown.replace("<!-- leaderboard -->", leaderboard())
    return markdown


def on_page_content(html: str, page, config, files) -> str:
    """Gives links of notebooks the addresses of the pages that they name."""

    def address(found: re.Match[str]) -> str:
        source = posixpath.normpath(posixpath.join(posixpath.dirname(here.src_uri), found["path"]))
        target = files.get_file_from_path(source)
        if target is None:
            raise PluginError(f"{here.src_uri} links to {found['path']}, which is no page.")
        return f'href="{target.url_relative_to(here)}'

    here = page.file
    return _SOURCE.sub(address, html) if here.src_uri.endswith(".ipynb") else html


def entries(zoo: Path) -> str:
    """Returns a card of the grid for each entry, family by family."""
    cards = [catalogue.info(name) for name in catalogue.list()]
    pictured = [card.name for card in cards if (zoo / card.name / "picture.png").is_file()]
    families = {card.name.split("/")[0] for card in cards}
    families = sorted(
        families, key=lambda family: sum(n.startswith(f"{family}/") for n in pictured)
    )
    parts = []
    for family in reversed(families):  # those with pictures first
        inside = [card for card in cards if card.name.startswith(f"{family}/")]
        blocks = "\n\n".join(entry(card, zoo) for card in inside)
        parts.append(f'## {family}\n\n<div class="grid cards" markdown>\n\n{blocks}\n\n</div>')
    return "\n\n".join(parts)


def entry(card: ModelCard, zoo: Path) -> str:
    """Returns one item: title, picture, what was measured."""
    page = f"{ENTRIES}/{card.name}/README.md"
    lines = [f"[**{card.name}**]({page})", card.title]
    if (zoo / card.name / "picture.png").is_file():
        lines.append(f"![{card.name}]({ENTRIES}/{card.name}/picture.png)")
    facts = [("parameters", f"{card.parameters:,}"), *card.measured()]
    rows = [f"| {heading} | {value} |" for heading, value in facts]
    lines.append("\n    ".join(["| | |", "|---|---|", *rows]))
    return "-   " + "\n\n    ".join(lines)


def leaderboard() -> str:
    """Returns the table, its notes, and the script that sorts it."""
    table = standings()
    rows = [[f'<a href="../{ENTRIES}/{row[0]}/">{row[0]}</a>', *row[1:]] for row in table.rows]
    head = "".join(f"<th>{column}</th>" for column in table.columns)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{cell or ''}</td>" for cell in row) + "</tr>" for row in rows
    )
    script = "\n".join(line for line in sorting_script().splitlines() if line.strip())
    return "\n\n".join(
        [
            '<div class="leaderboard"><table>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>",
            *table.notes,
            f"<script>\n{script}\n</script>",
        ]
    )
