"""The store of a catcher: every name with every password or token, but for the logins that a file holds.

A name in the file needs its password, so that a program under test can be refused too.  SCRAM is served for those names
alone: there the server proves that it knows the password.  A line of the file is ``name:password``.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from posthouse.core import SettingError
from posthouse.protocol.sasl import ANY_SECRET, NotPrepared, ScramKeys, derive_keys, prepare
from posthouse.service.accounts.store import AccountStore
from posthouse.service.config.security_types import ANY_MECHANISMS, KNOWN_MECHANISMS

__all__ = ["AnyAccounts", "read_logins"]

#: RFC 7677 §4 asks for at least 4,096; the passwords are in the file, so that more would protect nothing.
_ITERATIONS: Final = 4_096


class AnyAccounts(AccountStore):
    """The store; ``known`` are the names that need their passwords, both prepared by SASLprep."""

    empty_passwords = True
    needs_certificate = False

    def __init__(self, known: Mapping[str, str] = MappingProxyType({})) -> None:
        self._known = known
        self._keys: dict[tuple[str, str], ScramKeys] = {}
        self.mechanisms = (*KNOWN_MECHANISMS, *ANY_MECHANISMS) if known else ANY_MECHANISMS

    def is_right(self, user: str, password: str) -> bool:
        wanted = self._known.get(user)
        return wanted is None or hmac.compare_digest(wanted.encode(), password.encode())

    def identities_now(self, user: str) -> Sequence[str] | None:
        return ("*",)

    async def check_password(self, user: str, password: str) -> bool:
        return self.is_right(user, password)

    async def check_token(self, user: str, token: str) -> str | None:
        return user or "token"

    async def find_secret(self, user: str) -> str | None:
        return self._known.get(user, ANY_SECRET)

    async def find_keys(self, user: str, hash_name: str) -> ScramKeys | None:
        password = self._known.get(user)
        if password is None:
            return None
        keys = self._keys.get((user, hash_name))
        if keys is None:
            keys = derive_keys(password, secrets.token_bytes(16), _ITERATIONS, hash_name)
            self._keys[user, hash_name] = keys
        return keys

    async def knows(self, user: str) -> bool:
        return True

    async def identities(self, user: str) -> Sequence[str] | None:
        return ("*",)


def read_logins(path: str) -> Mapping[str, str]:
    """The passwords in a file, by name.  Empty lines and those that begin with ``#`` are passed over.

    Raises ``SettingError``, which quotes no line.
    """
    remedy = "write a line name:password for each login"
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError as error:
        cause = f"the file of logins cannot be read ({error.strerror or error})"
        raise SettingError(cause, where=path, remedy="let this user read it, or name another file") from error
    except UnicodeDecodeError as error:
        raise SettingError("the file of logins is not UTF-8", where=path, remedy=remedy) from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        name, _, password = line.partition(":")
        try:
            name, password = prepare(name, new=True), prepare(password, new=True)
        except NotPrepared as error:
            raise SettingError(f"line {number}: {error}", where=path, remedy=remedy) from None
        if not name or not password:
            raise SettingError(f"line {number} is not name:password", where=path, remedy=remedy)
        found[name] = password
    if not found:
        raise SettingError("the file of logins has no line", where=path, remedy=remedy)
    return MappingProxyType(found)
