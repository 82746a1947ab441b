"""TLS and logins of ``send`` and ``asend``: what is verified, how tokens are asked for, and that no secret is shown."""

from __future__ import annotations

import asyncio
import base64
import logging
import pickle
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.client.secured_peers import Connection, Pair, Server, pair, transaction

import posthouse
from posthouse import AuthRefused, LocalError, SendResult, TLSFailed
from posthouse.core import CannotConnect, CertificateRefused
from posthouse.sending import OAuthToken
from posthouse.sending.options import target_of

MESSAGE = b"From: ann@a.example\nTo: b@b.example\nSubject: hi\n\nhello\n"
SECRET = "correct horse"

Send = Callable[..., SendResult]


def awaited(*args: Any, **options: Any) -> SendResult:
    return asyncio.run(posthouse.asend(*args, **options))


@pytest.fixture(params=[posthouse.send, awaited], ids=["send", "asend"])
def send(request: pytest.FixtureRequest) -> Send:
    found: Send = request.param
    return found


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(tmp_path_factory.mktemp("certificates"), "localhost", "127.0.0.1")


def secured(certificates: Pair, *answers: str, offer: str = "XOAUTH2 PLAIN") -> Callable[[Connection], None]:
    """A server on a TLS port; ``answers`` are its replies to AUTH, one after the other."""
    left = [*answers]

    def serve(connection: Connection) -> None:
        connection.handshake(certificates.server)
        connection.say(b"220 mx ready\r\n")
        connection.expect(b"EHLO")
        connection.say(f"250-mx\r\n250-ENHANCEDSTATUSCODES\r\n250 AUTH {offer}\r\n".encode())
        while left:
            connection.expect(b"AUTH")
            reply = left.pop(0)
            connection.say(reply.encode() + b"\r\n")
            if reply.startswith("334"):
                connection.line()
                connection.say(left.pop(0).encode() + b"\r\n")
        transaction(connection)

    return serve


def test_a_certificate_is_verified_and_the_authority_is_an_option(send: Send, certificates: Pair) -> None:
    with Server(secured(certificates)) as server:
        url = f"smtps://localhost:{server.port}"
        assert send(MESSAGE, url, ca=Path(certificates.ca)).ok
        assert send(MESSAGE, f"{url}?ca={certificates.ca}").ok
        assert send(MESSAGE, url, tls="require").ok
        with pytest.raises(TLSFailed) as raised:
            send(MESSAGE, url)
    assert isinstance(raised.value, CertificateRefused)
    assert isinstance(raised.value, ssl.SSLError)
    assert raised.value.phase == "TLS"
    again = pickle.loads(pickle.dumps(raised.value))
    assert str(again) == str(raised.value)


def test_plain_smtp_to_a_tls_port_is_told(send: Send, certificates: Pair) -> None:
    def silent_in_clear(connection: Connection) -> None:
        connection.handshake(certificates.server)

    with Server(silent_in_clear) as server:
        target = target_of(f"smtp://127.0.0.1:{server.port}")
        with pytest.raises(CannotConnect) as raised:
            send(MESSAGE, target._replace(timeouts=target.timeouts._replace(patience=0.05)))
    assert f"the URL is smtps://127.0.0.1:{server.port}" in str(raised.value)


def test_name_and_password(send: Send, certificates: Pair) -> None:
    with Server(secured(certificates, "235 2.7.0 welcome", offer="PLAIN")) as server:
        url = f"smtps://localhost:{server.port}?ca={certificates.ca}"
        result = send(MESSAGE, url, credentials=("ann", SECRET), transcript=True)
    assert result.ok
    assert base64.b64encode(f"\0ann\0{SECRET}".encode()) in server.inside
    assert "S: AUTH PLAIN (credentials)" in result.transcript


