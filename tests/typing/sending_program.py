"""A program that sends, as a user writes it; mypy --strict finds nothing in it.  It is not run."""

from __future__ import annotations

import io
from email.message import EmailMessage
from email.message import Message as OldMessage
from pathlib import Path

import posthouse
from posthouse.core import Content, Envelope
from posthouse.sending import OAuthToken


class Double:
    def deliver(self, envelope: Envelope, content: Content) -> posthouse.SendResult:
        return posthouse.SendResult([])


class AsyncDouble:
    async def deliver(self, envelope: Envelope, content: Content) -> posthouse.SendResult:
        return posthouse.SendResult([])


def token(host: str, user: str, fresh: bool) -> OAuthToken:
    return OAuthToken("x", 1.0)


async def atoken(host: str, user: str, fresh: bool) -> str:
    return "x"


MESSAGE = posthouse.Message(sender="a@b.example", to="c@d.example", text="x")


def sends() -> None:
    posthouse.send(MESSAGE, "memory:").raise_for_failures()
    posthouse.send(EmailMessage())
    posthouse.send(OldMessage())
    posthouse.send(b"x", via=Double(), envelope=("a@b", ["c@d"]))
    posthouse.send(Path("x"), "smtp://x", credentials=("a", "b"), timeout=3, ca=Path("x"), proxy="x")
    with open("x", "rb") as f:
        posthouse.send(f, credentials=token)
    posthouse.send(io.BytesIO(b"x"))
    posthouse.send(posthouse.read(b"x"))
    posthouse.send(posthouse.compose(from_="a@b", to="c@d", text="x", date=(0, 0), message_id="x@y"))
    if posthouse.send(MESSAGE).ok:
        print([o.reply for o in posthouse.send(MESSAGE) if o.temporary])
    try:
        posthouse.send(MESSAGE)
    except (posthouse.CannotConnect, posthouse.TimedOut, posthouse.TLSFailed, posthouse.AuthRefused) as e:
        print(e.phase, e.transcript)


async def sends_in_a_loop() -> None:
    r = await posthouse.asend(MESSAGE, AsyncDouble(), transcript=print, verp=True)
    print(r["x"].phase)
    async with posthouse.Client("smtp://x", credentials=atoken) as c:
        (await c.send(MESSAGE)).raise_for_failures()
    with posthouse.Client() as s:
        s.send(MESSAGE, timeout="3s")
