import base64
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from intriguing_tf.reporting import Report, Section, Table, image_rows

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


@pytest.fixture(scope="module")
def report():
    table = Table(
        "Errors <in %>",
        ("model", "paper", "here"),
        [
            ("FC10(1e-4)", "7.4", "7.5 [7.0, 8.1]"),
            ("FC10(1)", "20", "14.6 [13.9, 15.3]"),
            ("AE400-10", None, "1.9 [1.6, 2.2]"),
            ("Conv", "−0.5", "10 [9, 11]"),
        ],
        ["10 000 images"],
    )
    wide = Table("Wide", [f"column {i}" for i in range(14)], [[f"{i}.123456" for i in range(14)]])
    digits = np.random.default_rng(0).random((3, 20, 28, 28, 1))
    picture = image_rows("figure1", 'Units & "others"', digits, ["a", "b", "c"])
    return Report(
        "Paper & here",
        ["A summary."],
        [
            Section("Table 1", ["What it <b>is</b>."], [table, wide]),
            Section("Figure 1", pictures=[picture]),
        ],
    )


class Outline(HTMLParser):
    """Checks that tags close in order, and collects what the page refers to."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, page):
        super().__init__()
        self.open, self.references, self.ids = [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.references += [attrs[a] for a in ("src", "href") if attrs.get(a)]
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_one_well_formed_file_that_asks_for_nothing_else(report):
    page = report.html()
    outline = Outline(page)
    assert all(r.startswith(("data:", "#")) for r in outline.references)
    assert {r[1:] for r in outline.references if r.startswith("#")} <= set(outline.ids)
    assert "url(" not in page and "@import" not in page
    picture = report.sections[1].pictures[0].svg()
    assert base64.b64encode(picture.encode()).decode() in page


def test_what_is_given_is_escaped(report):
    page = report.html()
    assert "What it &lt;b&gt;is&lt;/b&gt;." in page
    assert "Errors &lt;in %&gt;" in page
    assert "<b>" not in page


def test_names_of_files_that_are_no_text_are_shown_as_escapes(tmp_path):
    name = "caf\udce9 \x1b[31m.png"  # as Python has a name that is not UTF-8
    page = Report(name, [name], [Section(name, [name])]).save(tmp_path)
    for text in (page.read_text("utf-8"), (tmp_path / "report.md").read_text("utf-8")):
        assert text.count(r"caf\udce9 \x1b[31m.png") >= 4 and "\x1b" not in text


def test_every_cell_is_in_page_and_markdown(report):
    page, text = html.unescape(report.html()), report.markdown()
    for cell in ("7.5 [7.0, 8.1]", "AE400-10", "13.123456", "10 000 images"):
        assert cell in page and cell in text


def test_saved_markdown_refers_to_saved_pictures(report, tmp_path):
    path = report.save(tmp_path / "deep" / "folder")
    assert path.read_text() == report.html()
    found = re.findall(r"\((figures/.*?)\)", path.with_name("report.md").read_text())
    assert found == ["figures/figure1.svg"]
    assert all((path.parent / f).read_text().startswith("<?xml") for f in found)
    assert not [p for p in path.parent.rglob("*") if p.name.startswith(".")]


def picture(name):
    return image_rows(name, "A caption", np.zeros((1, 1, 2, 2, 1)), ["row"])


def report_of(*names):
    return Report("", [], [Section("One", pictures=[picture(name)]) for name in names])


@pytest.mark.parametrize(
    "name",
    ["../../evil", "/evil", "a/b", "a\\b", "", ".", "..", ".hidden", "a b", "a)", "a\n", "a."],
)
def test_pictures_whose_names_are_no_files_names_are_refused(name):
    with pytest.raises(ValueError, match="must be that of a file") as raised:
        report_of(name)
    assert repr(name) in str(raised.value)


@pytest.mark.parametrize("names", [("a", "a"), ("b", "a", "A")])
def test_two_pictures_of_one_name_are_refused(names):
    with pytest.raises(ValueError, match=r"a `name` of its own. Received: 'a', '[aA]'\."):
        report_of(*names)


def test_every_picture_has_its_file(tmp_path):
    names = ("figure1", "figure_1", "figure-1", "figure.1", "Ж")
    written = report_of(*names)
    written.save(tmp_path)
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == set(names)
    assert all((tmp_path / file).is_file() for file in written.files)


def test_sections_and_pictures_have_ids_of_their_own():
    titles = ["Errors", "errors!", "Errors 2", "表", "章", "Errors"]
    sections = [Section(title) for title in titles]
    written = Report("", [], [*sections, Section("Map", pictures=[picture("map")])])
    assert written.anchors[:4] == ("errors", "errors-2", "errors-2-2", "section")
    outline = Outline(written.html())
    assert len(set(outline.ids)) == len(outline.ids) == len(titles) + 2
    links = [each[1:] for each in outline.references if each.startswith("#")]
    assert links == list(written.anchors)


HARNESS = """<!DOCTYPE html><meta charset="utf-8"><pre id="found"></pre>
<script>
const page = PAGE, found = {};
const errors = [];
async function inspect(width) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 800;
  const loaded = new Promise((resolve) => { frame.onload = resolve; });
  frame.srcdoc = page.replace("<head>",
    "<head><script>window.errors=[];window.onerror=(m)=>errors.push(m)</" + "script>");
  document.body.append(frame);
  await loaded;
  const view = frame.contentWindow, doc = view.document;
  const table = doc.querySelector("table");
  const column = (i) => [...table.tBodies[0].rows].map((row) => row.cells[i].textContent.trim());
  const head = (i) => table.querySelectorAll("th")[i].querySelector("button");
  const result = { spill: doc.documentElement.scrollWidth - doc.documentElement.clientWidth };
  head(2).click(); result.up = column(2);
  head(2).click(); result.down = column(2);
  head(1).click(); result.blanksLast = column(1);
  head(0).click(); result.words = column(0);
  const image = doc.querySelector("figure img");
  await image.decode();
  const button = image.closest("button");  // on narrow screens it scrolls
  const edge = button.getBoundingClientRect().right;
  const scrolls = view.getComputedStyle(button).overflowX === "auto";
  result.imageFits = edge <= view.innerWidth
    && (scrolls || image.getBoundingClientRect().right <= edge);
  doc.querySelector("figure button").click();
  const dialog = doc.querySelector("dialog");
  result.opened = dialog.open && dialog.querySelector("img").src === image.src;
  dialog.click();
  result.closed = !dialog.open;
  result.errors = view.errors;
  return result;
}
(async () => {
  for (const width of [360, 1200]) found[width] = await inspect(width);
  document.querySelector("#found").textContent = JSON.stringify(found);
})().catch((error) => { document.querySelector("#found").textContent = "failed: " + error.stack; });
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the report in")
def test_in_a_browser_it_sorts_enlarges_and_fits(report, tmp_path):
    page = json.dumps(report.html()).replace("</", "<\\/")
    harness = tmp_path / "harness.html"
    harness.write_text(HARNESS.replace("PAGE", page, 1), encoding="utf-8")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-sync",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--virtual-time-budget=8000",
        f"--user-data-dir={tmp_path / 'user'}",
        "--dump-dom",
    ]
    run = subprocess.run(
        [CHROMIUM, *flags, harness.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
    )
    text = html.unescape(re.search(r'<pre id="found">(.*?)</pre>', run.stdout, re.S).group(1))
    found = json.loads(text)
    for width in ("360", "1200"):
        seen = found[width]
        assert seen["errors"] == []
        assert seen["spill"] <= 0  # wide tables scroll in themselves, the page does not
        assert [cell.split()[0] for cell in seen["up"]] == ["1.9", "7.5", "10", "14.6"]
        assert seen["down"] == seen["up"][::-1]
        assert seen["blanksLast"] == ["−0.5", "7.4", "20", ""]
        assert seen["words"] == sorted(seen["words"], key=str.lower)
        assert seen["imageFits"] and seen["opened"] and seen["closed"]
