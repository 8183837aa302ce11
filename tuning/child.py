"""Processes that end with the one that started them, however that ends."""

import importlib
import os
import subprocess
import sys
import threading
from typing import Any


def start(command: list[str], **options: Any) -> subprocess.Popen:
    """Starts `python -m` with this command, a package and its arguments.

    It is tied to this process by a pipe, its standard input, of which nobody
    else has the other end.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "tuning.child", *command],
        stdin=subprocess.PIPE,
        **options,
    )


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main(package: str, *arguments: str) -> int:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cli = importlib.import_module(f"{package}.cli")
    return cli.main(list(arguments))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
