"""What operators are told about an attempt that has not begun: where it waits, and for what."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["AttemptPosition", "SiteOutlook"]


class SiteOutlook(NamedTuple):
    """What keeps mail for a destination waiting at a site; all times are in the clock's monotonic seconds.

    Attributes:
        site: the site, or the target while that is not known.
        limit: its concurrency limit, None if nothing is known of it.
        until: the end of its suspension, None if it is not suspended.
        why: the reason for the suspension.
        active: attempts under way there.
        waiting: attempts in its ready queue.
        is_full: its ready queue is so long that no more mail is leased for the destination.
        is_probed: the destination is unproven, and an attempt there is under way.
        wait: seconds until the rate limit of unproven destinations allows another attempt; 0.0 for proven ones.
    """

    site: str
    limit: int | None = None
    until: float | None = None
    why: str = ""
    active: int = 0
    waiting: int = 0
    is_full: bool = False
    is_probed: bool = False
    wait: float = 0.0


class AttemptPosition(NamedTuple):
    """An attempt of this process: under way since ``began`` (monotonic seconds), or with so many ``before`` it in the
    ready queue of ``site`` (then ``began`` is None)."""

    site: str
    began: float | None
    before: int = 0
