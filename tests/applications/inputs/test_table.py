import numpy as np
import pytest

from applications.inputs import table

ROWS = [
    {"age": "10", "city": "Bonn", "flag": True},
    {"age": "30", "city": None, "flag": False},
    {"age": None, "city": "Köln", "flag": None},
    {"age": "nan", "city": "", "flag": True},
]
NAMES = ("age", "city", "flag")


def test_numbers_and_categories_are_told_apart():
    columns = table.learn(ROWS, NAMES)
    assert columns == table.Columns(
        numbers=("age",),
        means=(20.0,),
        deviations=(10.0,),
        categories=("city=Bonn", "city=Köln", "flag=False", "flag=True"),
    )
    assert columns.width == 6


def test_vectors_say_what_is_missing():
    columns = table.learn(ROWS, NAMES)
    vectors, present = table.encode(ROWS, NAMES, columns)
    np.testing.assert_array_equal(
        vectors,
        [
            [-1, 1, 1, 0, 0, 1],
            [1, 1, 0, 0, 1, 0],
            [0, 0, 0, 1, 0, 0],
            [0, 0, 0, 0, 0, 1],
        ],
    )
    assert present.tolist() == [True] * 4


def test_an_empty_row_is_absent_and_a_new_value_is_unknown():
    columns = table.learn(ROWS, NAMES)
    rows = [{"age": "", "city": None}, {"city": "Ulm"}, {"age": "old"}]
    vectors, present = table.encode(rows, NAMES, columns)
    assert not vectors.any()
    # What was never seen is there all the same; a word is no age.
    assert present.tolist() == [False, True, False]


def test_a_constant_column_stays_finite():
    columns = table.learn([{"a": 5}, {"a": 5.0}], ["a"])
    vectors, _ = table.encode([{"a": 5}, {"a": 7}], ["a"], columns)
    np.testing.assert_array_equal(vectors, [[0, 1], [2, 1]])


def test_none_is_a_number_that_is_missing_and_a_category_that_is_there():
    rows = [{"a": "1", "b": "none"}, {"a": "None", "b": "mild"}]
    columns = table.learn(rows, ["a", "b"])
    assert columns.numbers == ("a",) and columns.means == (1.0,)
    assert columns.categories == ("b=mild", "b=none")
    vectors, _ = table.encode(rows, ["a", "b"], columns)
    np.testing.assert_array_equal(vectors, [[0, 1, 0, 1], [0, 0, 1, 0]])


def test_large_numbers_keep_their_digits():
    rows = [{"a": 1e9 + index} for index in range(5)]
    columns = table.learn(rows, ["a"])
    vectors, _ = table.encode(rows, ["a"], columns)
    values = np.arange(5)
    expected = (values - values.mean()) / values.std()
    np.testing.assert_allclose(vectors[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("value", ["inf", "-1e999", "x", True, [1], None])
def test_what_is_no_number(value):
    assert table.as_number(value) is None


@pytest.mark.parametrize(("value", "number"), [(3, 3.0), (" 4.5 ", 4.5)])
def test_what_is_a_number(value, number):
    assert table.as_number(value) == number
