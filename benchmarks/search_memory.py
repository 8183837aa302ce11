"""Does the memory of a search grow with its trials?

    python -m benchmarks.search_memory

Runs a search of many small trials and writes down the memory of its process
after each. A trial has a process of its own, so that what is measured is what
the search itself keeps.
"""

import argparse
import statistics
import tempfile

from applications.image_classification.config import Config
from benchmarks.memory import resident
from benchmarks.tables import write_table
from tuning import search as searches
from tuning import tuner
from tuning import workers
from tuning.flags import Flags

TASK = "image_classification"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    arguments = parser.parse_args()
    after = []
    run = tuner.run

    def measured(*trial):
        result = run(*trial)
        after.append(resident())
        return result

    tuner.run = measured
    with tempfile.TemporaryDirectory() as folder:
        config = Config(epochs=1, limit=4, runs_dir=folder)
        search = searches.begin(TASK, Flags(trials=arguments.trials), config)
        workers.run(search, [])
    third = max(1, len(after) // 3)
    write_table(
        "search_memory",
        "Memory of a search",
        [
            (
                f"`python -m benchmarks.search_memory`: {len(after)} trials of "
                "one epoch on 40 digits; resident memory of the search's "
                "process behind each, medians of the first and last third."
            )
        ],
        ["trials", "first third, MiB", "last third, MiB", "most, MiB"],
        [
            [
                len(after),
                f"{statistics.median(after[:third]):.0f}",
                f"{statistics.median(after[-third:]):.0f}",
                f"{max(after):.0f}",
            ]
        ],
    )


if __name__ == "__main__":
    main()
