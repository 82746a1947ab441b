"""Notices to the service manager (``sd_notify(3)``): up, reloading, stopping, alive.

Without ``$NOTIFY_SOCKET`` nothing is sent.  A service manager that does not listen is no reason to stop.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

__all__ = ["ServiceManager"]


class ServiceManager:
    """The service manager that started this process, if there is one.

    ``watchdog`` is the number of seconds within which ``alive`` must be called, or 0.0.
    """

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        at = environ.pop("NOTIFY_SOCKET", "")
        octets = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        mine = pid in ("", str(os.getpid()))
        self.watchdog = int(octets) / 1_000_000 if at and mine and octets.isdigit() else 0.0
        # A name that begins with @ is an abstract address, which begins with a NUL octet.
        self._at = f"\0{at[1:]}" if at.startswith("@") else at
        self._next = 0.0

    def ready(self) -> None:
        """The listeners are open, or a reload has ended."""
        self._send("READY=1\n")

    def reloading(self) -> None:
        """The configuration is being read again."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}\n")

    def stopping(self) -> None:
        """The daemon drains."""
        self._send("STOPPING=1\n")

    def alive(self) -> None:
        """The process works; written as often as the watchdog needs, however often this is called."""
        now = time.monotonic()
        if self.watchdog and now >= self._next:
            self._next = now + self.watchdog / 3
            self._send("WATCHDOG=1\n")

    def pause(self, seconds: float) -> float:
        """How long to wait at most until ``alive`` is called again."""
        return min(seconds, self.watchdog / 3) if self.watchdog else seconds

    def _send(self, text: str) -> None:
        if not self._at:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(text.encode(), self._at)
