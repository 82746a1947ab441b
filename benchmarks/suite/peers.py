"""The receivers that are compared; each runs on a loopback port in a directory of its own.

Each receiver is configured for throughput: Postfix without client limits and chroot, smtp-sink with a long backlog.
Ours is the product as users run it: ``posthouse run`` with a configuration file, with all checks and trace fields.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

__all__ = [
    "Absent",
    "SETTINGS",
    "Side",
    "aiosmtpd_drop",
    "children",
    "end_process",
    "free_port",
    "postfix",
    "posthouse",
    "posthouse_sink",
    "smtp_sink",
    "wait_for",
]

ROOT = Path(__file__).resolve().parents[2]
POSTFIX = Path("/usr/lib/postfix/sbin")


class Absent(Exception):
    """A peer is not installed; the text says how to install it."""


class Side:
    """A running receiver: its port, its process, and the memory and processor time it uses."""

    def __init__(self, name: str, version: str, port: int, process: subprocess.Popen[bytes], home: Path) -> None:
        self.name = name
        self.version = version
        self.port = port
        self.process = process
        self.home = home

    def _processes(self) -> list[int]:
        return [self.process.pid, *children(self.process.pid)]

    def memory(self, *, shared: bool = False) -> int:
        """Resident octets of the process and its children.

        Shared pages are counted in each process, or with ``shared`` divided among them.
        """
        return sum(_resident(pid, shared) for pid in self._processes())

    def begin_peak(self) -> int:
        """Reset the peak; returns the resident octets now."""
        for pid in self._processes():
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")
        return self.memory()

    def peak(self) -> int:
        """The largest resident octets of each process since ``begin_peak``, or since its later start, added up."""
        return sum(_status(pid, "VmHWM") for pid in self._processes())

    def cpu(self) -> float:
        """Seconds of processor time that the process and its living children have used."""
        total = 0.0
        for pid in self._processes():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return total


def _resident(pid: int, shared: bool) -> int:
    if not shared:
        return _status(pid, "VmRSS")
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _status(pid: int, name: str) -> int:
    """A value of /proc/PID/status in octets; 0 for a process that has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def children(pid: int) -> list[int]:
    """The descendants of a process."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(text), *children(int(text))]
    return found


def free_port() -> int:
    """A port of the loopback address that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, ready: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return when ``ready`` is true; RuntimeError after ``seconds``."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} was not ready within {seconds:g} seconds")
        time.sleep(0.02)


def answers(port: int) -> bool:
    """True if a server greets at this port."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2.0) as channel:
            channel.settimeout(2.0)
            greeted = channel.recv(512).startswith(b"220")
            channel.sendall(b"QUIT\r\n")
            return greeted
    except OSError:
        return False


@contextlib.contextmanager
def running(name: str, version: str, port: int, command: list[str], home: Path, **more: str) -> Iterator[Side]:
    """Start ``command`` and wait until it greets; at the end of the block, end it and its children."""
    log = (home / f"{name}.log").open("wb")
    process = subprocess.Popen(
        command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **more}, cwd=home
    )
    try:
        wait_for(f"{name} (its log: {log.name})", lambda: answers(port) or process.poll() is not None)
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended at once; its log: {Path(log.name).read_text()[-2000:]}")
        yield Side(name, version, port, process, home)
    finally:
        ours = children(process.pid)
        process.terminate()
        end_process(process, ours)
        log.close()


def end_process(process: subprocess.Popen[Any], started: Sequence[int] = (), seconds: float = 10.0) -> None:
    """Wait for a process after its signal; kill it after ``seconds``, and kill those that it ``started``."""
    started = [*started, *children(process.pid)]
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def first_line(command: list[str]) -> str:
    """The first line of a command's output."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().split("\n")[0]


_POSTHOUSE = """\
hostname = "bench.test"
data_dir = "{home}/data"
[[listener]]
bind = "127.0.0.1:{port}"
kind = "mx"
max_connections = 20000
max_connections_per_host = 20000
[[domain]]
name = "hold.test"
deliver = "discard"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[route]]
to = "sink.test"
via = "smtp://127.0.0.1:{sink}"
[[route]]
to = "*.sink.test"
via = "smtp://127.0.0.1:{sink}"
"""


@contextlib.contextmanager
def posthouse(
    home: Path,
    *,
    sink: int = 0,
    workers: int = 0,
    name: str = "posthouse",
    build: str = "",
    more: str = "",
    prepare: Callable[[], None] = lambda: None,
) -> Iterator[Side]:
    """Posthouse: it stores and discards mail for ``hold.test``, and relays mail for ``sink.test`` to the port ``sink``.

    ``build`` is the directory of the package below the project: ``src`` (pure Python) or ``build/compiled``; without it
    the package is the one that the suite imports.  ``more`` is added to the configuration; ``prepare`` is called when
    the directory is there.
    """
    if build and not (ROOT / build / "posthouse").is_dir():
        raise Absent(f"there is no {build}: scripts/compile makes it")
    chosen = {"PYTHONPATH": str(ROOT / build)} if build else {}
    port = free_port()
    home.mkdir(parents=True)
    prepare()
    text = _POSTHOUSE.format(home=home, port=port, sink=sink or 9) + more
    if workers:
        text = f"workers = {workers}\n{text}"
    (home / "posthouse.toml").write_text(text)
    command = [sys.executable, "-m", "posthouse", "run", "--config", str(home / "posthouse.toml")]
    version = first_line([sys.executable, "-m", "posthouse", "--version"])
    with running(name, version, port, command, home, **chosen) as side:
        yield side


