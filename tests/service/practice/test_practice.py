"""Practice sessions: each line is answered by a real session, explained, and placed by the law of the dialogue."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from posthouse.codes import ALL_BASIC, ALL_COMMANDS
from posthouse.core import LocalError
from posthouse.net import SystemClock
from posthouse.protocol.states import LAW, Input, State
from posthouse.service.practice.occasions import (
    CLASSIC_DIALOGUE,
    CODE_OCCASIONS,
    COMMAND_OCCASIONS,
    Occasion,
)
from posthouse.service.practice.practice_server import DOORS, LARGEST_MESSAGE
from posthouse.service.practice.practice_session import PracticeSession
from posthouse.service.practice.practice_sessions import IDLE_SECONDS, MOST_SESSIONS, PracticeSessions
from posthouse.service.practice.state_words import EXAMPLES, STATE_WORDS, legal_in
from posthouse.testing import ManualClock


async def spoken(door: str, lines: Sequence[str]) -> PracticeSession:
    session = PracticeSession(SystemClock(), door)
    await session.open()
    for line in lines:
        await session.say(line)
    return session


def last_code(session: PracticeSession) -> int:
    return int([each.text for each in session.lines if each.who == "R"][-1][:3])


@pytest.mark.parametrize("code", CODE_OCCASIONS)
def test_each_reply_code_is_brought_about(code: int) -> None:
    occasion = CODE_OCCASIONS[code]
    session = asyncio.run(spoken(occasion.door, occasion.lines))
    assert last_code(session) == code
    assert "(the connection was cut)" not in [each.text for each in session.lines]


def test_every_code_of_the_catalogue_has_an_occasion() -> None:
    assert list(CODE_OCCASIONS) == list(ALL_BASIC)


def test_the_codes_that_cannot_be_had_in_earnest_are_pretended() -> None:
    pretended = {code for code, each in CODE_OCCASIONS.items() if each.pretended}
    peers_only = {code for code, each in ALL_BASIC.items() if each.peers_only}
    # 451 is trouble of the receiver's own; 556 Posthouse gives to itself, when it sends.
    assert pretended == peers_only | {451, 556}


@pytest.mark.parametrize("verb", COMMAND_OCCASIONS)
def test_each_command_is_seen(verb: str) -> None:
    occasion = COMMAND_OCCASIONS[verb]
    session = asyncio.run(spoken(occasion.door, occasion.lines))
    code = last_code(session)
    usual = ALL_COMMANDS[verb].replies
    assert code == (502 if not ALL_COMMANDS[verb].offered else usual[0]) or (verb, code) in {
        ("HELP", 211),
        ("VRFY", 250),
    }
    assert any(each.who == "S" and each.text.split(" ")[0] == verb for each in session.lines)


def test_every_command_of_the_catalogue_has_an_occasion() -> None:
    assert set(COMMAND_OCCASIONS) == set(ALL_COMMANDS)


def test_the_classic_dialogue() -> None:
    session = asyncio.run(spoken("mx", CLASSIC_DIALOGUE))
    codes = [int(each.text[:3]) for each in session.lines if each.who == "R"]
    assert codes == [220, 250, 250, 250, 354, 250, 221]
    assert session.message is not None
    envelope, content = session.message
    assert str(envelope.sender) == "langrui@sohu.com"
    assert [str(each.address) for each in envelope.recipients] == ["renping@sina.com"]
    assert content.endswith(b"\r\n\r\nDear Renping, it works.\r\n")
    assert session.state is State.CLOSED
    for line in session.lines:  # nothing goes unexplained, in either language
        assert line.meaning.en
        assert line.meaning.zh
    assert "from here on the receiving SMTP is responsible" in session.lines[-3].meaning.en


def test_what_the_law_says_stands_beside_the_reply() -> None:
    session = asyncio.run(spoken("mx", ["EHLO a.test", "RCPT TO:<renping@sina.com>"]))
    greeted, refused = session.lines[0], session.lines[-1]
    assert greeted.law.en == "220 to (greeting) leads from connected to greeted."
    assert refused.law.en.startswith("RCPT is not legal in the state ready; legal are HELO, EHLO, MAIL,")
    assert "就绪（ready）" in refused.law.zh
    assert refused.state == "ready"


def test_each_state_is_reached_by_somebody() -> None:
    reached = set()
    for occasion in (*CODE_OCCASIONS.values(), *COMMAND_OCCASIONS.values()):
        reached |= {State(each.state) for each in asyncio.run(spoken(occasion.door, occasion.lines)).lines}
    # The session stays in CONNECTED until the greeting, which opening it waits for.
    assert reached | {State.CONNECTED} == set(State)


def test_credentials_are_not_shown() -> None:
    secret = "AGxhbmdydWkAcGVhY2gtYmxvc3NvbQ=="
    lines = [
        "EHLO a.test",
        f"AUTH PLAIN {secret}",
        "STARTTLS",
        "EHLO a.test",
        "AUTH LOGIN",
        "bGFuZ3J1aQ==",
        "cGVhY2gtYmxvc3NvbQ==",
    ]
    session = asyncio.run(spoken("submission", lines))
    text = "\n".join(each.text for each in session.lines)
    assert "235 2.7.0" in text
    assert secret not in text
    assert "bGFuZ3J1aQ==" not in text
    assert "cGVhY2gtYmxvc3NvbQ==" not in text


def test_a_connection_that_is_cut_is_explained() -> None:
    session = asyncio.run(spoken("mx", ["HELO a.test", "MAIL FROM:<>", "RCPT TO:<drop@sina.com>"]))
    assert session.lines[-1].who == "-"
    assert "without a reply" in session.lines[-1].meaning.en
    assert session.is_over


def test_a_session_that_is_over_takes_no_line() -> None:
    async def after_quit() -> None:
        session = await spoken("mx", ["QUIT"])
        await session.say("NOOP")

    with pytest.raises(LocalError, match="begin a new one"):
        asyncio.run(after_quit())


@pytest.mark.parametrize("line", ["NOOP\r\nQUIT", "NOOP\n", "x" * 4_097])
def test_one_line_at_a_time(line: str) -> None:
    with pytest.raises(LocalError, match="one line"):
        asyncio.run(spoken("mx", [line]))


def test_no_such_door() -> None:
    with pytest.raises(LocalError, match="the doors are mx, submission"):
        PracticeSession(SystemClock(), "back")


def test_a_message_that_is_too_large_is_refused() -> None:
    lines = ["HELO a.test", "MAIL FROM:<>", "RCPT TO:<renping@sina.com>", "DATA"]
    more = LARGEST_MESSAGE // 4_000 + 1
    session = asyncio.run(spoken("mx", [*lines, *["y" * 4_000] * more, "."]))
    assert last_code(session) == 552
    assert session.message is None


def test_a_session_has_an_end_whatever_is_typed() -> None:
    lines = ["EHLO a.test", "MAIL FROM:<>", "RCPT TO:<renping@sina.com>", "BDAT 99999999999"]

    async def typed() -> PracticeSession:
        session = await spoken("mx", lines)
        for _ in range(3_000):
            if session.is_over:
                break
            await session.say("z")
        return session

    session = asyncio.run(typed())
    assert session.is_over
    assert len(session.lines) <= 2_000
    assert session.message is None


class TestTheLaw:
    """The state that the page shows is that of the receiving SMTP."""

    WORDS = (
        *EXAMPLES.values(),
        *("RCPT TO:<nobody@sina.com>", "RCPT TO:<wanghong@sina.com>", "BDAT 0", "BDAT 4 LAST", "BDAT 2", "BDAT x"),
        *("FLY", "", "HELLO a.test", "REST", "MAIL FROM:<>", "Subject: x", "..", "MAIL", "STARTTLS x", "QUIT now"),
        *("AUTH PLAIN AGxhbmdydWkAcGVhY2gtYmxvc3NvbQ==", "RCPT TO:<reply-421@sina.com>", "bGFuZ3J1aQ=="),
        *("RCPT TO:<permfail-after-data@sina.com>", "RCPT TO:<tempfail-at-data@sina.com>"),
    )

    @pytest.mark.parametrize("seed", range(12))
    def test_it_is_computed_as_the_receiver_has_it(self, seed: int) -> None:
        asyncio.run(self._walk(random.Random(seed)))

    async def _walk(self, chosen: random.Random) -> None:
        for door in ("mx", "submission", "lmtp"):
            session = PracticeSession(SystemClock(), door)
            await session.open()
            for _ in range(25):
                if session.is_over:
                    break
                likely = [EXAMPLES[each] for each in session.legal]
                line = chosen.choice(likely) if likely and chosen.random() < 0.7 else chosen.choice(self.WORDS)
                if line.startswith("QUIT") and chosen.random() < 0.8:
                    continue
                await session.say(line)
                assert session._session is not None
                assert session.state is session._session._receiver.state, [each[:2] for each in session.lines]


def test_every_state_and_every_input_has_words() -> None:
    assert set(STATE_WORDS) == set(State)
    typed = {given for _, given in LAW} - {Input.GREETING, Input.TLS_UP}
    assert set(EXAMPLES) == typed
    assert all(text.en and text.zh for words in STATE_WORDS.values() for text in words)
    assert legal_in(State.CONTENT) == (Input.CONTENT_END,)
    assert Input.LHLO in legal_in(State.GREETED, lmtp=True)


def test_doors_and_occasions_speak_both_languages() -> None:
    for door in DOORS.values():
        assert all((*door.title, *door.hint))
    occasions: list[Occasion] = [*CODE_OCCASIONS.values(), *COMMAND_OCCASIONS.values()]
    assert all(text for each in occasions for text in each.why)
    assert {each.door for each in occasions} == set(DOORS)


class TestTheSessionsOfAConsole:
    def test_one_for_each_browser(self) -> None:
        async def used() -> None:
            sessions = PracticeSessions(SystemClock())
            first = await sessions.begin("ann")
            assert sessions.find("ann") is first
            assert sessions.find("bob") is None
            second = await sessions.begin("ann", "lmtp")
            assert first.is_over
            assert sessions.find("ann") is second
            with pytest.raises(LocalError):
                await sessions.begin("ann", "back")
            assert sessions.find("ann") is second  # and it goes on
            sessions.close()
            assert second.is_over
            assert len(sessions) == 0

        asyncio.run(used())

    def test_idle_ones_end(self) -> None:
        async def idle() -> None:
            clock = ManualClock()
            sessions = PracticeSessions(clock)
            old = await sessions.begin("old")
            await clock.advance(IDLE_SECONDS / 2)
            await sessions.begin("new")
            await clock.advance(IDLE_SECONDS / 2 + 1)
            assert sessions.find("old") is None
            assert old.is_over
            assert sessions.find("new") is not None

        asyncio.run(idle())

    def test_of_too_many_the_one_unused_longest_ends(self) -> None:
        async def many() -> None:
            sessions = PracticeSessions(SystemClock())
            for number in range(MOST_SESSIONS + 1):
                await sessions.begin(str(number), "busy")
                if number == MOST_SESSIONS - 1:
                    assert sessions.find("0") is not None  # used again
            assert len(sessions) == MOST_SESSIONS
            assert sessions.find("1") is None
            assert sessions.find("0") is not None

        asyncio.run(many())
