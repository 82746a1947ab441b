"""Accounts of the operator's own code: ``accounts = "python:module:object"``.

The object has methods by the names of ``AccountStore``, each optional and each a function or a coroutine function;
functions run in a thread.  A class is called first, without arguments.  ``mechanisms`` follows from the methods that
are there.

Instead of its answer a method may return a ``Reply`` that refuses, such as 432 4.7.12 (log in once with PLAIN, so that
keys can be made) or 534 5.7.9 (too weak for this account).  An answer of another type is a mistake in the code, and
nobody logs in by it.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Sequence
from typing import Any, Final

from posthouse.core import PosthouseError, Reply, SettingError, StorageError
from posthouse.delivery.handler_calls import unusable
from posthouse.protocol.sasl import ScramKeys
from posthouse.service.accounts.store import AccountStore, is_address

__all__ = ["OwnAccounts", "load_accounts"]

_SECONDS: Final = 30.0
_NONE: Final = type(None)
#: Method → the mechanisms that it makes possible.
_SERVES: Final = {
    "find_keys": ("SCRAM-SHA-256", "SCRAM-SHA-1"),
    "check_token": ("OAUTHBEARER", "XOAUTH2"),
    "find_secret": ("CRAM-MD5",),
    "check_password": ("PLAIN", "LOGIN"),
}
#: Method → what it is called with.
_TAKES: Final = {
    "find_keys": ("user", "hash_name"),
    "check_token": ("user", "token"),
    "find_secret": ("user",),
    "check_password": ("user", "password"),
    "identities": ("user",),
}


class OwnAccounts(AccountStore):
    """The store that asks ``code``; whatever it raises means that it cannot be asked now (454)."""

    def __init__(self, code: object, *, name: str, seconds: float = _SECONDS) -> None:
        self._code = code
        self._name = name
        self._seconds = seconds
        self.mechanisms = tuple(
            mechanism
            for method, served in _SERVES.items()
            if callable(getattr(code, method, None))
            for mechanism in served
        )
        if not self.mechanisms:
            raise SettingError(
                f"{name} has none of the methods {', '.join(_SERVES)}",
                remedy="write at least check_password(user, password)",
            )
        for method, taken in _TAKES.items():
            function = getattr(code, method, None)
            if callable(function) and (why := unusable(function, *taken)):
                remedy = f"write a function {method}({', '.join(taken)}) that returns its answer"
                raise SettingError(f"{name}.{method} {why}", remedy=remedy)

    async def _ask(self, method: str, *arguments: str) -> Any:
        function = getattr(self._code, method, None)
        if function is None:
            return None
        try:
            async with asyncio.timeout(self._seconds):
                if inspect.iscoroutinefunction(function):
                    return await function(*arguments)
                return await asyncio.to_thread(function, *arguments)
        except PosthouseError:
            raise
        except TimeoutError as error:
            raise StorageError(f"{self._name}.{method} did not answer within {self._seconds:g} s") from error
        except Exception as error:  # its text and its traceback may hold what it was asked with: a password
            raise StorageError(f"{self._name}.{method} raised {type(error).__name__}{_place(error)}") from None

    async def _answer(self, method: str, wanted: type | tuple[type, ...], *arguments: str) -> Any:
        """What ``method`` returned, if it is of a type that was ``wanted``; a ``Reply`` that refuses always is."""
        found = await self._ask(method, *arguments)
        if isinstance(found, Reply) and found.code >= 400:
            return found
        if not isinstance(found, wanted):
            raise StorageError(f"{self._name}.{method} returned {type(found).__name__}, which is no answer to it")
        return found

    async def check_password(self, user: str, password: str) -> bool | str | Reply:
        found: bool | Reply = await self._answer("check_password", bool, user, password)
        return found

    async def find_keys(self, user: str, hash_name: str) -> ScramKeys | Reply | None:
        found: ScramKeys | Reply | None = await self._answer("find_keys", (ScramKeys, _NONE), user, hash_name)
        if isinstance(found, ScramKeys) and found.hash_name != hash_name:
            raise StorageError(f"{self._name}.find_keys returned keys for {found.hash_name}, not for {hash_name}")
        return found

    async def find_secret(self, user: str) -> str | Reply | None:
        found: str | Reply | None = await self._answer("find_secret", (str, _NONE), user)
        if isinstance(found, str) and "\0" in found:
            raise StorageError(f"{self._name}.find_secret returned a NUL character, which no password has")
        return found

    async def check_token(self, user: str, token: str) -> str | Reply | None:
        found: str | Reply | None = await self._answer("check_token", (str, _NONE), user, token)
        return found

    async def knows(self, user: str) -> bool:
        return callable(getattr(self._code, "identities", None)) and await self.identities(user) is not None

    async def identities(self, user: str) -> Sequence[str] | None:
        if not callable(getattr(self._code, "identities", None)):
            return (user,) if is_address(user) else ()
        found: object = await self._ask("identities", user)
        if found is None:
            return None
        if isinstance(found, (list, tuple, set, frozenset)) and all(isinstance(each, str) for each in found):
            return tuple(found)
        raise StorageError(f"{self._name}.identities returned {type(found).__name__}; it returns a list of addresses")


def _place(error: BaseException) -> str:
    """Where an exception was raised: file and line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f" ({trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno})"


def load_accounts(name: str) -> OwnAccounts:
    """The store named ``module:object``.  Raises SettingError."""
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        code = found() if inspect.isclass(found) else found
    except (Exception, SystemExit) as error:
        remedy = "write module:object of a module that the daemon can import"
        if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
            remedy = "correct the name, or put its directory into PYTHONPATH where posthouse is started"
        raise SettingError(f"{name} cannot be loaded ({type(error).__name__}: {error})", remedy=remedy) from error
    return OwnAccounts(code, name=name)
