import numpy as np
import pytest
from PIL import Image

from applications.instruction_following import pictures
from applications.instruction_following.rendering import BOARD
from applications.instruction_following.rules import ABSENT
from applications.instruction_following.rules import BLOCKS
from applications.instruction_following.rules import MINI

EMPTY = np.rint(255 * np.array(BOARD))
CELL = pictures.SIDE // 5


@pytest.fixture
def path():
    """The first of three blocks goes two cells to the right, and waits."""
    path = np.zeros((4, 3, 2))
    path[:, 1:] = [(2, 2), (-2, -2)]
    path[:, 0, 0] = (-2, -1, 0, 0)
    return path


def cell(picture, column, row):
    """A cell of a drawn mini world, from the top left."""
    rows = slice(row * CELL, (row + 1) * CELL)
    return picture[rows, column * CELL : (column + 1) * CELL]


def test_samples_come_from_all_over_the_batch():
    np.testing.assert_array_equal(pictures.evenly_spaced(64), [0, 21, 42, 63])
    np.testing.assert_array_equal(pictures.evenly_spaced(4), [0, 1, 2, 3])
    np.testing.assert_array_equal(pictures.evenly_spaced(2), [0, 1])


def test_blocks_are_called_as_in_the_texts_about_them():
    assert pictures.names(MINI) == ["red", "green", "blue"]
    assert pictures.names(BLOCKS) == [str(number) for number in range(1, 21)]


def test_blocks_that_are_there_bear_their_names():
    path = np.full((1, 20, 2), ABSENT)
    assert (pictures.board(path, BLOCKS) == EMPTY).all()
    path[0, 0] = 0
    middle = pictures.SIDE // 2
    rows = slice(middle - 5, middle + 5)
    # Light letters with a dark edge on a block that is red and green.
    written = pictures.board(path, BLOCKS)[rows, rows]
    assert written.min(axis=-1).max() > 180
    assert written.max(axis=-1).min() < 50


def test_dots_are_where_a_block_has_been(path):
    picture = pictures.board(path, MINI)
    for column in (0, 1):
        left = cell(picture, column, 2)
        dots = (left == pictures.INK).all(axis=-1)
        assert dots.sum() == (2 * pictures.DOT) ** 2
        assert (left[~dots] == EMPTY).all()
        assert dots[CELL // 2, CELL // 2]
    assert (cell(picture, 3, 2) == EMPTY).all()
    start = pictures.board(path[:1], MINI)
    assert (cell(start, 1, 2) == EMPTY).all()


@pytest.mark.parametrize("wanted", [(0.0, 0.0), (1.0, 1.0), (-2.0, -2.0)])
def test_the_wanted_place_is_framed_whether_or_not_it_is_taken(path, wanted):
    plain = pictures.board(path, MINI)
    framed = pictures.board(path, MINI, np.array(wanted))
    column, row = int(wanted[0]) + 2, 2 - int(wanted[1])
    frame = cell(framed, column, row)
    assert (frame[0] == pictures.INK).all()
    assert (frame[:, -1] == pictures.INK).all()
    assert (frame[2, 2:-2] == pictures.PAPER).all()
    inside = (slice(3, -3), slice(3, -3))
    before = cell(plain, column, row)[inside]
    np.testing.assert_array_equal(frame[inside], before)


def test_texts_take_as_many_lines_as_they_need():
    one = pictures.caption("move it", 300)
    many = pictures.caption("put the block above the other " * 9, 300)
    assert len(many) > 5 * pictures.LINE > len(one)
    for picture in (one, many):
        ink = (picture < 128).any(axis=-1)
        # Nothing is cut off by a border.
        assert not ink[:, -pictures.MARGIN + 1 :].any()
        assert not ink[0].any() and not ink[-1].any()
    last_line = many[-pictures.LINE - pictures.MARGIN :]
    assert (last_line < 128).any()
    assert pictures.caption("", 300).min() == 255
    assert pictures.caption("ü € 块", 300).min() < 128


@pytest.mark.parametrize("times", [1, 2, 4])
def test_an_animation_shows_every_time_and_holds_the_end(path, times, tmp_path):
    file = tmp_path / "played.gif"
    pictures.animate(path[:times], "go right", MINI, file, np.zeros(2))
    last = pictures.board(path[:times], MINI, np.zeros(2)).astype("int64")
    with Image.open(file) as image:
        # Pillow joins equal frames, adding up their times.
        shown = min(times, 3)
        assert image.n_frames == shown
        image.seek(shown - 1)
        assert image.info["duration"] >= pictures.LAST or times == 1
        end = np.asarray(image.convert("RGB"))[-pictures.SIDE :]
    # A palette has fewer colors than the letters' edges.
    assert np.abs(end - last).max() < 64
    assert (end == last).mean() > 0.95
