"""What a search makes as high or as low as it can."""

import reprlib
import textwrap
from typing import Any
from typing import NamedTuple

# Characters of the metrics that a message lists.
NAMES_WIDTH = 400


class Objective(NamedTuple):
    direction: str
    """"max" or "min"."""
    key: str
    """Of `metrics.json`; `a.b` is key `b` of `a`."""

    def of(self, metrics: dict) -> float:
        """The score that these metrics have."""
        value = metrics
        for part in self.key.split("."):
            if not isinstance(value, dict) or part not in value:
                raise ValueError(
                    f"the objective {self.key} is not in the metrics, which "
                    f"have {_named(numbers(metrics))}; mend OBJECTIVE in the "
                    "search space"
                )
            value = value[part]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(
                f"the objective {self.key} must be a number, its value is "
                f"{reprlib.repr(value)}; mend OBJECTIVE in the search space"
            )
        return float(value)

    def better(self, score: float) -> float:
        """A key to sort by, the best first."""
        return -score if self.direction == "max" else score


def numbers(metrics: dict, prefix: str = "") -> dict[str, float]:
    """All numbers of nested metrics under their dotted keys."""
    flat = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            flat |= numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[prefix + name] = float(value)
    return flat


def _named(metrics: dict) -> str:
    """Names in a line that is no longer than one reads."""
    return textwrap.shorten(", ".join(metrics), NAMES_WIDTH, placeholder="...")


def parse(text: Any, where: str) -> Objective:
    """The objective that a search space states, which is at `where`."""
    words = text.split() if isinstance(text, str) else []
    if len(words) != 2 or words[0] not in ("max", "min"):
        raise ValueError(
            f'{where}: OBJECTIVE must be "max KEY" or "min KEY", received '
            f"{reprlib.repr(text)}"
        )
    return Objective(*words)
