"""The file of a search space: it is run, and its mistakes get their line."""

import ast
import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Characters of what Python and keras-tuner say.
LONGEST = 300


class SpaceFile:
    """What a Python file defines, and where.

    Args:
        path: The file, which is run.

    Raises:
        ValueError: If it cannot be run; the message has the line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: dict[str, Any] = {
            "__name__": path.stem,
            "__file__": str(path),
        }
        self.lines: dict[str, int] = {}
        text = path.read_bytes()
        # Not by an import, which would leave compiled code beside the file.
        with self.mistakes():
            tree = ast.parse(text, str(path))
            exec(compile(tree, str(path), "exec"), self.names)
        for node in tree.body:
            self.lines |= dict.fromkeys(_defined_by(node), node.lineno)

    def where(self, name: str) -> str:
        """The file, and the line in which it defines a name."""
        return self._at(self.lines.get(name))

    def _at(self, line: int | None) -> str:
        return f"{self.path}, line {line}" if line else str(self.path)

    @contextlib.contextmanager
    def mistakes(self, name: str = "") -> Iterator[None]:
        """Says the line of what goes wrong in it, else that of `name`."""
        try:
            yield
        except (Exception, SystemExit) as error:
            line = self._line_of(error) or self.lines.get(name)
            reason = error.msg if isinstance(error, SyntaxError) else error
            raise ValueError(
                f"{self._at(line)}: {type(error).__name__}: "
                f"{str(reason)[:LONGEST]}; mend the search space"
            ) from error

    def _line_of(self, error: BaseException) -> int | None:
        if isinstance(error, SyntaxError) and error.filename == str(self.path):
            return error.lineno
        frames = traceback.extract_tb(error.__traceback__)
        lines = [
            frame.lineno for frame in frames if frame.filename == str(self.path)
        ]
        return lines[-1] if lines else None


def _defined_by(node: ast.stmt) -> list[str]:
    """The names that a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target]
        )
        return [one.id for one in targets if isinstance(one, ast.Name)]
    return []
