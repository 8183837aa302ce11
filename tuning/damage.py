"""Files of a search that are cut short, or that somebody has changed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pydantic

from applications import checkpoints
from applications import files
from applications import settings

# Characters of what is wrong.
LONGEST = 300
ANOTHER = "put back what it was, or begin another search with --name"


@contextlib.contextmanager
def told(file: Path, remedy: str = ANOTHER) -> Iterator[None]:
    """Says which file is damaged and what to do, whatever is wrong with it."""
    try:
        yield
    # A damaged file may raise anything.
    except Exception as error:
        raise ValueError(
            f"{file} is damaged ({_reason(file, error)[:LONGEST]}); {remedy}"
        ) from error


def check_checkpoints(folder: Path) -> None:
    """Raises ValueError where a training would find none that it can read.

    The trial would be a failed one otherwise, for no fault of its settings.
    """
    remedy = f"remove {folder}, and the same command begins the trial again"
    problem = None
    for checkpoint in checkpoints.complete(folder):
        file = checkpoint / "state.json"
        try:
            with told(file, remedy):
                state = files.read_json(file)
                for name in checkpoints.State._fields:
                    state[name]
                return
        except ValueError as error:
            problem = problem or error
    if problem:
        raise problem


def _reason(file: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "it is not there"
    if isinstance(error, pydantic.ValidationError):
        return settings.explain(error)
    if isinstance(error, ValueError):
        return str(error).removeprefix(f"{file} ").removeprefix("is ")
    return f"{type(error).__name__}: {error}"
