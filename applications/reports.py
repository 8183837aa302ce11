"""What all tasks report alike."""


class Incomplete(Exception):
    """A part of the work was done; the message says what was not."""


def percent(value: float | None) -> str:
    return "absent" if value is None else f"{100 * value:.2f} %"
