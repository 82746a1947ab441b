"""``posthouse send`` against a server that does as it is told: addresses, extensions, limits, the greeting."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest


class Server:
    """A server in a thread, for one connection after another.  ``said`` has the commands, ``contents`` the messages."""

    def __init__(self, *keywords: str, take: int = 1000, beyond: str = "", host: str = "127.0.0.1") -> None:
        self.keywords = keywords
        self.take = take
        self.beyond = beyond
        self.said: list[str] = []
        self.contents: list[bytes] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, 0), family=family)
        self._listening.settimeout(20)
        self.url = f"smtp://{f'[{host}]' if ':' in host else host}:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(20)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as file:
                connection.settimeout(20)
                self._talk(file)

    def _talk(self, file: Any) -> None:
        def say(*lines: str) -> None:
            file.write("".join(f"{line}\r\n" for line in lines).encode())
            file.flush()

        say("220 mx")
        taken = 0
        while line := file.readline():
            text = line.decode().rstrip("\r\n")
            self.said.append(text)
            verb = text.split(" ")[0]
            if verb == "EHLO":
                say(*[f"250-{each}" for each in ("mx", *self.keywords)], "250 HELP")
            elif verb == "RCPT":
                taken += 1
                say("250 ok" if taken <= self.take else self.beyond)
            elif verb == "DATA":
                say("354 go")
                content = b""
                while not content.endswith(b"\r\n.\r\n"):
                    content += file.readline()
                self.contents.append(content.removesuffix(b".\r\n"))
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                taken = 0
                say("250 ok")

    def verbs(self) -> list[str]:
        return [line.split(" ")[0] for line in self.said]


@pytest.fixture
def send(ran: Any) -> Any:
    def run(server: Server, *arguments: str, sender: str = "a@sohu.com") -> Any:
        return ran("send", "--server", server.url, "--from", sender, *arguments)

    return run


TEXT = ("--text", "hello")


@pytest.mark.parametrize("keywords", [(), ("8BITMIME", "SMTPUTF8", "PIPELINING")])
def test_an_international_domain_goes_as_a_labels_with_an_ascii_header(send: Any, keywords: tuple[str, ...]) -> None:
    with Server(*keywords) as server:
        reported = send(
            server,
            *("--to", "Büro <info@bücher.example>", "--cc", "b@x.test", "--header", "Reply-To: c@例子.test"),
            *TEXT,
            sender="a@搜狐.中国",
        )
    assert (reported.code, reported.err) == (0, "")
    assert server.said[1] == "MAIL FROM:<a@xn--u2u404a.xn--fiqs8s>"
    assert server.said[2] == "RCPT TO:<info@xn--bcher-kva.example>"
    (content,) = server.contents
    assert content.isascii()
    assert b"<info@xn--bcher-kva.example>\r\n" in content
    assert b"From: a@xn--u2u404a.xn--fiqs8s\r\n" in content
    assert b"Reply-To: c@xn--fsqu00a.test\r\n" in content


def test_a_local_part_beyond_ascii_needs_smtputf8(send: Any) -> None:
    with Server("8BITMIME") as server:
        reported = send(server, "--to", "почта@x.test", *TEXT)
    assert reported.code == 69
    assert "SMTPUTF8" in reported.out
    assert "MAIL" not in server.verbs()
    with Server("8BITMIME", "SMTPUTF8") as server:
        assert send(server, "--to", "почта@bücher.test", *TEXT).code == 0
    assert "SMTPUTF8" in server.said[1]
    assert server.said[2] == "RCPT TO:<почта@xn--bcher-kva.test>"


@pytest.mark.parametrize("option", ["--to", "--cc", "--bcc"])
@pytest.mark.parametrize(
    "domain", ["b_c.test", "xn--zz.test", "x" * 64 + ".test", "-a.test", "x..test", "a\u200bb.test"]
)
def test_an_address_that_cannot_be_sent_ends_with_65_before_any_connection(send: Any, option: str, domain: str) -> None:
    with Server() as server:
        reported = send(server, "--to", "ok@x.test", option, f"c@{domain}", "--to", "d@x.test", *TEXT)
    assert reported.code == 65
    assert "Traceback" not in reported.err
    assert len(reported.err.strip().splitlines()) == 1
    assert not server.said


def test_direct_sending_checks_the_addresses_as_well(ran: Any) -> None:
    reported = ran("send", "--direct", "--from", "a@sohu.com", "--to", "c@b_c.test", "--text", "hello")
    assert reported.code == 65


@pytest.mark.parametrize("local", ["a..b", "a.", ".a"])
def test_a_local_part_with_misplaced_dots_is_written_as_a_quoted_string(send: Any, local: str) -> None:
    with Server() as server:
        assert send(server, "--to", f"{local}@docomo.test", *TEXT).code == 0
    assert server.said[2] == f'RCPT TO:<"{local}"@docomo.test>'


@pytest.mark.parametrize("keywords", [(), ("PIPELINING",)])
def test_552_to_rcpt_is_answered_with_a_further_transaction(send: Any, keywords: tuple[str, ...]) -> None:
    with Server(*keywords, take=2, beyond="552 Too many recipients") as server:
        reported = send(server, *(f"--to={name}@x.test" for name in "abcde"), *TEXT)
    assert reported.code == 0
    assert len(server.contents) == 3


def test_what_this_side_decides_is_not_said_to_come_from_the_server(send: Any) -> None:
    with Server("SIZE 10") as server:
        reported = send(server, "--to", "b@x.test", *TEXT)
    assert reported.code == 69
    assert "not sent to 127.0.0.1:" in reported.out
    assert "at most 10 (SIZE)" in reported.out
    assert "[127.0.0.1" not in reported.out  # the peer in brackets is shown for its own replies only


@pytest.mark.parametrize(("host", "literal"), [("127.0.0.1", "[127.0.0.1]"), ("::1", "[IPv6:::1]")])
def test_a_machine_without_a_qualified_name_gives_its_address(
    send: Any, host: str, literal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "vm")
    with Server(host=host) as server:
        assert send(server, "--to", "b@x.test", *TEXT).code == 0
    assert server.said[0] == f"EHLO {literal}"


def test_a_long_line_of_a_ready_message_is_named_and_sent(send: Any, tmp_path: Any) -> None:
    ready = tmp_path / "ready.eml"
    ready.write_bytes(b"Subject: t\n\nshort\n" + b"x" * 1500 + b"\n")
    with Server("8BITMIME") as server:
        reported = send(server, "--to", "b@x.test", "--raw", str(ready))
    assert reported.code == 0
    assert "line 4 has 1500 octets" in reported.err
    assert server.contents == [b"Subject: t\r\n\r\nshort\r\n" + b"x" * 1500 + b"\r\n"]
    assert "a host with 8BITMIME gets it as it is, and some refuse it; any other gets it encoded" in reported.err
    with Server() as server:
        assert send(server, "--to", "b@x.test", "--raw", str(ready)).code == 0
    assert b"Content-Transfer-Encoding: quoted-printable" in server.contents[0]
    assert max(map(len, server.contents[0].split(b"\r\n"))) <= 76


def test_a_ready_message_in_8_bit_is_converted_for_a_server_without_8bitmime(send: Any, tmp_path: Any) -> None:
    ready = tmp_path / "ready.eml"
    ready.write_bytes("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\nGrüße\n".encode())
    with Server() as server:
        assert send(server, "--to", "b@x.test", "--raw", str(ready)).code == 0
    (content,) = server.contents
    assert content.isascii()
    assert b"Gr=C3=BC=C3=9Fe" in content
