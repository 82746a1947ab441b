"""Operations by HTTP: ``queue list`` is ``/api/queue/list``.

An operation that only reads is asked by GET, with its parameters in the query; every operation is asked by POST, with a
JSON object.  The answer is the operation's, as JSON; what goes wrong is problem details.  Operations that name files of
the one who asks, or that make accounts and tokens, are for the command line and are not here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from starlette.datastructures import QueryParams
from starlette.responses import Response

from posthouse.console.page_request import PageRequest
from posthouse.console.problems import RequestRefused
from posthouse.service.operations.base import Operation, Parameter
from posthouse.service.operations.registry import OPERATIONS

__all__ = ["answer_operation", "api_path", "offered"]

_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
_WORDS: Final = {"true": True, "1": True, "yes": True, "": True, "false": False, "0": False, "no": False}
_MOST: Final = 10_000


def offered() -> Iterator[Operation]:
    """The operations that are offered by HTTP."""
    return (each for each in OPERATIONS.values() if not each.local)


def api_path(operation: Operation) -> str:
    """The path of an operation."""
    return f"/api/{operation.name.replace(' ', '/')}"


async def answer_operation(page: PageRequest, operation: Operation) -> Response:
    """Run an operation as a request asks for it.  Raises ``RequestRefused``, and what the operation raises."""
    if page.request.method in ("GET", "HEAD"):
        given = _query_values(page.query, operation)
    else:
        kind = page.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise RequestRefused("send the parameters as a JSON object with content-type application/json", 415)
        given = _body_values(await page.json(), operation)
    answer = await page.run(operation.name, **given)
    return Response(msgspec.json.encode(answer, enc_hook=str), media_type="application/json")


def _query_values(query: QueryParams, operation: Operation) -> dict[str, Any]:
    """The parameters in a query.  Raises ``RequestRefused`` (400)."""
    known = {each.name: each for each in operation.parameters}
    found: dict[str, Any] = {}
    for name in query:
        if name not in known:
            raise RequestRefused(f'"{operation.name}" has no parameter "{name[:100]}"; it has {_names(known)}', 400)
        values = query.getlist(name)
        found[name] = _list(name, values) if known[name].kind is list else _value(known[name], values)
    return found


def _names(known: Mapping[str, Parameter]) -> str:
    return ", ".join(known) or "none"


def _value(parameter: Parameter, values: list[str]) -> str | int | bool:
    name, text = parameter.name, values[-1]
    if len(values) > 1:
        raise RequestRefused(f'the parameter "{name}" is given {len(values)} times', 400)
    if parameter.kind is bool:
        if text.lower() not in _WORDS:
            raise RequestRefused(f'the parameter "{name}" is neither true nor false', 400)
        return _WORDS[text.lower()]
    if parameter.kind is int:
        return _number(name, text)
    return text


def _number(name: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise RequestRefused(f'the parameter "{name}" is not a whole number', 400)
    return int(text)


def _list(name: str, values: list[str]) -> list[int]:
    parts = [part for value in values for part in value.split(",") if part]
    if len(parts) > _MOST:
        raise RequestRefused(f'the parameter "{name}" has more than {_MOST:,} numbers', 400)
    return [_number(name, part) for part in parts]


def _body_values(body: Mapping[str, Any], operation: Operation) -> dict[str, Any]:
    """The parameters in a JSON object.  Raises ``RequestRefused`` (400)."""
    known = {each.name: each for each in operation.parameters}
    for name, value in body.items():
        if name not in known:
            raise RequestRefused(f'"{operation.name}" has no parameter "{name[:100]}"; it has {_names(known)}', 400)
        if isinstance(value, list) and (len(value) > _MOST or not all(type(each) is int for each in value)):
            raise RequestRefused(f'the parameter "{name}" is not a list of at most {_MOST:,} numbers', 400)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 63:
            raise RequestRefused(f'the parameter "{name}" is too large a number', 400)
    return dict(body)
