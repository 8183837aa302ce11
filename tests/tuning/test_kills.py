"""Searches in processes of their own that are killed in the middle.

What must hold afterwards: the same command completes the search, with every
trial there once and none trained twice.
"""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from applications import files

ROOT = Path(__file__).parents[2]
TASK = "image_classification"
SPACE = """
OBJECTIVE = "max accuracy"

def space(hp):
    return {"dropout": hp.Float("dropout", 0.0, 0.4, step=0.1)}
"""
# For a trial of a few seconds, on a machine that is busy.
TIMEOUT_SECONDS = 300

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="finds processes in /proc"
)


class Command:
    """`python -m tuning` on a few images, for few epochs."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.home = folder / "runs" / "searches" / "default" / TASK
        space = folder / "space.py"
        space.write_text(SPACE)
        self.arguments = [
            *(sys.executable, "-m", "tuning", TASK, "--space", str(space)),
            *("--epochs", "3", "--limit", "4", "--head", "last"),
            *("--runs-dir", str(folder / "runs"), *flags),
        ]

    def start(self) -> subprocess.Popen:
        self.process = subprocess.Popen(
            self.arguments,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self.process

    def wait_for(self, trial: str, name: str) -> None:
        """Until a file of a trial's run is there."""

        def found() -> bool:
            # Not by /proc, which shows a process only a moment after its start.
            assert self.process.poll() is None, "the search has ended"
            return any((self.home / trial).glob(name))

        self.until(found)

    def until(self, found) -> None:
        end = time.monotonic() + TIMEOUT_SECONDS
        while not found():
            assert time.monotonic() < end, sorted(self.home.rglob("*"))
            time.sleep(0.05)

    def processes(self) -> dict[int, str]:
        """Those of this search by number, and what each is to it."""
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                command = (folder / "cmdline").read_text()
                environment = (folder / "environ").read_text()
            except OSError:
                continue
            if str(self.home.parents[3]) not in command:
                continue
            role = "training" if "\0train\0" in command else ""
            for entry in environment.split("\0"):
                if entry.startswith("KERASTUNER_TUNER_ID=") and not role:
                    role = entry.partition("=")[2]
            found[int(folder.name)] = role or "first"
        return found

    def kill(self, role: str) -> None:
        number = next(n for n, r in self.processes().items() if r == role)
        os.kill(number, signal.SIGKILL)

    def check(self, trials: int) -> None:
        with open(self.home / "trials.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["trial"]) for row in rows] == list(range(trials))
        assert {row["status"] for row in rows} == {"completed"}
        assert len({row["dropout"] for row in rows}) == trials
        for row in rows:
            history = (self.home / row["trial"] / "history.csv").read_text()
            assert len(history.splitlines()) == 4
        state = files.read_json(self.home / "oracle" / "oracle.json")
        assert sorted(state["end_order"]) == [row["trial"] for row in rows]
        assert not state["ongoing_trials"]

    def trainings(self, trial: str) -> int:
        """How often a training of the trial was begun."""
        output = (self.home / trial / "output.txt").read_text()
        return output.count("examples a step")


def test_a_killed_search_goes_on_with_the_trial_that_was_cut_off(tmp_path):
    command = Command(tmp_path, "--trials", "3")
    process = command.start()
    command.wait_for("1", "checkpoints/epoch-*")
    process.kill()
    process.communicate()
    # Its training ends with it.
    command.until(lambda: not command.processes())
    assert not (command.home / "1" / "metrics.json").exists()
    output, _ = command.start().communicate(timeout=TIMEOUT_SECONDS)
    assert "3 trials, 0 of them failed" in output
    command.check(trials=3)
    # The one that was cut off went on from its checkpoint.
    assert [command.trainings(name) for name in "012"] == [1, 2, 1]
    assert (
        "resumed after epoch" in (command.home / "1" / "output.txt").read_text()
    )


def test_workers_and_their_chief_may_be_killed(tmp_path):
    command = Command(tmp_path, "--trials", "4", "--workers", "2")
    process = command.start()
    command.wait_for("0", "checkpoints/epoch-*")
    command.kill("worker0")
    command.wait_for("2", "config.json")
    command.kill("local chief")
    output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert "worker0 died (-9); starting it again" in output
    assert "chief died (-9); starting it again" in output
    assert "4 trials, 0 of them failed" in output
    command.check(trials=4)
    begun = [command.trainings(name) for name in "0123"]
    # Only what ran on the killed worker was begun again.
    assert sorted(begun) == [1, 1, 1, 2]
    command.until(lambda: not command.processes())


@pytest.mark.slow
def test_killed_all_together_they_go_on_by_the_same_command(tmp_path):
    command = Command(tmp_path, "--trials", "4", "--workers", "2")
    process = command.start()
    command.wait_for("1", "checkpoints/epoch-*")
    process.kill()
    process.communicate()
    command.until(lambda: not command.processes())
    output, _ = command.start().communicate(timeout=TIMEOUT_SECONDS)
    assert "4 trials, 0 of them failed" in output
    command.check(trials=4)
