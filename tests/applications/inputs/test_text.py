import numpy as np

from applications.inputs import text


def test_words_by_frequency_without_case_and_punctuation():
    words = text.vocabulary(["Ein Baum.", "ein HAUS, ein Baum!"], most=2)
    assert words == ("ein", "baum")


def test_numbers_of_words_are_padded_cut_and_unknown():
    numbers = text.encode(["Baum ein Haus Baum", "", "ein"], ("ein", "baum"), 3)
    np.testing.assert_array_equal(numbers, [[3, 2, 1], [0, 0, 0], [2, 0, 0]])
    assert numbers.dtype == np.int32


def test_texts_without_words_have_no_vocabulary():
    assert text.vocabulary(["", " "], most=5) == ()
    np.testing.assert_array_equal(
        text.encode(["a"], (), 2), np.zeros((1, 2), "int32")
    )
