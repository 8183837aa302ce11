"""Search spaces of a user's own with a mistake in them."""

import pytest

from applications import files
from tuning import cli

HEAD = "OBJECTIVE = 'max accuracy'\ndef space(hp):\n"
# What the file holds, the line of the mistake, and what is said of it.
FILES = {
    "typo": (HEAD + "    return {'kernel': kernal}", 3, "NameError: name 'ke"),
    "syntax": (HEAD + "    return {", 3, "SyntaxError: '{' was never closed"),
    "indentation": (HEAD + "return {}", 3, "IndentationError: expected"),
    "encoding": ("# coding: nope", None, "unknown encoding: nope"),
    "null": ("OBJECTIVE = 1\0", None, "null bytes"),
    "argument": (HEAD + "    hp.Float('kernel', 1.0)", 3, "'max_value'"),
    "method": (HEAD + "    hp.Flaot('kernel', 1.0)", 3, "AttributeError"),
    "division": (HEAD + "    x = 0\n    y = 1 / x", 4, "ZeroDivisionError"),
    "below": (
        HEAD + "    return {'kernel': half(1)}\ndef half(x):\n    return x / 0",
        5,
        "ZeroDivisionError",
    ),
    "import": ("\nimport no_such_module", 2, "ModuleNotFoundError"),
    "exit": ("raise SystemExit(0)", 1, "SystemExit: 0"),
    "deep": (HEAD + "    return space(hp)", 3, "RecursionError"),
    "no_space": ("OBJECTIVE = 'max a'", None, "it has no space"),
    "no_objective": ("def space(hp): ...", None, "it has no OBJECTIVE"),
    "objective": ("\nOBJECTIVE = 'a'\ndef space(hp): ...", 2, '"max KEY"'),
    "not_callable": ("OBJECTIVE = 'max a'\nspace = {}", 2, "must be a functi"),
    "no_argument": ("OBJECTIVE = 'max a'\ndef space(): ...", 2, "TypeError"),
    "nothing": (HEAD + "    return {}", None, "asks for nothing"),
    "mixed": (HEAD + "    hp.Choice('kernel', [1, 'a'])", 3, "only one type"),
    "long": (HEAD + "    hp.Choice('x', [1] * 999 + ['a'])", 3, "only one t"),
    "long_name": (
        HEAD + "    return {hp.Choice('x', ['a' * 999]): 1}",
        2,
        "aaa",
    ),
    "empty": (HEAD + "    hp.Choice('kernel', [])", 3, "must be provided"),
    "infinite": (
        HEAD + "    hp.Float('kernel', 0, float('inf'))",
        2,
        "parameter 'kernel' must have finite limits",
    ),
    "step": (HEAD + "    hp.Int('n', 1, 5, step=0)", 2, "a step above 0"),
    "default": (
        HEAD + "    hp.Float('x', 1, 5, default=9)",
        2,
        "must have a default from 1.0 to 5.0, received 9",
    ),
    "no_dict": (HEAD + "    hp.Boolean('x')\n    return 3", 2, "received 3"),
    "unknown": (
        HEAD + "    return {'kernal': hp.Float('x', 1, 2)}",
        2,
        "unknown settings: kernal; near are: kernel; --help lists those",
    ),
    "no_json": (
        HEAD + "    return {'kernel': {hp.Float('x', 1, 2)}}",
        2,
        "kernel must be a number, a text, a truth value",
    ),
    "no_text": (HEAD + "    return {3: hp.Float('x', 1, 2)}", 2, "settings: 3"),
    "branch": (
        HEAD + "    if hp.Choice('x', ['a', 'b']) == 'b':\n"
        "        return {'kernel': kernal}\n"
        "    return {}\n",
        4,
        "NameError",
    ),
    "branch_unknown": (
        HEAD + "    if hp.Boolean('x'):\n"
        "        return {'kernal': 1.0}\n"
        "    return {}\n",
        2,
        "unknown settings: kernal",
    ),
    "hidden": (
        HEAD + "    if hp.Choice('x', ['a', 'b']) == 'b':\n"
        "        return {'kernel': hp.Float('y', 1, 2)}\n"
        "    return {}\n",
        2,
        "'y' is not always asked for; ask for it under hp.conditional_scope",
    ),
    "start": (
        "START = [1]\n" + HEAD + "    return {'kernel': hp.Float('x', 1, 2)}",
        1,
        "START must be a dict of settings",
    ),
    "start_unknown": (
        "START = {'epoch': 1}\n" + HEAD + "    hp.Boolean('x')",
        1,
        "unknown settings: epoch",
    ),
    "start_value": (
        "START = {'epochs': 0}\n" + HEAD + "    hp.Boolean('x')",
        1,
        "epochs must be at least 1, received 0",
    ),
    "start_json": (
        "START = {'epochs': {1}}\n" + HEAD + "    hp.Boolean('x')",
        1,
        "epochs must be a number",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_mistake_is_told_with_its_line_before_anything_is_written(
    name, tmp_path, trainings, capsys
):
    text, line, message = FILES[name]
    file = tmp_path / "wrong.py"
    file.write_text(text)
    flags = ["--space", str(file), "--runs-dir", str(tmp_path / "runs")]
    assert cli.main(["toy", *flags]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
    assert f"{file}, line {line}: " in error if line else str(file) in error
    assert "line None" not in error and len(error) < 600
    assert not trainings
    assert [path.name for path in tmp_path.rglob("*")] == ["wrong.py"]


def test_a_file_may_be_changed_between_two_searches(make_search, file):
    # As long as before and within the same second: nothing is kept of it.
    for high in ("10.0", "20.0", "30.0"):
        file.write_text(file.read_text().replace("10.0", high))
        kernel = make_search({"name": f"n{high}"}).space.declare().space[0]
        assert kernel.max_value == float(high)
        file.write_text(file.read_text().replace(high, "10.0"))


def test_a_mistake_that_certain_values_meet_ends_the_search_with_its_line(
    tmp_path, file, trainings, capsys
):
    # Both ends of the range are tried before, and pass.
    file.write_text(
        HEAD + "    x = hp.Float('x', 1.0, 2.0)\n"
        "    return {'kernel': x if x in (1.0, 2.0) else 1 / 0}\n"
    )
    runs = tmp_path / "runs"
    flags = ["--space", str(file), "--runs-dir", str(runs)]
    assert cli.main(["toy", *flags]) == 2
    error = capsys.readouterr().err
    assert f"{file}, line 4: ZeroDivisionError" in error.splitlines()[-1]
    assert not trainings
    search = runs / "searches" / "default" / "toy"
    assert files.read_json(search / "search.json")["objective"]
