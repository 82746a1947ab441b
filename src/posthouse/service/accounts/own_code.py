"""Accounts of the operator's own code: ``accounts = "python:module:object"``.

The object has methods by the names of ``AccountStore``, each optional and each a function or a coroutine function;
functions run in a thread.  A class is called first, without arguments.  ``mechanisms`` follows from the methods that
are there.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Sequence
from typing import Any, Final

from posthouse.core import PosthouseError, SettingError, StorageError
from posthouse.protocol.sasl import ScramKeys
from posthouse.service.accounts.store import AccountStore

__all__ = ["OwnAccounts", "load_accounts"]

_SECONDS: Final = 30.0
#: Method → the mechanisms that it makes possible.
_SERVES: Final = {
    "find_keys": ("SCRAM-SHA-256", "SCRAM-SHA-1"),
    "check_token": ("OAUTHBEARER", "XOAUTH2"),
    "find_secret": ("CRAM-MD5",),
    "check_password": ("PLAIN", "LOGIN"),
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
        except Exception as error:
            raise StorageError(f"{self._name}.{method} raised {type(error).__name__}") from error

    async def check_password(self, user: str, password: str) -> bool | str:
        found: object = await self._ask("check_password", user, password)
        return found if isinstance(found, str) else found is True

    async def find_keys(self, user: str, hash_name: str) -> ScramKeys | None:
        found: ScramKeys | None = await self._ask("find_keys", user, hash_name)
        return found

    async def find_secret(self, user: str) -> str | None:
        found: str | None = await self._ask("find_secret", user)
        return found

    async def check_token(self, user: str, token: str) -> str | None:
        found: str | None = await self._ask("check_token", user, token)
        return found

    async def identities(self, user: str) -> Sequence[str] | None:
        if not callable(getattr(self._code, "identities", None)):
            return (user,) if "@" in user else ()
        found: Sequence[str] | None = await self._ask("identities", user)
        return found


def load_accounts(name: str) -> OwnAccounts:
    """The store named ``module:object``.  Raises SettingError."""
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        code = found() if inspect.isclass(found) else found
    except Exception as error:
        raise SettingError(
            f"{name} cannot be loaded ({type(error).__name__}: {error})",
            remedy="write module:object of a module that the daemon can import",
        ) from error
    return OwnAccounts(code, name=name)
