"""What a search makes as high or as low as it can."""

from typing import Any
from typing import NamedTuple


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
                    f"have {', '.join(numbers(metrics))}"
                )
            value = value[part]
        if not isinstance(value, int | float):
            raise ValueError(
                f"the objective {self.key} must be a number, its value is "
                f"{value!r}"
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


def parse(text: Any, where: str) -> Objective:
    """The objective that a search space states, which is at `where`."""
    words = text.split() if isinstance(text, str) else []
    if len(words) != 2 or words[0] not in ("max", "min"):
        raise ValueError(
            f'{where}: OBJECTIVE must be "max KEY" or "min KEY", received '
            f"{text!r}"
        )
    return Objective(*words)
