"""``send`` and ``asend``: equal results and exceptions for the same dialogues."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, NamedTuple

import pytest
from tests.sending.scripted_peer import CLOSE, CONTENT, GREETING, HANG, ScriptedPeer, Table

import posthouse
from posthouse import CannotConnect, LocalError, SendResult, SettingError, TimedOut, TLSFailed
from posthouse.client.features import PHASES
from posthouse.core import Address, Envelope, Recipient, Result
from posthouse.sending import verp
from posthouse.sending.options import SendOptions, target_of

MESSAGE = b"From: ann@a.example\nTo: b@b.example, c@b.example, d@b.example\nSubject: hi\n\nhello\n"
THREE = ("b@b.example", "c@b.example", "d@b.example")

Send = Callable[..., SendResult]


def awaited(*args: Any, **options: Any) -> SendResult:
    return asyncio.run(posthouse.asend(*args, **options))


@pytest.fixture(params=[posthouse.send, awaited], ids=["send", "asend"])
def send(request: pytest.FixtureRequest) -> Send:
    found: Send = request.param
    return found


class Case(NamedTuple):
    """A dialogue: what the peer answers, and the results, phase and code for b, c and d."""

    table: Table
    results: str  # D delivered, d deferred, F failed, A ambiguous
    phases: tuple[str, str, str]
    codes: tuple[int | None, int | None, int | None]


END = ("end of data",) * 3
CASES = {
    "all accepted": Case({}, "DDD", END, (250, 250, 250)),
    "without pipelining": Case({"EHLO": "250 mx.example"}, "DDD", END, (250, 250, 250)),
    "one refused": Case(
        {"RCPT TO:<c": "550 5.1.1 unknown"}, "DFD", ("end of data", "RCPT", "end of data"), (250, 550, 250)
    ),
    "one deferred": Case(
        {"RCPT TO:<d": "451 4.2.0 later"}, "DDd", ("end of data", "end of data", "RCPT"), (250, 250, 451)
    ),
    "all refused": Case({"RCPT": "550 5.1.1 unknown"}, "FFF", ("RCPT",) * 3, (550, 550, 550)),
    "MAIL refused": Case({"MAIL": "553 5.1.8 bad sender"}, "FFF", ("MAIL",) * 3, (553, 553, 553)),
    "MAIL deferred": Case({"MAIL": "451 4.7.1 greylisted"}, "ddd", ("MAIL",) * 3, (451, 451, 451)),
    "DATA refused": Case({"DATA": "554 5.7.1 no"}, "FFF", ("DATA",) * 3, (554, 554, 554)),
    "content refused": Case({CONTENT: "554 5.7.1 spam"}, "FFF", END, (554, 554, 554)),
    "lost at MAIL": Case({"MAIL": CLOSE}, "ddd", ("MAIL",) * 3, (None, None, None)),
    "lost at RCPT": Case({"RCPT TO:<c": CLOSE}, "ddd", ("RCPT",) * 3, (None, None, None)),
    "lost at the dot": Case({CONTENT: CLOSE}, "AAA", END, (None, None, None)),
    "421 at RCPT": Case({"RCPT": f"421 4.3.2 going down {CLOSE}"}, "ddd", ("RCPT",) * 3, (421, 421, 421)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_outcomes_of_a_dialogue(send: Send, case: Case) -> None:
    with ScriptedPeer(case.table) as peer:
        result = send(MESSAGE, peer.url)
    letters = {Result.DELIVERED: "D", Result.DEFERRED: "d", Result.FAILED: "F", Result.AMBIGUOUS: "A"}
    assert "".join(letters[each.result] for each in result) == case.results
    assert tuple(str(each.phase) for each in result) == case.phases
    assert tuple(each.reply and each.reply.code for each in result) == case.codes
    assert [str(each.recipient.address) for each in result] == [*THREE]
    assert all(each.elapsed > 0 for each in result)
    assert len(peer.dialogues) == 1


def test_every_phase_of_a_refusal_is_in_the_table() -> None:
    assert set(PHASES.values()) == {"MAIL", "RCPT", "DATA", "content", "end of data"}


def test_bcc_gets_the_message_and_never_leaves(send: Send) -> None:
    message = (
        b"From: ann@a.example\nTo: b@b.example\nbCC: secret@b.example,\n other@b.example\nSubject: x\n\nBcc: stays\n"
    )
    with ScriptedPeer({}) as peer:
        assert send(message, peer.url).ok
    (lines,) = peer.dialogues
    assert [line for line in lines if line.startswith("RCPT")] == [
        "RCPT TO:<b@b.example>",
        "RCPT TO:<secret@b.example>",
        "RCPT TO:<other@b.example>",
    ]
    assert lines[-2] == "From: ann@a.example\r\nTo: b@b.example\r\nSubject: x\r\n\r\nBcc: stays\r\n"


def test_the_envelope_may_be_apart_from_the_message(send: Send) -> None:
    with ScriptedPeer({}) as peer:
        assert send(MESSAGE, peer.url, envelope=(None, "x@y.example"), transcript=True).transcript[-1] == "R: 221 bye"
        send(MESSAGE, peer.url, envelope=("bounces@a.example", ["x@y.example", Address("z", "y.example")]))
    assert peer.dialogues[0][1:3] == ["MAIL FROM:<>", "RCPT TO:<x@y.example>"]
    assert peer.dialogues[1][1:4] == ["MAIL FROM:<bounces@a.example>", "RCPT TO:<x@y.example>", "RCPT TO:<z@y.example>"]


def test_a_sender_for_each_recipient(send: Send) -> None:
    with ScriptedPeer({"RCPT TO:<c": "550 5.1.1 unknown"}) as peer:
        result = send(MESSAGE, peer.url, verp="bounces+{local}={domain}@lists.a.example")
    assert [each.result for each in result] == [Result.DELIVERED, Result.FAILED, Result.DELIVERED]
    (lines,) = peer.dialogues
    assert [line for line in lines if line.startswith("MAIL")] == [
        f"MAIL FROM:<bounces+{local}=b.example@lists.a.example>" for local in "bcd"
    ]
    assert str(verp("news@a.example", "x@y.example")) == "news+x=y.example@a.example"
    with pytest.raises(LocalError, match=r"must have \{local\} and \{domain\}"):
        verp("news@a.example", "x@y.example", "bounces@a.example")


def test_several_envelopes(send: Send) -> None:
    envelopes = [Envelope(Address("a", "a.example"), (Recipient(Address(one, "b.example")),)) for one in "xy"]
    with ScriptedPeer({}) as peer:
        assert [str(each.recipient.address) for each in send(MESSAGE, peer.url, envelope=envelopes)] == [
            "x@b.example",
            "y@b.example",
        ]
    with pytest.raises(LocalError, match="a list in envelope= must hold"):
        send(MESSAGE, peer.url, envelope=["x@b.example"])


# Time ------------------------------------------------------------------------------------------------------------


def test_a_time_limit_at_rcpt_is_a_deferral(send: Send) -> None:
    """Case 18: the caller's time is over while the server has not answered RCPT."""
    with ScriptedPeer({"RCPT": HANG}, {}) as peer:
        first = send(MESSAGE, peer.url, timeout=0.2)
        assert {(each.result, str(each.phase)) for each in first} == {(Result.DEFERRED, "RCPT")}
        assert "the time limit of 0.2 seconds was over" in first.outcomes[0].reason
        assert send(MESSAGE, peer.url).ok


