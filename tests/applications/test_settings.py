import pydantic
import pytest

from applications import settings


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (settings.Count, "1 or more"),
        (settings.Count | None, "1 or more"),
        (settings.NonNegative, "0 or more"),
        (settings.Positive, "more than 0"),
        (settings.Share, "0 to less than 1"),
        (settings.Size, "1 to 4096"),
        (settings.Sizes, "one or more, 1 to 4096"),
        (str, ""),
        (bool, ""),
    ],
)
def test_bounds_in_words(kind, words):
    schema = pydantic.TypeAdapter(kind).json_schema()
    assert settings.in_words(schema) == words


@pytest.mark.parametrize("name", ["", ".x", "a/b", "a\\b", "a\nb", "é" * 101])
def test_a_name_must_be_that_of_one_folder(name):
    with pytest.raises(pydantic.ValidationError, match="name of one folder"):
        pydantic.TypeAdapter(settings.FolderName).validate_python(name)
