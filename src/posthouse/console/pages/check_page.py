"""The pages that check: a domain's records, and what receivers make of a message.

A domain is asked for by its address (``/check?domain=example.org``), so that a report can be linked.  With records
pasted as a zone, which are tried before they are published, and with a message, a form is posted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import FormData, UploadFile

from posthouse.console.declarations import NavEntry, Page, PageAction, Shown
from posthouse.console.problems import RequestRefused
from posthouse.core import SettingError
from posthouse.service.mailauth.texts.auth_advice_zh import chinese_auth_advice
from posthouse.service.mailauth.texts.auth_reasons_zh import chinese_auth_reason
from posthouse.service.operations.checks.domain_records import DomainCheck
from posthouse.service.operations.checks.message_checks import MessageAuth

if TYPE_CHECKING:
    from posthouse.console.page_request import PageRequest

__all__ = ["BODY_LIMITS", "NAV", "ROUTES"]

_MESSAGE: Final = 4 << 20  # octets
#: The largest bodies of requests here.
BODY_LIMITS: Final = {"/check/message": 6 << 20}


async def _domain(page: PageRequest) -> Shown:
    given = {name: page.query.get(name, "").strip() for name in ("domain", "selectors")}
    return await _domain_shown(page, given, "")


async def _domain_posted(page: PageRequest) -> Shown:
    form = await page.form()
    given = {name: str(form.get(name, "")).strip() for name in ("domain", "selectors")}
    return await _domain_shown(page, given, str(form.get("zone", "")).strip())


async def _domain_shown(page: PageRequest, given: dict[str, str], zone: str) -> Shown:
    found: DomainCheck | None = None
    problem = ""
    if given["domain"]:
        try:
            found = await page.run("check domain", **given, zone=zone)
        except SettingError as error:
            if page.wants_json:
                raise
            problem = str(error)
    levels = [one.level for each in found.topics for one in each.findings] if found is not None else []
    counts = {level: levels.count(level) for level in ("error", "warning", "note")}
    context = {"given": given, "zone": zone, "problem": problem, "counts": counts, "say": _language_of(page)}
    return Shown("check_domain.html", found, context, title=page.text("check.domain"), status=400 if problem else 200)


def _language_of(page: PageRequest) -> Callable[[str], str]:
    """What puts a finding into the reader's language."""
    if page.language == "zh":
        return chinese_auth_advice
    return lambda text: text.replace("Name one with --selector; s=", "Name one above; s=")


async def _message(page: PageRequest) -> Shown:
    return Shown("check_message.html", None, _form_of({}), title=page.text("check.message"))


async def _message_posted(page: PageRequest) -> Shown:
    form = await page.form()
    given = {name: str(form.get(name, "")).strip() for name in ("ip", "mail_from", "helo", "zone")}
    octets = await _octets(form)
    context = _form_of(given)
    found: MessageAuth | None = None
    try:
        if not octets.strip():
            raise SettingError("there is no message", remedy="choose a file, or paste a message with its header")
        found = await page.run("check message", message=octets.decode("latin-1"), **given)
    except SettingError as error:
        if page.wants_json:
            raise
        context |= {"problem": str(error), "text": octets.decode("utf-8", "replace")}
    status = 400 if context["problem"] else 200
    more: dict[str, Any] = {"rows": [] if found is None else _rows(page, found), "say": _language_of(page)}
    return Shown("check_message.html", found, context | more, title=page.text("check.message"), status=status)


def _form_of(given: dict[str, str]) -> dict[str, Any]:
    names = ("ip", "mail_from", "helo", "zone")
    return {"given": {name: given.get(name, "") for name in names}, "problem": "", "text": "", "rows": []}


async def _octets(form: FormData) -> bytes:
    """The message of a form: the file, or else the text."""
    file = form.get("file")
    if isinstance(file, UploadFile) and file.filename:
        octets = await file.read(_MESSAGE + 1)
    else:
        octets = str(form.get("message", "")).encode("utf-8", "surrogateescape")
    if len(octets) > _MESSAGE:
        raise RequestRefused(f"the message is larger than {_MESSAGE >> 20} MiB; check it on the command line", 413)
    return octets


def _rows(page: PageRequest, found: MessageAuth) -> list[dict[str, str]]:
    """Method, result, domain and reason of each verdict."""

    def reason(text: str) -> str:
        return chinese_auth_reason(text) if page.language == "zh" and text else text

    rows = []
    if found.spf is not None:
        rows.append(
            {"method": "SPF", "result": found.spf.result, "domain": found.spf.domain, "reason": found.spf.reason}
        )
    for each in found.dkim.signatures:
        domain = f"{each.selector}._domainkey.{each.domain}"
        rows.append({"method": "DKIM", "result": each.result, "domain": domain, "reason": each.reason})
    if not found.dkim.signatures:
        rows.append({"method": "DKIM", "result": found.dkim.result, "domain": "", "reason": found.dkim.reason})
    if found.arc.result != "none":
        sealers = ", ".join(found.arc.sealers)
        rows.append({"method": "ARC", "result": found.arc.result, "domain": sealers, "reason": found.arc.reason})
    dmarc = found.dmarc
    rows.append({"method": "DMARC", "result": dmarc.result, "domain": dmarc.author_domain, "reason": dmarc.reason})
    return [{**each, "reason": reason(each["reason"])} for each in rows]


ROUTES: Final = (
    Page("/check", _domain),
    PageAction("/check", _domain_posted),
    Page("/check/message", _message),
    PageAction("/check/message", _message_posted),
)
NAV: Final = (NavEntry("/check", "check.title", "system", 12),)
