"""AUTH of the sending session over both channels: which mechanism, what is written, and what each reply means."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from posthouse.client import (
    LoggedIn,
    LoginDeferred,
    LoginFailed,
    LoginRefused,
    LoginSettings,
    NoMechanism,
    TlsPolicy,
)
from posthouse.core import LocalError, PosthouseError
from posthouse.net.tls_engine import end_point_of
from posthouse.protocol.sasl import (
    MECHANISMS,
    Authenticated,
    CheckPassword,
    CheckToken,
    Credentials,
    Denied,
    FindKeys,
    FindSecret,
    Say,
    ServerContext,
    derive_keys,
    server_exchange,
)

from .secured_peers import NAME, Connection, Pair, b64, deliver, pair, serving, transaction

KINDS = pytest.mark.parametrize("kind", ["asyncio", "blocking"])
USER, PASSWORD, TOKEN = "joe@example.org", "Пароль€ 1", "ya29.token"
BY_PASSWORD = Credentials(USER, PASSWORD)
BY_TOKEN = Credentials(USER, token=TOKEN)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(tmp_path_factory.mktemp("right"))


def offering(connection: Connection, *lines: bytes) -> None:
    connection.say(b"220 hello\r\n")
    connection.expect(b"EHLO")
    connection.say(b"".join([b"250-there\r\n", *[b"250-%b\r\n" % each for each in lines], b"250 HELP\r\n"]))


def dialogue(*steps: bytes | Sequence[bytes], offers: Sequence[bytes]) -> Callable[[Connection], None]:
    """A script in clear: the expected line and the reply to it, in pairs; then QUIT and other commands are served."""

    def script(connection: Connection) -> None:
        offering(connection, *offers)
        for expected, reply in zip(steps[::2], steps[1::2], strict=True):
            found = connection.line()
            assert found == expected, (expected, found)
            connection.say(bytes(reply) + b"\r\n")  # type: ignore[arg-type]
        transaction(connection)

    return script


def clear(credentials: Credentials = BY_PASSWORD, **more: Any) -> LoginSettings:
    return LoginSettings(credentials, allow_plain_text=True, **more)


def logged_in(session: Any) -> Any:
    return session.login


# Every mechanism, with the mechanisms of the server's side


def serve_mechanism(connection: Connection, binding: bytes = b"") -> None:
    """Answer AUTH with the receiving side of this project."""
    line = connection.expect(b"AUTH").decode()
    _, name, *initial = line.split(" ")
    first = None if not initial else base64.b64decode(initial[0]) if initial[0] != "=" else b""
    context = ServerContext("servernonce", b"decoy", {"tls-server-end-point": binding} if binding else {}, (name,))
    exchange = server_exchange(MECHANISMS[name], first, context._replace(challenge="<1@there>"))
    answer: Any = None
    try:
        while True:
            step = exchange.send(answer)
            if isinstance(step, Say):
                connection.say(b"334 " + b64(step.data or b"") + b"\r\n")
                answer = base64.b64decode(connection.line())
            elif isinstance(step, FindKeys):
                answer = derive_keys(PASSWORD, b"salt", 4096, step.hash_name) if step.user == USER else None
            elif isinstance(step, CheckPassword):
                answer = step == CheckPassword(USER, PASSWORD)
            elif isinstance(step, FindSecret):
                answer = PASSWORD
            else:
                assert isinstance(step, CheckToken)
                answer = USER if step.token == TOKEN else None
    except StopIteration as end:
        outcome = end.value
    if isinstance(outcome, Authenticated):
        connection.say(b"235 2.7.0 welcome\r\n")
    else:
        assert isinstance(outcome, Denied)
        connection.say(f"{outcome.reply}\r\n".encode())


@KINDS
@pytest.mark.parametrize("name", [each for each in MECHANISMS if each != "EXTERNAL"])
def test_every_mechanism_logs_in(kind: str, name: str, right: Pair) -> None:
    certificate: list[bytes] = []

    def script(connection: Connection) -> None:
        connection.handshake(right.server)
        offering(connection, b"AUTH " + name.encode())
        serve_mechanism(connection, end_point_of(certificate[0]) if certificate else b"x")
        transaction(connection)

    def without_login(connection: Connection) -> None:
        connection.handshake(right.server)
        offering(connection)
        transaction(connection)

    def use(session: Any) -> None:
        certificate[:] = [session.tls.certificate]

    tls = TlsPolicy("implicit", ca=right.ca)
    credentials = BY_TOKEN if MECHANISMS[name].needs == "token" else BY_PASSWORD
    with serving(without_login) as server:
        deliver(kind, server.port, use, tls=tls)
    with serving(script) as server:
        assert deliver(kind, server.port, logged_in, tls=tls, login=LoginSettings(credentials)) == LoggedIn(USER, name)


# Which mechanism


@KINDS
def test_the_strongest_that_is_offered_is_taken(kind: str) -> None:
    def script(connection: Connection) -> None:
        offering(connection, b"AUTH LOGIN PLAIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 GSSAPI")
        serve_mechanism(connection)
        transaction(connection)

    with serving(script) as server:  # in clear, because it does not show the password
        found = deliver(kind, server.port, logged_in, login=LoginSettings(BY_PASSWORD))
    assert found.mechanism == "SCRAM-SHA-256"


@KINDS
def test_no_password_in_clear(kind: str) -> None:
    """C8: nothing of it leaves, and the sentence says what to do."""
    with (
        serving(dialogue(offers=[b"AUTH PLAIN LOGIN"])) as server,
        pytest.raises(NoMechanism, match="use TLS, or allow plain text"),
    ):
        deliver(kind, server.port, login=LoginSettings(BY_PASSWORD))
    assert server.clear == b"EHLO client.example\r\nQUIT\r\n"


@KINDS
@pytest.mark.parametrize(
    ("offers", "settings", "words"),
    [
        ([], {}, "offers no mechanism"),
        ([b"AUTH GSSAPI NTLM"], {}, "GSSAPI, NTLM, and none of them works with a password"),
        ([b"AUTH XOAUTH2"], {}, "XOAUTH2, and none of them works with a password"),
        ([b"AUTH PLAIN"], {"mechanisms": ["scram-sha-256"]}, "only scram-sha-256 may be used"),
    ],
)
def test_no_mechanism_in_common(kind: str, offers: list[bytes], settings: dict[str, Any], words: str) -> None:
    with serving(dialogue(offers=offers)) as server, pytest.raises(NoMechanism, match=words):
        deliver(kind, server.port, login=clear(**settings))
    assert b"AUTH" not in server.clear


@KINDS
def test_only_allowed_mechanisms_are_tried(kind: str) -> None:
    steps = [b"AUTH PLAIN " + b64(f"\0{USER}\0{PASSWORD}"), b"235 ok"]
    with serving(dialogue(*steps, offers=[b"AUTH SCRAM-SHA-256 PLAIN"])) as server:
        assert deliver(kind, server.port, logged_in, login=clear(mechanisms=["plain"])).mechanism == "PLAIN"


@KINDS
@pytest.mark.parametrize("offers", [[b"AUTH=LOGIN PLAIN"], [b"AUTH LOGIN", b"AUTH=PLAIN LOGIN"], [b"auth plain"]])
def test_the_old_form_of_the_offer_is_understood(kind: str, offers: list[bytes]) -> None:
    """C7: both lines, the union."""
    steps = [b"AUTH PLAIN " + b64(f"\0{USER}\0{PASSWORD}"), b"235 ok"]
    with serving(dialogue(*steps, offers=offers)) as server:
        assert deliver(kind, server.port, logged_in, login=clear()).mechanism == "PLAIN"


@KINDS
@pytest.mark.parametrize("code", [504, 534, 538])
def test_a_reply_about_the_mechanism_leads_to_the_next(kind: str, code: int) -> None:
    """RFC 4954 §4, §6."""
    first = b"AUTH PLAIN " + b64(f"\0{USER}\0{PASSWORD}")
    steps = [first, b"%d 5.5.4 another one" % code, b"AUTH LOGIN", b"334 VXNlcm5hbWU6"]
    steps += [b64(USER), b"334 UGFzc3dvcmQ6", b64(PASSWORD), b"235 ok"]
    with serving(dialogue(*steps, offers=[b"AUTH LOGIN PLAIN"])) as server:
        assert deliver(kind, server.port, logged_in, login=clear()).mechanism == "LOGIN"


@KINDS
def test_the_last_refusal_of_a_mechanism_is_told(kind: str) -> None:
    steps = [b"AUTH PLAIN " + b64(f"\0{USER}\0{PASSWORD}"), b"504 5.5.4 not that one"]
    with (
        serving(dialogue(*steps, offers=[b"AUTH PLAIN"])) as server,
        pytest.raises(
            NoMechanism, match=r"accepted no mechanism that .* here \(PLAIN\); it said 504 5\.5\.4 not that one"
        ),
    ):
        deliver(kind, server.port, login=clear())


@KINDS
def test_a_wrong_password_is_not_tried_by_other_mechanisms(kind: str) -> None:
    """C6: 535 is about the password; the server's words are shown."""
    steps = [b"AUTH PLAIN " + b64(f"\0{USER}\0{PASSWORD}"), b"535 5.7.8 no such user or password"]
    with (
        serving(dialogue(*steps, offers=[b"AUTH LOGIN PLAIN"])) as server,
        pytest.raises(LoginRefused, match=r"535 5\.7\.8 no such user or password; check the name and the password"),
    ):
        deliver(kind, server.port, login=clear())
    assert server.clear.count(b"AUTH ") == 1
    assert server.clear.endswith(b"QUIT\r\n")


