"""``posthouse send`` and ``posthouse probe`` with servers that speak TLS and want a login."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.client.secured_peers import Connection, Pair, b64, pair, serving, transaction

WORDS = ["--from", "a@sohu.com", "--to", "b@sina.com", "--text", "hello"]
SECRET = "hunter2 is secret"


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(tmp_path_factory.mktemp("right"), "localhost", "127.0.0.1")


class Submission:
    """A script: STARTTLS or implicit TLS, then PLAIN with one name and password."""

    def __init__(self, found: Pair, *, implicit: bool = False, reply: bytes = b"235 2.7.0 welcome") -> None:
        self.found = found
        self.implicit = implicit
        self.reply = reply

    def __call__(self, connection: Connection) -> None:
        if self.implicit:
            connection.handshake(self.found.server)
        connection.say(b"220 mail.example ESMTP\r\n")
        if not self.implicit:
            if not connection.line().startswith(b"EHLO"):  # a ClientHello
                return
            connection.say(b"250-mail.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
            if connection.line() != b"STARTTLS":
                return
            connection.say(b"220 go\r\n")
            connection.handshake(self.found.server)
        connection.expect(b"EHLO")
        connection.say(b"250-mail.example\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n")
        line = connection.line()
        if line.startswith(b"AUTH"):
            right = line == b"AUTH PLAIN " + b64(f"\0joe\0{SECRET}")
            connection.say((self.reply if right else b"535 5.7.8 no such password") + b"\r\n")
        elif line == b"QUIT":
            connection.say(b"221 bye\r\n")
            return
        transaction(connection)


def clear(connection: Connection) -> None:
    """A server without TLS."""
    connection.say(b"220 mail.example ESMTP\r\n")
    connection.expect(b"EHLO")
    connection.say(b"250-mail.example\r\n250 AUTH PLAIN\r\n")
    transaction(connection)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("way", ["url", "file", "environment"])
def test_a_message_is_sent_with_tls_and_a_login(
    ran: Any, right: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, implicit: bool, way: str
) -> None:
    options = ["--ca", right.ca]
    userinfo = ""
    if way == "url":
        userinfo = f"joe:{SECRET.replace(' ', '%20')}@"
    elif way == "file":
        (tmp_path / "password").write_text(f"{SECRET}\n")
        options += ["--user", "joe", "--password-file", str(tmp_path / "password")]
    else:
        monkeypatch.setenv("POSTHOUSE_PASSWORD", SECRET)
        options += ["--user", "joe"]
    scheme = "smtps" if implicit else "smtp+starttls"
    with serving(Submission(right, implicit=implicit)) as server:
        url = f"{scheme}://{userinfo}localhost:{server.port}"
        reported = ran("send", "--server", url, *WORDS, *options, "--transcript")
    assert (reported.code, reported.err) == (0, "")
    assert "b@sina.com: accepted" in reported.out
    assert SECRET not in reported.out
    assert b64(f"\0joe\0{SECRET}").decode() not in reported.out
    assert b"MAIL" not in server.clear
    assert b"AUTH" not in server.clear


def test_a_wrong_password_is_told_with_the_words_of_the_server(ran: Any, right: Pair) -> None:
    with serving(Submission(right)) as server:
        url = f"smtp+starttls://joe:wrong-secret@localhost:{server.port}?ca={right.ca}"
        reported = ran("send", "--server", url, *WORDS)
    assert reported.code == 77
    assert "535 5.7.8 no such password" in reported.err
    assert "wrong-secret" not in reported.err
    assert len(reported.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--password-file", "/x"], "--user NAME"),
        (["--user", "joe"], "the password of joe is missing: --password-file FILE, or set $POSTHOUSE_PASSWORD"),
        (["--ca", "/x"], "--ca is for a session with TLS"),
        (["--direct", "--user", "joe"], "--user, --password-file and --ca are for one server"),
        (["--server", "smtps://ann:secret@h", "--user", "joe"], "another name than --user"),
        (["--server", "smtps://joe:secret@h", "--password-file", "/x"], "give one of them"),
        (["--server", "smtps://h", "--user", "joe", "--password-file", "/nowhere"], "/nowhere cannot be read"),
        (["--server", "smtps://joe:secret@h?x=1"], "there are allow_plain_text, ca"),
        (["--server", "smtps://joe:secret@h:0"], "no server can be there"),
    ],
)
def test_options_that_do_not_fit(ran: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str) -> None:
    monkeypatch.delenv("POSTHOUSE_PASSWORD", raising=False)
    reported = ran("send", *arguments, *WORDS)
    assert reported.code in (64, 65, 66)
    assert words in reported.err
    assert "secret" not in reported.err


def test_a_certificate_file_that_is_missing_is_named(ran: Any) -> None:
    with serving(clear) as server:
        reported = ran("send", "--server", f"smtps://localhost:{server.port}", "--ca", "/nowhere.pem", *WORDS)
    assert reported.code == 69
    assert "/nowhere.pem" in reported.err


def test_an_expired_certificate_for_another_name_is_told_with_every_reason(ran: Any, tmp_path: Path) -> None:
    wrong = pair(tmp_path, "other.example", not_after=datetime(2026, 1, 2, tzinfo=UTC))
    with serving(Submission(wrong)) as server:
        url = f"smtp+starttls://joe:{SECRET.replace(' ', '%20')}@localhost:{server.port}"
        reported = ran("send", "--server", url, "--ca", wrong.ca, *WORDS)
    assert reported.code == 69
    assert "the certificate of localhost is for other.example, not for localhost; it expired on 2026-01-02; " in (
        reported.err
    )
    assert "issued by" in reported.err
    assert "its operator must renew it" in reported.err
    assert server.inside == b""


# Probe


def test_a_probe_shows_what_a_sender_can_do(ran: Any, right: Pair) -> None:
    with serving(Submission(right)) as server:
        reported = ran("probe", f"localhost:{server.port}", "--ca", right.ca)
    assert (reported.code, reported.err) == (0, "")
    lines = {line[:13].strip(): line[13:] for line in reported.out.splitlines()}
    assert lines["greeting"] == "220 mail.example ESMTP"
    assert lines["in clear"] == "PIPELINING, STARTTLS"
    assert lines["TLS"].startswith("TLSv1.3 TLS_")
    assert lines["inside TLS"] == "SIZE 1000000, 8BITMIME, AUTH PLAIN LOGIN"
    assert lines["certificate"] == "for localhost, 127.0.0.1"
    assert lines["verdict"] == "verified"
    assert lines["logins"] == "LOGIN, PLAIN"
    assert f"A program sends by smtp+starttls://localhost:{server.port}" in reported.out
    assert "messages of up to 1,000,000 octets" in reported.out


@pytest.mark.parametrize("password", [SECRET, "wrong one"])
def test_a_probe_tries_the_login(ran: Any, right: Pair, password: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(password)
    with serving(Submission(right)) as server:
        reported = ran(
            *("probe", f"smtp+starttls://joe@localhost:{server.port}", "--ca", right.ca, "--json"),
            *("--password-file", str(tmp_path / "password")),
        )
    found = json.loads(reported.out)
    assert password not in reported.out
    assert found["verified"] is True
    if password == SECRET:
        assert (reported.code, found["login"], found["faults"]) == (0, "PLAIN", [])
    else:
        assert (reported.code, found["login"]) == (77, "")
        assert "535 5.7.8 no such password" in found["faults"][0]


def test_a_probe_of_an_untrusted_server_shows_the_rest_and_keeps_the_password(ran: Any, tmp_path: Path) -> None:
    wrong = pair(tmp_path, "other.example")
    with serving(Submission(wrong, implicit=True)) as server:
        url = f"smtps://joe:{SECRET.replace(' ', '%20')}@localhost:{server.port}"
        reported = ran("probe", url, "--json")
    found = json.loads(reported.out)
    assert reported.code == 69
    assert found["verified"] is False
    assert found["certificate"]["names"] == ["other.example"]
    assert found["inside_tls"] == ["SIZE 1000000", "8BITMIME", "AUTH PLAIN LOGIN"]
    assert "is for other.example, not for localhost" in found["faults"][0]
    assert "was not tried" in found["faults"][1]
    assert b"AUTH" not in server.clear + server.inside


def test_a_probe_of_a_server_without_tls(ran: Any) -> None:
    with serving(clear) as server:
        reported = ran("probe", f"127.0.0.1:{server.port}")
    assert reported.code == 69
    assert "does not offer STARTTLS; what is sent there can be read" in reported.out
    assert "It offers PLAIN in clear" in reported.out


@pytest.mark.parametrize("implicit", [False, True])
def test_a_probe_at_the_wrong_door_says_the_right_url(ran: Any, right: Pair, implicit: bool) -> None:
    """T21, both ways."""
    scheme = "smtp+starttls" if implicit else "smtps"
    with serving(Submission(right, implicit=implicit)) as server:
        reported = ran("probe", f"{scheme}://localhost:{server.port}", "--ca", right.ca)
    other = "smtps" if implicit else "smtp+starttls"
    assert reported.code == 69
    assert f"{other}://localhost:{server.port}" in reported.out
    assert "verified" in reported.out


def test_a_server_that_cannot_be_reached_is_an_error(ran: Any) -> None:
    assert ran("probe", "127.0.0.1:1").code == 69
    assert ran("probe", "smtps://joe:secret@mail.invalid").code == 68
