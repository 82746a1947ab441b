"""The sandbox: it takes mail of any client, finds messages and says which it does not find, and fails on demand."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import smtplib
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.message import EmailMessage

import aiosmtplib
import pytest

from posthouse import compose, parse_server, submit
from posthouse.core import Bytes, LocalError, Reply, Result, SettingError
from posthouse.protocol import Offer
from posthouse.sandbox import NotSent, Sandbox, sandbox_server
from posthouse.sandbox.caught_message import CaughtMessage
from posthouse.sandbox.conditions import Conditions
from posthouse.sandbox.mail_store import MailStore
from posthouse.sandbox.sandbox import SandboxTls

LATE = 60.0  # seconds for what is sure to come


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def send(sandbox: Sandbox, *to: str, subject: str = "Hello", text: str = "x", sender: str = "app@example.org") -> None:
    """Send as a program does that was written without us; raises smtplib's errors."""
    with smtplib.SMTP(sandbox.host, sandbox.port, timeout=LATE) as client:
        content = f"From: {sender}\r\nTo: {', '.join(to)}\r\nSubject: {subject}\r\n\r\n{text}\r\n"
        client.sendmail(sender, to, content)


def complaint(call: Callable[[], object]) -> str:
    with pytest.raises(NotSent) as caught:
        call()
    return str(caught.value)


# What comes -----------------------------------------------------------------------------------------------------------


def test_a_message_has_what_was_read_its_envelope_and_its_session(sandbox: Sandbox) -> None:
    send(sandbox, "ann@example.com", subject="Your code", text="471102, or https://example.com/v?x=1")
    (message,) = sandbox.messages
    assert [str(each) for each in message.recipients] == ["ann@example.com"]
    assert str(message.envelope.sender) == "app@example.org"
    assert (message.subject, message.code, message.link) == ("Your code", "471102", "https://example.com/v?x=1")
    assert message.as_bytes().startswith(b"From: app@example.org\r\nTo: ann@example.com\r\n")
    session = message.session
    assert session.client[0] == "127.0.0.1"
    assert session.helo
    assert session.lines[0].startswith("S: 220 sandbox.test ")
    assert "C: QUIT" in session.transcript
    assert session is sandbox.sessions[0]


def test_messages_of_aiosmtplib_of_ours_and_of_threads(sandbox: Sandbox) -> None:
    async def main() -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "a@example.org", "b@example.com", "aiosmtplib"
        await aiosmtplib.send(mail, hostname=sandbox.host, port=sandbox.port, timeout=LATE)
        ours = compose(
            from_="a@example.org",
            to="b@example.com",
            subject="ours",
            text="x",
            date=datetime(2026, 3, 2, tzinfo=UTC),
            message_id="<1@example.org>",
        )
        (outcome,) = await submit(parse_server(sandbox.url), ours.envelope, Bytes(ours.content))
        assert outcome.result is Result.DELIVERED
        assert (await sandbox.await_for(subject="ours", timeout=LATE)).subject == "ours"

    asyncio.run(main())
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: send(sandbox, f"{number}@example.com"), range(40)))
    assert len(sandbox.messages) == 42
    for number in range(40):
        sandbox.assert_sent(to=f"{number}@example.com", count=1)


@pytest.mark.parametrize("tls", ["starttls", "required", "implicit"])
def test_tls_with_a_login(tls: SandboxTls) -> None:
    with Sandbox(tls=tls, auth="required", users={"ann": "pa:ss/word"}) as sandbox:
        context = ssl.create_default_context(cafile=sandbox.certificate)
        kind = smtplib.SMTP_SSL if tls == "implicit" else smtplib.SMTP
        more = {"context": context} if tls == "implicit" else {}
        with kind(sandbox.host, sandbox.port, timeout=LATE, **more) as client:
            if tls == "required":
                assert client.docmd("MAIL FROM:<a@b.example>")[0] == 503  # EHLO comes first
                client.ehlo()
                assert client.docmd("MAIL FROM:<a@b.example>") == (530, b"5.7.0 Must issue a STARTTLS command first")
            if tls != "implicit":
                client.starttls(context=context)
            client.ehlo()
            assert client.docmd("MAIL FROM:<a@b.example>") == (530, b"5.7.0 Authentication required")
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("ann", "wrong")
            client.login(sandbox.username, sandbox.password)
            client.sendmail("a@b.example", "c@d.example", "Subject: x\r\n\r\n")
        (message,) = sandbox.messages
        assert message.session.tls.startswith("TLSv1.")
        assert message.session.user == "ann"
        assert "pa:ss" not in sandbox.transcript
        asyncio.run(_submit(sandbox.url))
        assert len(sandbox.messages) == 2


