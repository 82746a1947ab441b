"""A request as handlers of pages see it: path, query, form, language, and a way to run operations."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import msgspec
from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.requests import Request

from posthouse.console.problems import RequestRefused
from posthouse.console.texts import LANGUAGES, text

if TYPE_CHECKING:
    from posthouse.console.operating import OperationRunner

__all__ = ["OPEN", "PageRequest", "THEMES", "Visitor", "preferred_language"]

#: Appearances: as the system is, light, dark.
THEMES = ("auto", "light", "dark")
_FILES, _FIELDS = 50, 2_000


class Visitor(NamedTuple):
    """The one who asks: ``name`` as the audit log has it, ``account`` ("" without a login), whether changes are
    allowed, the ``session`` by which forms are protected, and the ``views`` of the inboxes that are all that this one
    sees; None for everything."""

    name: str
    account: str = ""
    may_change: bool = True
    session: str = ""
    views: tuple[str, ...] | None = None


#: Anybody who can reach a console that asks for no login.
OPEN = Visitor("console")


class PageRequest:
    """One request for a page or an action.

    Attributes:
        request: the request as Starlette has it, for what is not offered here.
        visitor: the one who asks.
    """

    def __init__(self, request: Request, runner: OperationRunner, key: bytes) -> None:
        self.request = request
        self.runner = runner
        self.visitor: Visitor = request.scope.get("posthouse.visitor", OPEN)
        self._key = key
        self._body: dict[str, Any] | None = None
        self._form: FormData | None = None

    # -- what was asked --------------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """The path below the prefix of a reverse proxy, without ``.json``."""
        full: str = self.request.scope["path"]
        rest = full[len(self.base) :] or "/"
        return ("/" if rest == "/index.json" else rest.removesuffix(".json")) if self.wants_json else rest

    @property
    def base(self) -> str:
        """The prefix of a reverse proxy, ``/mail`` or ""."""
        base: str = self.request.scope.get("root_path", "")
        return base

    @property
    def query(self) -> QueryParams:
        """The parameters behind the question mark."""
        return self.request.query_params

    def number(self, name: str, default: int, least: int = 0, most: int = 1_000_000_000) -> int:
        """A parameter of the query that is a number; ``default`` without it.  Raises ``RequestRefused`` (400)."""
        given = self.query.get(name, "")
        if not given:
            return default
        if not (given.isascii() and given.isdigit() and len(given) <= 18 and least <= int(given) <= most):
            raise RequestRefused(f'"{name}" is not a number from {least} to {most}', 400)
        return int(given)

    @property
    def args(self) -> Mapping[str, str]:
        """The parts of the path that the route names: ``{id}``."""
        found: Mapping[str, str] = self.request.path_params
        return found

    @cached_property
    def wants_json(self) -> bool:
        """Whether a program asks: by ``.json``, with a JSON body, or for JSON alone."""
        headers = self.request.headers
        accepted = headers.get("accept", "")
        return (
            self.request.scope["path"].endswith(".json")
            or _kind(headers.get("content-type", "")) == "application/json"
            or ("application/json" in accepted and "text/html" not in accepted)
        )

    @property
    def is_led_here(self) -> bool:
        """Whether a page of another site, or a message, leads the browser here."""
        return self.request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")

    async def form(self) -> FormData:
        """The fields and files of a form.

        A JSON object counts as a form too: its values are the fields, and lists are several of one name.  Raises
        ``RequestRefused`` if the body is neither, or if a form of a browser does not carry the page's token.
        """
        if self._form is None:
            kind = _kind(self.request.headers.get("content-type", ""))
            if kind == "application/json":
                self._form = FormData(_fields(await self.json()))
            elif kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
                self._form = await self.request.form(max_files=_FILES, max_fields=_FIELDS)
                given = self._form.get("csrf", "")
                if not isinstance(given, str) or not hmac.compare_digest(given, self.csrf_token):
                    raise RequestRefused("the form is too old or is not from this console; load its page again")
            elif await self.request.body():
                raise RequestRefused("send a form, or a JSON object as application/json", 415)
            else:
                raise RequestRefused("a form or a JSON object is expected, and the body is empty", 400)
        return self._form

    async def json(self) -> dict[str, Any]:
        """The JSON object of the body.  Raises ``RequestRefused`` (400) if it is none."""
        if self._body is None:
            try:
                body = msgspec.json.decode(await self.request.body())
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise RequestRefused(f"the body is no JSON: {error}", 400) from error
            if not isinstance(body, dict):
                raise RequestRefused("the body is JSON, but no object", 400)
            self._body = body
        return self._body

    async def close(self) -> None:
        """Close the files that came with the form."""
        if self._form is not None:
            await self._form.close()

    # -- what can be done ------------------------------------------------------------------------------------------

    async def run(self, operation: str, **given: Any) -> Any:
        """The answer of an operation; raises as ``OperationRunner.run`` does."""
        visitor = self.visitor
        return await self.runner.run(operation, given, visitor.name, visitor.views)

    # -- how it is shown -------------------------------------------------------------------------------------------

    @cached_property
    def language(self) -> str:
        """``en`` or ``zh``: as chosen, else as the browser prefers."""
        for given in (self.query.get("lang", ""), self.request.cookies.get("posthouse_lang", "")):
            if given in LANGUAGES:
                return given
        return preferred_language(self.request.headers.get("accept-language", ""))

    @cached_property
    def theme(self) -> str:
        """``auto``, ``light`` or ``dark``, as chosen."""
        for given in (self.query.get("theme", ""), self.request.cookies.get("posthouse_theme", "")):
            if given in THEMES:
                return given
        return "auto"

    def text(self, key: str, **values: object) -> str:
        """A text of ``console.texts`` in the reader's language."""
        return text(self.language, key, **values)

    def url(self, path: str, /, **query: object) -> str:
        """The address of a path of the console, with the prefix of a reverse proxy; values of None are left out."""
        pairs = "&".join(f"{quote(name)}={quote(str(value))}" for name, value in query.items() if value is not None)
        return f"{self.base}{path}{'?' if pairs else ''}{pairs}"

    def same_page(self, /, **query: object) -> str:
        """The address of this page with some parameters of its query set, or left out if None.

        The path is what was asked for, whether there is such a page or not, so it is quoted: an address that begins
        with ``//`` or a backslash would lead to another host.
        """
        merged: dict[str, object] = {**self.query, **query}
        return self.url(f"/{quote(self.path.lstrip('/'))}", **merged)

    @cached_property
    def csrf_token(self) -> str:
        """The token of this visitor's forms, which no page of another origin can read."""
        if self.visitor.session:  # also right in the process that takes this one's place
            return hmac.new(self.visitor.session.encode(), b"forms", hashlib.sha256).hexdigest()
        return hmac.new(self._key, b"open", hashlib.sha256).hexdigest()


def preferred_language(header: str) -> str:
    """The language of ours that an Accept-Language field (RFC 9110 §12.5.4) likes best; English without one."""
    best, chosen = 0.0, "en"
    for item in header.split(",")[:20]:
        name, _, quality = item.strip().partition(";")
        code = name.strip().lower().partition("-")[0]
        try:
            weight = float(quality.strip().removeprefix("q=") or 1.0)
        except ValueError:
            continue
        if code in LANGUAGES and weight > best:
            best, chosen = weight, code
    return chosen


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _fields(body: Mapping[str, Any]) -> list[tuple[str, str | UploadFile]]:
    found: list[tuple[str, str | UploadFile]] = []
    for name, value in body.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, (dict, list)) or each is None:
                raise RequestRefused(f'the value of "{name}" is neither text, number nor true or false', 400)
            found.append((name, ("1" if each else "") if isinstance(each, bool) else str(each)))
            if len(found) > _FIELDS:
                raise RequestRefused(f"there are more than {_FIELDS:,} values", 400)
    return found
