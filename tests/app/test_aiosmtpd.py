"""Handlers written for aiosmtpd, under aiosmtpd and under this library: the same dialogues, the same replies, the same
calls; and the examples of aiosmtpd's own documentation.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import doctest
import gc
import importlib
import re
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import aiosmtpd
import pytest
import trustme

from posthouse import LocalError, SettingError
from posthouse.app.aiosmtpd import smtp as our_smtp

THEIRS, OURS = "aiosmtpd", "posthouse.app.aiosmtpd"
SECONDS = 30


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a test leaves behind is its own fault, and not that of a later one: aiosmtpd leaves an event loop."""
    yield
    with contextlib.suppress(RuntimeError), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # without a loop one is made, or, from 3.14 on, none
        asyncio.get_event_loop_policy().get_event_loop().close()
    asyncio.set_event_loop(None)
    gc.collect()


class Library:
    """One of the two libraries."""

    def __init__(self, name: str) -> None:
        self.controller: Any = importlib.import_module(f"{name}.controller")
        self.smtp: Any = importlib.import_module(f"{name}.smtp")
        self.handlers: Any = importlib.import_module(f"{name}.handlers")


def dialogue(library: Library, handler: Any, lines: list[bytes], **options: Any) -> list[str]:
    """The replies to the greeting and to each line; of EHLO's only the code, because extensions differ."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = library.controller.Controller(handler, "127.0.0.1", port, server_hostname="mx.example", **options)
    controller.start()
    try:
        with socket.create_connection((controller.hostname, controller.port), timeout=SECONDS) as client:
            file = client.makefile("rwb")
            said = [reply(file)[:3]]
            for line in lines:
                file.write(line + b"\r\n")
                file.flush()
                answer = reply(file)
                said.append(answer[:3] if line[:4] == b"EHLO" else answer)
            file.close()
            return said
    finally:
        controller.stop()


def reply(file: Any) -> str:
    lines = []
    while line := file.readline().decode():
        lines.append(line.rstrip())
        if line[3:4] != "-":
            break
    return "\n".join(lines)


class Recorder:
    """All hooks, with what they were given."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    async def handle_HELO(self, server: Any, session: Any, envelope: Any, hostname: str) -> str:  # noqa: N802
        self.calls.append(("HELO", hostname, session.extended_smtp))
        session.host_name = hostname
        return "250 mx.example"

    async def handle_EHLO(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.calls.append(("EHLO", hostname, responses[0], responses[-1], session.peer[0]))
        session.host_name = hostname
        return [*responses[:-1], "250-X-OWN", responses[-1]]

    async def handle_MAIL(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, mail_options: list[str]
    ) -> str:
        self.calls.append(("MAIL", address, mail_options))
        if address.startswith("no"):
            return "550 5.7.1 not you"
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, rcpt_options: list[str]
    ) -> str:
        self.calls.append(("RCPT", address, rcpt_options))
        if not address.endswith("@example.com"):
            return "550 not relaying to that domain"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.calls.append(("DATA", envelope.mail_from, list(envelope.rcpt_tos), envelope.content, envelope.smtp_utf8))
        return "250-kept\r\n250 as number 17"

    async def handle_RSET(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.calls.append(("RSET", envelope.mail_from, envelope.rcpt_tos))
        return "250 reset"

    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str) -> str:  # noqa: N802
        self.calls.append(("NOOP", arg))
        return "250 nothing done"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.calls.append(("QUIT",))
        return "221 see you"

    async def handle_VRFY(self, server: Any, session: Any, envelope: Any, address: str) -> str:  # noqa: N802
        self.calls.append(("VRFY", address))
        return "250 <ann@example.com>"


class Nothing:
    """No hook at all."""


class Forgetful:
    """Hooks that do not note what they accept, a mistake that aiosmtpd's users know."""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        return "250 OK"


