"""Connecting without an event loop: the order of attempts, who wins, and what is said when nobody answers."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.core import LocalError, Unreachable
from posthouse.net import Endpoint, SystemClock
from posthouse.net.blocking_connect import connect_blocking

CLOCK = SystemClock()


@contextlib.contextmanager
def listening(backlog: int = 5) -> Iterator[Endpoint]:
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as server:
        yield Endpoint(*server.getsockname()[:2])


@contextlib.contextmanager
def silent() -> Iterator[Endpoint]:
    """An address that accepts no connection and refuses none: its queue of new ones is full."""
    with listening(backlog=0) as endpoint, contextlib.ExitStack() as stack:
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(tuple(endpoint))
        yield endpoint


def refusing() -> Endpoint:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return Endpoint(*server.getsockname()[:2])


def test_the_first_that_answers_wins() -> None:
    with listening() as first, listening() as second:
        sock, endpoint = connect_blocking([first, second], CLOCK)
        with sock:
            assert endpoint == first
            assert Endpoint(*sock.getpeername()[:2]) == first
            assert not sock.getblocking()


def test_a_refusal_lets_the_next_join_at_once() -> None:
    with listening() as good:
        begun = time.monotonic()
        sock, endpoint = connect_blocking([refusing(), good], CLOCK, attempt_delay=20.0)
        sock.close()
    assert endpoint == good
    assert time.monotonic() - begun < 10


def test_silence_lets_the_next_join_after_the_delay() -> None:
    with silent() as dead, listening() as good:
        sock, endpoint = connect_blocking([dead, good], CLOCK, attempt_delay=0.01)
        sock.close()
    assert endpoint == good


def test_nobody_answers() -> None:
    one, two = refusing(), refusing()
    with pytest.raises(Unreachable, match=f"^{one} refused the connection$"):
        connect_blocking([one], CLOCK)
    with pytest.raises(Unreachable) as caught:
        connect_blocking([one, two], CLOCK)
    assert str(caught.value).startswith("no address could be reached: ")
    assert str(one) in str(caught.value)
    assert str(two) in str(caught.value)
    with pytest.raises(Unreachable, match="no address"):
        connect_blocking([], CLOCK)


def test_the_time_limit_is_for_all_together() -> None:
    with silent() as dead, silent() as other, pytest.raises(Unreachable) as caught:
        connect_blocking([dead, other], CLOCK, attempt_delay=20.0, timeout=0.05)
    assert f"{dead} did not answer within 0.05 s" in str(caught.value)
    assert f"{other} was not tried in time" in str(caught.value)


def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        sock, endpoint = connect_blocking([Endpoint(path)], CLOCK)
        sock.close()
    assert endpoint == Endpoint(path)
    with pytest.raises(Unreachable, match="refused the connection"):
        connect_blocking([Endpoint(path)], CLOCK)
    with pytest.raises(Unreachable, match="nothing listens there"):
        connect_blocking([Endpoint(str(tmp_path / "absent"))], CLOCK)


def test_the_source_address() -> None:
    with listening() as good:
        sock, _ = connect_blocking([good], CLOCK, source="127.0.0.2")
        with sock:
            assert sock.getsockname()[0] == "127.0.0.2"
        with pytest.raises(Unreachable, match="cannot be reached from the source address ::1"):
            connect_blocking([good], CLOCK, source="::1")
        with pytest.raises(Unreachable, match="is not an address of this machine"):
            connect_blocking([good], CLOCK, source="192.0.2.1")


def test_a_name_is_no_address() -> None:
    with pytest.raises(LocalError, match="ask a resolver"):
        connect_blocking([Endpoint("mail.example.org", 25)], CLOCK)
