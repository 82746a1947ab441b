"""The console's process: it serves, comes back when it dies, and ends with the daemon."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import SettingError
from posthouse.service import Config, parse
from posthouse.service.process.console_process import ConsoleProcess

PATIENCE = 60.0
TARGET = "posthouse.console.process:main"


def config_in(path: Path, more: str = "") -> Config:
    return parse(f'hostname = "mx.here.test"\ndata_dir = "{path}"\n[console]\nbind = "127.0.0.1:0"\n{more}')


class Events(list[tuple[str, dict[str, Any]]]):
    """What the process's keeper logged."""

    def __call__(self, event: str, /, **fields: Any) -> None:
        self.append((event, fields))


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[..., ConsoleProcess]]:
    """Makes processes, and stops them."""
    made: list[ConsoleProcess] = []

    def make(config: Config, log: Any = None) -> ConsoleProcess:
        process = ConsoleProcess(TARGET, Events() if log is None else log)
        made.append(process)
        process.open(config)
        process.start()
        return process

    yield make
    for each in made:
        each.stop()


def asked(process: ConsoleProcess, path: str = "/configuration.json") -> Any:
    """The JSON at a path; the connection waits in the listening socket until the program accepts it."""
    host, _, port = process.address.removeprefix("http://").strip("/").rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_it_serves_dies_comes_back_and_takes_a_new_configuration(
    tmp_path: Path, keep: Callable[..., ConsoleProcess]
) -> None:
    log = Events()
    process = keep(config_in(tmp_path), log)
    status, problem = asked(process)
    assert (status, problem["status"]) == (503, 503)  # no daemon runs
    assert "no daemon listens" in problem["detail"]
    pid = process.pid
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + PATIENCE
    while process.pid in (pid, 0) and time.monotonic() < end:
        process.look()
        select.select([], [], [], 0.02)
    assert log == [("console", {"reason": "the console's process ended with signal 9", "again_in": 0.5})]
    assert asked(process)[0] == 503
    process.update(config_in(tmp_path, "session = '1h'"))
    assert process.pid != pid
    assert asked(process)[0] == 503
    address = process.address
    process.stop()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(address.strip("/").rpartition(":")[2]))) != 0


def test_it_ends_with_the_daemon(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from posthouse.service import parse\n"
        "from posthouse.service.process.console_process import ConsoleProcess\n"
        f"process = ConsoleProcess({TARGET!r}, lambda event, /, **fields: None)\n"
        f'process.open(parse(\'data_dir = "{tmp_path}"\\n[console]\\nbind = "127.0.0.1:0"\'))\n'
        "process.start()\n"
        "print(process.pid, flush=True)\n"
        "sys.stdin.read()\n"
        "import os; os._exit(0)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        pidfd = os.pidfd_open(int(daemon.stdout.readline()))
        daemon.kill()
        daemon.communicate()
    try:
        readable, _, _ = select.select([pidfd], [], [], PATIENCE)
        assert readable == [pidfd]
    finally:
        os.close(pidfd)


def test_the_next_port_is_taken_where_that_is_wished(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = parse(f'data_dir = "{tmp_path}"\n[console]\nbind = "127.0.0.1:{port}"')
        strict = ConsoleProcess(TARGET, Events())
        with pytest.raises(SettingError, match="another program already listens there"):
            strict.open(config)
        lenient = ConsoleProcess(TARGET, Events(), spare_ports=20)
        lenient.open(config)
        assert int(lenient.address.strip("/").rpartition(":")[2]) in range(port + 1, port + 21)
        lenient.stop()


def test_nothing_is_opened_where_it_is_off(tmp_path: Path) -> None:
    process = ConsoleProcess(TARGET, Events())
    process.open(parse(f'data_dir = "{tmp_path}"'))
    process.start()
    process.look()
    assert (process.address, process.pid) == ("", 0)
    process.stop()