def test_a_time_limit_before_a_session_is_an_exception(send: Send) -> None:
    late = r"0\.2 seconds .* the last reply was 220 "
    with ScriptedPeer({"EHLO": HANG}) as peer, pytest.raises(TimedOut, match=late) as raised:
        send(MESSAGE, peer.url, timeout="0.2s")
    assert isinstance(raised.value, TimeoutError)
    assert raised.value.phase == "EHLO"
    assert raised.value.transcript[0] == "R: 220 mx.example ready"


def test_a_peer_that_trickles_does_not_get_more_time(send: Send) -> None:
    """Each line of a reply without end comes in time, and the reply does not."""
    endless = "250-mx.example\r\n" * 90
    with ScriptedPeer({"EHLO": endless.removesuffix("\r\n") + "\r\n250-" + "x" * 200}) as peer:
        with pytest.raises(TimedOut) as raised:
            send(MESSAGE, peer.url, reply_timeout=0.3)
        assert raised.value.phase == "EHLO"


# What fails before anything is tried ------------------------------------------------------------------------------


def test_nothing_listens(send: Send) -> None:
    with ScriptedPeer({}) as peer:
        pass
    with pytest.raises(CannotConnect) as raised:
        send(MESSAGE, peer.url)
    assert isinstance(raised.value, ConnectionError)
    assert raised.value.phase == "connect"


