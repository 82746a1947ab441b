"""An outcome names the command that a host refused; over asyncio and a blocking socket, with PIPELINING and without."""

from __future__ import annotations

import asyncio

import pytest

from posthouse.core import Bytes, Outcome, Result

from .test_session import LETTER, against, envelope, kind, opened  # noqa: F401


class Refusing:
    """A host that answers one command with a refusal, and the others as usual."""

    def __init__(self, verb: str, reply: str, *keywords: str) -> None:
        self.verb = verb
        self.reply = reply
        self.keywords = keywords

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx\r\n")
        refused = False
        while line := await reader.readline():
            verb = line.decode().rstrip("\r\n").split(" ")[0]
            if verb == "BDAT":
                await reader.readexactly(int(line.split()[1]))
            reply = "250 ok"
            if verb == "EHLO":
                reply = "\r\n".join([f"250-{each}" for each in ("mx", *self.keywords)] + ["250 HELP"])
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                return
            elif verb == self.verb or (verb == "DATA" and refused):
                reply, refused = self.reply, True
            elif verb == "DATA":
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                reply = self.reply if self.verb == "." else reply
            writer.write(reply.encode() + b"\r\n")


def outcome_of(host: Refusing) -> Outcome:
    (outcome,) = against(host, lambda session: session.deliver(envelope("b@x.test"), Bytes(LETTER.data)))
    assert isinstance(outcome, Outcome)
    return outcome


@pytest.mark.parametrize("keywords", [(), ("PIPELINING",)], ids=["one by one", "pipelined"])
@pytest.mark.parametrize(
    ("verb", "command"),
    [("MAIL", "MAIL FROM"), ("RCPT", "RCPT TO"), ("DATA", "DATA"), (".", "the end of the message"), ("NONE", "")],
)
@pytest.mark.parametrize("code", ["450 4.2.0", "550 5.7.1"])
def test_the_refused_command_is_named(verb: str, command: str, code: str, keywords: tuple[str, ...]) -> None:
    outcome = outcome_of(Refusing(verb, f"{code} no", *keywords))
    assert outcome.command == command
    if command:
        assert outcome.result is (Result.DEFERRED if code[0] == "4" else Result.FAILED)
        assert outcome.reason.endswith(f"said: {code} no (in reply to {command})")
    else:
        assert outcome.result is Result.DELIVERED
        assert "in reply to" not in outcome.reason


def test_a_refused_chunk_is_the_end_of_the_message() -> None:
    outcome = outcome_of(Refusing("BDAT", "550 5.7.1 no", "PIPELINING", "CHUNKING"))
    assert outcome.command == "the end of the message"
