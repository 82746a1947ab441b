"""The operations on operators of the console and on API tokens.  They are for the command line alone: whoever can reach
a console that asks for no login must not be able to make himself a lasting entrance."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from posthouse.core import SettingError
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.inboxes.indexed import view_named
from posthouse.spool.mail_index import LONGEST_VIEW

if TYPE_CHECKING:
    from posthouse.service.accounts.operators import ApiToken

__all__ = ["ApiTokenEntry", "InboxAccess", "NewApiToken", "OPERATOR_OPERATIONS", "OperatorEntry"]


class OperatorEntry(Struct, frozen=True):
    """An account, and whether it is an operator: one that may use the console."""

    name: str
    operator: bool


class InboxAccess(Struct, frozen=True):
    """An account that is no operator, and the views of the inboxes that it sees in the console."""

    name: str
    views: list[str]


class ApiTokenEntry(Struct, frozen=True):
    """An API token: its name, whether it may only read, when it was made (Unix time), and the views of the inboxes that
    it is limited to; none if it is not."""

    name: str
    read_only: bool
    made: float
    views: list[str] = []


class NewApiToken(Struct, frozen=True):
    """A token that was made; its text is shown this once."""

    name: str
    token: str
    read_only: bool


async def _set(context: Context, account: str, flag: str = "yes") -> OperatorEntry:
    from posthouse.service.accounts.account_file import AccountFile
    from posthouse.service.accounts.operators import OperatorFile

    if flag not in ("yes", "no"):
        raise SettingError(f'"{flag}" is neither yes nor no', where="flag", remedy="write yes or no")
    config = context.config
    if config.accounts.kind == "file" and flag == "yes":
        found = await asyncio.to_thread(AccountFile(config.data_dir).find, account)
        if found is None:
            raise SettingError(f"there is no account {account}", remedy=f"make it: posthouse user add {account}")
    await asyncio.to_thread(OperatorFile(config.data_dir).set_operator, account, flag == "yes")
    return OperatorEntry(account, flag == "yes")


async def _tokens(context: Context) -> list[ApiTokenEntry]:
    from posthouse.service.accounts.operators import OperatorFile

    found = await asyncio.to_thread(OperatorFile(context.config.data_dir).tokens)
    return [_entry(each) for each in found]


def _entry(token: ApiToken) -> ApiTokenEntry:
    return ApiTokenEntry(token.name, token.read_only, token.made, list(token.views or ()))


def _views(text: str) -> list[str]:
    """The views that a text names with commas between them.  Raises ``SettingError``."""
    names = [each.strip() for each in text.split(",") if each.strip()]
    if any(not each.isprintable() or len(each) > LONGEST_VIEW for each in names):
        raise SettingError("this is no view of the inboxes", remedy="write bob@x.example, @x.example or login:bob")
    return list(dict.fromkeys(map(view_named, names)))


async def _set_views(context: Context, account: str, views: str = "") -> InboxAccess:
    from posthouse.service.accounts.account_file import AccountFile
    from posthouse.service.accounts.operators import OperatorFile

    config, named = context.config, _views(views)
    if config.accounts.kind == "file" and named:
        found = await asyncio.to_thread(AccountFile(config.data_dir).find, account)
        if found is None:
            raise SettingError(f"there is no account {account}", remedy=f"make it: posthouse user add {account}")
    await asyncio.to_thread(OperatorFile(config.data_dir).set_views, account, named)
    return InboxAccess(account, named)


async def _limited(context: Context) -> list[InboxAccess]:
    from posthouse.service.accounts.operators import OperatorFile

    found = await asyncio.to_thread(OperatorFile(context.config.data_dir).limited)
    return [InboxAccess(name, list(views)) for name, views in found.items()]


async def _add(context: Context, token: str, read_only: bool = False, inboxes: str = "") -> NewApiToken:
    from posthouse.service.accounts.operators import OperatorFile

    file, now = OperatorFile(context.config.data_dir), context.clock.time()
    named = _views(inboxes)
    text = await asyncio.to_thread(file.add_token, token, read_only=read_only, now=now, views=named)
    return NewApiToken(token, text, read_only)


async def _remove(context: Context, token: str) -> ApiTokenEntry:
    from posthouse.service.accounts.operators import OperatorFile

    return _entry(await asyncio.to_thread(OperatorFile(context.config.data_dir).remove_token, token))


_NAME: Final = Parameter("token", "The token's name, which says what it is for.", str)

#: The operations of this module.
OPERATOR_OPERATIONS: Final = (
    Operation(
        "user operator",
        "Let an account use the console, or no longer.",
        _set,
        OperatorEntry,
        (
            Parameter("account", "The account's name.", str),
            Parameter("flag", "yes or no: whether it may use the console.", str, "yes"),
        ),
        local=True,
    ),
    Operation(
        "user inboxes",
        "Let an account use the console for some inboxes and nothing else, or no longer.",
        _set_views,
        InboxAccess,
        (
            Parameter("account", "The account's name.", str),
            Parameter(
                "views", "Addresses, @domain, login:NAME, box:NAME or tag:NAME, with commas between them.", str, ""
            ),
        ),
        local=True,
    ),
    Operation("user inbox-list", "Show who sees some inboxes only.", _limited, list[InboxAccess], reads=True),
    Operation("user token-list", "Show the API tokens.", _tokens, list[ApiTokenEntry], reads=True),
    Operation(
        "user token-add",
        "Make an API token; it is shown this once.",
        _add,
        NewApiToken,
        (
            _NAME,
            Parameter("read_only", "Whether it may only read.", bool, False),
            Parameter("inboxes", "What it is limited to: addresses, @domain, login:NAME …, with commas.", str, ""),
        ),
        local=True,
    ),
    Operation("user token-remove", "Remove an API token.", _remove, ApiTokenEntry, (_NAME,), local=True),
)
