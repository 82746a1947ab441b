"""Practice session: lines typed by a person, the replies of a real receiving SMTP, and the meaning of each.

The session is the daemon's own (``server.session``), at the other end of a channel in memory.  Where the dialogue
stands is not asked of it: it is computed from each line and its reply by the law of the dialogue (``protocol.states``),
and a test compares both.  STARTTLS is carried out: the client's part of the handshake is made here.

Each line that may be answered waits for its reply, at most 30 s.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from posthouse.codes.dialogue import Live
from posthouse.codes.model import Text
from posthouse.core import Envelope, LocalError, Reply
from posthouse.net import Clock, Endpoint
from posthouse.net.tls import TlsStream
from posthouse.net.tls_context import client_context
from posthouse.protocol import Limits, Offer
from posthouse.protocol.leniency import STRICT
from posthouse.protocol.refusals import shown
from posthouse.protocol.states import LAW, Input, State, after
from posthouse.protocol.writers import write_reply
from posthouse.sandbox.faulty_policy import FaultyPolicy
from posthouse.server import Peer, Policy
from posthouse.server.session import ServerSession
from posthouse.server.settings import ServerTimeouts, SessionSettings
from posthouse.server.turn_queue import TurnQueue
from posthouse.service.practice.client_end import ClientEnd
from posthouse.service.practice.memory_channel import connect
from posthouse.service.practice.practice_server import (
    DOORS,
    LARGEST_MESSAGE,
    MOST_RECIPIENTS,
    Door,
    PracticeFaults,
    PracticePolicy,
    protection_of,
)
from posthouse.service.practice.state_words import legal_in, state_text

__all__ = ["LONGEST_LINE", "PracticeLine", "PracticeSession"]

#: Octets of a line that is taken; longer than a command may be, so that the refusal of such a line can be seen.
LONGEST_LINE: Final = 4_096
#: Lines of one session, typed and answered.
_MOST_LINES: Final = 2_000
_CLIENT: Final = Endpoint("192.0.2.1", 49_152)  # not of this machine, so that AUTH needs TLS as on a network
_SERVER: Final = Endpoint("192.0.2.25", 25)
_BDAT: Final = re.compile(r"BDAT +([0-9]{1,20})( +LAST)?", re.IGNORECASE)
_VERBS: Final = {each.value: each for each in Input if each.value.isalpha()} | {"HELLO": Input.HELO, "REST": Input.RSET}

_HEADER_FIELD: Final = Text("A header field of the message.", "邮件头的一个字段。")
_HEADER_END: Final = Text("An empty line ends the header section; the body follows.", "空行结束邮件头，之后是邮件体。")
_BODY: Final = Text("A line of the body.", "邮件体的一行。")
_DOTS: Final = Text(
    "A line that begins with a dot: the receiving SMTP takes the first dot away, so the client has to double it.",
    "以点号开头的行：接收SMTP 会去掉第一个点号，因此发送SMTP 应多写一个。",
)
_CHUNK: Final = Text("Octets of the chunk; CR and LF count as well.", "数据块的内容；CR 和 LF 也计入字节数。")
_HANDSHAKE: Final = Text(
    "The page has made the client's part of the TLS handshake; what was said before does not count any more.",
    "本页已代为完成客户端的 TLS 握手；此前说过的一切都不再算数。",
)
_NOT_CONFIRMED: Final = Text("The handshake failed, and the session is over.", "握手失败，会话结束。")
_CUT: Final = Text(
    "The connection ended without a reply; the sending SMTP cannot know more, and tries again later.",
    "连接已中断，没有应答；发送SMTP 无从得知更多情况，只能稍后重试。",
)
_NOTHING: Final = Text("", "")


class PracticeLine(NamedTuple):
    """One line of the dialogue.

    Args:
        who: ``S`` the sending SMTP, ``R`` the receiving SMTP, ``-`` a note about the channel.
        text: The line; of AUTH without what is secret.
        meaning: What it means, empty where it stands at a later line of the same reply.
        law: At the last line of a reply, what the law of the dialogue says of it: which state it leads to.
        state: The state after the line.
    """

    who: str
    text: str
    meaning: Text = _NOTHING
    law: Text = _NOTHING
    state: str = State.CONNECTED.value


class _NoRegistry:
    """The list of sessions that a session belongs to, which nobody needs here."""

    def joined(self, session: ServerSession) -> None:
        pass

    def left(self, session: ServerSession) -> None:
        pass


class PracticeSession:
    """One session with a door of the practice world, from the greeting on."""

    def __init__(self, clock: Clock, door: str = "mx") -> None:
        """Raises ``LocalError`` if there is no such door."""
        if door not in DOORS:
            raise LocalError(f'"{door}" is no door of the practice world; the doors are {", ".join(DOORS)}')
        self.door: Door = DOORS[door]
        #: The dialogue so far.
        self.lines: list[PracticeLine] = []
        #: The newest message that was accepted: envelope and content.
        self.message: tuple[Envelope, bytes] | None = None
        #: Where the dialogue stands.
        self.state = State.CONNECTED
        #: The last move: the state before it, and the input.
        self.move: tuple[State, Input] | None = None
        self._clock = clock
        self._terminal = ClientEnd()
        self._explain = (Live("en"), Live("zh"))
        self._recipients = 0  # accepted in the open transaction
        self._chunk: tuple[int, Input] | None = None  # octets of the chunk that are still to come
        self._in_header = True
        self._auth_said = False
        self._seen = 0  # replies that are in ``lines``
        self._session: ServerSession | None = None
        self._one_at_a_time = asyncio.Lock()

    async def open(self) -> Sequence[PracticeLine]:
        """Connect; returns the lines of the greeting."""
        clock, door = self._clock, self.door
        session: ServerSession | None = None

        def cut() -> None:
            if session is not None:
                session.abort()

        policy = PracticePolicy(door, self._took, self._terminal.server_came_up)

        def faulty(peer: Peer) -> Policy:
            return FaultyPolicy(policy, PracticeFaults(), clock=clock, abort=cut, lmtp=door.lmtp)

        settings = SessionSettings(
            policy=faulty,
            clock=clock,
            hostname=door.hostname,
            offer=Offer(size=LARGEST_MESSAGE, limits=(("RCPTMAX", MOST_RECIPIENTS),)),
            lmtp=door.lmtp,
            limits=Limits(recipients=MOST_RECIPIENTS, message=LARGEST_MESSAGE, chunk=LARGEST_MESSAGE),
            timeouts=ServerTimeouts(),
            transcript=None,
            on_error=_ignored,  # AUTH as ``broken`` is meant to fail
            turns=TurnQueue(clock),
            leniency=lambda peer: STRICT,
            protection=await asyncio.to_thread(protection_of, door),  # reads and makes files
        )
        session = ServerSession(settings, _NoRegistry())
        connect((self._terminal, session), (_CLIENT, _SERVER), _ignored)
        self._session = session
        await self._terminal.until_replies(1)
        return self._answered([Input.GREETING])

    @property
    def is_over(self) -> bool:
        """Whether the session takes no more lines."""
        return self.state is State.CLOSED or len(self.lines) >= _MOST_LINES

    @property
    def legal(self) -> tuple[Input, ...]:
        """What may be typed now, of what this door offers."""
        tls = bool(self._terminal.tls)
        off = {Input.STARTTLS} if tls else set()
        if not (tls and self.door.submission):
            off.add(Input.AUTH)
        return tuple(each for each in legal_in(self.state, lmtp=self.door.lmtp) if each not in off)

    def close(self) -> None:
        """End the session without a word."""
        if self._terminal.stream is not None and self._terminal.is_open:
            self._terminal.stream.abort()
        self.state = State.CLOSED

    def _took(self, envelope: Envelope, content: bytes) -> None:
        self.message = envelope, content

    # -- a line --------------------------------------------------------------------------------------------------------

    async def say(self, line: str) -> Sequence[PracticeLine]:
        """Send a line, and return what it added to the dialogue.

        Raises ``LocalError`` for a line of more than 4,096 octets, one with CR or LF in it, and when the session is
        over.
        """
        wire = line.encode()
        if len(wire) > LONGEST_LINE or "\r" in line or "\n" in line:
            raise LocalError(f"one line of at most {LONGEST_LINE:,} octets can be sent at a time")
        async with self._one_at_a_time:
            if self.is_over:
                raise LocalError("this session is over; begin a new one")
            first = len(self.lines)
            inputs = self._typed(line, wire + b"\r\n")
            stream = self._terminal.stream
            assert stream is not None
            stream.write(wire + b"\r\n")
            await self._terminal.until_replies(self._seen + len(inputs))
            self._answered(inputs)
            if self.state is State.SWITCHING:
                await self._switch()
            return self.lines[first:]

    def _typed(self, line: str, wire: bytes) -> list[Input | None]:
        """Note a typed line; returns the inputs that are answered, None for one that is no command of the law."""
        if self.state is State.CONTENT:
            return self._content_line(line)
        if self._chunk is not None:
            return self._chunk_line(self._chunk, line, wire)
        if self.state is State.AUTHENTICATING:
            return self._said("*" if line == "*" else "(credentials)", Input.AUTH_LINE)
        given = _input_of(line)
        counted = _BDAT.fullmatch(line.strip())
        if counted is not None:
            given = Input.BDAT_LAST if counted[2] else Input.BDAT
            self._add_explained("S", line)
            if int(counted[1]):
                self._chunk = int(counted[1]), given
                return []
            return [given]
        secret_free = shown(wire[:-2], after_auth=self._auth_said)
        self._auth_said = self._auth_said or given is Input.AUTH
        return self._said(secret_free, given)

    def _chunk_line(self, chunk: tuple[int, Input], line: str, wire: bytes) -> list[Input | None]:
        left, given = chunk
        self._add("S", line, _CHUNK)
        if len(wire) < left:
            self._chunk = left - len(wire), given
            return []
        self._chunk = None
        if given is Input.BDAT_LAST:
            for explain in self._explain:
                explain("S", "(content)")
        more = wire[left:]  # which is the next line, if anything is left
        return [given, _input_of(more.decode("utf-8", "replace").strip())] if more else [given]

    def _content_line(self, line: str) -> list[Input | None]:
        if line == ".":
            for explain in self._explain:
                explain("S", "(content)")
            self._add_explained("S", line)
            self._in_header = True
            return [Input.CONTENT_END] * (max(1, self._recipients) if self.door.lmtp else 1)
        meaning = _HEADER_FIELD if self._in_header else _BODY
        if not line:
            meaning = _HEADER_END if self._in_header else _BODY
            self._in_header = False
        self._add("S", line, _DOTS if line.startswith(".") else meaning)
        return []

    def _said(self, text: str, given: Input | None) -> list[Input | None]:
        self._add_explained("S", text)
        return [given]

    # -- replies -------------------------------------------------------------------------------------------------------

    def _answered(self, inputs: Sequence[Input | None]) -> Sequence[PracticeLine]:
        """Note the replies that have come, and where each leads; returns their lines."""
        first = len(self.lines)
        replies = self._terminal.replies[self._seen :]
        self._seen += len(replies)
        for number, reply in enumerate(replies):
            given = inputs[number] if number < len(inputs) else None
            before = self.state
            last_of_content = number >= len(inputs) - 1
            self._moves(given, reply, last=last_of_content)
            lines = write_reply(reply, True).decode("utf-8", "replace").splitlines()
            for at, text in enumerate(lines):
                law = self._law(before, given, reply) if at == len(lines) - 1 else _NOTHING
                self._add_explained("R", text, law)
        if not self._terminal.is_open:
            if self.state is not State.CLOSED:
                self.state = State.CLOSED
            if len(replies) < len(inputs):
                self._add("-", "(the connection was cut)", _CUT)
        return self.lines[first:]

    def _moves(self, given: Input | None, reply: Reply, *, last: bool) -> None:
        before = self.state
        if reply.code == 421:
            self.state = State.CLOSED
        elif given is Input.QUIT and reply.code >= 500:
            pass  # QUIT with an argument: it is no command, and the client may say it again
        elif given is not None and (before, given) in LAW and (last or given is not Input.CONTENT_END):
            self.state = after(before, given, reply) or before
            self.move = before, given
        if given is Input.RCPT and reply.positive:
            self._recipients += 1
        if self.state in (State.READY, State.GREETED, State.SENDER):
            self._recipients = 0

    def _law(self, before: State, given: Input | None, reply: Reply) -> Text:
        """What the law says of a reply."""
        here, there = state_text(before), state_text(self.state)
        if given is None:
            return _NOTHING
        if (before, given) not in LAW and reply.code != 421:
            legal = ", ".join(each.value for each in legal_in(before, lmtp=self.door.lmtp))
            return Text(
                f"{given.value} is not legal in the state {here.en}; legal are {legal}.",
                f"在{here.zh}状态下不能使用 {given.value}；可用的有 {legal}。",
            )
        if before is self.state:
            return Text(f"The state stays {here.en}.", f"状态不变，仍为{here.zh}。")
        return Text(
            f"{reply.code} to {given.value} leads from {here.en} to {there.en}.",
            f"对 {given.value} 应答 {reply.code}，状态由{here.zh}变为{there.zh}。",
        )

    async def _switch(self) -> None:
        """Make the client's part of the handshake."""
        terminal = self._terminal
        assert terminal.stream is not None
        layer = TlsStream(
            client_context(verify=False), terminal, clock=self._clock, server_side=False, on_up=terminal.came_up
        )
        plain, terminal.stream = terminal.stream, layer
        layer.start(plain)
        await terminal.until_tls()
        if terminal.is_open and terminal.tls:
            self.move = State.SWITCHING, Input.TLS_UP
            self.state = LAW[State.SWITCHING, Input.TLS_UP].done or State.CLOSED
            self._add("-", f"({terminal.tls})", _HANDSHAKE)
        else:
            self.state = State.CLOSED
            self._add("-", "(TLS)", _NOT_CONFIRMED)

    # -- lines ---------------------------------------------------------------------------------------------------------

    def _add_explained(self, who: str, text: str, law: Text = _NOTHING) -> None:
        """Add a line that the catalogue explains."""
        english, chinese = (explain(who, text).explanation for explain in self._explain)
        self._add(who, text, Text(english, chinese), law)

    def _add(self, who: str, text: str, meaning: Text, law: Text = _NOTHING) -> None:
        self.lines.append(PracticeLine(who, text, meaning, law, self.state.value))


def _input_of(line: str) -> Input | None:
    """The input of the law that a command line is; None if its word is no command of the law."""
    return _VERBS.get(line.split(" ", 1)[0].upper())


def _ignored(error: BaseException) -> None:
    """Take an error that the dialogue shows anyway."""
