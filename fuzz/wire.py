"""Targets for what travels in an SMTP dialogue: command lines, addresses, content, chunks, replies, whole sessions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from posthouse.core import RemoteError, Reply
from posthouse.protocol import (
    Auth,
    AuthResponse,
    Bdat,
    Capabilities,
    ContentChunk,
    Data,
    EndOfContent,
    Limits,
    Offer,
    Pause,
    Quit,
    Receiver,
    Refused,
    StartTls,
    State,
)
from posthouse.protocol.grammar import (
    GrammarError,
    parse_domain,
    parse_greeting_domain,
    parse_literal,
    parse_mailbox,
    parse_path,
    with_ascii_domain,
)
from posthouse.protocol.leniency import LENIENT, STRICT, tolerate
from posthouse.protocol.lenient_readers import ContentNormaliser, LenientChunkReader, LenientDotReader
from posthouse.protocol.parsing import CommandError, parse_command
from posthouse.protocol.readers import ChunkReader, DotReader, InputFault, ReplyReader
from posthouse.protocol.writers import DotWriter

__all__ = ["addresses", "chunks", "commands", "content", "pieces", "receiver", "replies"]

_ACCEPTS = Offer(starttls=True, auth=("PLAIN", "LOGIN")).accepts()
_LIMITS = Limits(message=100_000, chunk=100_000, errors=20, idle_commands=50, recipients=10)


def pieces(data: bytes) -> Iterator[bytes]:
    """``data`` cut at places that its own octets choose; the pieces joined are ``data``."""
    place = 0
    while place < len(data):
        length = 1 + data[place] % 7 * (1 + data[-1 - place] % 5)
        yield data[place : place + length]
        place += length


def commands(data: bytes) -> None:
    """Command lines with their parameters: a command, or a refusal with its reply; a lenient reader's remarks."""
    for line in data.split(b"\r\n")[:20]:
        try:
            command = parse_command(line, _ACCEPTS, _LIMITS)
        except CommandError as refusal:
            assert 400 <= refusal.reply.code < 600
            assert refusal.reply.text.isprintable()
            found = tolerate(line, refusal, _ACCEPTS, _LIMITS, LENIENT)
            assert found is None or found[1], "what is tolerated is remarked"
        else:
            assert command.verb
            repr(command)


def addresses(data: bytes) -> None:
    """Addresses, domains and literals: what is read is written and read again as the same."""
    text = data.decode("utf-8", "replace")
    for read in (parse_path, parse_mailbox):
        try:
            address = read(text)
        except GrammarError as error:
            assert error.args
            continue
        if address is not None and address.domain:
            assert parse_mailbox(str(address)) == address
            with contextlib.suppress(GrammarError):  # no A-labels, or too long with them
                again = with_ascii_domain(address)
                assert parse_mailbox(str(again)).local == address.local
    for parse in (parse_domain, parse_literal, parse_greeting_domain):
        try:
            parse(text)
        except GrammarError:
            continue


def content(data: bytes) -> None:
    """Content after 354, strict and lenient: the same however it is cut, its end at CRLF.CRLF and nowhere else."""
    whole, end, fault = _dotted(DotReader(), [data])
    assert _dotted(DotReader(), pieces(data)) == (whole, end, fault) or fault is not None
    place = (b"\r\n" + data).find(b"\r\n.\r\n")
    if fault is None:
        assert (end is not None) == (place >= 0)
        if end is not None:
            stuffed = (b"\r\n" + data)[: place + 2]
            assert whole == stuffed.replace(b"\r\n.", b"\r\n")[2:]
            assert data[place + 3 :] == end
            assert _dotted(DotReader(), [_stuffed(whole)]) == (whole, b"", None)
    seven_bit = bool(data[:1] < b"\x80")
    first = ContentNormaliser(seven_bit=seven_bit)
    lenient = _dotted(LenientDotReader(first), [data])
    second = ContentNormaliser(seven_bit=seven_bit)
    assert _dotted(LenientDotReader(second), pieces(data)) == lenient
    assert lenient[2] is None, "a lenient reader has no faults"
    assert len(first.remarks()) == len(second.remarks())
    taken = lenient[0]
    if lenient[1] is not None:
        assert b"\n" not in taken.replace(b"\r\n", b"")
        assert b"\r" not in taken.replace(b"\r\n", b"")


def _dotted(reader: DotReader, parts: object) -> tuple[bytes, bytes | None, InputFault | None]:
    """Content, what is behind its end, and the fault."""
    taken, rest = b"", None
    for part in parts:  # type: ignore[attr-defined]
        if rest is not None:
            rest += part
            continue
        piece, rest = reader.feed(part)
        if isinstance(piece, InputFault):
            return taken, None, piece
        taken += piece
    return taken, rest, None