@pytest.mark.parametrize(
    ("table", "phase", "words"),
    [
        ({GREETING: "554 5.7.1 no service for you"}, "greeting", "refused the session: 554 5.7.1"),
        ({GREETING: CLOSE}, "greeting", "closed the connection before a session was open"),
        ({GREETING: "SSH-2.0-OpenSSH"}, "greeting", "does not speak SMTP as a client can understand it"),
        ({"EHLO": "421 4.3.2 no", "HELO": "421 4.3.2 no"}, "EHLO", "refused EHLO: 421 4.3.2 no"),
        ({"EHLO": "502 5.5.1 no", "HELO": "550 5.7.1 nor so"}, "EHLO", "refused HELO: 550 5.7.1 nor so"),
    ],
)
def test_no_session_is_an_exception_that_says_how_far_it_came(send: Send, table: Table, phase: str, words: str) -> None:
    with ScriptedPeer(table) as peer, pytest.raises(CannotConnect, match=words) as raised:
        send(MESSAGE, peer.url)
    assert raised.value.phase == phase


def test_tls_that_is_not_offered_is_a_tls_failure(send: Send) -> None:
    import ssl

    with ScriptedPeer({}) as peer:
        url = peer.url.replace("smtp:", "smtp+starttls:")
        with pytest.raises(TLSFailed, match="does not offer STARTTLS") as raised:
            send(MESSAGE, url)
        assert isinstance(raised.value, ssl.SSLError)
        assert str(raised.value).endswith("may have taken the offer out")
        assert raised.value.phase == "TLS"
        with pytest.raises(CannotConnect, match=r"the URL is smtp\+starttls://127.0.0.1"):
            send(MESSAGE, peer.url.replace("smtp:", "smtps:"))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("notes.txt", "a text is no message"),
        (b"To: b@b.example\n\nx", "the message has no From field"),
        (b"From: a@a.example\n\nx", "the message has no recipient"),
        (b"From: a@a.example\nTo: not an address\n\nx", "in the field To is no address"),
        (b"From: a@a.example\nTo: b@un_der.example\n\nx", "underscore"),
        (7, "int is no message"),
    ],
)
def test_what_cannot_be_sent_is_a_local_error_and_no_connection(send: Send, message: object, words: str) -> None:
    with ScriptedPeer({}) as peer:
        with pytest.raises(LocalError, match=words) as raised:
            send(message, peer.url)
        assert isinstance(raised.value, ValueError)
    assert peer.dialogues == []


@pytest.mark.parametrize(
    "envelope",
    [
        "a@a.example",
        b"a@a.example",
        5,
        ("a@a.example",),
        ("a@a.example", 5),
        ("a@a.example", b"b@b.example"),
        ("a@a.example", [["b@b.example"]]),
        ([], ["b@b.example"], 1),
    ],
)
def test_an_envelope_that_is_none_is_told_what_one_is(send: Send, envelope: object) -> None:
    with pytest.raises(LocalError, match="an Envelope, or a pair: the sender's address, and a list of recipients"):
        send(MESSAGE, "memory:", envelope=envelope)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"tiemout": 1}, "no option tiemout; did you mean timeout"),
        ({"xyzzy": 1}, "no option xyzzy; there are .*proxy"),
    ],
)
@pytest.mark.parametrize("via", ["memory:", "smtp://192.0.2.1"])
def test_an_option_that_does_not_exist_is_named(send: Send, option: dict[str, Any], words: str, via: str) -> None:
    with pytest.raises(TypeError, match=words):
        send(MESSAGE, via, **option)


