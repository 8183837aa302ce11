import re

import pytest

from tests import pages

RECIPES = re.findall(
    r"^## (An? .*?)\n(.*?)(?=^## |\Z)",
    (pages.ROOT / "CONTRIBUTING.md").read_text(),
    re.M | re.S,
)


def paths(recipe):
    """What a recipe marks as code and has the form of a file's path."""
    return [x for x in pages.names(recipe) if re.fullmatch(r"[\w/<>]+\.\w+", x)]


def test_there_is_a_recipe_for_what_is_added_most_often():
    titles = [title for title, _ in RECIPES]
    assert titles == ["A layer", "A fusion", "A task", "An input kind"]


@pytest.mark.parametrize(
    "path",
    sorted({path for _, recipe in RECIPES for path in paths(recipe)}),
)
def test_the_files_that_a_recipe_names_exist(path):
    # Of a name that is the reader's to choose, some file has to be there.
    assert list(pages.ROOT.glob(re.sub(r"<\w+>", "*", path)))