def _stuffed(whole: bytes) -> bytes:
    writer = DotWriter()
    return writer.write(whole) + writer.end()


def chunks(data: bytes) -> None:
    """The octets of BDAT chunks: counted exactly, and a bare line end found wherever it is cut."""
    size = len(data)
    faults = set()
    for parts in ([data], pieces(data)):
        reader = ChunkReader(size, strict=True)
        for part in parts:
            assert reader.feed(part) == part
        assert reader.remaining == 0
        faults.add(reader.fault is not None)
    assert len(faults) == 1
    results = set()
    for lenient_parts in ([data], pieces(data)):
        normaliser = ContentNormaliser(seven_bit=False, chunked=True)
        chunk = LenientChunkReader(size, normaliser, last=True)
        results.add(b"".join(chunk.feed(part) for part in lenient_parts))
    assert len(results) == 1


def replies(data: bytes) -> None:
    """Replies of a server: the same however they are cut, and the capabilities that EHLO's has."""
    whole = _replies([data])
    assert _replies(pieces(data)) == whole
    for reply in whole[0]:
        assert 200 <= reply.code < 600
        assert not any(character in reply.text for character in "\r\0")
        capabilities = Capabilities.read(reply)
        assert capabilities.size is None or capabilities.size >= 0
        assert isinstance(capabilities.auth, frozenset)
        repr(capabilities.limits)


def _replies(parts: object) -> tuple[list[Reply], bool]:
    """The replies, and whether the server broke the protocol behind them."""
    reader = ReplyReader(2_000, 50)
    found: list[Reply] = []
    for part in parts:  # type: ignore[attr-defined]
        together = reader.read(part)
        if together is not None:
            found += together
            continue
        try:
            while (reply := reader.reply()) is not None:
                found.append(reply)
        except RemoteError as error:
            assert str(error)
            return found, True
    return found, False


def receiver(data: bytes) -> None:
    """A whole session: one reply for each command, states of the law only, and the same however it is cut."""
    choice, wire = data[:1], data[1:]
    leniency = LENIENT if choice > b"\x80" else STRICT
    lmtp = bool(choice and choice[0] & 1)
    whole = _session([wire], leniency, lmtp)
    cut = _session(pieces(wire), leniency, lmtp)
    # Octets behind STARTTLS are an error only if they are there before its reply.
    assert cut == whole or b"STARTTLS" in wire.upper()


def _session(parts: object, leniency: object, lmtp: bool) -> tuple[list[str], bytes]:
    """What happened, in order, and the content of complete messages."""
    offer = Offer(starttls=True, auth=("PLAIN",))
    shown: list[str] = []
    engine = Receiver(
        offer,
        lmtp=lmtp,
        limits=_LIMITS,
        leniency=leniency,  # type: ignore[arg-type]
        transcript=lambda who, line: shown.append(who),
    )
    engine.send(Reply(220, "", "hello"))
    happened: list[str] = []
    taken = arriving = b""
    for part in parts:  # type: ignore[attr-defined]
        engine.receive_data(part)
        while not isinstance(event := engine.next_event(), Pause):
            if isinstance(event, ContentChunk):
                arriving += event.data
                continue
            happened.append(f"{type(event).__name__} {engine.state.name}")
            owed = 1
            reply = Reply(250, "2.0.0", "ok")
            if isinstance(event, Refused):
                reply, owed, arriving = event.reply, event.owed, b""
            elif isinstance(event, Data):
                reply = Reply(354, "", "go")
            elif isinstance(event, Quit):
                reply = Reply(221, "", "bye")
            elif isinstance(event, Auth):
                reply = Reply(334, "", "") if event.initial is None else Reply(535, "5.7.8", "no")
            elif isinstance(event, AuthResponse):
                reply = Reply(501, "5.7.0", "cancelled") if event.data is None else Reply(235, "2.7.0", "in")
            elif isinstance(event, StartTls):
                reply = Reply(220, "2.0.0", "go")
            elif isinstance(event, EndOfContent):
                owed = event.owed
                assert len(arriving) == event.size
                taken, arriving = taken + arriving, b""
            elif isinstance(event, Bdat):
                owed = 0
            for _ in range(owed):
                assert engine.send(reply)
            if engine.state is State.SWITCHING:
                return happened, taken
        assert event is not Pause.PAUSED, "every reply that is owed was given"
        if event is Pause.CLOSED:
            break
    return happened, taken