async def _submit(url: str) -> None:
    mail = compose(
        from_="a@b.example",
        to="c@d.example",
        subject="s",
        text="t",
        date=datetime(2026, 3, 2, tzinfo=UTC),
        message_id="<1@b.example>",
    )
    (outcome,) = await submit(parse_server(url), mail.envelope, Bytes(mail.content))
    assert outcome.result is Result.DELIVERED, outcome


def test_any_name_with_any_password_where_no_users_are_given() -> None:
    with Sandbox(auth="required") as sandbox:
        with smtplib.SMTP(sandbox.host, sandbox.port, timeout=LATE) as client:
            client.login("whoever", "whatever")
        asyncio.run(_submit(sandbox.url))
        assert [each.user for each in sandbox.sessions] == ["whoever", "sandbox"]
    with (
        Sandbox(auth="off") as sandbox,
        smtplib.SMTP(sandbox.host, sandbox.port, timeout=LATE) as client,
        pytest.raises(smtplib.SMTPNotSupportedError),
    ):
        client.login("whoever", "whatever")


def test_the_certificate_is_made_once_in_a_process() -> None:
    with Sandbox(tls="starttls") as one, Sandbox(tls="implicit") as other:
        assert one.certificate == other.certificate
        assert os.stat(one.certificate).st_mode & 0o077 == 0
        assert one.port != other.port
    assert Sandbox().certificate == ""


def test_lmtp_answers_each_recipient() -> None:
    with Sandbox(lmtp=True) as sandbox:
        sandbox.on("end", to="b@*").reply(452)
        with smtplib.LMTP(sandbox.host, sandbox.port) as client:
            client.sock.settimeout(LATE)
            client.ehlo()
            client.mail("x@example.org")
            client.rcpt("a@example.com")
            client.rcpt("b@example.com")
            assert client.data("Subject: x\r\n\r\n")[0] == 250
            assert client.getreply() == (452, b"4.0.0 On demand")
        sandbox.assert_sent(to="a@example.com", count=1)


def test_extensions_are_those_of_the_offer() -> None:
    offer = Offer(smtputf8=False, pipelining=False)
    with Sandbox(offer=offer) as sandbox, smtplib.SMTP(sandbox.host, sandbox.port, timeout=LATE) as client:
        client.ehlo()
        assert not client.has_extn("smtputf8")
        assert not client.has_extn("pipelining")
        assert client.has_extn("dsn")


