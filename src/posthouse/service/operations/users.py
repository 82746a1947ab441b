"""The operations on the accounts in ``data_dir``: list, show, add, change and remove.

They work on the file of accounts itself, also while a daemon runs: it reads the file at every login.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from posthouse.core import SettingError
from posthouse.service.accounts.store import is_address, is_domain
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.results import filled

if TYPE_CHECKING:
    from posthouse.service.accounts import Account, AccountFile

__all__ = ["AccountEntry", "DEFAULT", "USER_OPERATIONS"]

#: The word for the identities of an account for which none are named: its name, if that is an address.
DEFAULT: Final = "default"


class AccountEntry(Struct, frozen=True, kw_only=True):
    """An account: as whom it may send, whether it may log in, when it was made and its password was last set."""

    name: str
    identities: list[str]
    active: bool
    made: float
    changed: float


def _file(context: Context) -> AccountFile:
    from posthouse.service.accounts import AccountFile  # only these operations need it

    kind = context.config.accounts.kind
    if kind == "any":
        raise SettingError(
            "every name with every password may log in here, so that no accounts are kept",
            where="accounts",
            remedy='name your configuration with --config, or write accounts = "file" in it',
        )
    if kind != "file":
        raise SettingError(
            f'the accounts of this configuration are not here, but with "{context.config.accounts}"',
            where="accounts",
            remedy='change them there, or write accounts = "file"',
        )
    return AccountFile(context.config.data_dir)


def _entry(account: Account) -> AccountEntry:
    return filled(AccountEntry, account, identities=list(account.identities))


def _split(identities: str) -> list[str]:
    """Addresses, ``@domain`` or ``*``, separated by commas or spaces; none for ``default``."""
    if identities == DEFAULT:
        return []
    found = identities.replace(",", " ").split()
    for each in found:
        if each != "*" and not (is_domain(each[1:]) if each.startswith("@") else is_address(each)):
            raise SettingError(
                f'"{each}" is no identity', remedy="write an address, @domain for a whole domain, or * for all"
            )
    return found


async def _list(context: Context) -> list[AccountEntry]:
    return [_entry(each) for each in await asyncio.to_thread(_file(context).accounts)]


async def _show(context: Context, account: str) -> AccountEntry:
    found = await asyncio.to_thread(_file(context).find, account)
    if found is None:
        raise SettingError(f"there is no account {account}", remedy="see: posthouse user list")
    return _entry(found)


async def _add(context: Context, account: str, password: str, identities: str = "") -> AccountEntry:
    file, now = _file(context), context.clock.time()
    return _entry(await asyncio.to_thread(file.add, account, password, _split(identities), now))


async def _passwd(context: Context, account: str, password: str) -> AccountEntry:
    _refuse_lost_operators(context)
    await asyncio.to_thread(_file(context).set_password, account, password, context.clock.time())
    await _end_sessions(context, account)
    return await _show(context, account)


def _refuse_lost_operators(context: Context) -> None:
    """Refuse a change that must end logins of the console, or take a flag away, where the file that has them is lost:
    put back later, it would have them still."""
    from posthouse.service.accounts.operators import OperatorFile

    OperatorFile(context.config.data_dir).refuse_lost()


async def _end_sessions(context: Context, account: str) -> None:
    """End the logins of the console by an account whose password is another now, or which is switched off."""
    from posthouse.service.accounts.operators import OperatorFile

    await asyncio.to_thread(OperatorFile(context.config.data_dir).end_sessions_of, account)


async def _change(context: Context, account: str, identities: str = "", active: str = "") -> AccountEntry:
    file = _file(context)
    if identities:
        await asyncio.to_thread(file.set_identities, account, _split(identities))
    if active:
        if active != "yes":
            _refuse_lost_operators(context)
        await asyncio.to_thread(file.set_active, account, active == "yes")
        if active != "yes":
            await _end_sessions(context, account)
    return await _show(context, account)


async def _remove(context: Context, account: str) -> AccountEntry:
    from posthouse.service.accounts.operators import OperatorFile

    gone = await _show(context, account)
    _refuse_lost_operators(context)
    await asyncio.to_thread(_file(context).remove, account)
    await asyncio.to_thread(OperatorFile(context.config.data_dir).set_operator, account, False)
    await asyncio.to_thread(OperatorFile(context.config.data_dir).set_views, account, ())
    return gone


_NAME: Final = Parameter("account", "The account's name, usually an address.", str)
_PASSWORD: Final = Parameter("password", "The password.", str)

#: The operations of this module.
USER_OPERATIONS: Final = (
    Operation("user list", "Show the accounts.", _list, list[AccountEntry], reads=True),
    Operation("user show", "Show one account.", _show, AccountEntry, (_NAME,), reads=True),
    Operation(
        "user add",
        "Make an account.",
        _add,
        AccountEntry,
        (_NAME, _PASSWORD, Parameter("identities", "As whom it may send; without it, its name.", str, "")),
        local=True,
    ),
    Operation("user passwd", "Set an account's password.", _passwd, AccountEntry, (_NAME, _PASSWORD), local=True),
    Operation(
        "user change",
        "Change as whom an account may send, or whether it may log in.",
        _change,
        AccountEntry,
        (
            _NAME,
            Parameter("identities", "Addresses, @domain or *, separated by commas; default: its name.", str, ""),
            Parameter("active", "yes or no: whether it may log in.", str, ""),
        ),
        local=True,
    ),
    Operation("user remove", "Remove an account.", _remove, AccountEntry, (_NAME,), local=True),
)