@pytest.mark.parametrize("make", [posthouse.Client, posthouse.Pool, posthouse.AsyncPool])
def test_clients_and_pools_have_no_other_options(make: Any) -> None:
    with pytest.raises(TypeError, match="no option lokal_name; did you mean local_name"):
        make("smtp://192.0.2.1", lokal_name="a.example")


#: Options of a session with a server, each with a value of a wrong type.
WRONG_OPTIONS: dict[str, Any] = {
    "tls": 1,
    "ca": 5,
    "name": 5,
    "mechanisms": "PLAIN",
    "allow_plain_text": "no",
    "source": 1,
    "local_name": b"a.example",
    "proxy": 5,
    "connect_timeout": True,
    "reply_timeout": b"3",
    "final_timeout": [],
    "key": 4,
}


def test_each_option_has_a_case_of_a_wrong_type() -> None:
    assert set(WRONG_OPTIONS) == set(SendOptions.__annotations__)


@pytest.mark.parametrize("option", [*WRONG_OPTIONS, "timeout", "credentials"])
def test_an_option_of_a_wrong_type_is_named_at_once(send: Send, option: str) -> None:
    """Without a connection, and without the value, which may be a password."""
    value = {**WRONG_OPTIONS, "timeout": True, "credentials": "secret"}[option]
    server = "smtp://192.0.2.1"
    makers = (posthouse.Client, posthouse.AsyncClient, posthouse.Pool, posthouse.AsyncPool)
    for call in (partial(send, MESSAGE, server), *(partial(each, server) for each in makers)):
        with pytest.raises((LocalError, SettingError), match=option) as caught:
            call(**{option: value})
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("via", ["memory:", "smtp://192.0.2.1"])
def test_a_transcript_of_a_wrong_type_is_named_at_once(send: Send, via: str) -> None:
    with pytest.raises(LocalError, match=r"transcript= must be True, or a function .* not str"):
        send(MESSAGE, via, transcript="yes")
    with posthouse.Pool("memory:") as pool, pytest.raises(LocalError, match="transcript="):
        pool.send(MESSAGE, transcript="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{"size": "5"}, {"size": True}, {"idle": True}, {"max_age": []}, {"messages": "3"}, {"rate": 5}], ids=str
)
@pytest.mark.parametrize("make", [posthouse.Pool, posthouse.AsyncPool])
def test_a_limit_of_a_wrong_type_is_named(make: Any, wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(LocalError, match=f"^{name}="):
        make("memory:", **wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"journal": 7}, {"key": 3}, {"ahead": "2"}, {"ahead": True}, {"progress": 5}, {"timeout": True}],
    ids=str,
)
def test_an_option_of_a_series_of_a_wrong_type_is_named_at_once(wrong: dict[str, Any]) -> None:
    """``journal=7`` would be the open file of that number."""
    (name,) = wrong
    with posthouse.Pool("memory:") as pool, pytest.raises(LocalError, match=f"^{name}="):
        pool.send_many([MESSAGE], **wrong)


def test_minutes_are_written_alike_for_clients_and_pools(send: Send) -> None:
    assert send(MESSAGE, "memory:", timeout="10min").ok
    assert target_of("smtp://127.0.0.1?timeout=1h10min").timeout == 4_200.0
    with posthouse.Pool("memory:", timeout="10min") as pool:
        assert pool.send(MESSAGE).ok


def test_one_message_is_no_series() -> None:
    with (
        posthouse.Pool("memory:") as pool,
        pytest.raises(TypeError, match="bytes is no series of messages; give a list, or call send for one"),
    ):
        pool.send_many(MESSAGE)  # type: ignore[arg-type]


def test_verp_is_true_or_a_template(send: Send) -> None:
    with pytest.raises(LocalError, match="verp= must be True or a template, not int"):
        send(MESSAGE, "memory:", verp=5)


