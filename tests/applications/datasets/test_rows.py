import json

import pytest

from applications.datasets import rows
from applications.datasets.file_tree import LeftOut
from applications.datasets.file_tree import find_split_files


def table(tmp_path, text, name="train.csv"):
    file = tmp_path / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return rows.read(file)


def test_quotes_commas_line_breaks_and_umlauts_are_part_of_a_text(tmp_path):
    read = table(
        tmp_path, 'text,label\n"süß, ""sehr""\nund rot",a\n\'x\' – y,b\n'
    )
    assert read.columns == ("text", "label")
    assert [row["text"] for row in read.rows] == [
        'süß, "sehr"\nund rot',
        "'x' – y",
    ]


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path):
    read = table(tmp_path, b"\xef\xbb\xbfage,label\n3,a\n")
    assert read.columns == ("age", "label")


def test_empty_fields_are_missing(tmp_path):
    read = table(tmp_path, "a,b,label\n,2,x\n3,,y\n")
    assert [(row["a"], row["b"]) for row in read.rows] == [
        (None, "2"),
        ("3", None),
    ]
    read = table(
        tmp_path,
        '{"a": "", "label": "x"}\n\n{"b": [], "label": "y"}\n',
        "train.jsonl",
    )
    assert read.columns == ("a", "label", "b")
    assert [(row["a"], row["b"]) for row in read.rows] == [
        (None, None),
        (None, []),
    ]


def test_json_keeps_its_values(tmp_path):
    given = [{"a": 1.5, "b": ["x", "y"], "c": True}, {"a": None, "b": "z"}]
    text = "\n".join(map(json.dumps, given))
    read = table(tmp_path, text, "train.jsonl")
    assert read.rows == (
        {"a": 1.5, "b": ["x", "y"], "c": True},
        {"a": None, "b": "z", "c": None},
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", "row 2 must have 2 fields"),
        ("a,b\n1,2,3\n", "row 1 must have 2 fields"),
        ("a,a\n1,2\n", "name its columns in its first line, each once"),
        ("a,\n1,2\n", "name its columns in its first line"),
        ("a,b\n", "holds no row"),
        ("", "holds no row"),
        ('a,b\n"1,2\n', "row 1: unexpected end of data"),
        (b"a,b\n\xff,2\n", "is not text in UTF-8"),
    ],
)
def test_what_is_no_table_is_named_with_its_row(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"train.csv.*{message}"):
        table(tmp_path, text)


@pytest.mark.parametrize("line", ["{", "[1]", "3", '{"a": NaN', "[" * 100_000])
def test_what_is_no_json_is_named_with_its_line(tmp_path, line):
    with pytest.raises(ValueError, match="train.jsonl, line 2 .*JSON"):
        table(tmp_path, '{"a": 1}\n' + line, "train.jsonl")


def test_files_of_splits_have_short_names_in_any_case(tmp_path):
    for name in ("Train.CSV", "val.jsonl", "notes.txt", "other.csv", ".x.csv"):
        (tmp_path / name).write_text("a\n1\n")
    left_out = LeftOut(tmp_path)
    found = find_split_files(tmp_path, rows.SUFFIXES, left_out)
    assert {key: path.name for key, path in found.items()} == {
        "train": "Train.CSV",
        "validation": "val.jsonl",
    }
    assert set(left_out.lines()) == {
        "left out, hidden or made by a system: .x.csv",
        "left out, beside the files of the splits: notes.txt, other.csv",
    }
    (tmp_path / "dev.csv").write_text("a\n1\n")
    with pytest.raises(ValueError, match="both the validation part"):
        find_split_files(tmp_path, rows.SUFFIXES, left_out)
