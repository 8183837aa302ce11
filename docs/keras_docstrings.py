"""Teaches the site the sections that docstrings of Keras have.

The parser of Google's style knows arguments, returned values and errors. A
layer of Keras has more: those become headings, with a list where they describe
arguments, and a session of Python becomes a block of code.
"""

import re

import griffe

LISTS = ("Call arguments",)
TEXTS = ("Input shape", "Output shape", "Reference", "Example")
# Its lines stand indented under the title, or behind an empty line.
SECTION = re.compile(
    rf"^({'|'.join(LISTS + TEXTS)}):\n((?:    .*\n?|\n)*)", re.M
)
ARGUMENT = re.compile(r"^(\w[\w*, ]*):", re.M)
SESSION = re.compile(r"^>>> (?:.+\n?)+", re.M)


class KerasDocstrings(griffe.Extension):
    def on_object(self, *, obj, **kwargs):
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text):
    text = SECTION.sub(_as_heading, text)
    return SESSION.sub(
        lambda match: f"```pycon\n{match.group().rstrip()}\n```\n", text
    )


def _as_heading(match):
    title, body = match.groups()
    lines = [line.removeprefix("    ") for line in body.splitlines()]
    body = "\n".join(lines)
    if title in LISTS:
        body = ARGUMENT.sub(r"- `\1`:", body)
    return f"**{title}**\n\n{body}\n\n"
