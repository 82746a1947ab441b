"""What a client can repeat ends: every kind of command, half commands, lines and contents without end, silence.

The sessions here have a stream that records and a clock that the test advances, so that nothing is timed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from posthouse.core import Envelope, Remark, Reply, Verdict
from posthouse.net import SocketNetwork
from posthouse.protocol import LENIENT, Limits
from posthouse.server import Answer, Intake, Server, ServerSession, ServerTimeouts, listener
from posthouse.server.conduct import EXCESS_FACTOR, SMALL_CHUNK
from posthouse.server.turn_queue import TurnQueue
from posthouse.testing import ManualClock

from .session_harness import OK, CountingStream, Policy

NO = Verdict(Reply(550, "5.1.1", "no"))
EHLO = b"EHLO c\r\n"
MAIL = b"MAIL FROM:<>\r\n"
RCPT = b"RCPT TO:<a@b.example>\r\n"
MESSAGE = MAIL + RCPT + b"BDAT 4 LAST\r\nhi\r\n"


class Case:
    """A session with its stream and its clock."""

    def __init__(self, policy: Policy, settings: dict[str, Any]) -> None:
        self.policy = policy
        self.clock = ManualClock()
        self.server = Server(policy, network=SocketNetwork(), clock=self.clock, hostname="test", **settings)
        self.session: ServerSession = self.server.session()
        self.stream = CountingStream()
        self.session.connected(self.stream)

    async def say(self, octets: bytes, seconds: float = 0.0) -> list[bytes]:
        """The lines of the replies to ``octets`` that come within ``seconds``."""
        before = len(self.stream.written)
        if octets:
            self.session.data_received(octets)
        await self.clock.advance(seconds)
        return self.stream.written[before:].splitlines()

    def say_now(self, octets: bytes) -> list[bytes]:
        """The lines of the replies to ``octets`` that come at once."""
        before = len(self.stream.written)
        self.session.data_received(octets)
        return self.stream.written[before:].splitlines()

    @property
    def last(self) -> bytes:
        return self.stream.written.splitlines()[-1]

    @property
    def ended(self) -> bool:
        return "close" in self.stream.calls or "abort" in self.stream.calls


def run(scenario: Callable[[Case], Awaitable[None]], policy: Policy | None = None, **settings: Any) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            case = Case(policy or Policy(), settings)
            await scenario(case)
            case.session.disconnected(None)

    asyncio.run(main())


def refusing(*what: str, lmtp: bool = False) -> Policy:
    policy = Policy(lmtp=lmtp)
    policy.no = dict.fromkeys(what, NO)
    return policy


class Refuser(Policy):
    """An intake that refuses every message."""

    def intake(self, envelope: Envelope) -> Intake | Verdict:
        class Refused:
            def write(self, chunk: bytes) -> None:
                pass

            def remarked(self, remarks: tuple[Remark, ...]) -> None:
                pass

            def commit(self) -> tuple[Verdict, ...]:
                return (NO,)

            def abort(self) -> None:
                pass

        return Refused()


SMALL = Limits(errors=4, idle_commands=5, refused_recipients=3, recipients=2)


@pytest.mark.parametrize(
    ("policy", "before", "repeated", "most", "what"),
    [
        (refusing(), b"", b"HELO a\r\n", 5, "commands without a message"),
        (refusing(), b"", EHLO, 5, "commands without a message"),
        (refusing("greet"), b"", EHLO, 5, "commands without a message"),
        (refusing(), b"", b"NOOP\r\n", 5, "commands without a message"),
        (refusing(), b"", b"RSET\r\n", 5, "commands without a message"),
        (refusing(), b"", b"VRFY a\r\n", 5, "commands without a message"),
        (refusing(), b"", b"EXPN a\r\n", 5, "commands without a message"),
        (refusing(), b"", b"HELP\r\n", 5, "commands without a message"),
        (refusing(), EHLO, MAIL + EHLO, 4, "commands without a message"),
        (refusing(), EHLO, MAIL + b"RSET\r\n", 4, "commands without a message"),
        (refusing(), EHLO, MAIL + RCPT + b"RSET\r\n", 4, "commands without a message"),
        (refusing(), EHLO + MAIL + RCPT, b"BDAT 0\r\n", 4, "commands without a message"),
        (refusing(), EHLO + MAIL + RCPT, b"BDAT 1\r\nx", 4, "commands without a message"),
        (refusing("mail"), EHLO, MAIL, 4, "errors"),
        (refusing(), EHLO, b"MAIL FROM:<> SIZE=x\r\n", 4, "errors"),
        (refusing(), EHLO, b"FOO\r\n", 4, "errors"),
        (refusing(), EHLO, b"RCPT TO:<a@b.example>\r\n", 4, "errors"),
        (refusing(), b"", b"\r\n", 4, "errors"),
        (refusing(), b"", b"NOOP\n", 4, "errors"),
        (refusing(), EHLO, b"NOOP " + b"x" * 3000 + b"\r\n", 4, "errors"),
        (refusing("intake"), EHLO, MAIL + RCPT + b"DATA\r\nRSET\r\n", 4, "errors"),
        (refusing("intake"), EHLO, MAIL + RCPT + b"BDAT 1\r\nx", 4, "errors"),
        (refusing("intake"), EHLO, MAIL + RCPT + b"BDAT 1 LAST\r\nx", 4, "errors"),
        (Refuser(), EHLO, MAIL + RCPT + b"DATA\r\nx\r\n.\r\n", 4, "errors"),
        (Refuser(), EHLO, MAIL + RCPT + b"BDAT 1 LAST\r\nx", 4, "errors"),
        (refusing("a@b.example"), EHLO + MAIL, RCPT, 3, "refused recipients"),
        (refusing(), EHLO + MAIL + RCPT * 2, RCPT, 20, "recipients beyond the limit"),
    ],
)
def test_whatever_a_client_repeats_ends_its_session(
    policy: Policy, before: bytes, repeated: bytes, most: int, what: str
) -> None:
    policy.refusals.clear()

    async def scenario(case: Case) -> None:
        await case.say(before)
        for _ in range(most):
            await case.say(repeated, 1.0)
            assert not case.ended
        await case.say(repeated, 1.0)
        assert case.ended
        last = case.last.decode()
        assert last.startswith(f"421 4.7.0 Too many {what} in one session (limit ")
        assert policy.refusals[-1][0] == "session"
        assert policy.refusals[-1][1].text in last

    run(scenario, policy, limits=SMALL)


def test_an_accepted_message_sets_the_counts_back() -> None:
    policy = refusing("no@b.example")
    unknown = b"RCPT TO:<no@b.example>\r\n"

    async def scenario(case: Case) -> None:
        await case.say(EHLO)
        for _ in range(5):
            await case.say(b"NOOP\r\n" * 3 + b"FOO\r\n" * 3 + MAIL + unknown * 3 + RCPT + b"BDAT 2 LAST\r\n\r\n", 60.0)
            assert not case.ended
        assert len(policy.taken) == 5

    run(scenario, policy, limits=SMALL)


def test_a_list_may_have_as_many_stale_members_as_good_ones() -> None:
    async def scenario(case: Case) -> None:
        await case.say(EHLO + MAIL)
        await case.say(RCPT * 50 + b"RCPT TO:<no@b.example>\r\n" * 53 + b"BDAT 2 LAST\r\n\r\n", 100.0)
        assert len(case.policy.taken) == 1
        assert not case.ended

    run(scenario, refusing("no@b.example"), limits=Limits(refused_recipients=3))


def test_a_client_may_give_many_recipients_too_many_and_send_to_the_others() -> None:
    """RFC 5321 §4.5.3.1.10: what was accepted before the 452 is still a message."""

    async def scenario(case: Case) -> None:
        await case.say(EHLO + MAIL + RCPT * (2 + EXCESS_FACTOR * 2) + b"BDAT 2 LAST\r\n\r\n", 60.0)
        ((envelope, _),) = case.policy.taken
        assert len(envelope.recipients) == 2

    run(scenario, limits=SMALL)


def test_recipients_that_are_given_up_count() -> None:
    async def scenario(case: Case) -> None:
        await case.say(EHLO)
        await case.say(MAIL + RCPT * 30 + b"RSET\r\n")
        assert not case.ended
        await case.say(MAIL + RCPT * 30 + b"RSET\r\n", 60.0)
        assert case.last.startswith(b"421 4.7.0 Too many commands without a message")

    run(scenario, limits=Limits(idle_commands=6))


def test_chunks_of_some_size_are_no_idle_commands() -> None:
    async def scenario(case: Case) -> None:
        await case.say(EHLO + MAIL + RCPT)
        await case.say((b"BDAT %d\r\n" % SMALL_CHUNK + b"x" * SMALL_CHUNK) * 50)
        assert case.last.startswith(b"250 2.0.0 ")

    run(scenario, limits=SMALL)


def replies_made(session: ServerSession, stream: CountingStream) -> int:
    """How many replies of one line are written, or wait for those that follow."""
    return (stream.written + b"".join(session._out)).count(b"\r\n")


def test_a_turn_handles_a_bounded_number_of_events() -> None:
    async def scenario(case: Case) -> None:
        case.session.data_received(b"NOOP\r\n" * 950)
        first = replies_made(case.session, case.stream)
        assert first <= 101
        seen = [first]
        while not case.ended and seen[-1] < 951:
            await asyncio.sleep(0)
            seen.append(replies_made(case.session, case.stream))
        assert max(after - before for before, after in itertools.pairwise(seen)) <= 100

    run(scenario, limits=Limits(idle_commands=100_000))


def test_a_crowd_of_busy_sessions_shares_each_turn() -> None:
    """A client that has just said something is answered at once, however many others have more to say."""

    async def scenario(case: Case) -> None:
        crowd = []
        for _ in range(50):
            session, stream = case.server.session(), CountingStream()
            session.connected(stream)
            session.data_received(b"NOOP\r\n" * 500)
            crowd.append((session, stream))
        before = 0
        for turn in range(200):
            answered = sum(replies_made(*each) for each in crowd)
            assert turn == 0 or answered - before <= 40
            before = answered
            assert len(case.say_now(b"NOOP\r\n")) == 1
            await asyncio.sleep(0)
        assert before > 2000

    run(scenario, limits=Limits(idle_commands=100_000))


def test_a_turn_that_raises_does_not_stop_the_others() -> None:
    async def scenario() -> None:
        turns, taken = TurnQueue(ManualClock()), list[int]()

        def fail(events: int) -> None:
            raise RuntimeError("bug")

        loop = asyncio.get_running_loop()
        reported: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: reported.append(context))
        for each in (fail, taken.append, fail, taken.append):
            turns.put(each)
        for _ in range(8):
            await asyncio.sleep(0)
        assert taken == [100, 100]
        assert len(reported) == 2

    asyncio.run(scenario())


def test_a_session_whose_policy_raises_in_a_later_turn_is_ended() -> None:
    class Broken(Policy):
        def help(self, topic: str) -> Answer:
            raise RuntimeError("bug")

    errors: list[BaseException] = []

    async def scenario(case: Case) -> None:
        await case.say(b"NOOP\r\n" * 150 + b"HELP\r\n")
        assert case.stream.calls[-1] == "abort"

    run(scenario, Broken(), limits=Limits(idle_commands=100_000), on_error=errors.append)
    assert [str(error) for error in errors] == ["bug"]


def test_octets_that_arrive_while_others_are_served_are_handled_in_their_order() -> None:
    async def scenario(case: Case) -> None:
        case.session.data_received(EHLO + MAIL + RCPT * 250)
        case.session.data_received(RCPT * 250 + b"DATA\r\n")
        await case.clock.settle()
        assert case.last.startswith(b"354 ")
        assert case.stream.calls.count("pause") == case.stream.calls.count("resume") == 1
        assert await case.say(b"x\r\n.\r\n") == [b"250 2.0.0 ok"]
        ((envelope, _),) = case.policy.taken
        assert len(envelope.recipients) == 500

    run(scenario)


@pytest.mark.parametrize(
    ("opening", "piece", "most"),
    [
        (EHLO + MAIL, (b"RCPT TO:<a@" + b"b" * 60 + (b"." + b"c" * 60) * 3 + b">\r\n") * 63, 131_072),
        (EHLO + MAIL + RCPT + b"DATA\r\n", b"x\r\n" * 5_334, 524_288),
        (EHLO + MAIL + RCPT, b"BDAT 16000\r\n" + b"x" * 16_000, 524_288),
    ],
    ids=["commands", "DATA", "BDAT"],
)
def test_a_crowd_that_sends_as_fast_as_it_is_read_shares_each_turn(opening: bytes, piece: bytes, most: int) -> None:
    """libuv reads up to 32 times in one turn of the loop from each socket that has more."""

    async def scenario(case: Case) -> None:
        crowd = []
        for _ in range(50):
            session, stream = case.server.session(), CountingStream()
            session.connected(stream)
            session.data_received(opening)
            crowd.append((session, stream))
        left = {stream: 5 for _, stream in crowd}
        for _ in range(1_000):
            octets = 0
            for session, stream in crowd:
                while left[stream] and stream.calls.count("pause") == stream.calls.count("resume"):
                    session.data_received(piece)
                    left[stream] -= 1
                    octets += len(piece)
            # The first read of each is not known before; it is the whole surplus.
            assert octets <= most + 51 * len(piece)
            if not any(left.values()):
                break
            await asyncio.sleep(0)
        assert not any(left.values())
        await case.clock.settle()
        for session, _ in crowd:
            session.data_received(b"")
            session.disconnected(None)

    run(scenario, limits=Limits(recipients=100_000))


def test_one_fast_client_alone_is_read_without_a_rest() -> None:
    async def scenario(case: Case) -> None:
        await case.say(EHLO + MAIL + RCPT + b"DATA\r\n")
        for _ in range(20):
            case.session.data_received(b"x" * 262_142 + b"\r\n")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert "pause" not in case.stream.calls
        assert await case.say(b".\r\n") == [b"250 2.0.0 ok"]

    run(scenario)


def test_the_end_of_the_input_is_handled_after_all_commands() -> None:
    async def scenario(case: Case) -> None:
        case.session.data_received(EHLO + b"NOOP\r\n" * 300)
        case.session.eof_received()
        await case.clock.advance(60.0)
        assert case.stream.written.count(b"250 2.0.0 OK") == 300
        assert "close" in case.stream.calls

    run(scenario)


def test_draining_does_not_wait_for_a_client_that_repeats() -> None:
    async def scenario(case: Case) -> None:
        case.session.data_received(b"NOOP\r\n" * 900)
        case.session.drain()
        assert case.last.startswith(b"421 4.3.2")
        assert case.ended
        await case.clock.advance(60.0)
        assert case.last.startswith(b"421 4.3.2")

    run(scenario)


def test_a_session_that_begins_while_the_server_drains_ends_at_once() -> None:
    async def scenario(case: Case) -> None:
        draining = asyncio.ensure_future(case.server.drain(10.0))
        await asyncio.sleep(0)
        late, stream = case.server.session(), CountingStream()
        late.connected(stream)
        assert [line[:3] for line in stream.written.splitlines()] == [b"220", b"421"]
        assert "close" in stream.calls
        late.disconnected(None)
        draining.cancel()

    run(scenario)


@pytest.mark.parametrize(("command", "fast"), [(b"NOOP\r\n", 20), (b"FOO\r\n", 10)])
def test_a_client_near_a_limit_is_answered_more_slowly(command: bytes, fast: int) -> None:
    async def scenario(case: Case) -> None:
        for _ in range(fast):
            assert len(await case.say(command)) == 1, fast
        assert await case.say(command, 0.4) == []
        assert len(await case.say(b"", 0.2)) == 1
        assert await case.say(command, 0.3) == []

    run(scenario, limits=Limits(idle_commands=100, errors=20))


def test_replies_are_written_before_more_are_made() -> None:
    """A client that does not read holds what the stream queues and not the replies to all of its commands."""

    class Wordy(Policy):
        def help(self, topic: str) -> Answer:
            return Verdict(Reply(214, "2.0.0", "\n".join(["x" * 400] * 20)))

    async def scenario(case: Case) -> None:
        case.stream.most = 16_384, case.session
        case.session.data_received(b"HELP\r\n" * 1000)
        await case.clock.advance(1.0)
        assert len(case.stream.written) < 65_536
        case.session.resume_writing()
        await case.clock.advance(60.0)
        assert case.stream.written.count(b"214 2.0.0") == 1000

    run(scenario, Wordy(), limits=Limits(idle_commands=10_000))


@pytest.mark.parametrize("last", [b"DATA\r\n", b"RSET\r\n", b"QUIT\r\n", b"QUIT\r\nNOOP\r\n", b"DATA\r\nx\r\n.\r\nNOO"])
def test_the_replies_to_a_pipelined_group_of_many_turns_are_written_together(last: bytes) -> None:
    """Each write wakes the client, which then reads a part of what it waits for."""
    recipients = 1000

    async def scenario(case: Case) -> None:
        await case.say(b"EHLO c.test\r\n")
        before = case.stream.calls.count("write"), len(case.stream.written)
        case.session.data_received(b"MAIL FROM:<a@b.test>\r\n" + b"RCPT TO:<c@d.test>\r\n" * recipients + last)
        await case.clock.advance(1.0)
        replies = case.stream.written[before[1] :]
        assert replies.count(b"250 2.0.0 ok\r\n") >= recipients + 1
        assert case.last[:3] in (b"354", b"250", b"221")
        assert not case.session._out
        assert case.stream.calls.count("write") - before[0] <= len(replies) / 16_384 + 2

    run(scenario, limits=Limits(recipients=2 * recipients))


def test_a_client_that_sends_far_ahead_and_does_not_read_is_cut_off() -> None:
    async def scenario(case: Case) -> None:
        case.stream.most = 1000, case.session
        case.session.data_received(b"NOOP\r\n" * 20_000)
        await case.clock.advance(1.0)
        assert case.stream.calls[-1] == "abort"
        assert len(case.stream.written) < 65_536

    run(scenario, limits=Limits(idle_commands=100_000))


TIMES = ServerTimeouts(command=60.0, content=60.0, transfer=3000.0, session=500.0, answer=100.0)


async def sweep(case: Case, seconds: float, octets: bytes = b"") -> None:
    """Let time pass; every 10 s ``octets`` arrive."""
    for _ in range(int(seconds / 10)):
        if case.ended:
            return
        if octets:
            case.session.data_received(octets)
        await case.clock.advance(10.0)


def test_many_sessions_are_looked_at_in_parts_and_each_in_time() -> None:
    """A sweep over all of them at once would keep every client waiting."""

    async def scenario(case: Case) -> None:
        streams = [CountingStream() for _ in range(3 * listener._SWEPT_AT_ONCE)]
        for stream in streams:
            case.server.session().connected(stream)
        most, ended = 0, 0
        for _ in range(1_000):
            await case.clock.advance(0.1)
            gone = sum(bool(stream.lingers) for stream in streams)
            most, ended = max(most, gone - ended), gone
        assert ended == len(streams)
        assert most <= listener._SWEPT_AT_ONCE

    run(scenario, timeouts=TIMES)


def test_sessions_that_end_during_a_sweep_are_not_looked_at() -> None:
    async def scenario(case: Case) -> None:
        sessions = []
        for _ in range(2 * listener._SWEPT_AT_ONCE):
            sessions.append(case.server.session())
            sessions[-1].connected(CountingStream())
        await case.clock.advance(6.0)
        for session in sessions:
            session.disconnected(None)
        await case.clock.advance(200.0)
        assert case.ended

    run(scenario, timeouts=TIMES)


def test_a_connection_refused_at_once_is_not_kept_for_long() -> None:
    """It holds a descriptor, and no limit on sessions counts it."""
    policy = Policy()
    policy.no["connect"] = Verdict(Reply(421, "4.7.0", "too many"))

    async def refused(case: Case) -> None:
        assert case.stream.lingers == [0.5]

    async def ended(case: Case) -> None:
        await case.say(b"QUIT\r\n")
        assert case.stream.lingers == [5.0]

    run(refused, policy)
    run(ended)


def test_a_command_sent_octet_by_octet_does_not_hold_a_session() -> None:
    async def scenario(case: Case) -> None:
        await sweep(case, 50.0, b"N")
        assert not case.ended
        await sweep(case, 30.0, b"N")
        assert case.last.startswith(b"421 4.4.2 No complete command came for too long")

    run(scenario, timeouts=TIMES)


@pytest.mark.parametrize("piece", [b"x" * 60_000, b"x" * 1000])
def test_a_line_without_end_ends_the_session(piece: bytes) -> None:
    async def scenario(case: Case) -> None:
        for _ in range(65_536 // len(piece) + 1):
            assert not case.ended
            case.session.data_received(piece)
        assert case.last == b"500 5.5.2 Line longer than 65536 octets. Closing connection"
        assert case.ended

    run(scenario)


def test_a_session_without_a_message_does_not_last_for_ever() -> None:
    async def scenario(case: Case) -> None:
        await sweep(case, 490.0, b"NOOP\r\n")
        assert not case.ended
        await sweep(case, 30.0, b"NOOP\r\n")
        assert case.last.startswith(b"421 4.4.2 No message came for too long")

    run(scenario, timeouts=TIMES)


def test_a_session_with_messages_lasts() -> None:
    async def scenario(case: Case) -> None:
        await case.say(EHLO)
        await sweep(case, 5000.0, MESSAGE)
        assert not case.ended
        await sweep(case, 520.0, b"NOOP\r\n")
        assert case.ended

    run(scenario, timeouts=TIMES)


def test_content_that_comes_too_slowly_ends_the_session() -> None:
    async def scenario(case: Case) -> None:
        await case.say(EHLO + MAIL + RCPT + b"DATA\r\n")
        await sweep(case, 250.0, b"x")
        assert not case.ended
        await sweep(case, 100.0, b"x")
        assert case.last == b"421 4.4.2 The message came too slowly; closing connection"

    run(scenario, timeouts=TIMES)


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n"])
def test_a_client_that_ends_its_message_with_lf_is_told_the_end(end: bytes) -> None:
    async def scenario(case: Case) -> None:
        await case.say(EHLO + MAIL + RCPT + b"DATA\r\n")
        await case.say(b"Subject: hi\n\nhello" + end)
        await sweep(case, 500.0, b"")
        assert case.last.startswith(b"421 4.4.2 The message has no end; CRLF, a dot and CRLF end it")
        assert not case.policy.taken

    run(scenario, timeouts=TIMES, leniency=lambda peer: LENIENT)


def test_content_at_a_fair_speed_may_take_its_time() -> None:
    async def scenario(case: Case) -> None:
        await case.say(EHLO + MAIL + RCPT + b"DATA\r\n")
        await sweep(case, 2000.0, b"x" * 1500)
        assert not case.ended
        assert await case.say(b"\r\n.\r\n") == [b"250 2.0.0 ok"]

    run(scenario, timeouts=TIMES)


def test_a_refused_chunk_that_trickles_ends_with_the_session() -> None:
    async def scenario(case: Case) -> None:
        await case.say(EHLO + b"BDAT 1000000\r\n")
        await sweep(case, 400.0, b"x")
        assert not case.ended
        await sweep(case, 200.0, b"x")
        assert case.last.startswith(b"421 4.4.2")

    run(scenario, timeouts=TIMES)


def test_an_answer_of_our_own_that_never_comes_ends_the_session() -> None:
    class Silent(Policy):
        def mail(self, mail: Any) -> Answer:
            return asyncio.get_running_loop().create_future()

    async def scenario(case: Case) -> None:
        await case.say(EHLO + MAIL)
        await sweep(case, 90.0)
        assert not case.ended
        await sweep(case, 40.0)
        assert case.last == b"421 4.3.0 Something here takes too long; try again later"

    run(scenario, Silent(), timeouts=TIMES)


class Slow(Policy):
    """An intake whose commit is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.verdicts: asyncio.Future[tuple[Verdict, ...]] | None = None

    def intake(self, envelope: Envelope) -> Intake | Verdict:
        policy = self

        class Pending:
            def write(self, chunk: bytes) -> None:
                pass

            def remarked(self, remarks: tuple[Remark, ...]) -> None:
                pass

            def commit(self) -> Awaitable[tuple[Verdict, ...]]:
                policy.verdicts = asyncio.get_running_loop().create_future()
                return policy.verdicts

            def abort(self) -> None:
                policy.aborted += 1

        return Pending()


def test_a_commit_is_given_up_when_the_client_vanishes_meanwhile() -> None:
    async def scenario(case: Case) -> None:
        await case.say(EHLO + MESSAGE)
        assert case.policy.aborted == 0
        case.session.disconnected(ConnectionResetError())
        assert case.policy.aborted == 1

    run(scenario, Slow())


def test_a_commit_that_was_answered_is_not_given_up() -> None:
    policy = Slow()

    async def scenario(case: Case) -> None:
        await case.say(EHLO + MESSAGE)
        assert policy.verdicts is not None
        policy.verdicts.set_result((OK,))
        await case.clock.settle()
        assert case.last == b"250 2.0.0 ok"
        case.session.disconnected(None)
        assert policy.aborted == 0

    run(scenario, policy)
