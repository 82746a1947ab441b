"""A blocking SMTP client that waits for each reply and times each message, which smtp-source does not."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

__all__ = ["MESSAGE", "Session"]

#: 4 KiB.
MESSAGE = b"From: load@src.test\r\nSubject: load\r\n\r\n" + (b"x" * 78 + b"\r\n") * 50 + b".\r\n"


class Session:
    """A session after EHLO, from the address ``source``.  Raises OSError, or RuntimeError for an unexpected reply."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._expect(b"220")
        self._say(b"EHLO load.test\r\n", b"250")

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection without QUIT."""
        self._socket.close()

    def send(self, to: bytes = b"someone@hold.test") -> float:
        """Send one message; returns the seconds from the first octet of MAIL to the last reply."""
        begun = time.perf_counter()
        self._say(b"MAIL FROM:<load@src.test>\r\n", b"250")
        self._say(b"RCPT TO:<%s>\r\n" % to, b"250")
        self._say(b"DATA\r\n", b"354")
        self._say(MESSAGE, b"250")
        return time.perf_counter() - begun

    def messages(self, seconds: float, to: bytes = b"someone@hold.test") -> Iterator[float]:
        """Send messages one after another for ``seconds``; yields the seconds of each."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            yield self.send(to)

    def _say(self, octets: bytes, code: bytes) -> None:
        self._socket.sendall(octets)
        self._expect(code)

    def _expect(self, code: bytes) -> None:
        reply = b""
        while not (reply.endswith(b"\n") and reply[:-1].rpartition(b"\n")[2][3:4] in (b" ", b"\r")):
            more = self._socket.recv(4096)
            if not more:
                raise RuntimeError(f"the receiver closed the session; it had said {reply!r}")
            reply += more
        if not reply.startswith(code):
            raise RuntimeError(f"the receiver said {reply!r}, not {code.decode()}")
