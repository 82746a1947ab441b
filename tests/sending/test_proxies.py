"""SOCKS5 and HTTP CONNECT on the way to a server: what is asked, and which side has refused."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.sending.scripted_peer import GREETING, ScriptedPeer

import posthouse
from posthouse import CannotConnect, Phase, SendResult, SettingError, TimedOut
from posthouse.sending import ProxyRefused
from posthouse.sending.connection.proxies import parse_proxy

MESSAGE = b"From: ann@a.example\nTo: b@b.example\nSubject: hi\n\nhello\n"

Send = Callable[..., SendResult]


def awaited(*args: Any, **options: Any) -> SendResult:
    return asyncio.run(posthouse.asend(*args, **options))


@pytest.fixture(params=[posthouse.send, awaited], ids=["send", "asend"])
def send(request: pytest.FixtureRequest) -> Send:
    found: Send = request.param
    return found


class Proxy:
    """A proxy of both kinds on loopback, which connects to one server whatever it is asked for, and keeps what it was
    asked.  ``code`` is its answer to the request, ``password`` what it asks for."""

    def __init__(self, server: int, *, code: int = 0, password: str = "") -> None:
        self._server = server
        self._code = code
        self._password = password
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[str] = []
        self._threads: list[threading.Thread] = []
        self.silent = threading.Event()

    def __enter__(self) -> Proxy:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.silent.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)

    def _start(self, target: Callable[..., object], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(30)
        with sock, contextlib.suppress(OSError), sock.makefile("rb") as file:
            first = file.read(1)
            if self._code == -1:
                self.silent.wait(60)
            elif self._socks(sock, file) if first == b"\x05" else self._http(sock, file):
                with socket.create_connection(("127.0.0.1", self._server), 30) as server:
                    self._start(self._copy, server.recv, sock)
                    self._copy(file.read1, server)

    def _copy(self, read: Callable[[int], bytes], to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := read(65_536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)

    def _socks(self, sock: socket.socket, file: Any) -> bool:
        methods = file.read(file.read(1)[0])
        method = 2 if self._password else 0
        if method not in methods:
            sock.sendall(b"\x05" + bytes([method if method == 2 else 255]))
            return False
        sock.sendall(b"\x05" + bytes([method]))
        if method == 2:
            file.read(1)
            user, password = file.read(file.read(1)[0]), file.read(file.read(1)[0])
            good = f"{user.decode()}:{password.decode()}" == self._password
            sock.sendall(b"\x01" + (b"\x00" if good else b"\x01"))
            if not good:
                return False
        _, _, _, kind = file.read(4)
        host = file.read(file.read(1)[0]).decode() if kind == 3 else socket.inet_ntoa(file.read(4))
        self.asked.append(f"{kind} {host}:{int.from_bytes(file.read(2), 'big')}")
        sock.sendall(bytes([5, self._code, 0]) + b"\x03\x05bound\x00\x00")
        return self._code == 0

    def _http(self, sock: socket.socket, file: Any) -> bool:
        head = b"C"
        while not head.endswith(b"\r\n\r\n"):
            head += file.readline()
        lines = head.decode().split("\r\n")
        self.asked.append(lines[0])
        wanted = "Proxy-Authorization: Basic " + base64.b64encode(self._password.encode()).decode()
        code = self._code or (407 if self._password and wanted not in lines else 200)
        sock.sendall(f"HTTP/1.1 {code} as you like\r\nX-Long: {'x' * 200}\r\n\r\n".encode())
        return code == 200


@pytest.mark.parametrize("scheme", ["socks5h", "http"])
def test_the_server_is_reached_by_its_name(send: Send, scheme: str) -> None:
    with ScriptedPeer({}) as peer, Proxy(peer.port) as proxy:
        result = send(MESSAGE, "smtp://mail.b.example", proxy=f"{scheme}://127.0.0.1:{proxy.port}")
    assert result.ok
    assert "mail.b.example:25" in result.outcomes[0].reason
    assert proxy.asked == ["3 mail.b.example:25" if scheme == "socks5h" else "CONNECT mail.b.example:25 HTTP/1.1"]


@pytest.mark.parametrize("scheme", ["socks5h", "http"])
def test_a_proxy_may_ask_for_a_password(send: Send, scheme: str) -> None:
    with ScriptedPeer({}) as peer, Proxy(peer.port, password="me:p@ss") as proxy:
        assert send(MESSAGE, f"smtp://b.example?proxy={scheme}://me:p%2540ss@127.0.0.1:{proxy.port}").ok
        with pytest.raises(ProxyRefused, match="write name:password@ before its host"):
            send(MESSAGE, "smtp://b.example", proxy=f"{scheme}://127.0.0.1:{proxy.port}")
        with pytest.raises(ProxyRefused, match="refused the name and the password") as raised:
            send(MESSAGE, "smtp://b.example", proxy=f"{scheme}://me:wrong@127.0.0.1:{proxy.port}")
    assert "wrong" not in str(raised.value)


@pytest.mark.parametrize(
    ("scheme", "code", "words"),
    [
        ("socks5h", 2, "did not connect to b.example:25: its rules do not allow the connection"),
        ("socks5h", 5, "did not connect to b.example:25: the server refused the connection"),
        ("http", 403, "did not connect to b.example:25: 403 as you like"),
    ],
)
def test_a_refusal_of_the_proxy_is_told_from_one_of_the_server(send: Send, scheme: str, code: int, words: str) -> None:
    with ScriptedPeer({GREETING: "554 5.7.1 no"}) as peer:
        with Proxy(peer.port, code=code) as proxy, pytest.raises(ProxyRefused, match=words) as raised:
            send(MESSAGE, "smtp://b.example", proxy=f"{scheme}://127.0.0.1:{proxy.port}")
        assert isinstance(raised.value, ConnectionError)
        assert raised.value.phase == "proxy"
        with Proxy(peer.port) as proxy, pytest.raises(CannotConnect, match=r"554 5.7.1 no") as refused:
            send(MESSAGE, "smtp://b.example", proxy=f"{scheme}://127.0.0.1:{proxy.port}")
        assert not isinstance(refused.value, ProxyRefused)


@pytest.mark.parametrize("scheme", ["socks5h", "http"])
def test_a_proxy_that_does_not_answer_costs_the_time_to_connect(send: Send, scheme: str) -> None:
    for limit in ({"connect_timeout": 0.2}, {"timeout": 0.2}):
        with Proxy(1, code=-1) as proxy, pytest.raises(TimedOut, match=r"the proxy .* did not answer in time") as late:
            send(MESSAGE, "smtp://b.example", proxy=f"{scheme}://127.0.0.1:{proxy.port}", **limit)
        assert late.value.phase is Phase.PROXY


@pytest.mark.parametrize("scheme", ["socks5h", "http"])
def test_what_is_no_proxy_is_named(send: Send, scheme: str) -> None:
    with ScriptedPeer({GREETING: "220 mx.example this is SMTP"}) as peer:
        with pytest.raises(ProxyRefused, match=r"does not speak|ended the connection"):
            send(MESSAGE, "smtp://b.example", proxy=f"{scheme}://127.0.0.1:{peer.port}", timeout=30)
        peer.over.set()


def test_socks5_looks_names_up_here(send: Send) -> None:
    with ScriptedPeer({}) as peer, Proxy(peer.port) as proxy:
        assert send(MESSAGE, f"smtp://127.0.0.1:{peer.port}", proxy=f"socks5://127.0.0.1:{proxy.port}").ok
    assert proxy.asked == [f"1 127.0.0.1:{peer.port}"]


def test_urls_of_proxies() -> None:
    assert parse_proxy("127.0.0.1") == ("socks5h", "127.0.0.1", 1080, "", "")
    assert parse_proxy("HTTP://u:p%3A@[::1]:3128/") == ("http", "::1", 3128, "u", "p:")
    assert "hush" not in repr(parse_proxy("http://u:hush@[::1]:3128"))
    for url in ("https://proxy.example", "socks5h://", "socks5h:///run/x", f"socks5h://{'u' * 256}:p@x"):
        with pytest.raises(SettingError) as raised:
            parse_proxy(url)
        assert "uuu" not in str(raised.value)
