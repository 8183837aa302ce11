"""The pages of the documentation, and what they name."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]


def snippets(page, language):
    """The code blocks of a page in a language, in order."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S
    )


def links(page):
    """The files of the checkout to which a page links."""
    text = re.sub(r"`[^`]*`", "", page.read_text())
    targets = re.findall(r"\]\(([^)]+)\)", text)
    return [x.split("#")[0] for x in targets if not x.startswith(("http", "#"))]


def table(page, heading):
    """The cells of the first table under a heading, row by row."""
    after = page.read_text().split(f"\n## {heading}\n")[1]
    rows = re.search(r"(?:^\|.*\n)+", after, re.M).group().splitlines()
    return [[cell.strip() for cell in row.split(" | ")] for row in rows[2:]]


def names(text):
    """What a text marks as code."""
    return re.findall(r"`([^`]+)`", text)
