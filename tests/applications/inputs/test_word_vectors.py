import gzip

import numpy as np
import pytest

from applications.inputs import word_vectors

GLOVE = "the 1 2.5 -3\ncat 4 5 6e-1\n. . . 7 8 9\ncat 0 0 0\n"
WORD2VEC = "3 2\nthe 1 2 \ncat 3 4 \nmat 5 6 \n"


def written(tmp_path, content, name="vectors.txt"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_glove(tmp_path):
    path = written(tmp_path, GLOVE)
    found = word_vectors.read(path, ["cat", ". . .", "unicorn"])
    assert list(found) == ["cat", ". . ."]
    np.testing.assert_array_equal(found["cat"], np.float32([4, 5, 0.6]))
    np.testing.assert_array_equal(found[". . ."], np.float32([7, 8, 9]))
    assert found["cat"].dtype == "float32"


def test_word2vec(tmp_path):
    found = word_vectors.read(written(tmp_path, WORD2VEC), {"mat", "3", "the"})
    assert {word: v.tolist() for word, v in found.items()} == {
        "the": [1, 2],
        "mat": [5, 6],
    }


@pytest.mark.parametrize("text", [GLOVE, WORD2VEC])
def test_gzip_and_tabs(tmp_path, text):
    plain = word_vectors.read(written(tmp_path, text), ["the", "cat"])
    assert len(plain) == 2
    packed = gzip.compress(text.replace(" ", "\t").encode())
    path = written(tmp_path, packed, "vectors.txt.gz")
    for word, vector in word_vectors.read(path, ["the", "cat"]).items():
        np.testing.assert_array_equal(vector, plain[word])


def test_words_outside_ascii_and_bytes_that_are_no_text(tmp_path):
    content = "\u00e9t\u00e9 1 2\na\u00a0b 3 4\n".encode() + b"\xff\xfe 5 6\n"
    found = word_vectors.read(written(tmp_path, content), ["été", "a\u00a0b"])
    assert [v.tolist() for v in found.values()] == [[1, 2], [3, 4]]


def test_reads_no_further_than_the_last_word(tmp_path):
    path = written(tmp_path, "the 1 2\ncat 3\n")
    assert list(word_vectors.read(path, ["the"])) == ["the"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("the 1 2\ncat 3\n", "line 2 must have a word and 2 numbers"),
        ("the 1 2\ncat 3 4 5\n", "line 2 must have a word and 2 numbers"),
        ("2 2\nthe 1 2\ncat 3 4 5\n", "line 3 must have a word and 2"),
        ("the\ncat\n", "line 1 must have a word and 1 numbers"),
        ("5 0\nthe\n", "line 2 must have a word and 1 numbers"),
        ("the 1 two\n", "line 1 must have finite numbers.*'two'"),
        ("the 1 2\nlast 3 x\n", "line 2 must have finite numbers.*'x'"),
        ("the 1 2\nlast nan 1\n", "line 2 must have finite numbers.*'nan'"),
        ("the 1 2\nlast 1e99 1\n", "line 2 must have finite.*'1e99'"),
        ("3 2\nthe 1 2\ncat 1 2\n", "line 1 says 3 words, .* after line 3"),
        (b"the 1 2\n\0\x01\x02", "line 2 is not text"),
        (b"\x89PNG\r\n\x1a\n\0\0", "line 1 must have|line 2 is not text"),
        (b"x" * 2**21, "line 1 is not text"),
        (
            # Of a fixed time: the names of tests are made of it.
            gzip.compress(b"the 1 2\n" * 999, mtime=0)[:-20],
            "could not be unpacked",
        ),
        (b"\x1f\x8bnonsense", "line 1 could not be unpacked"),
    ],
)
def test_one_line_names_the_file_and_the_line(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=message) as error:
        word_vectors.read(path, ["last", "nobody"])
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file of word vectors"):
        word_vectors.read(tmp_path / "none.txt", ["the"])
