"""The operations that explain and check: a message, an address, a reply code, a configuration file."""

from __future__ import annotations

import contextlib
from typing import Final, Literal

from posthouse.core import SettingError
from posthouse.service.config_file import ConfigError, advice, load
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.explain_message import history_of
from posthouse.service.operations.results import (
    AddressReport,
    CodeEntry,
    ConfigReport,
    Explained,
    MessageFound,
    filled,
)
from posthouse.spool.history import MessageSummary
from posthouse.spool.ids import number_of

__all__ = ["EXPLAIN_OPERATIONS", "what_is"]


def what_is(asked: str) -> Literal["message", "address", "code"]:
    """The kind of thing that is to be explained: ``message`` for a queue id, ``address`` for an address or a
    Message-ID, ``code`` for everything else."""
    asked = asked.strip()
    if number_of(asked.lower()) is not None:
        return "message"
    if "@" not in asked or (" " in asked and not asked.removeprefix("<").startswith('"')):
        return "code"
    return "address"


async def _explain(context: Context, what: str, lang: str = "en") -> Explained:
    what = what.strip()
    kind = what_is(what)
    if kind == "code":
        return Explained(kind="code", codes=await _explain_code(None, what, lang))
    if kind == "message":
        history = await history_of(context, what.lower())
        if history is None:
            remedy = "see `posthouse queue list`; histories are kept for as long as [spool] history says"
            raise SettingError(f'no message "{what}" is known, and no history of one', remedy=remedy)
        return Explained(kind="message", message=history)
    summaries = await _find(context, message_id=f"<{what.strip('<>')}>")
    if len(summaries) == 1:
        return Explained(kind="message", message=await history_of(context, summaries[0].id))
    if summaries:
        return Explained(kind="messages", messages=_found(summaries))
    from posthouse.service.operations.explain_address import address_of, forecast  # imports the relay

    address = address_of(what)
    summaries = await _find(context, address=str(address))
    return Explained(kind="address", address=await forecast(context, address), messages=_found(summaries))


async def _find(context: Context, *, address: str = "", message_id: str = "") -> list[MessageSummary]:
    """Messages by what stands in their histories; none where there is no spool."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            spool = await stack.enter_async_context(context.spool())
        except SettingError:
            return []
        return await spool.queries.find(address=address, message_id=message_id)


def _found(summaries: list[MessageSummary]) -> list[MessageFound]:
    return [filled(MessageFound, each, received=each.at, queued=each.waiting) for each in summaries]


async def _explain_code(context: Context | None, code: str, lang: str = "en") -> list[CodeEntry]:
    from posthouse.codes.lookup import lookup, near  # a large table
    from posthouse.codes.model import BasicCode

    known = lookup(code)
    if not known:
        others = near(code)
        remedy = "did you mean " + ", ".join(others) + "?" if others else 'write a code like "550" or "5.1.1"'
        raise SettingError(f'"{code}" is no reply code', remedy=remedy)
    return [
        CodeEntry(
            code=str(each.code),
            title=each.title.said(lang),
            meaning=each.meaning.said(lang),
            whose=each.whose.label.said(lang),
            next_step=each.next_step.said(lang),
            source=each.source,
            occasion=each.occasion.said(lang) if isinstance(each, BasicCode) and each.occasion is not None else "",
            note=each.note.said(lang) if each.note is not None else "",
            registered=each.registered,
        )
        for each in known
    ]


async def _check_config(context: Context | None, path: str) -> ConfigReport:
    try:
        config = load(path)
    except ConfigError as error:
        problems = [str(each) for each in error.problems]
        return ConfigReport(path=path, usable=False, problems=problems, advice=[])
    return ConfigReport(path=path, usable=True, problems=[], advice=advice(config))


async def _check_address(context: Context, address: str) -> AddressReport:
    from posthouse.service.operations.explain_address import check_address  # imports the relay

    return await check_address(context, address)


#: The operations of this module.
EXPLAIN_OPERATIONS: Final = (
    Operation(
        "check config",
        "Check a configuration file: every error, and what may not be intended.",
        _check_config,
        ConfigReport,
        (Parameter("path", "The file."),),
        needs_context=False,
    ),
    Operation(
        "check address",
        "Show where a message to an address would go, and why.",
        _check_address,
        AddressReport,
        (Parameter("address", "The address, with or without angle brackets."),),
    ),
    Operation(
        "explain",
        "Show a message's history, what would happen to a message for an address, or what a reply code means.",
        _explain,
        Explained,
        (
            Parameter("what", "A queue id, a Message-ID, an address, or a reply code."),
            Parameter("lang", "For codes: en or zh.", str, "en"),
        ),
        live=True,
    ),
    Operation(
        "explain code",
        "Explain a reply code, an enhanced code, or a line with such codes in it.",
        _explain_code,
        list[CodeEntry],
        (
            Parameter("code", "550, 5.1.1, 4.7.x, or a line of a log."),
            Parameter("lang", "en or zh.", str, "en"),
        ),
        needs_context=False,
    ),
)
