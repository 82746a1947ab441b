"""Answers of other catchers' interfaces: ``ok`` for a change, one sentence in plain text for an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posthouse.console.compat.stored_mail import StoredMail
from posthouse.console.problems import NotFound, RequestRefused
from posthouse.core import PosthouseError, SettingError, StorageError

__all__ = ["NamedValues", "OK", "answered", "as_json", "body_of", "changing", "of_another_site", "route", "words"]

#: The answer to a change.
OK: Final = b"ok"
_CHANGING: Final = frozenset({"POST", "PUT", "DELETE", "PATCH"})


def as_json(data: Any, status: int = 200) -> Response:
    """Data as JSON."""
    return Response(msgspec.json.encode(data), status, media_type="application/json")


def answered(text: bytes | str, status: int = 200) -> Response:
    """Plain text."""
    return Response(text, status, media_type="text/plain; charset=utf-8")


_Handler = Callable[[Request, StoredMail], Awaitable[Response]]


def route(path: str, **methods: _Handler) -> Route:
    """A route whose methods are answered by these handlers: ``get=…``, ``delete=…``."""
    handlers = {name.upper(): handler for name, handler in methods.items()}

    async def endpoint(request: Request) -> Response:
        if request.method == "OPTIONS":
            return answered(b"")
        handler = handlers.get(request.method) or handlers["GET"]  # HEAD
        try:
            mail = StoredMail(request.scope["posthouse.console"].page_request(request))
            if request.method in _CHANGING:
                changing(mail)
            return await handler(request, mail)
        except NotFound as error:
            return answered(str(error), 404)
        except RequestRefused as error:
            return answered(str(error), error.status)
        except StorageError as error:
            return answered(str(error), 503)
        except PosthouseError as error:
            return answered(str(error), 400)

    return Route(path, endpoint, methods=[*handlers, "OPTIONS"])


class NamedValues(Mapping[str, Any]):
    """Values by their names in any case, as Go reads the names of a JSON object."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._values = {name.lower(): value for name, value in given.items()}

    def __getitem__(self, name: str) -> Any:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def changing(mail: StoredMail) -> None:
    """Raise ``RequestRefused`` if this visitor may change nothing."""
    if not mail.page.visitor.may_change:
        raise RequestRefused("this login may read and change nothing")


def of_another_site(request: Request) -> bool:
    """Whether a page of another site makes the browser ask."""
    return request.headers.get("sec-fetch-site", "") not in ("", "none", "same-origin")


async def body_of(request: Request, *names: str, only: bool = False) -> NamedValues:
    """The JSON object of a body, whatever its type says: curl calls it a form.  Where ``names`` are given, a form with
    such fields too, whose values are lists.  Nothing for an empty body.

    Raises ``SettingError`` if it is anything else, or has a name beside ``names`` and is a form, or no other name is
    allowed (``only``): nothing may be taken for "all".
    """
    octets = await request.body()
    if not octets.strip():
        return NamedValues({})
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if names and kind == "application/x-www-form-urlencoded" and octets.strip()[:1] not in (b"{", b"["):
        only = True
        form = await request.form(max_fields=20_000)
        found = NamedValues({name: list(form.getlist(name)) for name in form})
        if not found:
            raise SettingError("the form has no fields", remedy="send a JSON object")
    else:
        found = _object_in(octets)
    known = {name.lower() for name in names}
    unknown = next((name for name in found if name not in known), None) if only else None
    if unknown is not None:
        raise SettingError(f'"{unknown[:40]}" is no name of this call', remedy=f"the names are {', '.join(names)}")
    return found


def _object_in(octets: bytes) -> NamedValues:
    try:
        found = msgspec.json.decode(octets)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingError(f"the body is no JSON: {error}", remedy="send a JSON object") from error
    if not isinstance(found, dict):
        raise SettingError("the body is JSON, but no object", remedy="send a JSON object")
    return NamedValues(found)


def words(body: NamedValues, name: str) -> list[str]:
    """A list of texts in a body.  Raises ``SettingError`` for anything else."""
    given = body.get(name)
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise SettingError(f"{name} is no list of texts", remedy=f'write {{"{name}": ["…"]}}')
    return given
