"""The configuration page: each setting in force, its value and where that comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from posthouse.console.declarations import NavEntry, Page, Shown

if TYPE_CHECKING:
    from posthouse.console.page_request import PageRequest

__all__ = ["NAV", "ROUTES"]


async def _show(page: PageRequest) -> Shown:
    changed = page.query.get("changed", "") == "1"
    report = await page.run("check settings", search=page.query.get("q", ""), changed=changed)
    return Shown("configuration_show.html", report)


ROUTES: Final = (Page("/configuration", _show),)
NAV: Final = (NavEntry("/configuration", "configuration.title", "system", 10),)