def test_a_lenient_sandbox_tells_what_a_strict_server_refuses() -> None:
    for lenient in (True, False):
        with Sandbox(lenient=lenient) as sandbox:
            with socket.create_connection((sandbox.host, sandbox.port), LATE) as channel:
                channel.sendall(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n")
                channel.sendall(b"Subject: x\n\ny\r\n.\r\nQUIT\r\n")
                while channel.recv(65_536):
                    pass
            assert [[each.kind for each in message.remarks] for message in sandbox.messages] == [["bare-lf"]] * lenient


# What is too much -----------------------------------------------------------------------------------------------------


def test_too_large_and_too_many_messages_are_refused() -> None:
    with Sandbox(max_size=1_000, max_octets=1_500, max_messages=3) as sandbox:
        with pytest.raises(smtplib.SMTPSenderRefused, match="552"):
            send(sandbox, "a@example.com", text="x" * 2_000)
        with smtplib.SMTP(sandbox.host, sandbox.port, timeout=LATE) as client:
            client.esmtp_features.pop("size", None)
            client.ehlo_or_helo_if_needed()
            client.mail("a@example.org")
            client.rcpt("b@example.com")
            assert client.data("x" * 2_000)[0] == 552
        send(sandbox, "a@example.com", text="x" * 800)
        with pytest.raises(smtplib.SMTPDataError, match="The sandbox is full"):
            send(sandbox, "a@example.com", text="x" * 800)
        sandbox.clear()
        for _ in range(3):
            send(sandbox, "a@example.com")
        with pytest.raises(smtplib.SMTPDataError, match="The sandbox is full"):
            send(sandbox, "a@example.com")
        assert len(sandbox.messages) == 3


def test_the_newest_sessions_are_kept(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_server, "_SESSIONS_MOST", 3)
    for _ in range(8):
        socket.create_connection((sandbox.host, sandbox.port), LATE).close()
    send(sandbox, "ann@example.com")
    assert [each.number for each in sandbox.sessions] == [7, 8, 9]


def test_a_long_session_keeps_the_beginning_of_its_dialogue(sandbox: Sandbox) -> None:
    with socket.create_connection((sandbox.host, sandbox.port), LATE) as channel:
        channel.sendall(b"NOOP\r\n" * 1_500 + b"NOOP " + b"x" * 900 + b"\r\nQUIT\r\n")
        while channel.recv(65_536):
            pass
    (session,) = sandbox.sessions
    assert len(session.lines) == 2_001
    assert session.lines[-1] == "(1,005 more lines)"


# Waiting and asserting ------------------------------------------------------------------------------------------------


def test_wait_for_is_woken_by_the_message(sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(sandbox.wait_for, to="ann@example.com", timeout=LATE)
        send(sandbox, "bob@example.com")
        assert not waiting.done()
        send(sandbox, "ann@example.com", subject="at last")
        assert waiting.result(LATE).subject == "at last"


def test_the_same_conditions_give_the_next_message(sandbox: Sandbox) -> None:
    for subject in ("one", "two", "three"):
        send(sandbox, "ann@example.com", subject=subject)
    assert [sandbox.wait_for(to="ann@*").subject for _ in range(3)] == ["one", "two", "three"]
    assert sandbox.wait_for(to="ann@*", subject="t*").subject == "two"  # other conditions begin at the first
    assert "3 messages came" in complaint(lambda: sandbox.wait_for(to="ann@*", timeout=0))
    sandbox.clear()
    assert "No message came at all" in complaint(lambda: sandbox.wait_for(to="ann@*", timeout=0))
    send(sandbox, "ann@example.com", subject="four")
    assert sandbox.wait_for(to="ann@*").subject == "four"


def test_a_wait_outlasts_a_clear(sandbox: Sandbox) -> None:
    send(sandbox, "bob@example.com")
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(sandbox.wait_for, to="ann@example.com", timeout=LATE)
        send(sandbox, "bob@example.com")
        sandbox.clear()
        send(sandbox, "ann@example.com")
        assert waiting.result(LATE)


def test_a_message_after_a_clear_is_new_though_as_many_were_there_before() -> None:
    """The waiter looks before the clear, and next when one message is there again."""
    with Sandbox() as sandbox:
        send(sandbox, "bob@example.com")
        send(sandbox, "ann@example.com")
        bob, ann = sandbox.messages
    store = MailStore(10, 1_000_000)

    async def main() -> CaughtMessage | None:
        store.add(bob, 1)
        waiting = asyncio.create_task(store.await_next(Conditions({"to": "ann@example.com"}), LATE))
        await asyncio.sleep(0)  # the waiter has looked
        store.clear()
        store.add(ann, 1)
        return await waiting

    assert asyncio.run(main()) is ann


def test_awaiting_does_not_stop_the_loop(sandbox: Sandbox) -> None:
    async def main() -> list[str]:
        waiting = [asyncio.create_task(sandbox.await_for(to=f"{name}@example.com", timeout=LATE)) for name in "ab"]
        late = asyncio.create_task(sandbox.await_for(to="c@example.com", timeout=0))
        given_up = asyncio.create_task(sandbox.await_for(to="d@example.com", timeout=LATE))
        with pytest.raises(NotSent, match=r"No message came within 0 s with to='c@example\.com'"):
            await late
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        await asyncio.to_thread(send, sandbox, "b@example.com", subject="second")
        await asyncio.to_thread(send, sandbox, "a@example.com", subject="first")
        with pytest.raises(LocalError, match=r"write `await sandbox\.await_for"):
            sandbox.wait_for(to="nobody@example.com")
        with pytest.raises(LocalError, match=r"write `await sandbox\.await_none"):
            sandbox.expect_none(within=5, to="nobody@example.com")
        assert sandbox.wait_for(to="a@*").subject == "first"  # it is there: nothing is stopped
        await sandbox.await_none(within=0.01)
        return [(await each).subject for each in waiting]

    assert asyncio.run(main()) == ["first", "second"]


def test_expect_none_counts_what_nobody_has_asked_for(sandbox: Sandbox) -> None:
    sandbox.expect_none(within=0)
    send(sandbox, "ann@example.com")
    said = complaint(lambda: sandbox.expect_none(within=30))
    assert said == "A message came, and none was expected: <message to ann@example.com, subject 'Hello'>"
    sandbox.expect_none(within=0.01, to="bob@*")
    sandbox.wait_for(to="ann@*")
    sandbox.expect_none(within=0)
    send(sandbox, "ann@example.com", "bob@example.com")
    assert "with to='bob@*'" in complaint(lambda: sandbox.expect_none(within=30, to="bob@*"))
    with ThreadPoolExecutor(1) as thread:
        sandbox.clear()
        watching = thread.submit(sandbox.expect_none, within=LATE)
        send(sandbox, "ann@example.com")
        assert isinstance(watching.exception(LATE), NotSent)


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"to": "ann@example.com"},
        {"to": "ANN@Example.com"},
        {"to": ["ann@*", "bob@*"]},
        {"to": re.compile(r"^b.b@")},
        {"sender": "app@example.org"},
        {"subject": "Your c?de*"},
        {"subject": re.compile("code")},
        {"text": "471102"},
        {"text": re.compile(r"\d{6}")},
        {"headers": {"subject": "*471102"}},
        {"match": lambda message: message.code == "471102"},
        {"to": "ann@*", "subject": "Your code: 471102", "count": 1},
    ],
)
def test_conditions_that_are_met(sandbox: Sandbox, wanted: dict[str, object]) -> None:
    send(sandbox, "ann@example.com", "bob@example.com", subject="Your code: 471102", text="It is 471102.")
    assert sandbox.assert_sent(**wanted).code == "471102"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"to": "an@*"}, "to='an@*': it is ann@example.com, bob@example.com"),
        ({"to": ["ann@*", "eve@*"]}, "to='eve@*': it is ann@example.com, bob@example.com"),
        ({"sender": "x@y.example"}, "sender='x@y.example': it is app@example.org"),
        ({"subject": "your code"}, "subject='your code': it is 'Your code'"),
        ({"subject": "code"}, "(for a part of a subject, write subject='*code*')"),
        ({"text": "471103"}, "text='471103': not found in 'It is 471102.\\n'"),
        ({"html": "<p>"}, "html='<p>': not found in ''"),
        ({"attachment": "*.pdf"}, "attachment='*.pdf': it is none"),
        ({"headers": {"X-Tag": "a"}}, "X-Tag: 'a': it is ''"),
        ({"match": lambda message: False}, "match=…: the function says no"),
        ({"subject": re.compile("^code")}, "subject=/^code/: it is 'Your code'"),
    ],
)
def test_conditions_that_are_missed(sandbox: Sandbox, wanted: dict[str, object], sentence: str) -> None:
    send(sandbox, "ann@example.com", "bob@example.com", subject="Your code", text="It is 471102.")
    said = complaint(lambda: sandbox.assert_sent(**wanted))  # type: ignore[arg-type]
    assert "1 message came:\n  1. to ann@example.com, bob@example.com, subject 'Your code'\n" in said
    assert f"       {sentence}" in said.splitlines()
    sandbox.assert_not_sent(**wanted)  # type: ignore[arg-type]