def test_a_refused_login_is_an_exception_without_the_password(
    send: Send, certificates: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = "535 5.7.8 Username and Password not accepted for ann - gsmtp"
    caplog.set_level(logging.DEBUG, "posthouse.client")
    with Server(secured(certificates, refusal, offer="PLAIN")) as server, pytest.raises(AuthRefused) as raised:
        send(MESSAGE, f"smtps://ann:correct%20horse@localhost:{server.port}?ca={certificates.ca}")
    error = raised.value
    assert error.phase == "AUTH"
    assert "make an app password" in str(error)
    assert f"R: {refusal}" in error.transcript
    assert len(error.transcript) <= 20
    lines = [record.getMessage() for record in caplog.records if record.name == "posthouse.client"]
    assert any(line.endswith("S: AUTH PLAIN (credentials)") for line in lines)
    encoded = base64.b64encode(f"\0ann\0{SECRET}".encode()).decode()
    for text in (str(error), repr(error), *error.transcript, *lines):
        assert SECRET not in text
        assert encoded not in text


def test_a_token_is_kept_until_it_ends_and_asked_for_anew_once_it_is_refused(send: Send, certificates: Pair) -> None:
    asked: list[tuple[str, str, bool]] = []
    ends = [time.time() + 3600]

    def tokens(host: str, user: str, fresh: bool) -> OAuthToken:
        asked.append((host, user, fresh))
        return OAuthToken(f"token{len(asked)}", ends[0])

    def url(server: Server) -> str:
        return f"smtps://ann@localhost:{server.port}?ca={certificates.ca}&mechanisms=XOAUTH2"

    with Server(secured(certificates, "235 2.7.0 ok", "235 2.7.0 ok")) as server:
        pass
    with Server(secured(certificates, "235 2.7.0 ok")) as server:
        assert send(MESSAGE, url(server), credentials=tokens).ok
    assert asked == [("localhost", "ann", False)]
    with Server(secured(certificates, "235 2.7.0 ok")) as server:
        assert send(MESSAGE, url(server), credentials=tokens).ok
    assert len(asked) == 1, "the token is kept"
    challenge = "334 " + base64.b64encode(b'{"status":"401"}').decode()
    with Server(secured(certificates, challenge, "535 5.7.3 expired", "235 2.7.0 ok")) as server:
        assert send(MESSAGE, url(server), credentials=tokens).ok
    assert asked[1:] == [("localhost", "ann", True)]
    ends[0] = time.time() + 59
    refusing = secured(certificates, challenge, "535 5.7.3 expired", challenge, "535 5.7.3 no")
    with Server(refusing) as server, pytest.raises(AuthRefused) as raised:
        send(MESSAGE, url(server), credentials=tokens)
    assert "token" not in str(raised.value).replace("the name and the token", "")
    assert asked[2:] == [("localhost", "ann", True)], "the function is asked once more, and no third time"
    with Server(secured(certificates, "235 2.7.0 ok")) as server:
        assert send(MESSAGE, url(server), credentials=tokens).ok
    assert asked[3:] == [("localhost", "ann", False)], "a token that ends within 60 s is not used"


def test_a_function_for_tokens_may_be_awaited_in_an_event_loop(certificates: Pair) -> None:
    async def tokens(host: str, user: str, fresh: bool) -> str:
        await asyncio.sleep(0)
        return "another-token"

    with Server(secured(certificates, "235 2.7.0 ok")) as server:
        url = f"smtps://ann@localhost:{server.port}?ca={certificates.ca}&mechanisms=XOAUTH2"
        assert awaited(MESSAGE, url, credentials=tokens).ok
    with Server(secured(certificates)) as server:
        url = f"smtps://ann@localhost:{server.port}?ca={certificates.ca}&mechanisms=XOAUTH2"
        with pytest.raises(LocalError, match="works in an event loop only"):
            posthouse.send(MESSAGE, url, credentials=tokens)


@pytest.mark.parametrize("credentials", ["ann:secret", ("ann",), 7])
def test_what_are_no_credentials(send: Send, credentials: object) -> None:
    with pytest.raises(LocalError, match="must be a pair of name and password"):
        send(MESSAGE, "smtp://127.0.0.1:1", credentials=credentials)
    with pytest.raises(LocalError, match="write the name into the URL"):
        send(MESSAGE, "smtp://127.0.0.1:1", credentials=lambda host, user, fresh: "")
