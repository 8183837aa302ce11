"""Who runs the trials: this process, or a chief and workers around it.

The chief keeps the search's state and hands out trials, by keras-tuner's own
protocol; a process is told by three variables of its environment what it is.
`--workers` starts them all on one machine and starts anew what dies.
"""

import contextlib
import functools
import os
import socket
import subprocess
import time
from collections.abc import Sequence

import grpc

from applications import files
from tuning import chief
from tuning import child
from tuning import results
from tuning.progress import say
from tuning.search import Search

# Whoever started it draws the conclusions.
LOCAL_CHIEF = "local chief"
POLL_SECONDS = 0.5
# Of one process: what ends more often is broken.
MAX_RESTARTS = 4


def run(search: Search, arguments: Sequence[str]) -> None:
    """Searches to the end; `arguments` are those of this very command."""
    role = chief.role()
    # What is damaged is said before anything changes.
    results.check(search)
    if role == "worker":
        _work(search)
        return
    if role is None and search.flags.workers > 1:
        _start_all(search, arguments)
        results.conclude(search)
        return
    if role == "chief":
        chief.check_can_listen()
        say(f"chief at {chief.address()}, waiting for workers")
    with files.lock(search.folder / "oracle"):
        _search(search)
        if os.environ.get(chief.ROLE) != LOCAL_CHIEF:
            results.conclude(search)


def _search(search: Search) -> None:
    # Each only with what it needs: Optuna is an extra.
    if search.flags.algorithm == "nsga2":
        from tuning import optuna_search

        optuna_search.run(search)
    else:
        from tuning.tuner import Tuner

        Tuner(search).search()


def _work(search: Search) -> None:
    """Runs trials for a chief, and waits for one that is away."""
    from tuning.tuner import Tuner

    await_chief = functools.partial(chief.wait_for, search.flags.chief_timeout)
    for _ in range(1 + MAX_RESTARTS):
        await_chief()
        tuner = Tuner(search, await_chief)
        try:
            # keras-tuner prints conditions as it receives them.
            with open(os.devnull, "w") as null:
                with contextlib.redirect_stdout(null):
                    return tuner.search()
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            say("the chief is away")
        finally:
            tuner.locks.close()
    raise OSError("the chief went away too often")


def _start_all(search: Search, arguments: Sequence[str]) -> None:
    """A chief and workers; a worker that dies gets its trial back."""
    names = [LOCAL_CHIEF]
    names += [f"worker{n}" for n in range(search.flags.workers)]
    address = {chief.HOST: "127.0.0.1", chief.PORT: str(_free_port())}

    def start(name: str) -> subprocess.Popen:
        return child.start(
            ["tuning", *arguments],
            env=os.environ | address | {chief.ROLE: name},
            stdout=subprocess.DEVNULL if name == LOCAL_CHIEF else None,
        )

    running = {name: start(name) for name in names}
    restarts = dict.fromkeys(names, 0)
    try:
        while any(name != LOCAL_CHIEF for name in running):
            time.sleep(POLL_SECONDS)
            for name, process in list(running.items()):
                status = process.poll()
                if status is None:
                    continue
                del running[name]
                if status == 0:
                    continue
                if status == 2 or restarts[name] == MAX_RESTARTS:
                    raise OSError(
                        f"the {name} of the search ended with status {status}"
                    )
                restarts[name] += 1
                say(f"{name} died ({status}); starting it again")
                running[name] = start(name)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