def test_the_last_session_is_told_where_no_message_came(sandbox: Sandbox) -> None:
    said = complaint(lambda: sandbox.assert_sent(to="ann@*"))
    assert said.endswith(f"No message came at all. No client has connected to 127.0.0.1:{sandbox.port}.")
    sandbox.on("rcpt").reply("550 5.1.1 No such user")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(sandbox, "ann@example.com")
    said = complaint(lambda: sandbox.assert_sent(to="ann@*"))
    assert "1 client connected; the last session ended so:" in said
    assert "S: 550 5.1.1 No such user" in said


def test_only_so_many_messages_are_wanted(sandbox: Sandbox) -> None:
    for _ in range(25):
        send(sandbox, "ann@example.com")
    assert "25 messages were sent with to='ann@*', not 2." in complaint(
        lambda: sandbox.assert_sent(to="ann@*", count=2)
    )
    assert "(5 earlier ones are not shown)" in complaint(lambda: sandbox.assert_sent(to="bob@*"))
    assert "and 24 more" in complaint(lambda: sandbox.assert_not_sent(to="ann@*"))
    with pytest.raises(LocalError, match="assert_not_sent is for none"):
        sandbox.assert_sent(count=0)


def test_a_condition_that_does_not_exist_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(LocalError, match="recipient= is no condition on a message; the conditions are to, sender"):
        sandbox.wait_for(recipient="ann@example.com")  # type: ignore[call-arg]


