"""The configuration page: each setting in force, its value and where that comes from."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

from posthouse.console.declarations import NavEntry, Page, Shown
from posthouse.core import SettingError
from posthouse.service.config.advice_zh import chinese_advice
from posthouse.service.config.chinese_texts import text_of

if TYPE_CHECKING:
    from posthouse.console.page_request import PageRequest
    from posthouse.service.operations.setup.origins import SettingValue

__all__ = ["NAV", "ROUTES"]

#: The place of a setting in a list, ``listener[0]``.
_INDEX: Final = re.compile(r"\[[0-9]+\]")


async def _show(page: PageRequest) -> Shown:
    changed = page.query.get("changed", "") == "1"
    report = await page.run("check settings", search=page.query.get("q", ""), changed=changed)
    findings = await page.run("check findings")
    context = {"findings": [*findings.machine, *findings.advice], "help_of": partial(_help, page.language)}
    return Shown("configuration_show.html", report, context)


def _help(lang: str, setting: SettingValue) -> str:
    """What a setting does, in the reader's language."""
    return text_of(_INDEX.sub("[]", setting.name), setting.help) if lang == "zh" else setting.help


async def _findings(page: PageRequest) -> Shown:
    found = await page.run("check findings")
    sentences = [chinese_advice(each) if page.language == "zh" else each for each in (*found.machine, *found.advice)]
    return Shown(
        "configuration_findings.html", found, {"sentences": sentences}, title=page.text("configuration.findings")
    )


async def _accounts(page: PageRequest) -> Shown:
    """The accounts and tokens of this daemon; where the accounts are elsewhere, that is said."""
    problem, accounts = "", []
    try:
        accounts = await page.run("user list")
    except SettingError as error:
        problem = error.message
    domains = [
        {
            "name": each.name,
            "aliases": [{"name": name, "to": list(to)} for name, to in each.aliases.items()],
            "lists": [{"name": name, "to": list(one.members)} for name, one in each.lists.items()],
            "moved": [{"name": name, "to": [to]} for name, to in each.moved.items()],
        }
        for each in page.runner.config.domain
    ]
    data = {"problem": problem, "accounts": accounts, "tokens": await page.run("user token-list"), "domains": domains}
    return Shown("configuration_accounts.html", data, title=page.text("configuration.accounts"))


async def _dkim(page: PageRequest) -> Shown:
    """The keys that sign mail, each with its DNS record."""
    return Shown("configuration_dkim.html", await page.run("dkim show"), title=page.text("configuration.dkim"))


ROUTES: Final = (
    Page("/configuration", _show),
    Page("/configuration/findings", _findings),
    Page("/configuration/accounts", _accounts),
    Page("/configuration/dkim", _dkim),
)
NAV: Final = (NavEntry("/configuration", "configuration.title", "system", 10),)
