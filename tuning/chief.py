"""The chief of a search: which process it is, where, and whether it is there.

keras-tuner's three variables of the environment say so.
"""

import os
import socket

import grpc

from tuning.progress import say

ROLE = "KERASTUNER_TUNER_ID"
HOST, PORT = "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
# One that is there answers sooner, and nothing needs to be said.
QUIET_SECONDS = 2


def role() -> str | None:
    """What the variables make of this process: chief, worker, or neither."""
    present = [name for name in (ROLE, HOST, PORT) if name in os.environ]
    if not present:
        return None
    given = [name for name in present if os.environ[name].strip()]
    if len(given) < 3:
        empty = [name for name in present if name not in given]
        raise ValueError(
            f"a chief or worker needs {ROLE} (chief, or a name of its own), "
            f"{HOST} and {PORT}; received only {', '.join(given) or 'none'}"
            + (f", and empty: {', '.join(empty)}" if empty else "")
            + "; set them all, or none to search with this process alone"
        )
    port = os.environ[PORT]
    if not (port.isdecimal() and port.isascii() and 0 < int(port) < 2**16):
        raise ValueError(
            f"{PORT} must be the number of a port, from 1 to 65535, received "
            f"{port[:40]!r}"
        )
    if os.environ[HOST].split() != [os.environ[HOST]]:
        raise ValueError(
            f"{HOST} must be the address or name of a machine, received "
            f"{os.environ[HOST][:80]!r}"
        )
    return "chief" if "chief" in os.environ[ROLE] else "worker"


def address() -> str:
    return f"{os.environ[HOST]}:{os.environ[PORT]}"


def check_can_listen() -> None:
    """Raises OSError unless a chief can be reached at its address."""
    host, port = os.environ[HOST].strip("[]"), int(os.environ[PORT])
    try:
        family, kind, _, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        # Of two chiefs at one address gRPC would let each have some workers.
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            probe.listen()
    except OSError as error:
        raise OSError(
            f"the chief cannot listen at {address()} ({error.strerror}); give "
            f"an address of this machine as {HOST}, and a free port as {PORT}"
        ) from error


def wait_for(seconds: int) -> None:
    """Returns once the chief answers; raises TimeoutError where it does not."""
    quiet = min(seconds, QUIET_SECONDS)
    with grpc.insecure_channel(address()) as channel:
        if _answers(channel, quiet):
            return
        say(f"waiting for the chief at {address()}, for up to {seconds} s")
        if not _answers(channel, seconds - quiet):
            raise TimeoutError(
                f"no chief answered at {address()} within {seconds} s "
                "(--chief-timeout); start the same command there with "
                f"{ROLE}=chief, then this one again"
            )
        say("the chief is there")


def _answers(channel: grpc.Channel, seconds: float) -> bool:
    try:
        grpc.channel_ready_future(channel).result(timeout=seconds)
    except grpc.FutureTimeoutError:
        return False
    return True
