"""Accounts of a Dovecot server, asked through its authentication socket, as Postfix and Exim do (protocol 1.1).

The protocol has lines of fields separated by TAB.  Name and password travel together as one base64 field, so no
character of theirs can become another field.  Many questions may be under way on one connection, each with a number of
its own; a bad one disturbs no other.

PLAIN and LOGIN ask with a password.  The exchanges of other mechanisms are forwarded, because Dovecot shows no keys.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import os
from collections.abc import Awaitable, Sequence
from typing import Final, NamedTuple

from posthouse.core import StorageError
from posthouse.protocol.sasl import Forward, Forwarded
from posthouse.service.accounts.store import AccountStore, is_address

__all__ = ["DovecotAccounts"]

_SECONDS: Final = 30.0  # Dovecot itself waits 2 s before it answers a wrong password, and longer after several
_LINE: Final = 16_384
_MOST_QUESTIONS: Final = 1_000


class DovecotAccounts(AccountStore):
    """The store behind the unix socket ``path``, such as ``/run/dovecot/auth-client``.

    ``identity_domain``: the domain of an account whose name has none, for the addresses that it may send as.
    """

    mechanisms = ("PLAIN", "LOGIN")
    forwards = ("SCRAM-SHA-256", "SCRAM-SHA-1", "OAUTHBEARER", "XOAUTH2", "CRAM-MD5")

    def __init__(
        self, path: str, *, identity_domain: str = "", service: str = "smtp", seconds: float = _SECONDS
    ) -> None:
        self._path = path
        self._domain = identity_domain
        self._service = service
        self._seconds = seconds
        self._connection: _Connection | None = None
        self._opening = asyncio.Lock()

    async def check_password(self, user: str, password: str) -> bool | str:
        if "\0" in user or "\0" in password:
            return False
        answer = await self._begin("PLAIN", f"\0{user}\0{password}".encode())
        if answer is None:
            return False
        said = self._read(answer)
        if said.challenge is not None:
            raise StorageError(f"Dovecot at {self._path} asks a question about a password")
        return said.user or False

    async def forward(self, question: Forward) -> Forwarded:
        under_way = question.exchange
        if under_way is None:
            answer = await self._begin(question.mechanism, question.message)
        else:
            assert isinstance(under_way, _UnderWay)
            response = base64.b64encode(question.message).decode()
            answer = None if len(response) > _LINE // 2 else await self._asked(under_way.go_on(response))
            if answer is None:
                under_way.cancel()
        return Forwarded(reason="the message is too long") if answer is None else self._read(answer)

    async def _begin(self, mechanism: str, message: bytes) -> _DovecotReply | None:
        """The answer to a client's first message; None if it is too long for any account."""
        response = base64.b64encode(message).decode()
        if len(response) > _LINE // 2:
            return None

        async def asked() -> _DovecotReply:
            connection = await self._connected()
            if mechanism not in connection.mechanisms:
                raise StorageError(
                    f"Dovecot at {self._path} does not serve {mechanism}; name it in its auth_mechanisms, or leave it "
                    "out of the listener's mechanisms"
                )
            # resp= is the last field: its value is not escaped.
            return await connection.ask(
                f"{mechanism}\tservice={self._service}\tsecured\tno-penalty\tnologin\tresp={response}"
            )

        return await self._asked(asked())

    async def _asked(self, question: Awaitable[_DovecotReply]) -> _DovecotReply:
        """The answer, or ``StorageError`` for all that can go wrong on the way."""
        try:
            async with asyncio.timeout(self._seconds):
                return await question
        except TimeoutError as error:
            raise StorageError(f"Dovecot did not answer at {self._path} within {self._seconds:g} s") from error
        except OSError as error:
            raise StorageError(f"Dovecot cannot be asked at {self._path}: {error.strerror or error}") from error

    def _read(self, answer: _DovecotReply) -> Forwarded:
        """What an answer means.  Raises StorageError if Dovecot cannot decide, or is not understood."""
        kind, number, *rest = answer.fields
        facts = dict(each.partition("=")[::2] for each in rest)
        if kind == "OK" and facts.get("user"):
            return Forwarded(user=facts["user"])
        if kind == "CONT" and rest:
            with contextlib.suppress(binascii.Error):
                challenge = base64.b64decode(rest[0], validate=True)
                return Forwarded(challenge, _UnderWay(answer.connection, number))
        if kind == "FAIL":
            if "temp" in facts:
                raise StorageError(f"Dovecot at {self._path} cannot decide now; its log says why")
            return Forwarded(reason="unknown account or wrong password", tried=facts.get("user", ""))
        raise StorageError(f"Dovecot at {self._path} answered something unknown ({kind[:20]})")

    async def identities(self, user: str) -> Sequence[str] | None:
        address = user if "@" in user or not self._domain else f"{user}@{self._domain}"
        return (address,) if is_address(address) else ()

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connected(self) -> _Connection:
        async with self._opening:
            if self._connection is None or self._connection.closed:
                self._connection = await _Connection.open(self._path)
            return self._connection


