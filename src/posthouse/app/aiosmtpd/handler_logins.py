"""AUTH by the methods of a handler written for aiosmtpd, each of which is a coroutine that asks the client.

A SASL exchange of this library is a generator, and so a coroutine runs beside it: the exchange asks for the next
challenge, and gives the coroutine the client's response.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from posthouse.app.aiosmtpd.handler_policy import FAILED, HandlerPolicy
from posthouse.app.aiosmtpd.smtp import SMTP
from posthouse.core import Reply
from posthouse.protocol.sasl.exchange import Authenticated, Denied, Exchange, Question, Say
from posthouse.protocol.sasl.mechanisms import ServerContext
from posthouse.server.policy import LoginTerms, SecuredPolicy

__all__ = ["HandlerLogins"]


def _exchange(policy: HandlerPolicy, mechanism: str, initial: bytes | None) -> Exchange:
    """AUTH by the handler of a policy."""
    run = _AuthRun(policy, [mechanism, *([] if initial is None else [base64.b64encode(initial).decode() or "="])])
    try:
        challenge = cast("bytes | None", (yield cast(Question, _Next(run, None))))
        while challenge is not None:
            response = cast(bytes, (yield Say(challenge)))
            challenge = cast("bytes | None", (yield cast(Question, _Next(run, response))))
    finally:
        run.give_up()
    reply = run.reply()
    if reply.positive:
        policy.knows_now(reply)
        return Authenticated(_user(policy.session.login_data) or mechanism, mechanism)
    return Denied(reply, "the handler refused the login")


class _Next(NamedTuple):
    """The question of an exchange: what is the next challenge?"""

    run: _AuthRun
    response: bytes | None


class _AuthRun:
    """A coroutine of a handler that asks a client through an exchange."""

    def __init__(self, policy: HandlerPolicy, args: list[str]) -> None:
        self._policy = policy
        self._args = args
        self._task: asyncio.Task[Reply] | None = None
        self._gave_up = False
        self._challenge: asyncio.Future[bytes] | None = None
        self._response: asyncio.Future[bytes | None] | None = None

    async def step(self, response: bytes | None) -> bytes | None:
        """The next challenge, None at the end."""
        loop = asyncio.get_running_loop()
        self._challenge = challenge = loop.create_future()
        if self._task is None:
            self._policy.smtp.challenger = self
            self._task = loop.create_task(self._policy.authenticate(self._args))
        elif self._response is not None:
            self._response.set_result(response)
        waiting: set[asyncio.Future[Any]] = {self._task, challenge}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not challenge.done():
            return None
        said: bytes = challenge.result()
        return said

    async def challenge(self, data: bytes) -> bytes | None:
        if self._gave_up:
            return None
        response: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._response = response
        assert self._challenge is not None
        self._challenge.set_result(data)
        return await response

    def give_up(self) -> None:
        """The client is gone, or has said ``*``: what waits for a response gets none."""
        self._gave_up = True
        if self._response is not None and not self._response.done():
            self._response.set_result(None)

    def reply(self) -> Reply:
        """The reply at the end."""
        return self._task.result() if self._task is not None else FAILED


class HandlerLogins(LoginTerms):
    """The terms of AUTH: the mechanisms of a handler."""

    def __init__(self, smtp: SMTP) -> None:
        self._names = tuple(sorted(smtp.mechanisms))
        self._needs_tls = smtp.auth_require_tls

    def offered(self, *, tls: bool, loopback: bool) -> tuple[str, ...]:
        return self._names if tls or not self._needs_tls else ()

    def context(self, offered: tuple[str, ...], bindings: Mapping[str, bytes], identity: str | None) -> ServerContext:
        return ServerContext("", b"", bindings, offered, identity)

    def exchange(
        self, policy: SecuredPolicy, mechanism: str, initial: bytes | None, context: ServerContext
    ) -> Exchange | None:
        assert isinstance(policy, HandlerPolicy)
        return _exchange(policy, mechanism, initial) if mechanism in policy.smtp.mechanisms else None

    async def answer(self, question: Question) -> Any:
        step = cast(_Next, question)
        return await step.run.step(step.response)


def _user(login: object) -> str:
    return login.decode("utf-8", "replace") if isinstance(login, bytes) else str(login or "")
