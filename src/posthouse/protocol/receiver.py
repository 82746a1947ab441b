"""The receiving SMTP without I/O: bytes in, events out, replies in, bytes out.

A shell around it is one loop::

    event = receiver.next_event(data)
    while event not in (NEED_DATA, PAUSED, CLOSED):
        ...decide...
        out.append(receiver.send(reply))
        event = receiver.next_event()
    write(b"".join(out))

``next_event`` gives a legal, parsed command, or ``Refused`` with the reply to send, or content.  While a reply is owed
it gives PAUSED, and pipelined input waits: pipelining needs no code in the shell, and all replies of a group leave in
one write.  A shell that waits for a decision stops reading, which bounds the buffer to the octets that have arrived.

A command passes three stages: this module decides from the table in ``states`` whether it is *legal*; the shell asks
its policy whether it is *allowed*; ``send`` gets the reply, and then the command is *done* and the state changes.

Over budget: the modes of one dialogue (lines, content, chunks, base64) hand its fields to each other at every turn; cut
in two, each half would need all of the other's.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from posthouse.core import Body, LocalError, Remark, Reply
from posthouse.protocol import refusals
from posthouse.protocol.commands import Auth, Bdat, Command, Data, Greet, Mail, Rcpt, StartTls
from posthouse.protocol.events import AuthResponse, ContentChunk, EndOfChunk, EndOfContent, Pause, Refused, Transcript
from posthouse.protocol.extensions import Offer
from posthouse.protocol.leniency import STRICT, Leniency, merged, tolerate, utf8_tolerated
from posthouse.protocol.lenient_readers import ContentNormaliser, LenientChunkReader, LenientDotReader
from posthouse.protocol.limits import Limits
from posthouse.protocol.parsing import CACHED_LINE, CommandError, parse_cached, parse_command
from posthouse.protocol.proxies.forwarding import Forwarding, no_command
from posthouse.protocol.readers import ChunkReader, DotReader, InputFault, LineReader
from posthouse.protocol.refusals import begins_auth, foreign_protocol, mechanism_refusal, shown, wrong_order
from posthouse.protocol.states import LAW, Input, State
from posthouse.protocol.writers import write_reply

__all__ = ["Event", "Receiver"]

Event = Command | Forwarding | Refused | ContentChunk | EndOfContent | EndOfChunk | AuthResponse | Pause

# An attribute of an enumeration costs ten times a global name, and these are asked for with every line.
_AUTH_INPUT: Final = Input.AUTH
_AUTH_LINE_INPUT: Final = Input.AUTH_LINE
_BDAT_INPUT: Final = Input.BDAT
_BDAT_LAST_INPUT: Final = Input.BDAT_LAST
_CONTENT_END_INPUT: Final = Input.CONTENT_END
_DATA_INPUT: Final = Input.DATA
_GREETING_INPUT: Final = Input.GREETING
_NOOP_INPUT: Final = Input.NOOP
_RCPT_INPUT: Final = Input.RCPT
_OVER: Final = Pause.CLOSED
_NEED_DATA: Final = Pause.NEED_DATA
_PAUSED: Final = Pause.PAUSED
_AUTHENTICATING: Final = State.AUTHENTICATING
_CLOSED: Final = State.CLOSED
_CONNECTED: Final = State.CONNECTED
_CONTENT: Final = State.CONTENT
_GREETED: Final = State.GREETED
_READY: Final = State.READY
_RECIPIENTS: Final = State.RECIPIENTS
_SENDER: Final = State.SENDER
_SWITCHING: Final = State.SWITCHING

_A: Final = ord("a")
_BEFORE_MAIL: Final = (_CONNECTED, _GREETED)  # no transaction has begun
_TAKES_RCPT: Final = (_RECIPIENTS, _SENDER)  # a tuple is asked by identity first; what a set asks costs more

# In multiples of the limit: a chunk or a message so large that reading it to its end would only keep the channel busy.
_HOPELESS: Final = 4

_INPUTS: Final[dict[str, Input]] = {str(each): each for each in Input}
_LAW: Final = dict(LAW)  # a plain dictionary costs less than what makes ``LAW`` read-only


class Receiver:
    """The receiving end of one dialogue.

    ``offer`` is what EHLO announces; ``lmtp`` makes it RFC 2033's dialogue (LHLO, one final reply per recipient).
    """

    __slots__ = (
        "_accepts",
        "_auth_said",
        "_authenticated",
        "_body",
        "_chunk",
        "_chunk_cr",
        "_command",
        "_dot",
        "_eof",
        "_fatal",
        "_given",
        "_hopeless",
        "_later",
        "_line_limit",
        "_lines",
        "_normaliser",
        "_owed",
        "_recipients",
        "_refused_rcpt",
        "_remarks",
        "_skip",
        "_skipped",
        "_smtputf8",
        "_tls",
        "_tolerated",
        "_tolerated_from",
        "_total",
        "_transcript",
        "_utf8_before",
        "esmtp",
        "has_input",
        "leniency",
        "limits",
        "lmtp",
        "offer",
        "state",
        "utf8_tolerated",
    )

    def __init__(
        self,
        offer: Offer,
        *,
        lmtp: bool = False,
        limits: Limits | None = None,
        transcript: Transcript | None = None,
        leniency: Leniency = STRICT,
    ) -> None:
        self.offer = offer
        #: What is tolerated; may be set until MAIL, because it may depend on the peer.
        self.leniency = leniency
        self.lmtp = lmtp
        self.limits = limits or Limits()
        self.state = _CONNECTED
        #: True once EHLO or LHLO has been answered positively.
        self.esmtp = False
        #: False while ``next_event`` would only ask for data.
        self.has_input = False
        self.set_offer(offer)
        self._transcript = transcript
        self._lines = LineReader()
        self._eof = self._tls = False
        self._fatal = False  # the reply that is owed ends the dialogue
        self._owed, self._given = 1, _GREETING_INPUT
        self._command: Command | None = None
        self._normaliser: ContentNormaliser | None = None  # once a lenient receiver has had content
        self._authenticated = self._auth_said = False  # the latter only where there is a transcript
        self._hopeless = _HOPELESS * max(self.limits.message, self.limits.chunk, 1)
        self._skip = 0  # octets of a chunk that are read and dropped
        self._skipped: Refused | None = None  # what to tell after that
        self._forget_transaction()

    def set_offer(self, offer: Offer, later: tuple[str, ...] = ()) -> None:
        """Change the offer.  ``later``: SASL mechanisms that TLS will add; asking for one of them in clear is 538."""
        self.offer, self._later = offer, later
        self._accepts = offer.accepts() | {"AUTH"} if later else offer.accepts()
        # An initial response can make AUTH's command line as long as any line of the exchange (RFC 4954 §4).
        self._line_limit = self.limits.auth_line if offer.auth else self.limits.command_line

    def _forget_transaction(self) -> None:
        self._recipients, self._refused_rcpt = 0, False
        self._smtputf8, self._body, self._total = False, Body.SEVENBIT, 0
        self._chunk: ChunkReader | None = None  # while a chunk is being read
        self._chunk_cr = False  # the chunk before it ended in CR
        self._dot: DotReader | None = None  # while content after 354 is being read
        self._normaliser = None if self._normaliser is None or self._normaliser.used else self._normaliser
        self._remarks: list[Remark] = []  # on the commands of the transaction
        self._tolerated: Command | None = None  # the last command with remarks,
        self._tolerated_from = 0  # the first of them, and what ``utf8_tolerated`` was before it
        self._utf8_before = False
        #: True if a local part that is not ASCII was tolerated, though MAIL did not say SMTPUTF8.
        self.utf8_tolerated = False

    # -- bytes in ----------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Octets arrived from the client, and no event is wanted yet."""
        self._lines.feed(data)
        self.has_input = True

    def receive_eof(self) -> None:
        """The client will send no more; next_event still gives what has arrived."""
        self._eof = True
        self.has_input = True

    @property
    def buffered(self) -> int:
        """Octets received and not yet consumed."""
        return len(self._lines)

    @property
    def content_size(self) -> int:
        """Octets of the content so far."""
        return self._total

    @property
    def ended_by_lf(self) -> bool:
        """True if content has stopped behind what would be its end, were LF a line end; only a lenient receiver comes
        so far."""
        return self._normaliser is not None and self._normaliser.ended_by_lf

    @property
    def in_content(self) -> bool:
        """True while octets are content, also that of a refused chunk."""
        return self.state is _CONTENT or self._chunk is not None or self._skipped is not None

    # -- events out --------------------------------------------------------------------------------------------

    def next_event(self, data: bytes = b"") -> Event:
        """The next event, now that ``data`` has arrived.  Raises no exception for any input of the client."""
        state = self.state
        if state is _CLOSED:
            return _OVER
        if self._owed:
            if data:
                self.receive_data(data)
            return _PAUSED
        if state is _CONTENT:
            event = self._content(data)
        elif self._chunk is None and self._skipped is None and state is not _SWITCHING:
            event = self._line(state is _AUTHENTICATING, data)
        else:
            if data:
                self.receive_data(data)
            if self._chunk is not None:
                event = self._chunk_content(self._chunk)
            elif self._skipped is not None:
                event = self._skip_chunk(self._skipped)
            else:  # TLS is about to start
                event = _NEED_DATA
        if event is _NEED_DATA:
            if self._eof:
                self.state = _CLOSED
                return _OVER
            self.has_input = False
        return event

    def _line(self, authenticating: bool, data: bytes) -> Event:
        lines = self._lines
        line = lines.line(self._line_limit, data)
        self.has_input = self._eof or not lines.empty
        if line is None or isinstance(line, InputFault):
            if lines.begins and not authenticating and (foreign := foreign_protocol(lines.begins)) is not None:
                return self._refuse(foreign[0], foreign[1], fatal=True)
            if line is None:
                return _NEED_DATA
            if authenticating:
                self._given = _AUTH_LINE_INPUT
            reply = refusals.LINE_FAULTS[line]
            if line is InputFault.TOO_LONG and (authenticating or begins_auth(lines.begins)):
                reply = refusals.AUTH_LINE_TOO_LONG
            return self._refuse(line.value, reply, fatal=line is InputFault.ENDLESS)
        if authenticating:
            return self._auth_line(line)
        if self._transcript is not None:
            self._transcript("S", shown(line, after_auth=self._auth_said))
            self._auth_said = self._auth_said or begins_auth(line)
        try:
            if 0 < len(line) <= CACHED_LINE and line[0] | 32 != _A:  # AUTH has secrets
                command = parse_cached(line, self._accepts, self.limits)
            else:
                command = parse_command(line, self._accepts, self.limits)
        except CommandError as refusal:
            if not refusal.verb:  # another protocol, or a command of known hosts only
                event = no_command(line, self.offer, self.state)
                if type(event) is Refused:
                    return self._refuse(event.what, event.reply, fatal=event.fatal)
                if event is not None:
                    self._command, self._given, self._owed = None, _NOOP_INPUT, 1
                    return event
            if self.leniency is not STRICT:
                found = tolerate(line, refusal, self._accepts, self.limits, self.leniency)
                if found is not None:
                    return self._tolerate(found[0], found[1])
            # How many octets follow a BDAT that cannot be read is anybody's guess, and content must not be read as
            # commands.
            return self._refuse(refusal.verb, refusal.reply, fatal=refusal.verb == "BDAT")
        return self._legal(command)

    def begin_again(self, *, authenticated: bool) -> None:
        """After XCLIENT: the dialogue is that of another client, which has not been greeted yet."""
        self.state, self.esmtp, self._authenticated = _CONNECTED, False, authenticated
        self._given, self._owed = _GREETING_INPUT, 1
        self._forget_transaction()

    def _tolerate(self, command: Command, remarks: list[Remark]) -> Event:
        """Go on with a command that the strict parser refused.  Its remarks stay if it is answered positively."""
        self._tolerated_from, self._utf8_before = len(self._remarks), self.utf8_tolerated
        event = self._legal(command)
        self._remarks.extend(remarks)
        self._tolerated = self._command
        if type(event) is Refused:
            self._withdraw_remarks()
        return event

    def _withdraw_remarks(self) -> None:
        """Take back what was remarked on a command that is refused."""
        del self._remarks[self._tolerated_from :]
        self.utf8_tolerated = self._utf8_before
        self._tolerated = None

    def _legal(self, command: Command) -> Event:
        """Is the command legal here?  The whole answer of moment one."""
        if type(command) is Rcpt and self.state in _TAKES_RCPT and not self.offer.off:
            # There may be thousands of them: the questions of ``_why_not`` that are left.
            local, domain = command.address
            if not (self._smtputf8 or (local.isascii() and domain.isascii())):
                if not self.leniency.addresses:
                    return self._refuse("RCPT", refusals.UTF8_ADDRESS)
                self._tolerated_from, self._utf8_before = len(self._remarks), self.utf8_tolerated
                command, remark = utf8_tolerated(command, str(refusals.UTF8_ADDRESS))
                self._tolerated = command
                self._remarks.append(remark)
                self.utf8_tolerated = self.utf8_tolerated or not command.address.is_ascii
            self._command = command
            self._given = _RCPT_INPUT
            self._owed = 1
            return command
        given = _INPUTS[command.verb]
        if type(command) is Bdat:
            given = _BDAT_LAST_INPUT if command.last else given
            return self._begin_chunk(command, given, self._why_not(command, given))
        refusal = self._why_not(command, given)
        if refusal is not None:
            return self._refuse(command.verb, refusal, fatal=refusal is refusals.AFTER_STARTTLS)
        self._command = command
        self._given = given
        self._owed = 1
        return command

    def _why_not(self, command: Command, given: Input) -> Reply | None:
        kind = type(command)
        if self.offer.off and command.verb in self.offer.off:
            return Reply(502, "5.5.1", f"{command.verb} is switched off here")
        if kind is Greet and (command.verb == "LHLO") is not self.lmtp:
            other = "LHLO" if self.lmtp else "EHLO or HELO"
            return Reply(500, "5.5.1", f"This is {'LMTP' if self.lmtp else 'SMTP'}; say {other}")
        if (self.state, given) not in _LAW:
            if self.state is _SENDER and self._refused_rcpt and given in (_DATA_INPUT, _BDAT_INPUT, _BDAT_LAST_INPUT):
                return refusals.NO_RECIPIENTS
            return Reply(503, "5.5.1", wrong_order(self.state, given, lmtp=self.lmtp))
        if kind is Mail:
            return None
        if isinstance(command, Rcpt):
            return None if self._smtputf8 or command.address.is_ascii else refusals.UTF8_ADDRESS
        if kind is Data:
            return refusals.BINARY_NEEDS_BDAT if self._body is Body.BINARYMIME else None
        if isinstance(command, Auth):
            return (
                refusals.ALREADY_AUTHENTICATED
                if self._authenticated
                else mechanism_refusal(command, self.offer, self._later)
            )
        if kind is StartTls:
            return refusals.TLS_IS_UP if self._tls else None if self._lines.empty else refusals.AFTER_STARTTLS
        return None

    def _refuse(self, what: str, reply: Reply, *, fatal: bool = False) -> Refused:
        self._command = None
        if self.state is not _AUTHENTICATING:
            self._given = _NOOP_INPUT  # a refusal moves nothing
        self._owed = 1
        self._fatal = fatal
        if what == "RCPT":
            self._refused_rcpt = True
        return Refused(what, reply, fatal)

    # -- content -----------------------------------------------------------------------------------------------

    def _content(self, data: bytes) -> Event:
        lines = self._lines
        if data and (self._dot is None or not lines.empty):
            lines.feed(data)
        if self._dot is None:  # its end was read together with the last octets
            self.has_input = self._eof or not lines.empty
            return self._end_of_content(_CONTENT_END_INPUT)
        if not lines.empty:
            data = lines.take()
        elif not data:
            return _NEED_DATA
        piece, rest = self._dot.feed(data)
        if isinstance(piece, InputFault) or self._total + len(piece) > self._hopeless:
            lines.clear()
            self._given = _CONTENT_END_INPUT
            self._command = None
            self._owed = 1
            self._fatal = True
            if isinstance(piece, InputFault):
                return Refused(piece.value, refusals.CONTENT_FAULTS[piece], fatal=True)
            return Refused("DATA", refusals.CONTENT_TOO_LARGE, fatal=True)
        self._total += len(piece)
        self.has_input = self._eof or rest is not None
        if rest is not None:
            self._dot = None
            if rest:
                lines.feed(rest)
        if piece:
            return ContentChunk(piece)
        return _NEED_DATA if rest is None else self._end_of_content(_CONTENT_END_INPUT)

    def _begin_normalising(self, *, chunked: bool) -> ContentNormaliser:
        normaliser, seven_bit = self._normaliser, self._body is Body.SEVENBIT
        if normaliser is None or not (normaliser.used or normaliser.is_for(seven_bit, chunked)):
            self._normaliser = normaliser = ContentNormaliser(seven_bit=seven_bit, chunked=chunked)
        return normaliser

    def _end_of_content(self, given: Input) -> EndOfContent:
        self._given = given
        self._command = None
        self._owed = self._recipients if self.lmtp else 1
        if self._transcript is not None:
            self._transcript("S", f"({self._total} octets of content)")
            if given is _CONTENT_END_INPUT:
                self._transcript("S", ".")
        found = self._normaliser.remarks() if self._normaliser is not None and self._normaliser.used else None
        if not found and not self._remarks:
            return EndOfContent(self._total, self._owed)
        return EndOfContent(self._total, self._owed, merged([*self._remarks, *(found or ())]))

    def _begin_chunk(self, command: Bdat, given: Input, refusal: Reply | None) -> Event:
        if refusal is None and command.size > self.limits.chunk:
            refusal = refusals.CHUNK_TOO_LARGE
        fatal = command.size > _HOPELESS * max(self.limits.chunk, 1)
        if refusal is None and self._total + command.size > self._hopeless:
            refusal, fatal = refusals.CONTENT_TOO_LARGE, True
        if refusal is not None:
            # RFC 3030 §2: the octets of a refused chunk still arrive; they are read and dropped before the reply.
            refused = Refused("BDAT", refusal, fatal)
            if not fatal and command.size:
                self._skip, self._skipped = command.size, refused
                return self._skip_chunk(refused)
            return self._refuse_chunk(refused)
        strict = self._body is not Body.BINARYMIME
        self.has_input = True  # also a chunk of no octets has an end
        if strict and self.leniency.content:
            self._chunk = LenientChunkReader(command.size, self._begin_normalising(chunked=True), last=command.last)
        else:
            self._chunk = ChunkReader(command.size, strict=strict, before_cr=self._chunk_cr)
        self._given = given
        self._command = command
        return command

    def _skip_chunk(self, refused: Refused) -> Event:
        self._skip -= len(self._lines.take(self._skip))
        if self._skip:
            return _NEED_DATA
        self._skipped = None
        return self._refuse_chunk(refused)

    def _refuse_chunk(self, refused: Refused) -> Refused:
        # A chunk too large for an open transaction ends it (like any final reply); an illegal one moves nothing.
        self._command = None
        self._given = _BDAT_LAST_INPUT if refused.reply is refusals.CHUNK_TOO_LARGE else _NOOP_INPUT
        self._owed = 1
        self._fatal = refused.fatal
        return refused

    def _chunk_content(self, chunk: ChunkReader) -> Event:
        if chunk.remaining:
            data = self._lines.take(chunk.remaining)
            if not data:
                return _NEED_DATA
            self._total += len(data)
            data = chunk.feed(data)
            if data:
                return ContentChunk(data)
            if chunk.remaining:
                return _NEED_DATA
        last = self._given is _BDAT_LAST_INPUT
        if last and self._normaliser is not None:
            data = self._normaliser.end()
            if data:
                return ContentChunk(data)
        self._chunk, self._chunk_cr = None, chunk.ends_in_cr
        self._command = None
        if chunk.fault is None and last and chunk.ends_in_cr:
            chunk.fault = InputFault.BARE_CR
        if chunk.fault is not None:
            # The framing is not in doubt here, so the dialogue goes on; the message does not.
            self._owed = self._recipients if self.lmtp and last else 1
            return Refused(chunk.fault.value, refusals.CHUNK_FAULTS[chunk.fault], owed=self._owed)
        if last:
            return self._end_of_content(_BDAT_LAST_INPUT)
        self._owed = 1
        return EndOfChunk(self._total)

    # -- authentication ----------------------------------------------------------------------------------------

    def _auth_line(self, line: bytes) -> Event:
        self._given = _AUTH_LINE_INPUT
        self._command = None
        if self._transcript is not None:
            self._transcript("S", "*" if line == b"*" else "(credentials)")
        if line == b"*":
            self._owed = 1
            return AuthResponse(None)
        try:
            data = base64.b64decode(line, validate=True)
        except (binascii.Error, ValueError):
            return self._refuse("AUTH", refusals.BAD_BASE64)
        self._owed = 1
        return AuthResponse(data)

    def tls_started(self, offer: Offer | None = None) -> None:
        """TLS has started; all earlier knowledge about the client is discarded (RFC 3207 §4.2)."""
        if self.state is not _SWITCHING:
            raise LocalError("TLS can only come up after STARTTLS was answered 220")
        if len(self._lines):
            raise LocalError("plaintext arrived behind STARTTLS; it must not be read as if TLS had protected it")
        self.state = _GREETED
        self.esmtp = False
        self._authenticated = False
        self.begin_inside_tls(offer or self.offer._replace(starttls=False))
        self._forget_transaction()

    def begin_inside_tls(self, offer: Offer) -> None:
        """The channel speaks TLS: EHLO announces ``offer``, and STARTTLS is known, but out of order."""
        self._tls = True
        self.set_offer(offer)
        self._accepts |= {"STARTTLS"}

    # -- replies in, bytes out ---------------------------------------------------------------------------------

    def send(self, reply: Reply, *, utf8: bool = False) -> bytes:
        """Give the owed reply; returns the octets to write.  The state changes here.

        Raises LocalError if nothing is owed, or if a reply of this class may not answer what was asked.
        """
        if not self._owed:
            raise LocalError(f"no reply is owed, yet {reply.code} was given")
        state: State | None = self.state
        if self._given is _RCPT_INPUT and 200 <= reply.code < 300 and self._transcript is None and state in _TAKES_RCPT:
            self._owed = 0
            self._recipients += 1
            self.state = _RECIPIENTS
            return write_reply(reply, utf8)
        code = reply.code
        if self._fatal or code == 421:  # RFC 5321 §3.8: 421 may come at any time, and closes
            state = _CLOSED
        elif (move := _LAW.get((self.state, self._given))) is not None:
            state = move.done if code < 300 else move.more if code < 400 else move.failed
        if state is None:
            raise LocalError(f"{reply.code} cannot answer {self._given} in state {self.state.value}")
        wire = write_reply(reply, utf8)
        if self._transcript is not None:
            for line in wire.decode().splitlines():
                self._transcript("R", line)
        self._owed -= 1
        if self._owed and state is not _CLOSED:
            return wire  # LMTP: more recipients' replies follow
        self._owed = 0
        self._move(state, reply)
        return wire

    def _move(self, state: State, reply: Reply) -> None:
        """All changes by a reply except that of the state."""
        command = self._command
        if isinstance(command, Rcpt):
            if reply.code < 400:
                self._recipients += 1
            else:
                self._refused_rcpt = True
                if command is self._tolerated:
                    self._withdraw_remarks()
        elif isinstance(command, Mail):
            if reply.code < 400:
                self._smtputf8, self._body = command.smtputf8, command.body
            elif command is self._tolerated:
                self._withdraw_remarks()
        elif state is _CONTENT:
            lenient = self.leniency.content
            self._dot = LenientDotReader(self._begin_normalising(chunked=False)) if lenient else DotReader()
        elif isinstance(command, Greet):
            if reply.code < 400:
                self.esmtp = command.verb != "HELO"
        elif (self._given is _AUTH_INPUT or self._given is _AUTH_LINE_INPUT) and reply.code < 300:
            self._authenticated = True
        before, self.state = self.state, state
        if state is not _READY or before is _READY:
            return
        if before not in _BEFORE_MAIL or self._remarks or self._refused_rcpt:
            self._forget_transaction()

    def close(self, reply: Reply) -> bytes:
        """Send ``reply`` (421, or the last reply of a broken dialogue) out of turn, and end the dialogue."""
        wire = write_reply(reply)
        if self._transcript is not None:
            self._transcript("R", wire.decode().rstrip())
        self.state, self._owed = _CLOSED, 0
        return wire
