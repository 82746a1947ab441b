"""The interfaces of Mailpit and MailHog, and the page that maps each of their calls to ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from posthouse.console.compat.api_map import API_MAP
from posthouse.console.compat.live_events import EVENT_ROUTES
from posthouse.console.compat.mailhog_api import MAILHOG_ROUTES
from posthouse.console.compat.mailpit_api import MAILPIT_ROUTES
from posthouse.console.declarations import NavEntry, Page, Shown

if TYPE_CHECKING:
    from posthouse.console.page_request import PageRequest

__all__ = ["BODY_LIMITS", "NAV", "ROUTES"]


async def _map(page: PageRequest) -> Shown:
    calls = [
        {
            "tool": each.tool,
            "call": each.call,
            "here": each.here,
            "served": each.served,
            "note": each.note.said(page.language),
        }
        for each in API_MAP
    ]
    return Shown("compat_map.html", {"calls": calls})


ROUTES: Final = (Page("/api-map", _map), *MAILPIT_ROUTES, *MAILHOG_ROUTES, *EVENT_ROUTES)
NAV: Final = (NavEntry("/api-map", "compat.title", "system", 60),)
#: A message with attachments in base64.
BODY_LIMITS: Final = {"/api/v1/send": 64 << 20}