@KINDS
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"454 4.7.0 later", LoginDeferred),
        (b"421 4.3.2 closing", LoginDeferred),
        (b"530 5.7.0 no", LoginRefused),
        (b"500 5.5.6 too long", LoginRefused),
        (b"250 what", LoginRefused),
        (b"354 what", PosthouseError),
    ],
)
def test_other_replies_end_the_login(kind: str, reply: bytes, error: type[Exception]) -> None:
    steps = [b"AUTH PLAIN " + b64(f"\0{USER}\0{PASSWORD}"), reply]
    with serving(dialogue(*steps, offers=[b"AUTH LOGIN PLAIN"])) as server, pytest.raises(error) as caught:
        deliver(kind, server.port, login=clear())
    assert isinstance(caught.value, PosthouseError)
    assert server.clear.count(b"AUTH ") == 1


@KINDS
def test_a_password_transition_goes_by_plain(kind: str) -> None:
    """RFC 4954 §6, 432: one login by PLAIN makes the key of the other mechanism."""
    plain = b"AUTH PLAIN " + b64(f"\0{USER}\0{PASSWORD}")

    def script(connection: Connection) -> None:
        offering(connection, b"AUTH SCRAM-SHA-256 SCRAM-SHA-1 PLAIN")
        connection.expect(b"AUTH SCRAM-SHA-256")
        connection.say(b"432 4.7.12 transition\r\n")
        assert connection.line() == plain
        connection.say(b"235 ok\r\n")
        transaction(connection)

    with serving(script) as server:
        assert deliver(kind, server.port, logged_in, login=clear()).mechanism == "PLAIN"


