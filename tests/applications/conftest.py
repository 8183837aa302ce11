import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from applications import cli
from tests import toy as toy_fixture

ROOT = Path(__file__).parents[2]
START = (
    "from applications import startup; startup.import_tensorflow();"
    "from tests.applications import toy_task; toy_task.main()"
)

toy = toy_fixture.toy


@pytest.fixture(scope="session")
def start_toy():
    """Starts a verb of the toy task in a process of its own."""

    def start(*arguments, **environment):
        return subprocess.Popen(
            [sys.executable, "-c", START, *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture(scope="session")
def trained(toy, tmp_path_factory):
    """The folder of a finished run; tests leave it as it is."""
    runs_dir = tmp_path_factory.mktemp("runs")
    assert cli.main(["toy", "train", "--runs-dir", str(runs_dir)]) == 0
    return runs_dir / "toy" / "default"


@pytest.fixture(scope="session")
def two_workers(toy, start_toy, tmp_path_factory):
    """Two local workers that trained together: folder, outputs, witnesses."""
    folder = tmp_path_factory.mktemp("workers")
    ports = [_free_port() for _ in range(2)]
    workers = [f"127.0.0.1:{port}" for port in ports]
    processes = [
        start_toy(
            *("train", "--strategy", "multi_worker", "--dropout", "0"),
            *("--runs-dir", folder / "runs"),
            TF_CONFIG=json.dumps(
                {
                    "cluster": {"worker": workers},
                    "task": {"type": "worker", "index": index},
                }
            ),
            TOY_WITNESS=str(folder / f"worker-{index}.npz"),
        )
        for index in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], outputs
    return folder, outputs


def _free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]
