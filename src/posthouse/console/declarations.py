"""Declarations of pages: which path, which handler, which template, which entry in the navigation.

A module of ``console.pages`` may define these names, and the application reads them:

* ``ROUTES``: a tuple of ``Page`` (GET), ``PageAction`` (POST) and routes of Starlette (a stream, a file, an API of
  another program).
* ``NAV``: a tuple of ``NavEntry``.
* ``BODY_LIMITS``: path prefix → the most octets that a request's body may have there (else 1 MiB).
* ``TOPICS``: name of a topic → a coroutine function that takes the ``OperationRunner`` and returns a text, which
  differs when the topic has changed (``console.change_feed``).
* ``NOTICES``: a tuple of coroutine functions that take a ``PageRequest`` and return ``Notice`` values, which stand at
  the top of every page.

Every ``Page`` has a twin that answers the same data as JSON: ``/queue`` and ``/queue.json``, ``/`` and ``/index.json``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from posthouse.console.page_request import PageRequest

__all__ = [
    "Done",
    "NavEntry",
    "Notice",
    "Page",
    "PageAction",
    "Shown",
    "json_path",
    "sorted_nav",
]

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class Shown(NamedTuple):
    """What a page shows.

    Attributes:
        template: the file in ``console/templates``; it finds the data as ``data``.
        data: the answer of an operation, which the JSON twin gives as it is.
        context: more values for the template, by name.
        title: the page's own title, already in the reader's language; "" for that of its navigation entry.
        status: the status of the response.
    """

    template: str
    data: Any
    context: Mapping[str, Any] = _NONE
    title: str = ""
    status: int = 200


class Done(NamedTuple):
    """The end of an action: a browser goes on to ``to`` and shows ``message`` there once; a program gets ``data``.

    ``cookie`` is one to set: its name, its value and the seconds that it lasts, 0 to delete it.
    """

    to: str
    message: str = ""
    data: Any = None
    cookie: tuple[str, str, int] | None = None


class Notice(NamedTuple):
    """A line at the top of every page; ``kind`` is info, warning or fault, and ``to`` a path to act on it, or ""."""

    text: str
    kind: str = "info"
    to: str = ""


class Page(NamedTuple):
    """A page at ``path`` (in Starlette's form, ``/message/{id}``), which GET and HEAD ask for."""

    path: str
    handler: Callable[[PageRequest], Awaitable[Shown]]


class PageAction(NamedTuple):
    """A change that POST asks for at ``path``, by a form of a page or with a JSON object."""

    path: str
    handler: Callable[[PageRequest], Awaitable[Done | Shown]]


class NavEntry(NamedTuple):
    """An entry of the navigation.

    Attributes:
        path: where it leads.
        text: the key of its text, which is the page's title too.
        group: mail, queue, learn or system.
        place: where it stands in its group; the lowest is first.
        badge: gives the number beside it; 0 for none.
    """

    path: str
    text: str
    group: str
    place: int = 50
    badge: Callable[[PageRequest], Awaitable[int]] | None = None


def json_path(path: str) -> str:
    """The path of a page's JSON twin."""
    return "/index.json" if path == "/" else f"{path.rstrip('/')}.json"


def sorted_nav(entries: Sequence[NavEntry]) -> dict[str, list[NavEntry]]:
    """The entries by group, in the order in which they are shown."""
    groups: dict[str, list[NavEntry]] = {"mail": [], "queue": [], "learn": [], "system": []}
    for each in sorted(entries, key=lambda entry: (entry.place, entry.path)):
        groups[each.group].append(each)
    return {group: found for group, found in groups.items() if found}
