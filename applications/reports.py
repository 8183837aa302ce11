"""Numbers as the tables of all tasks show them."""


def percent(value: float | None) -> str:
    return "absent" if value is None else f"{100 * value:.2f} %"
