"""The operations that explain and check: a message, an address, a code, a command, a setting, a configuration file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

from msgspec.structs import replace

from posthouse.core import SettingError
from posthouse.service.config.advice import advice, surroundings
from posthouse.service.config.config_error import ConfigError
from posthouse.service.config_file import load, load_table
from posthouse.service.operations.base import Context, Operation, Parameter, spool_or_none
from posthouse.service.operations.explain_message import history_of
from posthouse.service.operations.results import (
    AddressReport,
    CodeEntry,
    CommandText,
    ConfigReport,
    Explained,
    MessageFound,
    SettingText,
    filled,
)
from posthouse.service.operations.setup.findings import lost_accounts
from posthouse.service.operations.setup.start_problems import start_problems
from posthouse.service.operations.spelling import other_spelling
from posthouse.spool.history import MessageSummary
from posthouse.spool.ids import number_of

if TYPE_CHECKING:
    from posthouse.codes.command_words import CommandEntry

__all__ = ["EXPLAIN_OPERATIONS", "what_is"]


#: What ``explain`` knows, for errors.
_ACCOUNTS: Final = "accounts: "  # the begin of sentences about the module of accounts
_KNOWN: Final = (
    "write a queue id, a Message-ID in angle brackets, an address, a reply code (550, 5.1.1, 4.7.x, a line of a log), "
    "a command word (MAIL) or a setting (relay.max_hops)"
)

_Asked = Literal["message", "message-id", "address", "command", "setting", "code"]


def what_is(asked: str) -> _Asked:
    """The kind of thing that is to be explained; ``code`` for everything that is nothing else."""
    asked = asked.strip()
    if number_of(asked.lower()) is not None:
        return "message"
    if _command(asked) is not None:
        return "command"
    if "@" not in asked or (" " in asked and not asked.removeprefix("<").startswith('"')):
        return "setting" if _SETTING.fullmatch(asked) and _settings(asked) else "code"
    return "message-id" if asked.startswith("<") and asked.endswith(">") else "address"


async def _explain(context: Context, what: str, lang: str = "en") -> Explained:
    what = what.strip()
    kind = what_is(what)
    if kind == "message":
        history = await history_of(context, what.lower())
        if history is None:
            remedy = "see `posthouse queue list`; histories are kept for as long as [spool] history says"
            raise SettingError(f'no message "{what}" is known, and no history of one', remedy=remedy)
        return Explained(kind="message", message=history)
    if kind not in ("message-id", "address"):
        return await _explain_word(None, what, lang)
    bare = what.strip("<>")
    summaries = await _find(context, message_id=f"<{bare}>")
    if len(summaries) == 1:
        return Explained(kind="message", message=await history_of(context, summaries[0].id))
    if summaries:
        return Explained(kind="messages", messages=_found(summaries), has_older=len(summaries) > _SHOWN)
    if kind == "message-id":
        remedy = (
            f"histories are kept for as long as [spool] history says; for the address, write {bare} without < and >"
        )
        raise SettingError(f"no message with the Message-ID {what} is known", remedy=remedy)
    from posthouse.service.operations.explain_address import address_of, forecast  # imports the relay

    address = address_of(what)
    summaries = await _find(context, address=str(address))
    found, has_older = _found(summaries), len(summaries) > _SHOWN
    return Explained(kind="address", address=await forecast(context, address), messages=found, has_older=has_older)


_SHOWN: Final = 20  # messages with one address or Message-ID, the newest


async def _find(context: Context, *, address: str = "", message_id: str = "") -> list[MessageSummary]:
    """Messages by what stands in their histories; none where there is no spool."""
    async with spool_or_none(context) as spool:
        if spool is None:
            return []
        limit = _SHOWN + 1
        found = await spool.queries.find(address=address, message_id=message_id, limit=limit)
        other = other_spelling(address) if address else address
        if other != address:
            found += await spool.queries.find(address=other, limit=limit)
        return sorted({each.id: each for each in found}.values(), reverse=True)


def _found(summaries: list[MessageSummary]) -> list[MessageFound]:
    return [filled(MessageFound, each, received=each.at, queued=each.waiting) for each in summaries[:_SHOWN]]


# Words ----------------------------------------------------------------------------------------------------------------

_SETTING: Final = re.compile(r"\[*[a-z_]+(?:\[[0-9]*\]|\.[a-z_]+|\]+)*(?: [a-z_]+)?", re.IGNORECASE)


async def _explain_word(context: Context | None, code: str, lang: str = "en") -> Explained:
    """A reply code, a command or a setting: what needs no configuration and no spool."""
    kind = what_is(code)
    if kind == "command":
        return Explained(kind="command", command=_command_text(code, lang))
    if kind == "setting":
        return Explained(kind="setting", settings=[_said(each, lang) for each in _settings(code)])
    return Explained(kind="code", codes=_codes(code, lang))


def _command(word: str) -> CommandEntry | None:
    from posthouse.codes.command_words import command  # a large table

    return command(word)


def _command_text(word: str, lang: str) -> CommandText:
    found = _command(word)
    assert found is not None
    return CommandText(
        verb=found.verb,
        syntax=found.syntax,
        title=found.title.said(lang),
        meaning=found.meaning.said(lang),
        when=found.when.said(lang),
        replies=list(found.replies),
        source=found.source,
        note=found.note.said(lang) if found.note is not None else "",
        older=found.older,
        offered=found.offered,
    )


def _settings(asked: str) -> list[SettingText]:
    """The settings of this name: ``relay.max_hops``, ``[relay] max_hops``, ``listener.bind`` or just ``bind``."""
    from posthouse.service.config.docs import settings

    name = re.sub(r"\[[0-9]*\]", "", asked.lower()).replace("[", "").replace("]", " ")
    name = ".".join(name.replace(".", " ").split())
    if not name:
        return []
    found = [
        SettingText(name=each.path, type=each.type, default=each.default, text=each.text)
        for each in settings()
        if f".{each.path.replace('[]', '').replace('.NAME', '')}".endswith(f".{name}")
    ]
    exact = [each for each in found if each.name.replace("[]", "").replace(".NAME", "") == name]
    return exact or found


def _said(found: SettingText, lang: str) -> SettingText:
    """A setting explained in that language."""
    if lang != "zh":
        return found
    from posthouse.service.config.chinese_texts import text_of, type_of

    return replace(found, type=type_of(found.type), text=text_of(found.name, found.text))


def _codes(code: str, lang: str) -> list[CodeEntry]:
    from posthouse.codes.code_lookup import lookup, near  # a large table
    from posthouse.codes.known_refusals import known_refusal_in
    from posthouse.codes.model import BasicCode

    known = lookup(code)
    if not known:
        raise _nothing_known(code, near(code))
    refusal = known_refusal_in(code)
    advice = "" if refusal is None else f"{refusal.provider}: {refusal.advice.said(lang)}"
    return [
        CodeEntry(
            code=str(each.code),
            title=each.title.said(lang),
            meaning=each.meaning.said(lang),
            whose=each.whose.label.said(lang),
            next_step=each.next_step.said(lang),
            source=each.source,
            occasion=each.occasion.said(lang) if isinstance(each, BasicCode) and each.occasion is not None else "",
            note=advice or (each.note.said(lang) if each.note is not None else ""),
            registered=each.registered,
        )
        for each in known
    ]


def _nothing_known(asked: str, codes: Sequence[str]) -> SettingError:
    """The error for what is nothing that can be explained, with what was probably meant."""
    from posthouse.codes.command_words import ALL_COMMANDS
    from posthouse.service.config.docs import settings

    if any(sign.isdigit() for sign in asked[:3]):
        remedy = "did you mean " + ", ".join(codes) + "?" if codes else 'write a code like "550" or "5.1.1"'
        return SettingError(f'"{asked}" is no reply code', remedy=remedy)
    names = [each.path.rpartition(".")[2] for each in settings()]
    near = difflib.get_close_matches(asked.upper(), ALL_COMMANDS, 2, 0.6)
    near += difflib.get_close_matches(asked.lower().rpartition(".")[2], dict.fromkeys(names), 2, 0.7)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return SettingError(f'"{asked}" cannot be explained', remedy=f"{hint}{_KNOWN}")


async def _check_config(context: Context | None, path: str) -> ConfigReport:
    from posthouse.service.mailauth.key_store import directory_of, unusable_keys  # imports cryptography

    try:
        config = load(path)
    except ConfigError as error:
        problems = [str(each) for each in error.problems]
        readable = not isinstance(error.__cause__, OSError)
        unchecked = [error.unchecked] if error.unchecked else []
        return ConfigReport(path=path, usable=False, problems=problems, advice=unchecked, readable=readable)
    problems, possible = await start_problems(path)
    keys = unusable_keys(directory_of(config.data_dir, config.mailauth.keys))
    machine = surroundings(config, load_table(path), starting=False)
    if any(each.startswith(_ACCOUNTS) for each in problems):
        machine = [each for each in machine if not each.startswith(_ACCOUNTS)]
    sentences = [*advice(config), *possible, *machine, *lost_accounts(config), *keys]
    return ConfigReport(path=path, usable=not problems, problems=problems, advice=sentences)


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
        reads=True,
        local=True,
    ),
    Operation(
        "check address",
        "Show where a message to an address would go, and why.",
        _check_address,
        AddressReport,
        (Parameter("address", "The address, with or without angle brackets."),),
        reads=True,
    ),
    Operation(
        "explain",
        "Show a message's history, where a message to an address would go, or what a code, command or setting is.",
        _explain,
        Explained,
        (
            Parameter("what", "A queue id, a Message-ID, an address, a reply code, a command, or a setting."),
            Parameter("lang", "For codes and commands: en or zh.", str, "en"),
        ),
        live=True,
        reads=True,
    ),
    Operation(
        "explain code",
        "Explain a reply code, an enhanced code, a line with such codes in it, a command, or a setting.",
        _explain_word,
        Explained,
        (
            Parameter("code", "550, 5.1.1, 4.7.x, a line of a log, MAIL, or relay.max_hops."),
            Parameter("lang", "en or zh.", str, "en"),
        ),
        needs_context=False,
        reads=True,
    ),
)
