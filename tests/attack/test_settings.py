"""Wrong values for every field of every task's settings."""

import dataclasses

import pydantic
import pytest

import applications
from applications import cli
from applications import settings
from tests.attack.conftest import SMALL

NOT_NUMBERS = ("x", "", "nan", "inf", "-inf", "1e999", "1,5", "None!")


def fields():
    for task in applications.TASKS:
        for field in dataclasses.fields(cli.load_task(task).Config):
            yield task, field


def schema_of(field):
    schema = pydantic.TypeAdapter(field.type).json_schema()
    return schema["anyOf"][0] if "anyOf" in schema else schema


def out_of_bounds(schema):
    """Numbers beyond the bounds, on both sides."""
    step = 1 if schema["type"] == "integer" else 0.5
    for key, sign in (("minimum", -1), ("maximum", 1)):
        if key in schema:
            yield str(schema[key] + sign * max(step, abs(schema[key])))
    for key in ("exclusiveMinimum", "exclusiveMaximum"):
        if key in schema:
            yield str(schema[key])


def wrong_texts(name, schema):
    """Lists of words that the flag of a field must not have."""
    kind = schema.get("type")
    if kind in ("integer", "number"):
        yield from ([x] for x in (*NOT_NUMBERS, *out_of_bounds(schema)))
        if kind == "integer":
            yield from (["1.5"], ["1e3"])
    elif kind == "boolean":
        yield from (["perhaps"], ["2"])
    elif "enum" in schema or "const" in schema:
        yield from (["nope"], [""], ["none of them"])
    elif kind == "array":
        yield from wrong_lists(name, schema)
    elif name in ("name", "mask"):
        yield from ([x] for x in ("", "..", ".x", "a/b", "a\nb", "x" * 300))
    elif name in ("data_dir", "runs_dir"):
        yield from (["a_file"], ["a_file/x"], [""], ["a\0b"])
    elif name == "encoder_weights":
        # Of an encoder that starts without them.
        yield from (["a_file"], ["nowhere.npz"], [""])
    elif name == "image_weights":
        # Of pictures' encoder that starts without them.
        yield from (["a_file"], ["nowhere.h5"], [""])
    elif name in ("image_encoder", "text_encoder"):
        yield from (["nope"], ["a_file"], ["empty"], [""])
    elif name == "inception_weights":
        yield from (["a_file"], ["nowhere.h5"], [""])
    elif name == "target":
        # One of the modalities, too.
        yield from ([x] for x in ("", "..", "a/b", "nope", "depth"))
    elif name == "backbone_weights":
        # Of a backbone that has none of Keras's.
        yield from (["a_file"], ["nowhere.h5"], [""])
    elif name == "word_vectors":
        yield from (["a_file"], ["nowhere.txt"], ["empty"], [""])
    elif name in ("label", "labels"):
        yield from (["no such column"], [""])
    elif name == "dataset":
        yield from (["no_such_set"], [""], ["../x"])
    else:
        raise AssertionError(f"{name}: what is wrong for {schema}?")


def wrong_lists(name, schema):
    if "prefixItems" in schema:
        good = ["1"] * len(schema["prefixItems"])
        yield from (good[1:], [*good, "1"], ["nan", *good[1:]])
        return
    yield from ([*words, *words] for words in wrong_texts_of_items(schema))
    if schema.get("minItems"):
        yield []


def wrong_texts_of_items(schema):
    items = schema["items"]
    if "enum" in items:
        yield ["nope"]
    elif items["type"] == "string":
        # The same one twice.
        yield ["a"]
    else:
        yield from wrong_texts("", items)


CASES = [
    (task, field.name, words, schema_of(field).get("type") != "array")
    for task, field in fields()
    for words in wrong_texts(field.name, schema_of(field))
]


def flag(name):
    return f"--{name.replace('_', '-')}"


@pytest.mark.parametrize(("task", "name", "words", "is_one"), CASES)
def test_a_wrong_flag_is_one_line(refuse, task, name, words, is_one):
    # As new runs, so that nothing is refused for being another run's.
    own = () if name == "name" else ("--name", "new")
    # A data set of a name is asked for where there is no folder.
    small = () if name == "dataset" else SMALL[task]
    given = [f"{flag(name)}={words[0]}"] if is_one else [flag(name), *words]
    refuse(task, "train", *small, *own, *given)


# JSON that a field of a type must not have.
WRONG_JSON = {
    "integer": ('"3"', "1.5", "true", "[1]", "{}", "1e999", "-1e30"),
    "number": ('"3"', "true", "[1]", "{}", "NaN", "1e999", "-Infinity"),
    "boolean": ('"true"', "0", "[]", "{}"),
    "string": ("3", "true", "[]", "{}"),
    "array": ('"ab"', "3", "true", "{}", "[[]]", "[null]"),
}


def json_cases():
    for task, field in fields():
        schema = schema_of(field)
        for text in WRONG_JSON[schema.get("type", "string")]:
            yield task, field.name, text


@pytest.mark.parametrize("task", applications.TASKS)
def test_wrong_values_in_a_config_file_are_refused(task):
    """Without a command each: what reads `config.json` is one function."""
    config_class = cli.load_task(task).Config
    count = 0
    for known, name, text in json_cases():
        if known == task:
            with pytest.raises(ValueError, match=name) as refused:
                settings.from_json(
                    f'{{"{name}": {text}}}', config_class, "my.json"
                )
            assert "\n" not in str(refused.value)
            count += 1
    assert count > 100


@pytest.mark.parametrize("task", applications.TASKS)
@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", "null", '"x"', "\x00", "[" * 100_000),
        *('{"epochs": -1}', '{"nope": 1}', '{"epochs": "3"}'),
        *('{"epochs": 1e999}', '{"epochs": NaN}', '{"name": "../x"}'),
    ],
)
def test_a_wrong_config_file_is_one_line(refuse, tmp_path, task, text):
    file = tmp_path / "my.json"
    file.write_text(text)
    assert "my.json" in refuse(task, "train", "--config", file)


def test_every_field_was_attacked():
    attacked = {(task, name) for task, name, *_ in CASES}
    assert attacked == {(task, field.name) for task, field in fields()}
    assert len(CASES) > 600
