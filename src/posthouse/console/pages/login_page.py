"""The login page, and the end of a login."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from posthouse.console.declarations import Done, Page, PageAction, Shown
from posthouse.console.problems import RequestRefused
from posthouse.console.security.console_logins import COOKIE

if TYPE_CHECKING:
    from posthouse.console.page_request import PageRequest
    from posthouse.console.security.console_logins import ConsoleLogins

__all__ = ["ROUTES"]


def _logins(page: PageRequest) -> ConsoleLogins:
    console: Any = page.request.scope["posthouse.console"]
    found: ConsoleLogins = console.logins
    return found


def _next(text: str) -> str:
    """A path of this console; "/" for anything else, above all an address of another site."""
    plain = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if plain and not text.startswith("/login") else "/"


async def _show(page: PageRequest, problem: str = "", status: int = 200, after: str = "") -> Shown:
    data = {"next": _next(after or page.query.get("next", "")), "problem": problem, "needed": _logins(page).needed}
    return Shown("login_show.html", data, title=page.text("login.title"), status=status)


async def _login(page: PageRequest) -> Done | Shown:
    form = await page.form()
    client = page.request.client.host if page.request.client is not None else ""
    try:
        secret = await _logins(page).begin(str(form.get("user", "")), str(form.get("password", "")), client)
    except RequestRefused as refused:
        return await _show(page, str(refused), refused.status, str(form.get("next", "")))
    cookie = (COOKIE, secret, round(_logins(page).lasts))
    return Done(_next(str(form.get("next", ""))), data={"user": str(form.get("user", ""))}, cookie=cookie)


async def _logout(page: PageRequest) -> Done:
    await _logins(page).end(page.visitor.session)
    return Done("/login", page.text("login.ended"), cookie=(COOKIE, "", 0))


ROUTES: Final = (Page("/login", _show), PageAction("/login", _login), PageAction("/logout", _logout))