# What is written


@KINDS
@pytest.mark.parametrize(("size", "fits"), [(372, True), (373, False), (1500, False)])
def test_a_long_initial_response_waits(kind: str, size: int, fits: bool) -> None:
    """C1: a command line has 512 octets at most; the base64 is never folded (C2)."""
    token = "t" * (size - len(f"user={USER}\1auth=Bearer \1\1"))
    message = b64(f"user={USER}\1auth=Bearer {token}\1\1")
    assert (len(b"AUTH XOAUTH2 " + message + b"\r\n") <= 512) is fits
    steps = [b"AUTH XOAUTH2 " + message, b"235 ok"] if fits else [b"AUTH XOAUTH2", b"334 ", message, b"235 ok"]
    with serving(dialogue(*steps, offers=[b"AUTH XOAUTH2"])) as server:
        assert deliver(kind, server.port, logged_in, login=clear(Credentials(USER, token=token))) is not None


@KINDS
def test_a_name_and_password_of_90_octets_stay_in_one_line(kind: str) -> None:
    """C2."""
    user, password = "u" * 45, "p" * 45
    steps = [b"AUTH PLAIN " + b64(f"\0{user}\0{password}"), b"235 ok"]
    with serving(dialogue(*steps, offers=[b"AUTH PLAIN"])) as server:
        deliver(kind, server.port, logged_in, login=clear(Credentials(user, password)))