class SmtpdLike:
    """The hook of the standard library's smtpd."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def process_message(self, peer: Any, mail_from: str, rcpt_tos: list[str], data: bytes) -> None:
        self.calls.append((peer[0], mail_from, rcpt_tos, data))


MESSAGE = [b"MAIL FROM:<ann@sohu.com>", b"RCPT TO:<bob@example.com>", b"DATA", b"Subject: x\r\n\r\n..dot\r\nend\r\n."]
WHOLE = [
    b"EHLO c.example",
    b"NOOP",
    b"NOOP text",
    b"VRFY ann@example.com",
    b"MAIL FROM:<no@sohu.com>",
    b"MAIL FROM:<ann@sohu.com> SIZE=1000 BODY=8BITMIME",
    b"RCPT TO:<bob@elsewhere.example>",
    b"RCPT TO:<bob@example.com>",
    b"RCPT TO:<eve@example.com>",
    b"DATA",
    b"Subject: x\r\n\r\n..dot\r\nend\r\n.",
    *MESSAGE[:2],
    b"RSET",
    b"HELO c.example",
    *MESSAGE,
    b"QUIT",
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "lines"),
    [
        (Recorder, WHOLE),
        (Nothing, [b"HELO c.example", b"NOOP", b"VRFY ann@example.com", *MESSAGE, b"EXPN list", b"RSET", b"QUIT"]),
        (Nothing, [b"EHLO c.example", b"MAIL FROM:<>", *MESSAGE[1:], b"QUIT"]),
        (Forgetful, [b"EHLO c.example", *MESSAGE[:3], b"QUIT"]),
        (SmtpdLike, [b"EHLO c.example", *MESSAGE, b"QUIT"]),
    ],
)
def test_hooks_are_called_alike_and_replies_are_alike(make: Callable[[], Any], lines: list[bytes]) -> None:
    theirs, ours = make(), make()
    expected = dialogue(Library(THEIRS), theirs, lines)
    assert dialogue(Library(OURS), ours, lines) == [
        each if each[:3] != "354" else "354 Send the message, end it with a dot on a line of its own"
        for each in expected
    ]
    assert getattr(ours, "calls", None) == getattr(theirs, "calls", None)


# AUTH -----------------------------------------------------------------------------------------------------------------


def encoded(text: bytes) -> bytes:
    return base64.b64encode(text)


def authenticator(smtp: Any) -> Callable[..., Any]:
    def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        return smtp.AuthResult(success=data == (b"joe", b"secret"), handled=False, auth_data=data)

    return check


def mechanisms(smtp: Any) -> Any:
    class Handler:
        def __init__(self) -> None:
            self.calls: list[Any] = []

        async def auth_THREE(self, server: Any, args: list[str]) -> Any:  # noqa: N802
            answers = []
            for each in ("one", b"two", ""):
                answers.append(await server.challenge_auth(each))
                if answers[-1] is smtp.MISSING:
                    self.calls.append("gave up")
                    return smtp.AuthResult(success=False)
            self.calls.append(answers)
            return smtp.AuthResult(success=answers[0] == b"1", handled=False, auth_data=b"three")

        @smtp.auth_mechanism("X-OWN")
        async def auth_own(self, server: Any, args: list[str]) -> Any:
            await server.push("535 5.7.8 said by the hook")
            return smtp.AuthResult(success=False, handled=True)

        async def auth_OLD(self, server: Any, args: list[str]) -> Any:  # noqa: N802
            return b"somebody"

        async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
            self.calls.append((session.authenticated, session.auth_data))
            return "250 OK"

    return Handler()


RIGHT, WRONG = encoded(b"\0joe\0secret"), encoded(b"\0joe\0wrong")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "lines",
    [
        [b"AUTH PLAIN " + RIGHT, b"MAIL FROM:<a@b.example>"],
        [b"AUTH PLAIN " + WRONG, b"MAIL FROM:<a@b.example>", b"AUTH PLAIN", RIGHT],
        [b"AUTH PLAIN", b"*", b"AUTH PLAIN " + encoded(b"no nul"), b"NOOP"],
        [b"AUTH LOGIN", encoded(b"joe"), encoded(b"secret"), b"AUTH PLAIN " + RIGHT],
        [b"AUTH LOGIN " + encoded(b"joe"), encoded(b"wrong")],
        [b"AUTH THREE", encoded(b"1"), encoded(b"2"), encoded(b"3"), b"MAIL FROM:<a@b.example>"],
        [b"AUTH THREE", encoded(b"x"), encoded(b"2"), encoded(b"3"), b"MAIL FROM:<a@b.example>"],
        [b"AUTH THREE", encoded(b"1"), b"*", b"NOOP"],
        [b"AUTH X-OWN", b"NOOP"],
        [b"AUTH OLD", b"NOOP"],
    ],
)
def test_logins_are_alike(lines: list[bytes]) -> None:
    found = []
    for name in (THEIRS, OURS):
        library = Library(name)
        handler = mechanisms(library.smtp)
        options = {"auth_required": True, "auth_require_tls": False, "authenticator": authenticator(library.smtp)}
        said = dialogue(library, handler, [b"EHLO c.example", *lines, b"QUIT"], **options)
        coded = [each if each[:3] in ("334", "235", "535") else each[:3] for each in said]
        found.append((coded, handler.calls))
    assert found[1] == found[0]


def test_values_of_aiosmtpd_itself_are_understood() -> None:
    theirs = importlib.import_module("aiosmtpd.smtp")

    class Handler:
        async def auth_OWN(self, server: Any, args: list[str]) -> Any:  # noqa: N802
            return theirs.AuthResult(success=True, auth_data="joe")

        async def handle_AUTH(self, server: Any, session: Any, envelope: Any, args: list[str]) -> Any:  # noqa: N802
            return theirs.MISSING

    said = dialogue(Library(OURS), Handler(), [b"EHLO c.example", b"AUTH OWN", b"QUIT"], auth_require_tls=False)
    assert said[2] == "235 2.7.0 Authentication successful"


def test_no_password_is_shown() -> None:
    given = our_smtp.LoginPassword(b"joe", b"secret")
    assert "secret" not in f"{given} {given!r} {our_smtp.AuthResult(success=True, auth_data=given)!r}"


# Faults, sizes, TLS ---------------------------------------------------------------------------------------------------


def test_an_exception_is_451_unless_the_handler_says_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    class Fails:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            raise RuntimeError("the password is secret")

    class Says(Fails):
        async def handle_exception(self, error: Exception) -> str:
            return f"542 {type(error).__name__}"

    class FailsTwice(Fails):
        async def handle_exception(self, error: Exception) -> str:
            raise ValueError("again")

    class Wrong:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> Any:  # noqa: N802
            return None

    lines = [b"EHLO c.example", *MESSAGE, b"QUIT"]
    assert dialogue(Library(OURS), Fails(), lines)[-2] == "451 4.3.0 Something went wrong here; try again later"
    assert "the password is secret" in caplog.text, "the log has the exception, and the client has not"
    assert dialogue(Library(OURS), Says(), lines)[-2] == "542 RuntimeError"
    assert dialogue(Library(OURS), FailsTwice(), lines)[-2][:3] == "451"
    assert dialogue(Library(OURS), Wrong(), lines)[-2][:3] == "451"


def test_a_message_that_is_too_large_reaches_no_hook() -> None:
    lines = [b"EHLO c.example", b"MAIL FROM:<a@b.example> SIZE=999999", *MESSAGE[:3], b"x" * 900 + b"\r\n" + b"y" * 900]
    lines = [*lines[:-1], lines[-1] + b"\r\n.", *MESSAGE]
    recorders = Recorder(), Recorder()
    said = [
        dialogue(Library(name), recorder, [*lines, b"QUIT"], data_size_limit=1_500)
        for name, recorder in zip((THEIRS, OURS), recorders, strict=True)
    ]
    assert [each for each in said[1] if each[:3] != "354"] == [each for each in said[0] if each[:3] != "354"]
    assert recorders[1].calls == recorders[0].calls


def test_text_in_place_of_octets() -> None:
    found = []
    for name in (THEIRS, OURS):
        recorder = Recorder()
        dialogue(Library(name), recorder, [b"EHLO c.example", *MESSAGE, b"QUIT"], decode_data=True)
        found.append([call for call in recorder.calls if call[0] == "DATA"])
    assert found[0] == found[1]
    assert isinstance(found[1][0][3], str)


@pytest.fixture(scope="module")
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize("kind", ["starttls", "implicit"])
def test_tls(kind: str, tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    import smtplib

    server, client = tls
    seen: list[Any] = []

    class Handler:
        def handle_STARTTLS(self, server: Any, session: Any, envelope: Any) -> bool:  # noqa: N802
            seen.append("STARTTLS")
            return True

        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            seen.append(session.ssl["version"][:3])
            return "250 OK"

    options: dict[str, Any] = {"ssl_context": server} if kind == "implicit" else {
        "tls_context": server, "require_starttls": True
    }  # fmt: skip
    controller = Library(OURS).controller.Controller(Handler(), "127.0.0.1", 0, **options)
    controller.start()
    try:
        if kind == "implicit":
            connection: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", controller.port, context=client, timeout=SECONDS)
        else:
            connection = smtplib.SMTP("127.0.0.1", controller.port, timeout=SECONDS)
            connection.ehlo()
            assert connection.mail("a@b.example")[0] == 530
            connection.starttls(context=client)
        with connection:
            connection.sendmail("a@b.example", ["c@d.example"], "Subject: x\r\n\r\n")
            assert connection.has_extn("auth")
    finally:
        controller.stop()
    assert seen == (["TLS"] if kind == "implicit" else ["STARTTLS", "TLS"])


def test_the_older_form_of_ehlo_pushes_its_lines() -> None:
    class Handler:
        async def handle_EHLO(self, server: Any, session: Any, envelope: Any, hostname: str) -> str:  # noqa: N802
            session.host_name = hostname
            await server.push("250-X-PUSHED")
            return "250 HELP"

    controller = Library(OURS).controller.Controller(Handler(), "127.0.0.1", 0)
    controller.start()
    try:
        with socket.create_connection((controller.hostname, controller.port), timeout=SECONDS) as client:
            file = client.makefile("rwb")
            reply(file)
            file.write(b"EHLO c.example\r\n")
            file.flush()
            lines = reply(file).split("\n")
            file.close()
    finally:
        controller.stop()
    assert "250-X-PUSHED" in lines
    assert "250-PIPELINING" in lines
    assert lines[-1] == "250 HELP"


# Controllers ----------------------------------------------------------------------------------------------------------


def test_a_controller_starts_again_and_tells_what_is_wrong() -> None:
    controller_module = Library(OURS).controller
    controller = controller_module.Controller(Nothing(), "127.0.0.1", 0)
    for _ in range(2):
        controller.start()
        with pytest.raises(LocalError, match="started already"):
            controller.start()
        socket.create_connection((controller.hostname, controller.port), timeout=SECONDS).close()
        with pytest.raises(SettingError, match="already listens"):
            controller_module.Controller(Nothing(), "127.0.0.1", controller.port).start()
        controller.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((controller.hostname, controller.port), timeout=SECONDS)
    controller.stop(no_assert=True)
    with pytest.raises(LocalError, match="has not started"):
        controller.stop()


def test_a_factory_may_make_the_server_and_may_not_override_commands() -> None:
    library = Library(OURS)

    class Own(library.controller.Controller):  # type: ignore[name-defined, misc]
        def factory(self) -> Any:
            return library.smtp.SMTP(self.handler, hostname="own.example", ident="Own 1.0")

    controller = Own(Nothing(), "127.0.0.1", 0)
    controller.start()
    try:
        with socket.create_connection((controller.hostname, controller.port), timeout=SECONDS) as client:
            assert client.recv(100) == b"220 own.example Own 1.0\r\n"
    finally:
        controller.stop()

    class Overriding(our_smtp.SMTP):
        async def smtp_PING(self, arg: str) -> None: ...  # noqa: N802

    class Wrong(library.controller.Controller):  # type: ignore[name-defined, misc]
        def factory(self) -> Any:
            return Overriding(self.handler)

    with pytest.raises(LocalError, match="smtp_PING"):
        Wrong(Nothing(), "127.0.0.1", 0).start()


def test_a_server_in_the_callers_loop(tmp_path: Path) -> None:
    library = Library(OURS)
    loop = asyncio.new_event_loop()

    async def greeting(controller: Any) -> bytes:
        if hasattr(controller, "unix_socket"):
            reader, writer = await asyncio.open_unix_connection(controller.unix_socket)
        else:
            reader, writer = await asyncio.open_connection(controller.hostname, controller.port)
        line = await reader.readline()
        writer.close()
        return line

    try:
        for controller in (
            library.controller.UnthreadedController(Nothing(), "127.0.0.1", 0, loop=loop),
            library.controller.UnixSocketUnthreadedController(Nothing(), tmp_path / "s", loop=loop),
        ):
            controller.begin()
            assert loop.run_until_complete(greeting(controller))[:3] == b"220"
            controller.end()
            assert controller.ended.is_set()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


# aiosmtpd's own examples ----------------------------------------------------------------------------------------------

DOCS = Path(aiosmtpd.__file__).parent / "docs"


def without(text: str, heading: str) -> str:
    """A page without the section of this heading, which is about what differs."""
    start = text.index(f"\n{heading}\n")
    following = re.search(r"\n[^\n]+\n([=~-])\1{3,}\n", text[start + len(heading) + 10 :])
    end = start + len(heading) + 10 + following.start() if following else len(text)
    return text[:start] + text[end:]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", ["controller.rst", "handlers.rst"])
def test_the_examples_of_aiosmtpds_documentation_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / page).read_text(encoding="utf-8")
    text = re.sub(r"\baiosmtpd\.(controller|handlers|smtp)\b(?=.*$)", rf"{OURS}.\1", text)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    names = {"__name__": "__main__", "in_win32": False, "in_cygwin": False}
    parsed = doctest.DocTestParser().get_doctest(text, names, page, page, 0)
    assert len(parsed.examples) > 10
    said: list[str] = []
    doctest.DocTestRunner(optionflags=flags).run(parsed, out=said.append, clear_globs=False)
    for left in parsed.globs.values():  # some examples leave their loop open
        if isinstance(left, asyncio.AbstractEventLoop) and not left.is_running():
            left.close()
    parsed.globs.clear()
    assert not said, "".join(said)


def test_modules_have_the_names_of_aiosmtpds() -> None:
    for name in ("controller", "handlers", "smtp"):
        module: ModuleType = importlib.import_module(f"{OURS}.{name}")
        theirs = importlib.import_module(f"{THEIRS}.{name}")
        shared = {"controller": "Controller UnthreadedController UnixSocketController UnixSocketUnthreadedController"}
        shared |= {"handlers": "Debugging Sink Message AsyncMessage Mailbox Proxy"}
        shared |= {"smtp": "SMTP Session Envelope AuthResult LoginPassword MISSING auth_mechanism syntax"}
        for each in shared[name].split():
            assert hasattr(module, each), each
            assert hasattr(theirs, each), each
