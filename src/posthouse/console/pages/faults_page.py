"""The faults page: what is switched on at the catcher, and a form that switches more on; a notice on every page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from posthouse.console.declarations import Done, NavEntry, Notice, Page, PageAction, Shown
from posthouse.core import SettingError
from posthouse.sandbox.address_faults import WORDS

if TYPE_CHECKING:
    from starlette.datastructures import FormData

    from posthouse.console.page_request import PageRequest
    from posthouse.service.operations.faults.fault_operations import FaultEntry

__all__ = ["NAV", "NOTICES", "ROUTES"]

_STAGES: Final = ("connect", "helo", "auth", "mail", "rcpt", "data", "end", "all")


async def _show(page: PageRequest) -> Shown:
    report = await page.run("fault list")
    return Shown("faults_show.html", report, {"stages": _STAGES, "words": WORDS})


def _number(form: FormData, name: str, default: int) -> int:
    """A field that is a number."""
    text = str(form.get(name, "")).strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise SettingError(f'"{text[:40]}" is no number', where=name, remedy="write digits")
    return int(text)


async def _on(page: PageRequest) -> Done:
    form = await page.form()
    does = str(form.get("does", "reply"))
    given: dict[str, Any] = {
        name: str(form.get(name, "")) for name in ("stage", "reply", "delay", "to", "sender", "lasts")
    }
    given["stage"] = given["stage"] or "rcpt"
    given["fault"] = str(form.get("name", ""))
    given["drop"] = does == "drop" or bool(form.get("drop"))
    if does != "reply":
        given["reply"] = ""
    given |= {
        "percent": _number(form, "percent", 100),
        "times": _number(form, "times", 0),
        "rate": _number(form, "rate", 0),
    }
    report = await page.run("fault on", **given)
    return Done("/faults", page.text("faults.switched_on", name=report.faults[0].name), report)


async def _off(page: PageRequest) -> Done:
    form = await page.form()
    name = str(form.get("name", ""))
    report = await page.run("fault off", fault=name) if name else await page.run("fault off", all=True)
    return Done("/faults", page.text("faults.switched_off", number=report.changed), report)


async def _faults(page: PageRequest) -> list[FaultEntry]:
    """The faults that are on, asked once for each request, and only where there can be any."""
    if not any(each.fault_addresses for each in page.runner.config.listener):
        return []
    state = page.request.state
    if not hasattr(state, "faults"):
        state.faults = (await page.run("fault list", peers=False)).faults
    found: list[FaultEntry] = state.faults
    return found


async def _notices(page: PageRequest) -> list[Notice]:
    """One line as long as a fault is on, so that nobody takes it for a real one."""
    faults = await _faults(page)
    if not faults:
        return []
    key = "faults.notice" if len(faults) > 1 else "faults.notice.one"
    names = ", ".join(each.name for each in faults[:3])
    return [Notice(page.text(key, number=len(faults), names=names), "fault", "/faults")]


async def _count(page: PageRequest) -> int:
    return len(await _faults(page))


ROUTES: Final = (Page("/faults", _show), PageAction("/faults/on", _on), PageAction("/faults/off", _off))
NAV: Final = (NavEntry("/faults", "faults.title", "mail", 80, badge=_count),)
NOTICES: Final = (_notices,)