#: Settings of Postfix beside its directories: limits lifted, and no DNS queries.
_LIFTED = {
    "compatibility_level": "3.6",
    "command_directory": "/usr/sbin",
    "mail_owner": "postfix",
    "setgid_group": "postdrop",
    "myhostname": "bench.test",
    "mydestination": "",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "mynetworks": "127.0.0.0/8",
    "disable_dns_lookups": "yes",
    "smtp_host_lookup": "native",
    "alias_maps": "",
    "local_recipient_maps": "",
    "relay_domains": "hold.test, sink.test, .sink.test",
    "default_process_limit": "300",
    "message_size_limit": "0",
    "mailbox_size_limit": "0",
    "smtpd_client_connection_count_limit": "0",
    "smtpd_client_connection_rate_limit": "0",
    "smtpd_client_event_limit_exceptions": "static:all",
    "smtpd_recipient_limit": "10000",
    "smtpd_peername_lookup": "no",
    "default_destination_concurrency_limit": "100",
    "initial_destination_concurrency": "20",
    "default_destination_recipient_limit": "1000",
    "smtp_destination_concurrency_limit": "100",
    "qmgr_message_active_limit": "100000",
    "qmgr_message_recipient_limit": "100000",
    "in_flow_delay": "0",
}


@contextlib.contextmanager
def postfix(
    home: Path,
    *,
    sink: int = 0,
    more: Mapping[str, str] = MappingProxyType({}),
    services: str = "",
    prepare: Callable[[], None] = lambda: None,
) -> Iterator[Side]:
    """Postfix with its own configuration and queue directory and its limits lifted; needs root, as Postfix does.

    ``more`` settings and ``services`` are added; ``prepare`` is called when the directory is there.
    """
    if not (POSTFIX / "master").exists():
        raise Absent("Postfix is not installed: apt-get install postfix")
    if os.geteuid() != 0:
        raise Absent("Postfix starts only as root")
    port = free_port()
    home.mkdir(parents=True)
    for part in ("etc", "queue", "data"):
        (home / part).mkdir()
    prepare()
    shutil.chown(home / "data", "postfix", "postfix")
    places = {"queue_directory": "queue", "data_directory": "data"}
    settings = {
        **{key: str(home / part) for key, part in places.items()},
        "daemon_directory": str(POSTFIX),
        "maillog_file": f"{home}/mail.log",
        "maillog_file_prefixes": str(home),
        "transport_maps": f"inline:{{hold.test=discard: sink.test=smtp:[127.0.0.1]:{sink or 9}"
        f" .sink.test=smtp:[127.0.0.1]:{sink or 9}}}",
        **_LIFTED,
        **more,
    }
    text = "".join(f"{key} = {value}\n" for key, value in settings.items())
    (home / "etc" / "main.cf").write_text(text)
    (home / "etc" / "master.cf").write_text(_MASTER.replace("PORT", str(port)) + services)
    subprocess.run(["postfix", "-c", str(home / "etc"), "check"], check=False, capture_output=True)
    version = first_line(["postconf", "-h", "mail_version"])
    command = [str(POSTFIX / "master"), "-c", str(home / "etc"), "-d"]
    with running("Postfix", f"Postfix {version}", port, command, home) as side:
        yield side


_MASTER = """\
127.0.0.1:PORT inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@contextlib.contextmanager
def smtp_sink(home: Path) -> Iterator[Side]:
    """Postfix's smtp-sink, a receiver in C that drops all messages."""
    if shutil.which("smtp-sink") is None:
        raise Absent("smtp-sink is not installed: apt-get install postfix")
    port = free_port()
    home.mkdir(parents=True)
    version = f"smtp-sink {first_line(['postconf', '-h', 'mail_version'])}"
    user = ["-u", "postfix"] if os.geteuid() == 0 else []
    command = ["smtp-sink", *user, "-m", "20000", f"127.0.0.1:{port}", "1024"]
    with running("smtp-sink", version, port, command, home) as side:
        yield side


_AIOSMTPD = """
import asyncio, sys
import aiosmtpd.smtp
class Drop:
    async def handle_DATA(self, server, session, envelope):
        return "250 ok"
async def main():
    loop = asyncio.get_running_loop()
    make = lambda: aiosmtpd.smtp.SMTP(Drop(), hostname="bench.test", data_size_limit=0)
    await loop.create_server(make, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await asyncio.Event().wait()
try:
    import uvloop
    uvloop.run(main())
except ImportError:
    asyncio.run(main())
"""


@contextlib.contextmanager
def aiosmtpd_drop(home: Path) -> Iterator[Side]:
    """aiosmtpd on uvloop with a handler that drops all messages."""
    try:
        import aiosmtpd
    except ImportError:
        raise Absent("aiosmtpd is not installed: pip install aiosmtpd") from None
    port = free_port()
    home.mkdir(parents=True)
    command = [sys.executable, "-c", _AIOSMTPD, str(port)]
    with running("aiosmtpd", f"aiosmtpd {aiosmtpd.__version__}", port, command, home) as side:
        yield side


@contextlib.contextmanager
def posthouse_sink(home: Path) -> Iterator[Side]:
    """Our server library with a handler that drops all messages: ``posthouse sink``."""
    port = free_port()
    home.mkdir(parents=True)
    command = [sys.executable, "-m", "posthouse", "sink", "--bind", f"127.0.0.1:{port}"]
    version = first_line([sys.executable, "-m", "posthouse", "--version"])
    with running("posthouse sink", version, port, command, home) as side:
        yield side


#: The settings of both servers, saved with the results.
SETTINGS = {
    "posthouse": _POSTHOUSE.format(home="DIR", port="PORT", sink="SINK").splitlines(),
    "Postfix": [f"{key} = {value}" for key, value in _LIFTED.items()],
}