class _DovecotReply(NamedTuple):
    """The fields of an answer, and the connection that it came on."""

    connection: _Connection
    fields: list[str]


class _UnderWay:
    """An exchange in which Dovecot waits for the client."""

    def __init__(self, connection: _Connection, number: str) -> None:
        self._connection = connection
        self._number = number

    def go_on(self, response: str) -> Awaitable[_DovecotReply]:
        return self._connection.go_on(self._number, response)

    def cancel(self) -> None:
        self._connection.send(f"CANCEL\t{self._number}\n")


class _Connection:
    """One connection, after its greeting."""

    def __init__(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._path = path
        self._reader = reader
        self._writer = writer
        self._number = 0
        self._waiting: dict[str, asyncio.Future[list[str]]] = {}
        #: The mechanisms that Dovecot serves.
        self.mechanisms: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    @classmethod
    async def open(cls, path: str) -> _Connection:
        """Connect and greet.  Raises OSError, or StorageError if this is not Dovecot."""
        reader, writer = await asyncio.open_unix_connection(path, limit=_LINE)
        connection = cls(path, reader, writer)
        try:
            writer.write(f"VERSION\t1\t1\nCPID\t{os.getpid()}\n".encode())
            for _ in range(100):
                fields = await connection._line()
                if fields[0] == "VERSION" and fields[1:2] != ["1"]:
                    raise StorageError(f"Dovecot at {path} speaks another version of its protocol: {fields[1:2]}")
                if fields[0] == "MECH" and len(fields) > 1:
                    connection.mechanisms.add(fields[1])
                if fields[0] == "DONE":
                    break
            else:
                raise StorageError(f"what listens at {path} is not Dovecot's authentication socket")
        except BaseException:
            writer.close()
            raise
        connection._task = asyncio.get_running_loop().create_task(connection._read())
        return connection

    async def ask(self, request: str) -> _DovecotReply:
        """The answer to one AUTH request."""
        if len(self._waiting) >= _MOST_QUESTIONS:
            raise StorageError(f"Dovecot at {self._path} has {_MOST_QUESTIONS:,} questions to answer already")
        self._number += 1
        return await self._answered(str(self._number), f"AUTH\t{self._number}\t{request}\n")

    async def go_on(self, number: str, response: str) -> _DovecotReply:
        """The answer to the client's next message in a request."""
        if self.closed:
            raise StorageError(f"Dovecot ended the connection at {self._path}")
        return await self._answered(number, f"CONT\t{number}\t{response}\n")

    async def _answered(self, number: str, line: str) -> _DovecotReply:
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        self.send(line)
        try:
            return _DovecotReply(self, await waiting)
        finally:
            self._waiting.pop(number, None)

    def send(self, line: str) -> None:
        """Send a line, if the connection is open."""
        if not self.closed:
            self._writer.write(line.encode())

    async def _read(self) -> None:
        """Hand each answer to the question with its number."""
        error: Exception = StorageError(f"Dovecot ended the connection at {self._path}")
        try:
            while True:
                fields = await self._line()
                waiting = self._waiting.get(fields[1]) if len(fields) > 1 else None
                if waiting is not None and not waiting.done() and fields[0] in ("OK", "FAIL", "CONT"):
                    waiting.set_result(fields)
        except (StorageError, OSError) as problem:
            error = problem
        self.closed = True
        self._writer.close()
        for each in self._waiting.values():
            if not each.done():
                each.set_exception(StorageError(str(error)))

    async def _line(self) -> list[str]:
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            raise StorageError(f"Dovecot ended the connection at {self._path}") from error
        except asyncio.LimitOverrunError as error:
            raise StorageError(f"Dovecot at {self._path} sent a line of over {_LINE:,} octets") from error
        return str(line[:-1], "utf-8", "replace").split("\t")

    def close(self) -> None:
        self.closed = True
        if self._task is not None:
            self._task.cancel()
        with contextlib.suppress(OSError):
            self._writer.close()
