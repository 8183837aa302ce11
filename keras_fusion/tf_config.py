"""The environment variable `TF_CONFIG`, checked before TensorFlow reads it.

TensorFlow takes much of what is wrong with it and then waits for ever, for
workers that are not there.
"""

import json
import os
import re
from typing import Any

EXAMPLE = (
    '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
JOBS = ("chief", "worker")
# Characters of what was received that a message repeats.
SHOWN = 200


def check() -> None:
    """Raises ValueError unless it says what this process is to its cluster."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        problem = _wrong_with(json.loads(text))
    except (ValueError, RecursionError):
        problem = "it is not JSON" if text else "it is not set"
    if problem:
        raise ValueError(
            "`TF_CONFIG` must be set for strategy 'multi_worker', which needs "
            "the environment variable in every process, with its own index, "
            f"for example TF_CONFIG='{EXAMPLE}'; {problem}. "
            f"Received: TF_CONFIG={text[:SHOWN]!r}"
        )


def _wrong_with(config: Any) -> str:
    """What is wrong, or nothing."""
    if not isinstance(config, dict):
        return "it is no object of cluster and task"
    cluster, task = config.get("cluster"), config.get("task")
    if not isinstance(cluster, dict) or "worker" not in cluster:
        return "its cluster must be an object with a list of workers"
    return _wrong_with_cluster(cluster) or _wrong_with_task(task, cluster)


def _wrong_with_cluster(cluster: dict[str, Any]) -> str:
    seen = set()
    for job, addresses in cluster.items():
        if not isinstance(addresses, list) or not addresses:
            return f"the {job} of its cluster must be a list of addresses"
        for address in addresses:
            if not _is_address(address):
                return f"the {job} {address!r} is no address HOST:PORT"
            if address in seen:
                return f"the address {address} is there twice"
            seen.add(address)
    if len(cluster.get("chief", ())) > 1:
        return "its cluster must have one chief at most"
    return ""


def _is_address(address: Any) -> bool:
    if not isinstance(address, str):
        return False
    found = re.fullmatch(r"[^\s/]+:([0-9]{1,5})", address)
    return found is not None and 0 < int(found[1]) < 2**16


def _wrong_with_task(task: Any, cluster: dict[str, list]) -> str:
    if not isinstance(task, dict):
        return "its task must be an object of type and index"
    job, index = task.get("type"), str(task.get("index"))
    if job not in JOBS or job not in cluster:
        return "the type of its task must be a chief or worker of its cluster"
    # TensorFlow takes the number as a text too.
    if not re.fullmatch(r"[0-9]{1,6}", index):
        return "the index of its task must be a number from 0"
    if int(index) >= len(cluster[job]):
        return (
            f"the index of its task must be below {len(cluster[job])}, the "
            f"number of its {job}s"
        )
    return ""