def test_links_and_codes_that_are_not_there_are_told(sandbox: Sandbox) -> None:
    send(sandbox, "ann@example.com", text="nothing of note")
    send(sandbox, "ann@example.com", text="https://a.example/1 https://a.example/2")
    none, two = sandbox.messages
    with pytest.raises(AssertionError, match=r"there is no code in .*; it says: 'nothing of note'"):
        none.code  # noqa: B018
    with pytest.raises(AssertionError, match="there is no link in"):
        none.link  # noqa: B018
    with pytest.raises(AssertionError, match=r"there are 2 links in .*: https://a\.example/1, https://a\.example/2"):
        two.link  # noqa: B018


# Start and stop -------------------------------------------------------------------------------------------------------


def test_stop_ends_everything_and_keeps_what_came() -> None:
    with Sandbox() as sandbox:
        send(sandbox, "ann@example.com")
        idle = socket.create_connection((sandbox.host, sandbox.port), LATE)
        assert idle.recv(100).startswith(b"220")
        sandbox.on("helo").delay(3_600)
        idle.sendall(b"EHLO x\r\n")
    with idle:
        idle.settimeout(LATE)
        try:
            rest = idle.recv(100)
        except ConnectionResetError:
            rest = b""
        assert rest == b"" or rest.startswith(b"421")
    assert len(sandbox.messages) == 1
    assert "C: QUIT" in sandbox.transcript
    assert not any(thread.name == "posthouse-sandbox" for thread in threading.enumerate())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((sandbox.host, sandbox.port), LATE)
    sandbox.stop()
    with pytest.raises(LocalError, match="does not run"):
        sandbox.cut_connections()


def test_a_sandbox_in_a_coroutine() -> None:
    async def main() -> None:
        async with Sandbox() as sandbox:
            await asyncio.to_thread(send, sandbox, "ann@example.com")
            assert (await sandbox.await_for(to="ann@*", timeout=LATE)).subject == "Hello"

    asyncio.run(main())


def test_a_fork_leaves_the_sandbox_alone(sandbox: Sandbox) -> None:
    if (child := os.fork()) == 0:
        try:
            sandbox.stop()  # has no thread to wait for
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    send(sandbox, "ann@example.com")
    assert sandbox.messages


def test_mistakes_are_told(sandbox: Sandbox) -> None:
    with pytest.raises(LocalError, match="has not been started; write `with Sandbox"):
        Sandbox().port  # noqa: B018
    with pytest.raises(LocalError, match="already"):
        sandbox.start()
    with pytest.raises(SettingError, match="another program already listens there"):
        Sandbox(port=sandbox.port).start()
    with pytest.raises(LocalError, match="tls is 'ssl'; it can be 'off', 'starttls', 'required', 'implicit'"):
        Sandbox(tls="ssl")  # type: ignore[arg-type]
    with pytest.raises(LocalError, match="auth is 'yes'; it can be"):
        Sandbox(auth="yes")  # type: ignore[arg-type]
    with pytest.raises(LocalError, match="LMTP has no TLS from the first octet"):
        Sandbox(lmtp=True, tls="implicit")
    with (
        pytest.raises(SettingError, match=r"/nowhere\.pem: it cannot be read"),
        Sandbox(tls="starttls", certificate="/nowhere.pem"),
    ):
        pass


def test_awaiting_on_another_event_loop_is_told(sandbox: Sandbox) -> None:
    for waiting in (sandbox.await_for(to="x"), sandbox.await_none(within=0)):
        with pytest.raises(LocalError, match=r"no loop of asyncio runs here; on Trio, let a thread call"):
            waiting.send(None)


