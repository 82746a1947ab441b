"""The sending SMTP without I/O: commands in, bytes out; bytes in, replies out.

Commands may be sent before the replies to earlier ones are here, where the law of pipelining allows it (RFC 2920 §3.1:
the peer announced PIPELINING, and the command before does not end its group).  So there are two states: ``state`` is
what the replies have made true; the *presumed* state is what it will be if every reply on its way is positive, and
decides what may be sent now.  When nothing is outstanding the two are one.

Each reply is matched with what it answers, in order.  What no receiver may do (a reply nobody waits for, 250 to DATA, a
recipient accepted after MAIL was refused) raises RemoteError, and nothing that follows on this channel can be trusted.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from posthouse.protocol.commands import Auth, Bdat, Command, Data, Greet, Rcpt, write_command
from posthouse.protocol.events import Answered, Pause, Sent, Transcript
from posthouse.protocol.extensions import Capabilities
from posthouse.protocol.limits import Limits
from posthouse.protocol.readers import ReplyReader
from posthouse.protocol.states import COMMANDS, LAW, Input, State, after, may
from posthouse.protocol.writers import DotWriter, write_auth_line
from posthouse.words import LocalError, RemoteError, Reply

__all__ = ["Sender"]

#: Nothing may be pipelined behind these.
_ENDS_GROUP: Final = frozenset(each for each, row in COMMANDS.items() if row.ends_group)
_INPUTS: Final[dict[str, Input]] = {str(each): each for each in Input}


class Sender:
    """One dialogue, seen from the sending end.  ``lmtp`` expects one final reply per accepted recipient."""

    __slots__ = (
        "_content_size",
        "_dot",
        "_limits",
        "_pending",
        "_presumed",
        "_recipients",
        "_replies",
        "_transcript",
        "capabilities",
        "greeting",
        "lmtp",
        "state",
    )

    def __init__(
        self, *, lmtp: bool = False, limits: Limits | None = None, transcript: Transcript | None = None
    ) -> None:
        self.lmtp = lmtp
        self.state = State.CONNECTED
        #: What the last positive EHLO or LHLO reply announced; empty before it and after HELO.
        self.capabilities = Capabilities()
        #: The opening reply, once it is here.
        self.greeting: Reply | None = None
        self._limits = limits or Limits()
        self._transcript = transcript
        self._replies = ReplyReader(self._limits.reply_line, self._limits.reply_lines)
        self._presumed = State.CONNECTED
        self._pending: deque[tuple[Input, Command | Sent | None]] = deque([(Input.GREETING, None)])
        self._recipients = 0  # accepted in this transaction
        self._dot: DotWriter | None = None
        self._content_size = 0

    # -- commands in, bytes out --------------------------------------------------------------------------------

    @property
    def outstanding(self) -> int:
        """Replies that are still to come."""
        return len(self._pending)

    def may_send(self, command: Command) -> bool:
        """Would ``send`` take this command now?"""
        return self._why_not(command, self._input(command)) is None

    def send(self, command: Command) -> bytes:
        """A command's line, to be written.  Raises LocalError if the law forbids it now."""
        if type(command) is Bdat:
            raise LocalError("send BDAT with send_chunk: its octets belong to it")
        given = self._input(command)
        why_not = self._why_not(command, given)
        if why_not is not None:
            raise LocalError(why_not)
        wire = write_command(command)
        if self._transcript is not None:
            self._say(_shown(command, wire))
        self._expect(given, command)
        return wire

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
        if self._transcript is not None:
            self._say(wire.decode().rstrip())
            self._say(f"({len(data)} octets of content)")
        self._expect(given, command)
        return wire + data

    def send_content(self, chunk: bytes) -> bytes:
        """The next piece of content after 354, dot-stuffed.  LocalError for a bare CR or LF in it."""
        if self._dot is None:
            raise LocalError("content may be sent only after the peer answered DATA with 354")
        self._content_size += len(chunk)
        return self._dot.write(chunk)

    def end_content(self) -> bytes:
        """What ends the content: the final dot."""
        if self._dot is None:
            raise LocalError("there is no content to end")
        wire = self._dot.end()
        self._dot = None
        if self._transcript is not None:
            self._say(f"({self._content_size} octets of content)")
            self._say(".")
        self._presumed = State.READY
        # A receiver that said 354 without a valid recipient is given the dot alone and answers once (RFC 2920 §3.1).
        for _ in range(max(1, self._recipients) if self.lmtp else 1):
            self._pending.append((Input.CONTENT_END, Sent.CONTENT_END))
        return wire

    def send_auth_line(self, line: bytes) -> bytes:
        """A line of the SASL exchange, base64 already, or ``*`` to cancel."""
        if self.state is not State.AUTHENTICATING or self._pending:
            raise LocalError("the peer is not waiting for an AUTH line")
        self._say("*" if line == b"*" else "(credentials)")
        self._pending.append((Input.AUTH_LINE, Sent.AUTH_LINE))
        return write_auth_line(line)

    def tls_started(self) -> None:
        """TLS is up: everything learnt before is forgotten (RFC 3207 §4.2)."""
        if self.state is not State.SWITCHING:
            raise LocalError("TLS can only come up after STARTTLS was answered 220")
        if len(self._replies):
            raise RemoteError("the peer sent more than its reply to STARTTLS before TLS was up")
        self.capabilities = Capabilities()
        self.state = self._presumed = State.GREETED

    def _input(self, command: Command) -> Input:
        return Input.BDAT_LAST if type(command) is Bdat and command.last else _INPUTS[command.verb]

    def _why_not(self, command: Command, given: Input) -> str | None:
        if type(command) is Greet and (command.verb == "LHLO") is not self.lmtp:
            return f"{command.verb} does not belong to {'LMTP' if self.lmtp else 'SMTP'}"
        if not may(self._presumed, given):
            return f"{given} may not be sent in state {self._presumed.value}"
        if self._pending:
            before = self._pending[-1][0]
            if before is Input.GREETING:
                return "the peer has not greeted yet"
            if before in _ENDS_GROUP:
                return f"nothing may be sent behind {before} before its reply is here"
            if not self.capabilities.has("PIPELINING"):
                return "the peer did not announce PIPELINING; wait for its reply"
            if self.lmtp and given is Input.BDAT_LAST and any(each is Input.RCPT for each, _ in self._pending):
                return "in LMTP the replies to RCPT tell how many replies BDAT LAST has; wait for them"
        return None

    def _expect(self, given: Input, command: Command) -> None:
        copies = 1
        if given is Input.BDAT_LAST and self.lmtp:
            copies = max(1, self._recipients)
        for _ in range(copies):
            self._pending.append((given, command))
        move = LAW[self._presumed, given]
        target = move.more if type(command) is Data else move.done
        if type(command) is not Auth and target is not None:
            self._presumed = target

    def _say(self, line: str) -> None:
        if self._transcript is not None:
            self._transcript("S", line)

    # -- bytes in, replies out ---------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Octets arrived from the peer."""
        self._replies.feed(data)

    def next_event(self) -> Answered | Pause:
        """The next reply and what it answers; NEED_DATA, or CLOSED after 421 or the reply to QUIT.

        Raises RemoteError for what no receiver may send.
        """
        if self.state is State.CLOSED:
            return Pause.CLOSED
        reply = self._replies.reply()
        if reply is None:
            return Pause.NEED_DATA
        if self._transcript is not None:
            lines = reply.lines
            enhanced = reply.enhanced + " " if reply.enhanced else ""
            for number, line in enumerate(lines, 1):
                self._transcript("R", f"{reply.code}{'-' if number < len(lines) else ' '}{enhanced}{line}".rstrip())
        if not self._pending:
            if reply.code == 421:  # RFC 5321 §3.8: the peer is going away and says so
                self.state = self._presumed = State.CLOSED
                return Answered(None, reply)
            if self._dot is not None and not reply.positive:
                # It refuses the content before its end and will close; what it says is worth more than the rest.
                self._dot = None
                self.state = self._presumed = State.CLOSED
                return Answered(Sent.CONTENT_END, reply)
            raise RemoteError(f"the peer sent a reply that answers nothing: {reply}")
        given, to = self._pending.popleft()
        self._move(given, to, reply)
        return Answered(to, reply)

    def _move(self, given: Input, to: Command | Sent | None, reply: Reply) -> None:
        if reply.code == 421:
            self.state = self._presumed = State.CLOSED
            return
        if type(to) is Data and reply.code // 100 == 3:
            # Legal even where no recipient was accepted: then only the dot is sent (RFC 2920 §3.1).
            self._dot = DotWriter()
            self._content_size = 0
            self.state = self._presumed = State.CONTENT
            return
        more_final = bool(self._pending) and self._pending[0][1] is to and given in (Input.CONTENT_END, Input.BDAT_LAST)
        state = self.state
        if may(state, given):
            found = after(state, given, reply)
            if found is None:
                raise RemoteError(f"the peer answered {given} with {reply}, which nobody may")
            if not more_final:
                self._moved(state, found, given, to, reply)
        elif reply.positive and given not in (Input.RSET, Input.NOOP):
            raise RemoteError(f"the peer answered {given} with {reply} after refusing what comes before it")
        if not self._pending:
            self._presumed = self.state

    def _moved(self, before: State, now: State, given: Input, to: Command | Sent | None, reply: Reply) -> None:
        self.state = now
        if given is Input.GREETING:
            self.greeting = reply
        elif type(to) is Rcpt and reply.positive:
            self._recipients += 1
        elif type(to) is Greet and reply.positive:
            self.capabilities = Capabilities.read(reply) if to.verb != "HELO" else Capabilities()
        if now is State.READY and before is not State.READY:
            self._recipients = 0


def _shown(command: Command, wire: bytes) -> str:
    """A command for the transcript: what AUTH carries is not shown."""
    if type(command) is Auth:
        return f"AUTH {command.mechanism}" + (" (credentials)" if command.initial is not None else "")
    return wire.decode("utf-8", "replace").rstrip("\r\n")
