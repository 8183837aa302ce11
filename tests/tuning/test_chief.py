"""The chief of a search and its workers, as far as one process shows them."""

import socket
import time

import pytest

from tuning import chief
from tuning import cli
from tuning import workers
from tuning.tuner import Tuner


@pytest.fixture
def port():
    """A port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def be(monkeypatch):
    """Gives this process a role, by keras-tuner's variables."""

    def be(role, host="127.0.0.1", port="8000"):
        for name, value in (
            (chief.ROLE, role),
            (chief.HOST, host),
            (chief.PORT, port),
        ):
            if value is not None:
                monkeypatch.setenv(name, str(value))

    return be


@pytest.mark.parametrize(
    ("role", "host", "port", "message"),
    [
        ("worker0", None, None, "received only KERASTUNER_TUNER_ID"),
        (None, "host", "8000", "received only KERASTUNER_ORACLE_IP, KERAS"),
        ("", "host", "8000", "empty: KERASTUNER_TUNER_ID"),
        ("chief", "", "8000", "empty: KERASTUNER_ORACLE_IP"),
        ("chief", "host", " ", "empty: KERASTUNER_ORACLE_PORT"),
        ("", None, None, "received only none, and empty: KERASTUNER_TUNER_ID"),
        ("", "", "", "or none to search with this process alone"),
        ("worker0", "host", "http", "from 1 to 65535, received 'http'"),
        ("worker0", "host", "0", "from 1 to 65535, received '0'"),
        ("worker0", "host", "65536", "from 1 to 65535"),
        ("worker0", "host", "-1", "from 1 to 65535"),
        ("worker0", "host", "8e3", "from 1 to 65535"),
        ("worker0", "host", "²", "from 1 to 65535"),
        ("chief", "two hosts", "8000", "name of a machine"),
    ],
)
def test_variables_that_name_no_chief_explain_themselves(
    be, role, host, port, message, file, tmp_path, capsys
):
    be(role, host, port)
    flags = ["--space", str(file), "--runs-dir", str(tmp_path / "runs")]
    assert cli.main(["toy", *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_worker_says_what_it_waits_for_and_gives_up(
    be, port, make_search, monkeypatch, capsys
):
    monkeypatch.setattr(chief, "QUIET_SECONDS", 0.1)
    be("worker0", port=port)
    search = make_search(chief_timeout=1)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="within 1 s .--chief-timeout.*star"):
        workers.run(search, [])
    assert 1 <= time.monotonic() - began < 20
    said = capsys.readouterr().err
    assert said == f"waiting for the chief at 127.0.0.1:{port}, for up to 1 s\n"


def test_a_worker_looks_for_its_chief_before_every_request(
    make_search, trainings
):
    looks = []
    search = make_search(trials=1)
    Tuner(search, lambda: looks.append(len(trainings))).search()
    # A trial is asked for, reported, and there is no other.
    assert looks == [0, 1, 1]


def test_somebody_else_at_the_address_is_no_chief(be, monkeypatch):
    monkeypatch.setattr(chief, "QUIET_SECONDS", 0.1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        be("worker0", port=other.getsockname()[1])
        with pytest.raises(TimeoutError, match="no chief answered"):
            chief.wait_for(1)


def test_a_chief_at_an_address_that_is_taken_explains_itself(
    be, file, tmp_path, capsys
):
    flags = ["--space", str(file), "--runs-dir", str(tmp_path / "runs")]
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        be("chief", port=other.getsockname()[1])
        assert cli.main(["toy", *flags]) == 2
    error = capsys.readouterr().err
    assert "cannot listen at 127.0.0.1" in error and error.count("\n") == 1
    assert "give an address of this machine" in error


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_chief_at_the_address_of_another_machine_explains_itself(
    be, host, port
):
    be("chief", host, port)
    with pytest.raises(OSError, match="cannot listen.*KERASTUNER_ORACLE_IP"):
        chief.check_can_listen()


def test_two_objectives_have_no_chief(be, make_search):
    be("chief")
    with pytest.raises(ValueError, match="unset KERASTUNER_TUNER_ID"):
        make_search(algorithm="nsga2")
