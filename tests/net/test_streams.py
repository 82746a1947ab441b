"""Every network keeps the promises of ``net.stream``: sockets on both loops, over IPv4, IPv6 and unix, and memory."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.net import Endpoint, Network, SocketNetwork, SystemClock
from posthouse.testing import MemoryNetwork, StreamFault
from posthouse.testing.conformance import STREAM_CHECKS, StreamCheck, run_check

LOOPS = [
    pytest.param("asyncio", id="asyncio"),
    pytest.param(
        "uvloop",
        id="uvloop",
        marks=pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="needs: pip install uvloop"),
    ),
]


def no_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return True
    return False


def run(loop: str, scenario: Any) -> None:
    if loop == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(scenario)
    else:
        asyncio.run(scenario)


def sockets(errors: list[BaseException]) -> Network:
    return SocketNetwork(on_error=errors.append)


def memory(errors: list[BaseException]) -> Network:
    return MemoryNetwork(SystemClock(), on_error=errors.append)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("make", [sockets, memory])
@pytest.mark.parametrize("check", STREAM_CHECKS, ids=lambda check: check.__name__)
def test_promises(check: StreamCheck, make: Callable[[list[BaseException]], Network], loop: str) -> None:
    errors: list[BaseException] = []
    run(loop, run_check(check, make(errors), Endpoint("127.0.0.1"), errors))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("make", [sockets, memory])
@pytest.mark.parametrize("check", STREAM_CHECKS, ids=lambda check: check.__name__)
def test_promises_of_a_unix_socket(
    check: StreamCheck, make: Callable[[list[BaseException]], Network], loop: str, tmp_path: Path
) -> None:
    errors: list[BaseException] = []
    path = tmp_path / "s"
    run(loop, run_check(check, make(errors), Endpoint(str(path)), errors))
    assert not path.exists()


@pytest.mark.skipif(no_ipv6(), reason="needs IPv6 on loopback")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("check", STREAM_CHECKS[:6], ids=lambda check: check.__name__)
def test_promises_over_ipv6(check: StreamCheck, loop: str) -> None:
    errors: list[BaseException] = []
    run(loop, run_check(check, sockets(errors), Endpoint("::1"), errors))


@pytest.mark.parametrize(
    "check", [c for c in STREAM_CHECKS if c.__name__ in ("echoes", "last_words_from_a_paused_reader")]
)
def test_promises_in_single_octets(check: StreamCheck) -> None:
    errors: list[BaseException] = []
    network = MemoryNetwork(SystemClock(), on_error=errors.append)
    network.everywhere = StreamFault(single=True)
    asyncio.run(run_check(check, network, Endpoint("127.0.0.1"), errors))