def test_without_a_server_nothing_is_sent(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POSTHOUSE_URL", "EMAIL_HOST"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingError, match="set the environment variable POSTHOUSE_URL"):
        send(MESSAGE)


def test_the_environment_names_the_server(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTHOUSE_URL", raising=False)
    with ScriptedPeer({}) as peer:
        monkeypatch.setenv("EMAIL_HOST", "127.0.0.1")
        monkeypatch.setenv("EMAIL_PORT", str(peer.port))
        assert send(MESSAGE).ok
        monkeypatch.setenv("POSTHOUSE_URL", peer.url)
        monkeypatch.setenv("EMAIL_HOST", "nowhere.invalid")
        assert send(MESSAGE).ok


# Octets -----------------------------------------------------------------------------------------------------------


def test_one_octet_at_a_time(send: Send) -> None:
    with ScriptedPeer({"RCPT TO:<c": "550-5.1.1 no\r\n550 5.1.1 such user"}, one_octet_at_a_time=True) as peer:
        result = send(MESSAGE, peer.url)
    assert [each.result for each in result] == [Result.DELIVERED, Result.FAILED, Result.DELIVERED]


def test_lmtp_has_an_answer_for_each_recipient(send: Send) -> None:
    with ScriptedPeer({"RCPT TO:<c": "550 5.1.1 unknown"}, lmtp=True) as peer:
        result = send(MESSAGE, peer.url)
    assert [each.result for each in result] == [Result.DELIVERED, Result.FAILED, Result.DELIVERED]
    assert peer.dialogues[0][0].startswith("LHLO")


def test_a_transcript_may_be_a_function(send: Send) -> None:
    lines: list[tuple[str, str]] = []
    with ScriptedPeer({}) as peer:
        result = send(MESSAGE, peer.url, transcript=lambda who, line: lines.append((who, line)))
    assert lines[0] == ("R", "220 mx.example ready")
    assert ("S", "DATA") in lines
    assert result.transcript == ()


def test_both_have_the_same_arguments() -> None:
    one, other = inspect.signature(posthouse.send), inspect.signature(posthouse.asend)
    assert one == other
    for name in ("__init__", "send", "close"):
        blocking = inspect.signature(getattr(posthouse.Client, name)).parameters
        awaiting = inspect.signature(getattr(posthouse.AsyncClient, name)).parameters
        assert {**blocking} == {key: value for key, value in awaiting.items() if key not in ("clock", "network")}


# Cancel -----------------------------------------------------------------------------------------------------------


class CancelAt:
    """An awaitable that cancels at its ``step``-th await point, and says whether it came so far."""

    def __init__(self, coroutine: Any, step: int) -> None:
        self._coroutine = coroutine
        self._step = step
        self.reached = False

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._coroutine.__await__()
        sent: Any = None
        count = 0
        try:
            while True:
                waiting = inner.send(sent)
                count += 1
                if count == self._step:
                    self.reached = True
                    waiting = inner.throw(asyncio.CancelledError())
                sent = yield waiting
        except StopIteration as stop:
            return stop.value


def test_cancelled_at_each_await_point_the_connection_is_closed() -> None:
    """The server sees the dialogue end, never a second message on what is left of it."""
    steps = 0
    with ScriptedPeer({}) as peer:

        async def run(step: int) -> bool:
            client = posthouse.AsyncClient(peer.url)
            cancelled = CancelAt(client.send(MESSAGE), step)
            try:
                (await cancelled).raise_for_failures()
            except asyncio.CancelledError:
                assert repr(client).endswith("closed>")
            assert (await client.send(MESSAGE)).ok  # the next message has a dialogue of its own
            await client.close()
            return cancelled.reached

        while asyncio.run(run(steps + 1)):
            steps += 1
            assert steps < 100
    assert steps >= 3  # connecting, EHLO, the message at least; the greeting may have come already
    for lines in peer.dialogues:
        assert lines[:1] in ([], ["EHLO [127.0.0.1]"]) or lines[0].startswith("EHLO ")
        assert lines.count("QUIT") <= 1
        assert len([line for line in lines if line.startswith("MAIL")]) <= 2


# Known refusals ---------------------------------------------------------------------------------------------------


def test_a_known_refusal_is_explained(send: Send) -> None:
    with ScriptedPeer({CONTENT: "550 5.7.26 This mail is unauthenticated. gsmtp"}) as peer:
        result = send(MESSAGE, peer.url)
    reason = result.outcomes[0].reason
    assert "said: 550 5.7.26" in reason
    assert reason.endswith("publish these records for the domain in From.")