def test_cut_connections_cuts_without_a_word(sandbox: Sandbox) -> None:
    with socket.create_connection((sandbox.host, sandbox.port), LATE) as idle:
        assert idle.recv(100).startswith(b"220")
        sandbox.cut_connections()
        with contextlib.suppress(ConnectionResetError):
            assert idle.recv(100) == b""
    send(sandbox, "ann@example.com")


# Faults ---------------------------------------------------------------------------------------------------------------


def test_a_reply_for_some_recipients(sandbox: Sandbox) -> None:
    fault = sandbox.on("rcpt", to="full@*").reply("452 4.2.2 Mailbox is full")
    with smtplib.SMTP(sandbox.host, sandbox.port, timeout=LATE) as client:
        refused = client.sendmail("a@example.org", ["full@example.com", "ann@example.com"], "Subject: x\r\n\r\n")
    assert refused == {"full@example.com": (452, b"4.2.2 Mailbox is full")}
    assert sandbox.assert_sent().recipients == tuple(each.address for each in sandbox.messages[0].envelope.recipients)
    sandbox.assert_not_sent(to="full@*")
    assert fault.strikes == 1
    fault.remove()
    send(sandbox, "full@example.com")
    sandbox.on("mail", sender="app@*").reply(Reply(550, "5.7.1", "Not you"))
    with pytest.raises(smtplib.SMTPSenderRefused, match="Not you"):
        send(sandbox, "ann@example.com")
    sandbox.clear_faults()
    send(sandbox, "ann@example.com")


def test_it_fails_some_times_and_the_newest_fault_strikes(sandbox: Sandbox) -> None:
    sandbox.on("rcpt", to="ann@*").reply(550)
    sandbox.on("rcpt", to="*").fail_times(2)
    said = []
    for _ in range(3):
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            send(sandbox, "ann@example.com")
        said.append(refused.value.recipients["ann@example.com"][0])
    assert said == [451, 451, 550]


@pytest.mark.parametrize(
    ("stage", "seen"),
    [
        ("connect", b""),
        ("helo", b"220"),
        ("mail", b"220 250"),
        ("rcpt", b"220 250 250"),
        ("data", b"220 250 250 250"),
        ("end", b"220 250 250 250 354"),
    ],
)
@pytest.mark.parametrize("delay", [0.0, 0.01])
def test_a_connection_is_cut_at_each_stage(sandbox: Sandbox, stage: str, seen: bytes, delay: float) -> None:
    fault = sandbox.on(stage).drop()
    if delay:
        fault.delay(delay)
    said = _dialogue(sandbox)
    if stage == "data" and delay:  # which comes with the last reply
        seen = b"220 250 250 250 354"
    assert said == seen
    assert sandbox.messages == ()
    assert "(cut the connection, on demand)" in sandbox.transcript


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_connection_is_cut_inside_tls(tls: SandboxTls) -> None:
    with Sandbox(tls=tls) as sandbox:
        sandbox.on("rcpt", to="c@*").drop()
        sandbox.on("mail", sender="slow@*").delay(0.01)
        context = ssl.create_default_context(cafile=sandbox.certificate)
        kind, more = (smtplib.SMTP_SSL, {"context": context}) if tls == "implicit" else (smtplib.SMTP, {})
        with kind(sandbox.host, sandbox.port, timeout=LATE, **more) as client:  # type: ignore[arg-type]
            if tls == "starttls":
                client.starttls(context=context)
            client.sendmail("slow@b.example", "d@e.example", "Subject: x\r\n\r\n")
            with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
                client.sendmail("a@b.example", "c@d.example", "Subject: x\r\n\r\n")
            client.close()
        sandbox.assert_sent(count=1)
        assert "(cut the connection, on demand)" in sandbox.transcript


@pytest.mark.parametrize("keep", [False, True])
def test_a_connection_is_cut_behind_the_content(sandbox: Sandbox, keep: bool) -> None:
    sandbox.on("rcpt", to="c@*").drop(after="data", keep=keep)
    assert _dialogue(sandbox) == b"220 250 250 250 354"
    assert len(sandbox.messages) == keep


