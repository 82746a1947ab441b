"""The console's process: another program beside the daemon, so that mail never waits for a page.

The daemon opens the console's port and reads its key, as root where it is root, and starts the program with what it
needs in a file.  The program ends when the pipe to the daemon ends, so it never outlives it.  If it dies it is started
again, with a growing pause if it lived less than 10 s; the port stays open meanwhile, and connections wait.

A fresh interpreter is started in place of a fork: a process with threads and an event loop cannot be forked safely.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from typing import Final, NamedTuple

from msgspec.structs import replace

from posthouse.core import EventSink, SettingError
from posthouse.net.stream import Endpoint
from posthouse.net.system import endpoint_of, listening_socket, not_listening
from posthouse.service.config.model import Config

__all__ = ["ConsoleProcess", "ConsoleStart", "missing_packages"]

_BACKLOG: Final = 128
_PROVED: Final = 10.0
_LONGEST_PAUSE: Final = 30.0
#: Seconds that the program may take to end its responses, and then to be gone.
_PATIENCE: Final = 3.0
_TRACED: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_PACKAGES: Final = ("starlette", "uvicorn", "jinja2", "multipart", "nh3")


class ConsoleStart(NamedTuple):
    """What the program is started with: the configuration, the name of its file, certificate and key as they were read,
    and the descriptors of the listening socket and of the pipe that ends with the daemon."""

    config: Config
    config_file: str
    certificate: bytes
    key: bytes
    listening: int
    parent: int


def missing_packages() -> list[str]:
    """The packages that the console needs and this installation does not have."""
    return [each for each in _PACKAGES if find_spec(each) is None]


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # nor is what it is a part of
        return False


class ConsoleProcess:
    """The process, from the daemon's side.

    Args:
        target: the function that the program runs, ``module:function``.
        log: told of its ends.
        spare_ports: how many ports behind the configured one are tried if that is taken.
    """

    def __init__(self, target: str, log: EventSink, *, spare_ports: int = 0) -> None:
        self._module, _, self._function = target.partition(":")
        self._log = log
        self._spare = spare_ports
        self._socket: socket.socket | None = None
        self._certificate = self._key = b""
        self._config: Config | None = None
        self._file = ""
        self._child: subprocess.Popen[bytes] | None = None
        self._ending: list[subprocess.Popen[bytes]] = []
        self._pipe = -1
        self._started = 0.0
        self._early = 0
        self._again_at = 0.0
        self._stopped = False

    @property
    def address(self) -> str:
        """The address for a browser, ``http://127.0.0.1:8025/``; "" if the console is off."""
        if self._socket is None or self._config is None:
            return ""
        console = self._config.console
        scheme = "https" if console.tls_cert else "http"
        return f"{scheme}://{console.bind}{console.base_path}/"

    @property
    def pid(self) -> int:
        """The number of the program's process, 0 if none runs."""
        return 0 if self._child is None else self._child.pid

    def open(self, config: Config) -> None:
        """Open the port and read the certificate, before the process becomes another user.

        Does nothing if the console is off.  Raises ``SettingError``.
        """
        if not config.console.enabled:
            return
        if missing := missing_packages():
            raise SettingError(
                f"the console needs Python packages that are not installed ({', '.join(missing)})",
                where="console",
                remedy='install "posthouse[daemon]", or take [console] out',
            )
        if config.console.traces and not all(map(_is_there, _TRACED)):
            raise SettingError(
                "traces need Python packages that are not installed",
                where="console.traces",
                remedy='install "posthouse[traces]", or take traces out',
            )
        if config.console.tls_cert:
            self._certificate = _read(config.console.tls_cert, "console.tls_cert")
            self._key = _read(config.console.tls_key, "console.tls_key") if config.console.tls_key else b""
        self._socket = self._listen(config.console.bind)
        at = endpoint_of(self._socket.getsockname())
        self._config = replace(config, console=replace(config.console, bind=at))

    def _listen(self, bind: Endpoint) -> socket.socket:
        for more in range(self._spare + 1):
            at = Endpoint(bind.host, bind.port + more if bind.port else 0)
            try:
                return listening_socket(at, _BACKLOG, reuse_port=False)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or more == self._spare:
                    raise not_listening(error, bind) from error
        raise AssertionError

    def start(self, config_file: str = "") -> None:
        """Start the program; does nothing if the console is off."""
        self._file = config_file
        if self._socket is not None:
            self._spawn()

    def look(self) -> None:
        """Start the program again if it has ended; called every second or so."""
        self._ending = [each for each in self._ending if each.poll() is None]
        if self._socket is None or self._stopped:
            return
        if self._child is not None and self._child.poll() is not None:
            code, self._child = self._child.returncode, None
            self._close_pipe()
            lived = time.monotonic() - self._started
            self._early = 0 if lived >= _PROVED else self._early + 1
            pause = min(_LONGEST_PAUSE, 0.5 * 2.0 ** (self._early - 1)) if self._early else 0.0
            self._again_at = time.monotonic() + pause
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            self._log("console", reason=f"the console's process ended with {how}", again_in=pause)
        if self._child is None and time.monotonic() >= self._again_at:
            self._spawn()

    def update(self, config: Config) -> None:
        """Let a fresh program take over with a configuration that was read again; its address stays."""
        if self._socket is None or self._config is None:
            return
        self._config = replace(config, console=self._config.console)
        if self._child is not None:
            self._close_pipe()
            _terminate(self._child)
            self._ending.append(self._child)
            self._child = None
        self._spawn()

    def ask_to_stop(self) -> None:
        """Ask the program to end, and close the port; ``stop`` follows."""
        self._stopped = True
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._child is not None:
            _terminate(self._child)

    def stop(self) -> None:
        """End the program, in 3 s at most."""
        self.ask_to_stop()
        if self._child is not None:
            self._ending.append(self._child)
            self._child = None
        for each in self._ending:
            try:
                each.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()
        self._ending.clear()
        self._close_pipe()

    def leave_to_parent(self) -> None:
        """Close this process's copies, in a child that was forked from the daemon."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._close_pipe()
        self._child = None

    def _spawn(self) -> None:
        assert self._socket is not None
        assert self._config is not None
        ended, self._pipe = os.pipe()
        listening = self._socket.fileno()
        start = ConsoleStart(self._config, self._file, self._certificate, self._key, listening, ended)
        try:
            with tempfile.TemporaryFile() as file:
                pickle.dump(start, file)
                file.seek(0)
                self._child = subprocess.Popen(
                    [sys.executable, "-P", "-c", f"from {self._module} import {self._function} as main; main()"],
                    stdin=file,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(listening, ended),
                )
        except OSError as error:
            self._close_pipe()
            self._early += 1
            self._again_at = time.monotonic() + _LONGEST_PAUSE
            self._log("console", reason=f"the console's process cannot be started: {error}", again_in=_LONGEST_PAUSE)
        finally:
            os.close(ended)
        self._started = time.monotonic()

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1


def _terminate(child: subprocess.Popen[bytes]) -> None:
    """Ask a program to end."""
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGTERM)


def _read(path: str, where: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        raise SettingError(
            f"{path} cannot be read ({error.strerror})", where=where, remedy="name a file that the daemon may read"
        ) from error
