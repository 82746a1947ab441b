"""A server whose answers a test chooses, in threads."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

MESSAGE = b"From: langrui@sohu.com\r\nTo: renping@sina.com\r\nSubject: hi\r\n\r\nhello\r\n"
#: Time enough for any machine.
LONG = 60.0

#: What the script says to a command: a reply, ``CLOSE`` (end without a reply), or an event that is awaited before the
#: ordinary reply.
CLOSE = "close"
#: An ordinary reply, and close_notify behind it.
NOTIFY = "close_notify"
Answer = str | threading.Event
Script = dict[tuple[int, str, int], Answer]  # (session, verb, how often in that session) → the answer

_ORDINARY = {
    "EHLO": "250-peer.test\r\n250-PIPELINING\r\n250 8BITMIME",
    "LHLO": "250-peer.test\r\n250-PIPELINING\r\n250 8BITMIME",
    "DATA": "354 go on",
    "QUIT": "221 bye",
}


class ScriptedServer:
    """Accepts sessions, numbered from 0, and answers as the script says.

    ``dialogues`` has the commands of each session (the verbs, and "." for content), ``messages`` the content of all.
    """

    def __init__(self, script: Script | None = None, *, context: ssl.SSLContext | None = None) -> None:
        self.script = script or {}
        self.dialogues: list[list[str]] = []
        self.messages: list[bytes] = []
        self.failures: list[BaseException] = []
        self.most_at_once = 0
        self.notified = False
        self.slowly = False  # one octet at a time
        self._open: dict[int, socket.socket] = {}
        self._context = context
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def __enter__(self) -> ScriptedServer:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for number in list(self._open):
            self.hang_up(number)
        for each in self._threads:
            each.join(LONG)
            assert not each.is_alive()
        if self.failures:
            raise self.failures[0]

    def wait_until(self, true: Callable[[], bool]) -> None:
        """Wait for something that the sessions change."""
        with self._changed:
            assert self._changed.wait_for(true, LONG), (self.dialogues, self._open)

    def hang_up(self, number: int, farewell: str = "") -> None:
        """End a session from this side, with a reply that nothing asked for if there is one."""
        sock = self._open.get(number)
        if sock is not None:
            with contextlib.suppress(OSError):
                if farewell:
                    sock.sendall(farewell.encode() + b"\r\n")
                sock.shutdown(socket.SHUT_RDWR)

    def is_open(self, number: int) -> bool:
        return number in self._open

    @property
    def open_now(self) -> int:
        return len(self._open)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._session, args=(sock, len(self.dialogues)))
            self.dialogues.append([])
            self._open[len(self.dialogues) - 1] = sock
            self.most_at_once = max(self.most_at_once, len(self._open))
            self._threads.append(thread)
            thread.start()

    def _session(self, sock: socket.socket, number: int) -> None:
        try:
            with sock:
                if self._context is not None:
                    sock = self._context.wrap_socket(sock, server_side=True)
                    self._open[number] = sock
                with sock, sock.makefile("rb") as lines:
                    self._talk(sock, lines, number)
        except OSError:
            pass
        except BaseException as error:
            self.failures.append(error)
        finally:
            with self._changed:
                del self._open[number]
                self._changed.notify_all()

    def _talk(self, sock: socket.socket, lines: Any, number: int) -> None:
        said = self.dialogues[number]
        counts: dict[str, int] = {}
        verb = "CONNECT"
        accepted = 0  # recipients
        while True:
            counts[verb] = counts.get(verb, 0) + 1
            answer = self.script.get((number, verb, counts[verb]), "")
            if isinstance(answer, threading.Event):
                assert answer.wait(LONG)
                answer = ""
            if answer == CLOSE:
                return
            notify, answer = answer == NOTIFY, "" if answer == NOTIFY else answer
            if verb == "DATA" and not accepted:
                answer = answer or "503 5.5.1 no recipient"
            reply = answer or ("220 peer.test" if verb == "CONNECT" else _ORDINARY.get(verb, "250 ok"))
            wire = reply.encode() + b"\r\n"
            for part in (bytes([octet]) for octet in wire) if self.slowly else [wire]:
                sock.sendall(part)
            accepted = accepted + reply.startswith("2") if verb == "RCPT" else accepted if verb == "DATA" else 0
            if notify:
                self._close_notify(sock)
            if reply.startswith("421") or verb == "QUIT" or notify:
                return
            if verb == "DATA" and reply.startswith("354"):
                content = b""
                while (line := lines.readline()) not in (b".\r\n", b""):
                    content += line
                if not line:
                    return
                verb = "."
                with self._changed:
                    said.append(verb)
                    self.messages.append(content)
                    self._changed.notify_all()
                continue
            line = lines.readline()
            if not line:
                return
            verb = line.split()[0].decode().upper()
            with self._changed:
                said.append(verb)
                self._changed.notify_all()

    def _close_notify(self, sock: socket.socket) -> None:
        """End the TLS connection, and leave the channel below it open until the client ends it."""
        assert isinstance(sock, ssl.SSLSocket)
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.unwrap()  # the client's close_notify is not awaited
        with self._changed:
            self.notified = True
            self._changed.notify_all()
        assert select.select([sock], [], [], LONG)[0]


def transactions(number: int) -> list[str]:
    """The dialogue of a session that sends so many messages and ends."""
    return ["EHLO", *["MAIL", "RCPT", "DATA", "."] * number, "QUIT"]
