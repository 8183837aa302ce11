"""What a search says while it runs: its results alone go to the output."""

import sys


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
