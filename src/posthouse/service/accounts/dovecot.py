"""Accounts of a Dovecot server, asked through its authentication socket, as Postfix and Exim do (protocol 1.1).

The protocol has lines of fields separated by TAB.  Name and password travel together as one base64 field, so no
character of theirs can become another field.  Many questions may be under way on one connection, each with a number of
its own; a bad one disturbs no other.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import Sequence
from typing import Final

from posthouse.core import StorageError
from posthouse.service.accounts.store import AccountStore

__all__ = ["DovecotAccounts"]

_SECONDS: Final = 30.0  # Dovecot itself waits 2 s before it answers a wrong password, and longer after several
_LINE: Final = 16_384
_MOST_QUESTIONS: Final = 1_000


class DovecotAccounts(AccountStore):
    """The store behind the unix socket ``path``, such as ``/run/dovecot/auth-client``.

    ``identity_domain``: the domain of an account whose name has none, for the addresses that it may send as.
    """

    mechanisms = ("PLAIN", "LOGIN")

    def __init__(
        self, path: str, *, identity_domain: str = "", service: str = "smtp", seconds: float = _SECONDS
    ) -> None:
        self._path = path
        self._domain = identity_domain
        self._service = service
        self._seconds = seconds
        self._connection: _Connection | None = None
        self._opening = asyncio.Lock()

    async def check_password(self, user: str, password: str) -> bool:
        if "\0" in user or "\0" in password:
            return False
        response = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        if len(response) > _LINE // 2:
            return False
        try:
            async with asyncio.timeout(self._seconds):
                connection = await self._connected()
                answer = await connection.ask(
                    f"PLAIN\tservice={self._service}\tsecured\tno-penalty\tnologin\tresp={response}"
                )
        except TimeoutError as error:
            raise StorageError(f"Dovecot did not answer at {self._path} within {self._seconds:g} s") from error
        except OSError as error:
            raise StorageError(f"Dovecot cannot be asked at {self._path}: {error.strerror or error}") from error
        if answer[0] == "OK":
            return True
        if answer[0] == "FAIL":
            if "temp" in answer[2:]:
                raise StorageError(f"Dovecot at {self._path} cannot decide now; its log says why")
            return False
        raise StorageError(f"Dovecot at {self._path} answered something unknown ({answer[0][:20]})")

    async def identities(self, user: str) -> Sequence[str] | None:
        return (user,) if "@" in user else (f"{user}@{self._domain}",) if self._domain else ()

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connected(self) -> _Connection:
        async with self._opening:
            if self._connection is None or self._connection.closed:
                self._connection = await _Connection.open(self._path)
            return self._connection


class _Connection:
    """One connection, after its greeting."""

    def __init__(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._path = path
        self._reader = reader
        self._writer = writer
        self._number = 0
        self._waiting: dict[str, asyncio.Future[list[str]]] = {}
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
                if fields[0] == "DONE":
                    break
            else:
                raise StorageError(f"what listens at {path} is not Dovecot's authentication socket")
        except BaseException:
            writer.close()
            raise
        connection._task = asyncio.get_running_loop().create_task(connection._read())
        return connection

    async def ask(self, request: str) -> list[str]:
        """The fields of the answer to one AUTH request."""
        if len(self._waiting) >= _MOST_QUESTIONS:
            raise StorageError(f"Dovecot at {self._path} has {_MOST_QUESTIONS:,} questions to answer already")
        self._number += 1
        number = str(self._number)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._writer.write(f"AUTH\t{number}\t{request}\n".encode())
        try:
            answer: list[str] = await waiting
            return answer
        finally:
            self._waiting.pop(number, None)

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
