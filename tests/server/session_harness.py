"""A policy and an intake for tests of the receiving session, and a stream that records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from posthouse.core import Envelope, Recipient, Remark, Reply, Verdict
from posthouse.net import Endpoint
from posthouse.net.stream import Handler
from posthouse.protocol import Greet, Mail, Rcpt
from posthouse.server import Answer, Intake, Peer

OK = Verdict(Reply(250, "2.0.0", "ok"))


class Box:
    """An intake in memory."""

    def __init__(self, policy: Policy, envelope: Envelope) -> None:
        self.policy = policy
        self.envelope = envelope
        self.data = b""

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        self.data += chunk
        return asyncio.sleep(0) if self.policy.slow else None

    def remarked(self, remarks: tuple[Remark, ...]) -> None:
        pass

    def commit(self) -> tuple[Verdict, ...] | Awaitable[tuple[Verdict, ...]]:
        if self.policy.fail_commit:
            raise_later = asyncio.get_running_loop().create_future()
            raise_later.set_exception(RuntimeError("disk on fire"))
            return raise_later
        self.policy.taken.append((self.envelope, self.data))
        count = len(self.envelope.recipients) if self.policy.lmtp else 1
        verdicts = (OK,) * count
        if not self.policy.slow:
            return verdicts

        async def later() -> tuple[Verdict, ...]:
            await asyncio.sleep(0)
            return verdicts

        return later()

    def abort(self) -> None:
        self.policy.aborted += 1


class Policy:
    """Says yes, unless told otherwise."""

    def __init__(self, *, slow: bool = False, lmtp: bool = False) -> None:
        self.slow = slow
        self.lmtp = lmtp
        self.fail_commit = False
        self.no: dict[str, Verdict] = {}
        self.taken: list[tuple[Envelope, bytes]] = []
        self.before: list[list[str]] = []
        self.aborted = 0
        self.refusals: list[tuple[str, Reply]] = []
        self.ended = 0
        self.peer: Peer | None = None

    def __call__(self, peer: Peer) -> Policy:
        self.peer = peer
        return self

    def _answer(self, what: str, default: Verdict = OK) -> Answer:
        verdict = self.no.get(what, default)
        if not self.slow:
            return verdict

        async def later() -> Verdict:
            await asyncio.sleep(0)
            return verdict

        return later()

    def connected(self) -> Answer:
        return self._answer("connect", Verdict(Reply(220, "", "test ESMTP")))

    def greeted(self, greet: Greet) -> Answer:
        return self._answer("greet", Verdict(Reply(250, "", "test")))

    def mail(self, mail: Mail) -> Answer:
        return self._answer("mail")

    def rcpt(self, envelope: Envelope, rcpt: Rcpt, accepted: Sequence[Recipient]) -> Answer:
        assert envelope.recipients == ()
        self.before.append([str(each.address) for each in accepted])
        return self._answer(str(rcpt.address), OK)

    def verify(self, text: str) -> Answer:
        return self._answer("vrfy", Verdict(Reply(252, "2.0.0", "maybe")))

    def expand(self, text: str) -> Answer:
        return self._answer("expn", Verdict(Reply(502, "5.5.1", "no")))

    def help(self, topic: str) -> Answer:
        return self._answer("help", Verdict(Reply(214 if topic else 211, "2.0.0", "help")))

    def intake(self, envelope: Envelope) -> Intake | Verdict:
        return self.no.get("intake") or Box(self, envelope)

    def refused(self, what: str, reply: Reply) -> None:
        self.refusals.append((what, reply))

    def disconnected(self) -> None:
        self.ended += 1


class CountingStream:
    """A stream that notes what is called."""

    peer = Endpoint("192.0.2.1", 40000)
    local = Endpoint("192.0.2.2", 25)

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.written = b""
        self.lingers: list[float] = []
        self.most: tuple[int, Handler] | None = None  # octets after which this handler is told to write no more

    def write(self, data: bytes) -> None:
        self.calls.append("write")
        self.written += data
        if self.most is not None and len(self.written) > self.most[0]:
            _, handler = self.most
            self.most = None
            handler.pause_writing()

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def close_gently(self, seconds: float = 5.0, octets: int = 0) -> None:
        self.calls.append("close")
        self.lingers.append(seconds)

    def abort(self) -> None:
        self.calls.append("abort")

    def close(self) -> None:
        self.calls.append("close")

    def set_handler(self, handler: object) -> None:
        raise AssertionError