@KINDS
def test_oauthbearer_has_its_own_form(kind: str) -> None:
    """C4: RFC 7628 §3.1, with host and port."""
    expected: list[bytes] = []

    def script(connection: Connection) -> None:
        offering(connection, b"AUTH OAUTHBEARER")
        port = connection.sock.getsockname()[1]
        expected.append(f"n,a={USER},\1host={NAME}\1port={port}\1auth=Bearer {TOKEN}\1\1".encode())
        assert connection.line() == b"AUTH OAUTHBEARER " + b64(expected[0])
        connection.say(b"235 ok\r\n")
        transaction(connection)

    with serving(script) as server:
        assert deliver(kind, server.port, logged_in, login=clear(BY_TOKEN)).mechanism == "OAUTHBEARER"


@KINDS
@pytest.mark.parametrize("prompt", [b"VXNlcm5hbWU6", b"VXNlciBOYW1lAA==", b"Username:", b""])
def test_login_answers_whatever_the_prompt_says(kind: str, prompt: bytes) -> None:
    steps = [b"AUTH LOGIN", b"334 " + prompt, b64(USER), b"334 " + prompt, b64(PASSWORD), b"235 ok"]
    with serving(dialogue(*steps, offers=[b"AUTH LOGIN"])) as server:
        assert deliver(kind, server.port, logged_in, login=clear()) is not None


@KINDS
def test_a_password_that_plain_cannot_carry_is_sent_by_another(kind: str) -> None:
    steps = [b"AUTH LOGIN", b"334 ", b64(USER), b"334 ", b64("a\0b"), b"235 ok"]
    with serving(dialogue(*steps, offers=[b"AUTH PLAIN LOGIN"])) as server:
        assert deliver(kind, server.port, logged_in, login=clear(Credentials(USER, "a\0b"))).mechanism == "LOGIN"
    with serving(dialogue(offers=[b"AUTH PLAIN"])) as server, pytest.raises(LocalError, match="NUL"):
        deliver(kind, server.port, logged_in, login=clear(Credentials(USER, "a\0b")))


