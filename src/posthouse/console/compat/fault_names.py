"""Mailpit's Chaos and MailHog's Jim, as faults with names of ours that are switched on and off.

Chances are whole percent here: a smaller one counts as 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from posthouse.console.compat.plain_answers import NamedValues
from posthouse.console.problems import NotFound
from posthouse.core import SettingError

if TYPE_CHECKING:
    from posthouse.console.app import Console
    from posthouse.console.page_request import PageRequest
    from posthouse.service.operations.faults.fault_operations import FaultEntry

__all__ = ["chaos_of", "jim_of", "jim_off", "jim_on", "set_chaos"]


class _Trigger(NamedTuple):
    """A trigger of Chaos: our name and stage, its usual code, and its word in the reply."""

    fault: str
    stage: str
    code: int
    word: str


_TRIGGERS: Final = {
    "Sender": _Trigger("chaos-sender", "mail", 451, "sender"),
    "Recipient": _Trigger("chaos-recipient", "rcpt", 451, "recipient"),
    "Authentication": _Trigger("chaos-authentication", "auth", 535, "authentication"),
}


async def _faults(page: PageRequest) -> dict[str, FaultEntry]:
    report = await page.run("fault list")
    if not report.possible:
        raise SettingError("no listener of this daemon can have faults", remedy="run the catcher: posthouse run")
    return {each.name: each for each in report.faults}


async def chaos_of(page: PageRequest) -> Mapping[str, Any]:
    """The triggers.  Raises ``SettingError`` where none is possible."""
    faults = await _faults(page)
    shown = {}
    for name, trigger in _TRIGGERS.items():
        fault = faults.get(trigger.fault)
        code = int(fault.reply[:3]) if fault is not None and fault.reply[:3].isdigit() else trigger.code
        shown[name] = {"ErrorCode": code, "Probability": 0 if fault is None else fault.percent}
    return shown


async def set_chaos(page: PageRequest, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Replace all triggers; one that is left out is off.  Raises ``SettingError``; then nothing has changed."""
    wanted = {name: _wanted(body.get(name), name, trigger) for name, trigger in _TRIGGERS.items()}
    faults = await _faults(page)
    for name, (code, percent) in wanted.items():
        trigger = _TRIGGERS[name]
        if percent:
            reply = f"{code} Chaos {trigger.word} error"
            await page.run("fault on", stage=trigger.stage, reply=reply, percent=percent, fault=trigger.fault)
        elif trigger.fault in faults:
            await page.run("fault off", fault=trigger.fault)
    return await chaos_of(page)


def _wanted(given: Any, name: str, trigger: _Trigger) -> tuple[int, int]:
    """Code and chance of a trigger."""
    if given is None:
        return trigger.code, 0
    if not isinstance(given, dict):
        raise SettingError(f"{name} is no object", remedy='write {"ErrorCode": 451, "Probability": 10}')
    named = NamedValues(given)
    code, percent = named.get("ErrorCode", trigger.code), named.get("Probability", 0)
    if type(code) is not int or not 400 <= code <= 599:
        raise SettingError(f"the ErrorCode of {name} is no code from 400 to 599")
    if type(percent) is not int or not 0 <= percent <= 100:
        raise SettingError(f"the Probability of {name} is no number from 0 to 100")
    return code, percent


# -- Jim ---------------------------------------------------------------------------------------------------------------

_JIM: Final[Mapping[str, float]] = {
    "DisconnectChance": 0.005,
    "AcceptChance": 0.99,
    "LinkSpeedAffect": 0.1,
    "LinkSpeedMin": 1024,
    "LinkSpeedMax": 10240,
    "RejectSenderChance": 0.05,
    "RejectRecipientChance": 0.05,
    "RejectAuthChance": 0.05,
}
_jims: WeakKeyDictionary[Console, Mapping[str, float]] = WeakKeyDictionary()


async def jim_of(page: PageRequest) -> Mapping[str, float]:
    """The chances of Jim.  Raises ``NotFound`` while he is off."""
    faults = await _faults(page)
    known = _jims.get(page.request.scope["posthouse.console"])
    if known is None or not any(each.startswith("jim-") for each in faults):
        raise NotFound("Jim is off")
    return known


async def jim_on(page: PageRequest, body: Mapping[str, Any], *, change: bool = False) -> None:
    """Switch Jim on, or ``change`` him.  Raises ``SettingError`` if he is on already, or off if he is to be changed."""
    faults = await _faults(page)
    on = any(each.startswith("jim-") for each in faults)
    if on is not change:
        raise SettingError("Jim is on already; change him with PUT" if on else "Jim is off; switch him on with POST")
    chances = {**_JIM, **{name: _chance(name, body[name]) for name in _JIM if name in body}}
    await jim_off(page, quiet=True)
    _jims[page.request.scope["posthouse.console"]] = chances
    for fault, stage, given, chance in (
        ("jim-refuses-connections", "connect", {"drop": True}, 1.0 - chances["AcceptChance"]),
        ("jim-disconnects", "end", {"drop": True}, chances["DisconnectChance"]),
        ("jim-rejects-senders", "mail", {"reply": "451"}, chances["RejectSenderChance"]),
        ("jim-rejects-recipients", "rcpt", {"reply": "451"}, chances["RejectRecipientChance"]),
        ("jim-rejects-logins", "auth", {"reply": "535"}, chances["RejectAuthChance"]),
        ("jim-is-slow", "all", {"delay": "1s"}, chances["LinkSpeedAffect"]),
    ):
        if chance > 0.0:
            percent = min(100, max(1, round(100 * chance)))
            await page.run("fault on", stage=stage, percent=percent, fault=fault, **given)


async def jim_off(page: PageRequest, *, quiet: bool = False) -> None:
    """Switch Jim off.  Raises ``NotFound`` if he is, unless ``quiet``."""
    names = [each for each in await _faults(page) if each.startswith("jim-")]
    if not names and not quiet:
        raise NotFound("Jim is off")
    for name in names:
        await page.run("fault off", fault=name)
    _jims.pop(page.request.scope["posthouse.console"], None)


def _chance(name: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or given < 0:
        raise SettingError(f"{name} is no number of 0 or more")
    if name.endswith("Chance") and given > 1:
        raise SettingError(f"{name} is no chance from 0 to 1")
    return float(given)
