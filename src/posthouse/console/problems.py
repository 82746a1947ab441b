"""Errors as responses: a status and one sentence, as a page or as problem details in JSON (RFC 9457)."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from posthouse.core import LocalError, PosthouseError, SettingError, StorageBusy, StorageError, StorageFull

__all__ = ["NotFound", "PROBLEM_JSON", "Problem", "RequestRefused", "problem_of"]

PROBLEM_JSON: Final = "application/problem+json"


class NotFound(PosthouseError):
    """What was asked for does not exist: 404 with this sentence."""


class RequestRefused(PosthouseError):
    """A request that is not allowed: ``status`` (403 unless given) with this sentence."""

    def __init__(self, sentence: str, status: int = 403) -> None:
        super().__init__(sentence)
        self.status = status


#: Kind of error → status, the most particular first.
_STATUS: Final[tuple[tuple[type[PosthouseError], int], ...]] = (
    (NotFound, 404),
    (SettingError, 400),
    (LocalError, 400),
    (StorageFull, 507),
    (StorageBusy, 503),
    (StorageError, 503),
)


class Problem(Struct, frozen=True):
    """A response that is no success: the status, its title, and a sentence with cause and remedy."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


def problem_of(error: PosthouseError, titles: dict[int, str]) -> Problem:
    """The problem that an error is answered as; ``titles`` has the title of each status."""
    if isinstance(error, RequestRefused):
        status = error.status
    else:
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 503)
    return Problem(titles.get(status, titles[500]), status, str(error))
