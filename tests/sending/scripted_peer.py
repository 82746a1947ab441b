"""A receiving SMTP in a thread that answers from a table, for tests of what senders make of its replies.

Each connection takes the next table of ``tables``, the last one for all further connections.  A table maps the
beginning of a command to the reply; the longest beginning that fits counts.  ``CONTENT`` stands for the end of the
message.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from typing import Final

__all__ = ["CLOSE", "CONTENT", "HANG", "ScriptedPeer", "Table"]

#: As a reply: end the connection without one.  Behind a reply and a space: end it after that.
CLOSE: Final = "CLOSE"
#: As a reply: none, until the test ends.
HANG: Final = "HANG"
CONTENT: Final = "the end of the content"
GREETING: Final = "the greeting"

Table = Mapping[str, str]

_USUAL: Final = {
    GREETING: "220 mx.example ready",
    "EHLO": "250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES",
    "LHLO": "250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME",
    "MAIL": "250 2.1.0 sender ok",
    "RCPT": "250 2.1.5 recipient ok",
    "DATA": "354 go on",
    CONTENT: "250 2.0.0 queued as 77",
    "RSET": "250 ok",
    "NOOP": "250 ok",
    "QUIT": "221 bye",
}


class ScriptedPeer:
    """The peer, on a free port of loopback; use it in a ``with`` statement."""

    def __init__(self, *tables: Table, lmtp: bool = False, one_octet_at_a_time: bool = False) -> None:
        self._tables = [*tables] or [{}]
        self._lmtp = lmtp
        self._slowly = one_octet_at_a_time
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        #: The lines of each connection, content in one piece.
        self.dialogues: list[list[str]] = []
        self.over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"{'lmtp' if self._lmtp else 'smtp'}://127.0.0.1:{self.port}"

    def __enter__(self) -> ScriptedPeer:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            table = self._tables.pop(0) if len(self._tables) > 1 else self._tables[0]
            lines: list[str] = []
            self.dialogues.append(lines)
            self._start(self._serve, sock, {**_USUAL, **table}, lines)

    def _serve(self, sock: socket.socket, table: Table, lines: list[str]) -> None:
        sock.settimeout(30)
        accepted = 0
        with sock, contextlib.suppress(OSError), sock.makefile("rb") as file:
            if not self._say(sock, table[GREETING]):
                return
            while line := file.readline():
                command = line.decode("utf-8", "replace").rstrip("\r\n")
                lines.append(command)
                reply = table.get(
                    max((each for each in table if command.startswith(each)), key=len, default=""), "500 what?"
                )
                if command.startswith("MAIL"):
                    accepted = 0
                accepted += command.startswith("RCPT") and reply.startswith("2")
                if command == "DATA" and reply.startswith("354") and accepted == 0:
                    reply = "503 5.5.1 no valid recipient"
                if not self._say(sock, reply) or command == "QUIT":
                    return
                if reply.startswith("354"):
                    content = b""
                    while (line := file.readline()) not in (b".\r\n", b""):
                        content += line
                    lines.append(content.decode("utf-8", "surrogateescape"))
                    for _ in range(accepted if self._lmtp else 1):
                        if not line or not self._say(sock, table[CONTENT]):
                            return

    def _say(self, sock: socket.socket, reply: str) -> bool:
        """Send a reply; returns whether the connection goes on."""
        if reply == HANG:
            self.over.wait(60)
            return False
        text = reply.removesuffix(CLOSE).strip()
        if text:
            octets = text.encode() + b"\r\n"
            for start in range(0, len(octets), 1 if self._slowly else len(octets)):
                sock.sendall(octets[start : start + (1 if self._slowly else len(octets))])
        if reply.endswith(CLOSE):
            sock.shutdown(socket.SHUT_RDWR)
            return False
        return True