@KINDS
def test_without_md5_the_next_mechanism_is_taken(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """C10: FIPS mode forbids MD5."""

    def forbidden(*_: object, **__: object) -> Any:
        raise ValueError("[digital envelope routines] unsupported")

    monkeypatch.setattr(hashlib, "md5", forbidden)
    steps = [b"AUTH PLAIN " + b64(f"\0{USER}\0{PASSWORD}"), b"235 ok"]
    with serving(dialogue(*steps, offers=[b"AUTH CRAM-MD5 PLAIN"])) as server:
        assert deliver(kind, server.port, logged_in, login=clear()).mechanism == "PLAIN"


# The server must prove itself


def scram(connection: Connection, *, last: Callable[[bytes], bytes]) -> None:
    """A SCRAM-SHA-256 server whose last message is changed by ``last``."""
    offering(connection, b"AUTH SCRAM-SHA-256")
    first = base64.b64decode(connection.expect(b"AUTH SCRAM-SHA-256 ").split(b" ")[2])
    context = ServerContext("servernonce", b"decoy")
    exchange = server_exchange(MECHANISMS["SCRAM-SHA-256"], first, context)
    step: Any = next(exchange)
    step = exchange.send(derive_keys(PASSWORD, b"salt", 4096, "sha256"))
    connection.say(b"334 " + b64(step.data) + b"\r\n")
    step = exchange.send(base64.b64decode(connection.line()))
    connection.say(last(step.data))


@KINDS
def test_the_servers_proof_comes_in_a_challenge_and_is_answered_with_nothing(kind: str) -> None:
    """C5: verified, an empty line, then 235."""

    def script(connection: Connection) -> None:
        scram(connection, last=lambda data: b"334 " + b64(data) + b"\r\n")
        assert connection.line() == b""
        connection.say(b"235 2.7.0 ok\r\n")
        transaction(connection)

    with serving(script) as server:
        assert deliver(kind, server.port, logged_in, login=clear()).mechanism == "SCRAM-SHA-256"


@KINDS
@pytest.mark.parametrize(
    "last",
    [
        lambda data: b"235 2.7.0 ok\r\n",
        lambda data: b"334 " + b64(b"v=" + b64(bytes(32))) + b"\r\n",
        lambda data: b"334 \r\n",
        lambda data: b"334 not base64!\r\n",
    ],
)
def test_a_server_that_does_not_prove_itself_gets_no_message(kind: str, last: Callable[[bytes], bytes]) -> None:
    def script(connection: Connection) -> None:
        scram(connection, last=last)
        connection.rest()

    with serving(script) as server, pytest.raises(LoginFailed) as caught:
        deliver(kind, server.port, login=clear())
    assert not isinstance(caught.value, (LoginRefused, LoginDeferred, NoMechanism))
    assert b"MAIL" not in server.clear


@KINDS
def test_a_server_that_asks_for_ever_is_left(kind: str) -> None:
    def script(connection: Connection) -> None:
        offering(connection, b"AUTH PLAIN")
        connection.expect(b"AUTH PLAIN")
        connection.say(b"334 more\r\n")
        assert connection.line() == b"*"
        connection.say(b"501 5.7.0 cancelled\r\n")
        transaction(connection)

    with serving(script) as server, pytest.raises(LoginFailed, match="asks for more than AUTH PLAIN has"):
        deliver(kind, server.port, login=clear())
    assert server.clear.endswith(b"*\r\nQUIT\r\n")


# Tokens

REASON = b64(json.dumps({"status": "401", "schemes": "bearer", "scope": "mail"}))


@KINDS
@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_a_refused_token_is_fetched_anew_once(kind: str, mechanism: str) -> None:
    """C3: the reason in a challenge is answered, read, and told; then the token is asked for again."""
    asked: list[str | None] = []

    def source(refused: str | None) -> str:
        asked.append(refused)
        return f"token{len(asked)}"

    def script(connection: Connection) -> None:
        offering(connection, b"AUTH " + mechanism.encode())
        for number in (1, 2):
            line = connection.expect(b"AUTH " + mechanism.encode())
            assert f"Bearer token{number}\1".encode() in base64.b64decode(line.split(b" ")[2])
            connection.say(b"334 " + REASON + b"\r\n")
            assert base64.b64decode(connection.line()) == (b"" if mechanism == "XOAUTH2" else b"\1")
            connection.say(b"535 5.7.8 bad token\r\n")
        transaction(connection)

    with serving(script) as server, pytest.raises(LoginRefused, match=r"bad token \(status 401, scope mail\)"):
        deliver(kind, server.port, login=clear(Credentials(USER), token_source=source))
    assert asked == [None, "token1"]
    assert server.clear.endswith(b"QUIT\r\n")


@KINDS
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("when", ["at once", "after the second AUTH"])
def test_a_peer_that_ends_the_connection_with_its_refusal_is_quoted(kind: str, when: str, reset: bool) -> None:
    """The reply says why there is no login; that the connection ended says nothing."""
    refused = threading.Event()

    def script(connection: Connection) -> None:
        offering(connection, b"AUTH XOAUTH2")
        connection.line()
        connection.say(b"535 5.7.8 the token has expired\r\n")
        if when != "at once":
            connection.line()
        if reset:
            connection.reset()
        connection.sock.close()
        refused.set()

    def source(token: str | None) -> str:
        if token is not None and when == "at once":
            assert refused.wait(60)
        return f"{token or TOKEN}x"

    with serving(script) as server, pytest.raises(LoginRefused, match="the token has expired") as caught:
        deliver(kind, server.port, login=clear(Credentials(USER), token_source=source))
    assert caught.value.reply is not None
    assert caught.value.reply.code == 535


@KINDS
def test_a_peer_that_ends_the_connection_after_a_mechanism_it_refused_is_quoted(kind: str) -> None:
    def script(connection: Connection) -> None:
        offering(connection, b"AUTH PLAIN LOGIN")
        connection.expect(b"AUTH PLAIN")
        connection.say(b"504 5.5.4 not this one\r\n")
        connection.expect(b"AUTH LOGIN")

    with serving(script) as server, pytest.raises(NoMechanism, match="not this one"):
        deliver(kind, server.port, login=clear())


@KINDS
def test_a_new_token_logs_in(kind: str) -> None:
    def script(connection: Connection) -> None:
        offering(connection, b"AUTH XOAUTH2")
        connection.line()
        connection.say(b"535 5.7.8 expired\r\n")
        connection.line()
        connection.say(b"235 ok\r\n")
        transaction(connection)

    tokens = iter(["old", "new"])
    with serving(script) as server:
        login = clear(Credentials(USER), token_source=lambda refused: next(tokens))
        assert deliver(kind, server.port, logged_in, login=login) == LoggedIn(USER, "XOAUTH2")


def test_a_token_source_may_be_awaited() -> None:
    async def source(refused: str | None) -> str:
        return TOKEN

    steps = [b"AUTH XOAUTH2 " + b64(f"user={USER}\1auth=Bearer {TOKEN}\1\1"), b"235 ok"]
    with serving(dialogue(*steps, offers=[b"AUTH XOAUTH2"])) as server:
        login = clear(Credentials(USER), token_source=source)
        assert deliver("asyncio", server.port, logged_in, login=login) is not None


@KINDS
def test_a_given_token_that_is_refused_is_not_tried_again(kind: str) -> None:
    def script(connection: Connection) -> None:
        offering(connection, b"AUTH XOAUTH2 OAUTHBEARER")
        connection.expect(b"AUTH OAUTHBEARER")
        connection.say(b"535 5.7.8 no\r\n")
        transaction(connection)

    with serving(script) as server, pytest.raises(LoginRefused):
        deliver(kind, server.port, login=clear(BY_TOKEN))
    assert server.clear.count(b"AUTH ") == 1


# Secrets


@KINDS
@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "XOAUTH2"])
def test_no_secret_stands_in_transcripts_and_errors(kind: str, name: str, tmp_path: Path) -> None:
    """A21: not where this side writes it, and not where the peer repeats it."""
    secret = "hunter2-is-secret"

    def script(connection: Connection) -> None:
        offering(connection, b"AUTH " + name.encode())
        said = connection.line()
        if name == "LOGIN":
            connection.say(b"334 VXNlcm5hbWU6\r\n")
            connection.line()
            connection.say(b"334 UGFzc3dvcmQ6\r\n")
            said = connection.line()
        connection.say(b"535 5.7.8 wrong: " + said + b" that is " + secret.encode() + b"\r\n")
        transaction(connection)

    lines: list[str] = []
    credentials = Credentials("joe", token=secret) if name == "XOAUTH2" else Credentials("joe", secret)
    login = clear(credentials)
    with serving(script) as server, pytest.raises(LoginRefused) as caught:
        deliver(kind, server.port, login=login, transcript=lambda who, text: lines.append(f"{who}: {text}"))
    shown = "\n".join([*lines, str(caught.value), repr(caught.value), str(caught.value.reply), repr(login)])
    assert secret not in shown
    for found in (b64(secret), b64(f"\0joe\0{secret}"), b64(f"user=joe\1auth=Bearer {secret}\1\1")):
        assert found.decode() not in shown
    assert "(hidden)" in shown
    assert "(credentials)" in shown


@KINDS
@pytest.mark.parametrize("name", ["PLAIN", "LOGIN"])
def test_a_peer_that_repeats_what_it_hears_shows_no_secret(kind: str, name: str) -> None:
    """An echo is no reply, and the error that says so does not quote it."""
    secret = "hunter2-is-secret"

    def script(connection: Connection) -> None:
        offering(connection, b"AUTH " + name.encode())
        said = connection.line()
        if name == "LOGIN":
            connection.say(b"334 VXNlcm5hbWU6\r\n")
            connection.line()
            connection.say(b"334 UGFzc3dvcmQ6\r\n")
            said = connection.line()
        connection.say(said + b" " + secret.encode() + b"\r\n")
        connection.rest()

    lines: list[str] = []
    login = clear(Credentials("joe", secret))
    with serving(script) as server, pytest.raises(PosthouseError, match="no reply to AUTH") as caught:
        deliver(kind, server.port, login=login, transcript=lambda who, text: lines.append(text))
    shown = "\n".join([*lines, repr(caught.value)])
    for found in (secret, b64(secret).decode(), b64(f"\0joe\0{secret}").decode()):
        assert found not in shown
