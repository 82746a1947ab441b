"""The sending SMTP without I/O: commands in, bytes out; bytes in, replies out.

Commands may be sent before the replies to earlier ones have arrived if pipelining allows it (RFC 2920 §3.1: the peer
has announced PIPELINING, and the command before does not end its group).  So there are two states: ``state`` follows
from the replies; the *presumed* state, after positive replies to all outstanding commands, says what may be sent now.

Each reply is matched with its command, in order.  A reply that no receiver may send (an unexpected one, 250 to DATA, a
recipient accepted after MAIL was refused) raises RemoteError; the connection cannot be used after it.

Over budget: the law of both directions, and beside each way of asking it the short one of nearly all messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from posthouse.core import LocalError, RemoteError, Reply
from posthouse.protocol.commands import Auth, Bdat, Command, Data, Greet, Mail, Rcpt, Rset, write_command
from posthouse.protocol.events import Answered, Pause, Sent, Transcript
from posthouse.protocol.extensions import Capabilities
from posthouse.protocol.limits import Limits
from posthouse.protocol.readers import ReplyReader
from posthouse.protocol.states import COMMANDS, LAW, Input, State
from posthouse.protocol.tap import Tap, TranscriptTap, command_shown, without_secrets
from posthouse.protocol.writers import DotWriter, write_auth_line, write_content

__all__ = ["Sender"]

_ENDS_GROUP: Final = frozenset(each for each, row in COMMANDS.items() if row.ends_group)  # nothing may be behind them
#: Anything may be pipelined behind these (BDAT in LMTP is the case that is not as simple).
_CONTINUED: Final = frozenset((Input.MAIL, Input.RCPT, Input.RSET, Input.CONTENT_END))
_INPUTS: Final[dict[str, Input]] = {str(each): each for each in Input}
_INPUT_OF: Final[dict[type, Input]] = {Mail: Input.MAIL, Rcpt: Input.RCPT, Data: Input.DATA, Rset: Input.RSET}

# An attribute of an enumeration costs ten times a global name, and these are asked for with every message.
_LAW: Final = dict(LAW)
_BDAT_LAST: Final = Input.BDAT_LAST
_CONTENT_END: Final = Input.CONTENT_END
_DATA: Final = Input.DATA
_MAIL: Final = Input.MAIL
_RCPT: Final = Input.RCPT
_CLOSED: Final = State.CLOSED
_CONTENT: Final = State.CONTENT
_READY: Final = State.READY
_RECIPIENTS: Final = State.RECIPIENTS
_THE_CONTENT: Final = Sent.CONTENT_END
_ORDINARY: Final[dict[tuple[State, Input], State | None]] = {
    (state, given): move.done for (state, given), move in LAW.items() if given in (_MAIL, _RCPT, _CONTENT_END)
}
_DATA_LINE: Final = write_command(Data())
_CONTENT_PENDING: Final = (Input.CONTENT_END, Sent.CONTENT_END)
_INJECTED: Final = "the peer sent more than its reply to STARTTLS before TLS was up; it may have been injected"
_NO_CONTENT: Final = "content may be sent only after the peer answered DATA with 354, and once"
_OVER: Final = Pause.CLOSED
_NEED_DATA: Final = Pause.NEED_DATA


class Sender:
    """One dialogue, seen from the sending end.  ``lmtp`` expects one final reply per accepted recipient; ``tap`` hears
    it all, or ``transcript`` each line of it."""

    __slots__ = (
        "_content_size",
        "_dot",
        "_heard_group",
        "_limits",
        "_pending",
        "_presumed",
        "_recipients",
        "_replies",
        "_takes_content",
        "_tap",
        "capabilities",
        "greeting",
        "hidden",
        "lmtp",
        "state",
    )

    def __init__(
        self,
        *,
        lmtp: bool = False,
        limits: Limits | None = None,
        transcript: Transcript | None = None,
        tap: Tap | None = None,
    ) -> None:
        self.lmtp = lmtp
        self.state = State.CONNECTED
        #: What the last positive EHLO or LHLO reply announced; empty before it and after HELO.
        self.capabilities = Capabilities()
        #: The opening reply, once it is here.
        self.greeting: Reply | None = None
        self.hidden: tuple[str, ...] = ()  # secrets of a login under way; taken out where a reply repeats one
        self._limits = limits or Limits()
        self._tap = TranscriptTap(transcript) if transcript is not None else tap
        self._heard_group: Callable[[list[Reply]], object] | None = getattr(self._tap, "heard_group", None)
        self._replies = ReplyReader(self._limits.reply_line, self._limits.reply_lines)
        self._presumed = State.CONNECTED
        self._pending: deque[tuple[Input, Command | Sent | None]] = deque([(Input.GREETING, None)])
        self._recipients = 0  # accepted in this transaction
        self._takes_content = False  # after 354
        self._dot: DotWriter | None = None  # of content that is sent in pieces
        self._content_size = 0

    # -- commands in, bytes out --------------------------------------------------------------------------------

    @property
    def outstanding(self) -> int:
        """The number of outstanding replies."""
        return len(self._pending)

    @property
    def awaited(self) -> Command | Sent | None:
        """What the next reply answers; None for the greeting, or if no reply is outstanding."""
        return self._pending[0][1] if self._pending else None

    def may_send(self, command: Command) -> bool:
        """True if ``send`` would accept this command now."""
        return self._why_not(command, self._input(command)) is None

    @property
    def untouched(self) -> bool:
        """True if no octet has come from the peer."""
        return self.state is State.CONNECTED and not len(self._replies)

    @property
    def may_pipeline(self) -> bool:
        """True if MAIL of the next transaction may be sent now, with replies outstanding."""
        if self._presumed is not _READY or "PIPELINING" not in self.capabilities.keywords:
            return False
        return not self._pending or self._pending[-1][0] not in _ENDS_GROUP

    @property
    def needs_reset(self) -> bool:
        """Whether RSET must come before MAIL.  Behind a last chunk that has no answer yet it must: if all recipients
        are refused, that chunk is, and the transaction stays open (RFC 3030 §2)."""
        pending = self._pending
        return pending[-1][0] is _BDAT_LAST if pending else self.state is not _READY

    def send(self, command: Command) -> bytes:
        """A command's line, to be written.  Raises LocalError if the law forbids it now."""
        return self.send_group((command,))

    def send_group(self, commands: Iterable[Command]) -> bytes:
        """The lines of commands that leave together.  Raises LocalError if one of them cannot be written, and then
        none is expected to be answered; or if the law forbids one, and then those before it are."""
        lines = [(command, write_command(command)) for command in commands]
        pending = self._pending
        pipelining = "PIPELINING" in self.capabilities.keywords
        for command, _ in lines:
            kind = type(command)
            given = _INPUT_OF.get(kind)
            move = None if given is None else _LAW.get((self._presumed, given))
            if given is None or move is None or (pending and not (pipelining and pending[-1][0] in _CONTINUED)):
                if kind is Bdat:
                    raise LocalError("send BDAT with send_chunk: its octets belong to it")
                given = self._input(command)
                why_not = self._why_not(command, given)
                if why_not is not None:
                    raise LocalError(why_not)
                move = _LAW[self._presumed, given]
            pending.append((given, command))
            target = move.more if kind is Data else move.done
            if kind is not Auth and target is not None:
                self._presumed = target
        group = b"".join([wire for _, wire in lines])
        if self._tap is not None:
            self._tap.said(b"".join([command_shown(command, wire) for command, wire in lines]))
        return group

    def send_envelope(self, mail: Mail, recipients: Sequence[Rcpt], data: Data | None) -> bytes:
        """``send_group`` for MAIL, RCPT for each recipient and DATA, if it is that way, of a transaction that may begin
        now: the law is asked once and not for each line.  Raises LocalError as ``send_group``."""
        lines = [(each, write_command(each)) for each in recipients]
        return self.send_envelope_lines((mail, write_command(mail)), lines, data)

    def send_envelope_lines(
        self, mail: tuple[Mail, bytes], recipients: Sequence[tuple[Rcpt, bytes]], data: Data | None
    ) -> bytes:
        """``send_envelope`` for commands whose lines ``write_command`` has written."""
        pending = self._pending
        command, group = mail
        if (
            self._presumed is not _READY
            or not recipients
            or "PIPELINING" not in self.capabilities.keywords
            or (pending and pending[-1][0] not in _CONTINUED)
        ):
            return self.send_group([command, *(each for each, _ in recipients), *(() if data is None else (data,))])
        pending.append((_MAIL, command))
        if len(recipients) == 1:
            rcpt, line = recipients[0]
            pending.append((_RCPT, rcpt))
            group += line
        else:
            pending.extend([(_RCPT, each) for each, _ in recipients])
            group += b"".join([line for _, line in recipients])
        if data is None:
            self._presumed = _RECIPIENTS
        else:
            group += _DATA_LINE
            pending.append((_DATA, data))
            self._presumed = _CONTENT
        if self._tap is not None:
            self._tap.said(group)
        return group

    def send_chunk(self, data: bytes, *, last: bool) -> bytes:
        """A BDAT command and its octets (RFC 3030 §2)."""
        command = Bdat(len(data), last)
        given = self._input(command)
        why_not = self._why_not(command, given)
        if why_not is None and not self.capabilities.has("CHUNKING"):
            why_not = "the peer did not announce CHUNKING"
        if why_not is not None:
            raise LocalError(why_not)
        wire = write_command(command)
        if self._tap is not None:
            self._tap.said(b"%b(%d octets of content)\r\n" % (wire, len(data)))
        self._expect(given, command)
        return wire + data

    def send_content(self, chunk: bytes) -> bytes:
        """The next piece of content after 354, dot-stuffed.  LocalError for a bare CR or LF in it."""
        if not self._takes_content:
            raise LocalError(_NO_CONTENT)
        if self._dot is None:
            self._dot = DotWriter()
        self._content_size += len(chunk)
        return self._dot.write(chunk)

    def send_whole_content(self, content: bytes, crlf: bool = False) -> tuple[bytes, bytes]:
        """``send_content`` and ``end_content`` for content that is all there; ``crlf`` as in ``write_content``."""
        if not self._takes_content or self._content_size:
            raise LocalError(_NO_CONTENT)
        wire = write_content(content, crlf)
        self._content_size = len(content)
        self._content_ends()
        return wire

    def end_content(self) -> bytes:
        """The octets that end the content: the final dot."""
        if not self._takes_content:
            raise LocalError("there is no content to end")
        wire = (self._dot or DotWriter()).end()
        self._content_ends()
        return wire

    def _content_ends(self) -> None:
        self._takes_content = False
        self._dot = None
        if self._tap is not None:
            self._tap.said(b"(%d octets of content)\r\n.\r\n" % self._content_size)
        self._presumed = _READY
        # A receiver that said 354 without a valid recipient is given the dot alone and answers once (RFC 2920 §3.1).
        if self.lmtp and self._recipients > 1:
            self._pending.extend([_CONTENT_PENDING] * self._recipients)
        else:
            self._pending.append(_CONTENT_PENDING)

    def send_auth_line(self, line: bytes) -> bytes:
        """A line of the SASL exchange, base64 already, or ``*`` to cancel."""
        if self.state is not State.AUTHENTICATING or self._pending:
            raise LocalError("the peer is not waiting for an AUTH line")
        if self._tap is not None:
            self._tap.said(b"*\r\n" if line == b"*" else b"(credentials)\r\n")
        self._pending.append((Input.AUTH_LINE, Sent.AUTH_LINE))
        return write_auth_line(line)

    def tls_started(self) -> None:
        """TLS has started; all earlier knowledge about the peer is discarded (RFC 3207 §4.2)."""
        if self.state is not State.SWITCHING:
            raise LocalError("TLS can only come up after STARTTLS was answered 220")
        if len(self._replies):
            raise RemoteError(_INJECTED)
        self._replies = ReplyReader(self._limits.reply_line, self._limits.reply_lines)
        self.capabilities = Capabilities()
        self.state = self._presumed = State.GREETED

    def _input(self, command: Command) -> Input:
        return _BDAT_LAST if type(command) is Bdat and command.last else _INPUTS[command.verb]

    def _why_not(self, command: Command, given: Input) -> str | None:
        if type(command) is Greet and (command.verb == "LHLO") is not self.lmtp:
            return f"{command.verb} does not belong to {'LMTP' if self.lmtp else 'SMTP'}"
        if (self._presumed, given) not in _LAW:
            return f"{given} may not be sent in state {self._presumed.value}"
        if self._pending:
            before = self._pending[-1][0]
            if before is Input.GREETING:
                return "the peer has not greeted yet"
            if before in _ENDS_GROUP:
                return f"nothing may be sent behind {before} before its reply is here"
            if "PIPELINING" not in self.capabilities.keywords:
                return "the peer did not announce PIPELINING; wait for its reply"
            if self.lmtp and given is _BDAT_LAST and any(each is _RCPT for each, _ in self._pending):
                return "in LMTP the replies to RCPT tell how many replies BDAT LAST has; wait for them"
        return None

    def _expect(self, given: Input, command: Command) -> None:
        if given is _BDAT_LAST and self.lmtp:
            self._pending.extend([(given, command)] * max(1, self._recipients))
        else:
            self._pending.append((given, command))
        target = _LAW[self._presumed, given].done
        if target is not None:
            self._presumed = target

    # -- bytes in, replies out ---------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Octets arrived from the peer."""
        self._replies.feed(data)

    def next_event(self) -> Answered | Pause:
        """The next reply and its command; NEED_DATA, or CLOSED after 421 or the reply to QUIT.

        Raises RemoteError for a reply that no receiver may send.
        """
        if self.state is _CLOSED:
            return _OVER
        reply = self._replies.reply()
        return _NEED_DATA if reply is None else self._answered(reply)

    def receive(self, data: bytes, answers: list[tuple[Command | Sent | None, Reply]]) -> bool:
        """``receive_data`` and ``next_event`` until there is no more, in one call: adds to ``answers``, and says
        whether the dialogue goes on.  Raises as ``next_event``; ``answers`` has what came before."""
        replies = self._replies
        several = replies.read(data)
        if several is None:
            while self.state is not _CLOSED and (reply := replies.reply()) is not None:
                answers.append(self._answered(reply))
            return self.state is not _CLOSED
        pending, state, tap, lmtp = self._pending, self.state, self._tap, self.lmtp
        heard_group = self._heard_group
        group: list[Reply] = []  # that the tap has not heard yet
        for reply in several:
            if state is _CLOSED:
                break
            if pending and not lmtp:
                given, to = pending[0]
                code = reply.code
                if given is _DATA:
                    following = _CONTENT if 300 <= code < 400 else None
                else:
                    following = _ORDINARY.get((state, given)) if code < 300 else None
                if following is not None:  # what mostly comes: ``_answered`` without its questions
                    pending.popleft()
                    if heard_group is not None:
                        group.append(reply)
                    elif tap is not None:
                        tap.heard(reply)
                    if given is _DATA:
                        self._takes_content, self._content_size, self._presumed = True, 0, _CONTENT
                    else:
                        self._recipients = self._recipients + 1 if given is _RCPT else 0
                    self.state = state = following
                    if not pending:
                        self._presumed = following
                    answers.append((to, reply))
                    continue
            if heard_group is not None and group:
                heard_group(group)
                group = []
            answers.append(self._answered(reply))
            state = self.state
        if heard_group is not None and group:
            heard_group(group)
        return state is not _CLOSED

    def _answered(self, reply: Reply) -> Answered:
        shown = reply
        if self.hidden:
            reply, shown = without_secrets(reply, self.hidden)
        if self._tap is not None:
            self._tap.heard(shown)
        pending = self._pending
        if not pending:
            return self._unasked(reply)
        given, to = pending.popleft()
        code = reply.code
        if code == 421:
            self.state = self._presumed = _CLOSED
        elif given is _DATA and 300 <= code < 400:
            # Legal even where no recipient was accepted: then only the dot is sent (RFC 2920 §3.1).
            self._takes_content, self._content_size = True, 0
            self.state = self._presumed = _CONTENT
        else:
            self._move(given, to, reply)
        return Answered(to, reply)

    def _unasked(self, reply: Reply) -> Answered:
        """Handle a reply without an outstanding command."""
        if reply.code == 421:  # RFC 5321 §3.8: the peer is going away and says so
            self.state = self._presumed = _CLOSED
            return Answered(None, reply)
        if self._takes_content and not reply.positive:
            # It refuses the content before its end and will close; what it says is worth more than the rest.
            self._takes_content = False
            self.state = self._presumed = _CLOSED
            return Answered(_THE_CONTENT, reply)
        injected = self.state is State.SWITCHING
        raise RemoteError(_INJECTED if injected else f"the peer sent a reply that answers nothing: {reply}")

    def _move(self, given: Input, to: Command | Sent | None, reply: Reply) -> None:
        state = self.state
        pending = self._pending
        move = _LAW.get((state, given))
        if move is not None:
            code = reply.code
            found = move.done if code < 300 else move.more if code < 400 else move.failed
            if found is None:
                raise RemoteError(f"the peer answered {given} with {reply}, which nobody may")
            final = given is _CONTENT_END or given is _BDAT_LAST
            if not (self.lmtp and final and pending and pending[0][1] is to):  # or another recipient's follows
                self._moved(state, found, to, reply)
        elif reply.positive and given is not Input.RSET and given is not Input.NOOP:
            raise RemoteError(f"the peer answered {given} with {reply} after refusing what comes before it")
        if not pending:
            self._presumed = self.state

    def _moved(self, before: State, now: State, to: Command | Sent | None, reply: Reply) -> None:
        self.state = now
        positive = 200 <= reply.code < 400
        if type(to) is Rcpt:
            self._recipients += positive
        elif type(to) is Greet and positive:
            self._replies.line_ends_learnt()
            self.capabilities = Capabilities.read(reply) if to.verb != "HELO" else Capabilities()
        elif before is State.CONNECTED:
            self.greeting = reply
        elif now is State.SWITCHING and reply.code != 220:  # RFC 3207 §4 knows no other reply that agrees
            self.state = before
        if now is _READY and before is not _READY:
            self._recipients = 0
