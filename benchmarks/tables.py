"""The table that a benchmark prints and keeps, and what stands in it."""

import datetime
import os
import pathlib
import platform
import statistics

RESULTS = pathlib.Path(__file__).parent / "results"


def spread(values, digits=1):
    """Mean and sample deviation; a single value has no deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{digits}f}"


def percent(values, digits=1):
    """The spread of shares, in per cent."""
    return spread([100 * float(value) for value in values], digits)


def machine():
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, "
        f"Python {platform.python_version()}; load averages at the end {load}"
    )


def write_table(name, title, notes, columns, rows):
    """Prints a table and writes it to `benchmarks/results/<name>.md`."""
    lines = [
        f"# {title}",
        "",
        *notes,
        "",
        f"Measured on {datetime.date.today()}: {machine()}.",
        "",
        "| " + " | ".join(columns) + " |",
        "| " + " | ".join("---" for _ in columns) + " |",
        *("| " + " | ".join(map(str, row)) + " |" for row in rows),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