@pytest.mark.parametrize("stage", ["helo", "mail", "rcpt", "data", "end"])
@pytest.mark.parametrize("delay", [0.0, 0.01])
def test_a_reply_at_each_stage(sandbox: Sandbox, stage: str, delay: float) -> None:
    fault = sandbox.on(stage).reply(421)
    if delay:
        fault.delay(delay)
    assert _dialogue(sandbox).endswith(b" 421")
    assert sandbox.messages == ()


def test_a_delay_alone_changes_no_reply(sandbox: Sandbox) -> None:
    for stage in ("connect", "helo", "mail", "rcpt", "data", "end"):
        sandbox.on(stage).delay(0.01)
    assert _dialogue(sandbox) == b"220 250 250 250 354 250 221"
    assert len(sandbox.messages) == 1


def test_a_login_is_refused(sandbox: Sandbox) -> None:
    sandbox.on("auth", user="ann").reply("454 4.7.0 Accounts are away").fail_times(1)
    said = []
    for name in ("bob", "ann", "ann"):
        with smtplib.SMTP(sandbox.host, sandbox.port, timeout=LATE) as client:
            client.ehlo()
            said.append(client.docmd("AUTH PLAIN", b64encode(f"\0{name}\0x".encode()).decode())[0])
    assert said == [235, 454, 235]


def test_a_client_that_leaves_during_a_delay_leaves_nothing(sandbox: Sandbox) -> None:
    sandbox.on("end").delay(0.05)
    with socket.create_connection((sandbox.host, sandbox.port), LATE) as channel:
        channel.sendall(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n")
        received = b""
        while b"354" not in received:
            received += channel.recv(1_000)
        channel.sendall(b"x\r\n.\r\n")
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    send(sandbox, "ann@example.com")  # is answered 0.05 s after its end, and so after the other
    sandbox.assert_sent(count=1)


def _dialogue(sandbox: Sandbox) -> bytes:
    """The codes that a client gets which sends each command after the reply to the one before."""
    codes = []
    with socket.create_connection((sandbox.host, sandbox.port), LATE) as channel, channel.makefile("rb") as replies:
        for command in (
            b"",
            b"EHLO x",
            b"MAIL FROM:<a@b.example>",
            b"RCPT TO:<c@d.example>",
            b"DATA",
            b"x\r\n.",
            b"QUIT",
        ):
            try:
                if command:
                    channel.sendall(command + b"\r\n")
                line = replies.readline()
                while line[3:4] == b"-":
                    line = replies.readline()
            except ConnectionError:
                break
            if not line:
                break
            codes.append(line[:3])
            if line.startswith(b"421"):
                break
    return b" ".join(codes)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda it: it.on("begin"), '"begin" is no stage of a session; the stages are connect, helo, auth, mail, rcpt'),
        (lambda it: it.on("mail", to="x@*"), "no recipient is known at the stage mail yet"),
        (lambda it: it.on("helo", sender="x@*"), "no sender is known at the stage helo yet"),
        (lambda it: it.on("rcpt", user="x"), "user= belongs to the stage auth"),
        (lambda it: it.on("rcpt").delay(-1), "a delay is 0 to 3,600 seconds, not -1"),
        (lambda it: it.on("rcpt").reply(99), "99 is no reply; write a code such as 451"),
        (lambda it: it.on("rcpt").reply("451 5.0.0 x"), "'451 5.0.0 x' is no reply"),
        (lambda it: it.on("rcpt").reply(354), "354 asks for more"),
        (lambda it: it.on("connect").reply(451), "a connection is refused with 421, 521 or 554"),
        (lambda it: it.on("data").reply(250), "DATA is refused with 400 to 599, not 250"),
        (lambda it: it.on("data").drop(after="mail"), "mail comes before data"),
        (lambda it: it.on("data").drop(after="dinner"), '"dinner" is no stage'),
        (lambda it: it.on("rcpt").drop(keep=True), "only a message whose content has come can be kept"),
        (lambda it: it.on("rcpt").fail_times(0), "a fault strikes once or more often, not 0 times"),
    ],
)
def test_a_wrong_fault_is_told(wrong: Callable[[Sandbox], object], sentence: str) -> None:
    with pytest.raises(LocalError, match=re.escape(sentence)):
        wrong(Sandbox())
