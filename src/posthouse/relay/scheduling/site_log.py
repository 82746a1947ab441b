"""Log of sites: an event when a site is suspended, and one when it is tried again."""

from __future__ import annotations

from collections.abc import Callable

from posthouse.core import EventSink
from posthouse.net import Clock
from posthouse.relay.scheduling.ready_queue import ReadyQueue

__all__ = ["site_log"]


def site_log(log: EventSink | None, clock: Clock) -> Callable[[ReadyQueue], None]:
    """The function that logs the change of a ready queue's suspension."""

    def changed(queue: ReadyQueue) -> None:
        if log is None or queue.health is None:
            return
        _, site = queue.key
        if queue.suspended:
            again = clock.time() + queue.health.until - clock.monotonic()
            log("suspended", site=site, reason=queue.health.why, again=again)
        else:
            log("resumed", site=site)

    return changed
