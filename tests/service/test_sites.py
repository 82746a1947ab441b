"""Several worker processes: what each knows of a site is asked of all."""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path

from posthouse.core import CallbackSink
from posthouse.relay.scheduling.outlook import AttemptPosition, SiteOutlook
from posthouse.service import Context
from posthouse.service.control.client import ask, ask_peers
from posthouse.service.control.server import ControlSocket
from posthouse.service.control.wire import control_path
from posthouse.service.operations.results import SitesReport
from posthouse.service.operations.sites import SITES

from .operation_harness import OperationHarness, run

WHY = "far.test refused sessions"


async def asked_of(desk: OperationHarness) -> SitesReport:
    """What another worker process would answer."""
    from posthouse.service import OPERATIONS

    found = await OPERATIONS["queue sites"].run(desk.context()._replace(peers=None), peers=False)
    assert isinstance(found, SitesReport)
    return found


def test_mail_that_another_worker_has_deferred_waits_for_that_workers_site() -> None:
    """This process has never met the site; without the other's word it would say "now"."""

    async def scenario() -> None:
        desk, other = await OperationHarness(), await OperationHarness()
        await desk.store("bob@far.test")
        at = other.clock.monotonic() + 60
        other.sites = [(SiteOutlook("mx.far.test", 1, at, WHY, is_full=True), ["far.test"])]
        desk.reports = [await asked_of(other)]
        (entry,) = await desk.do("queue list")
        assert (entry.next.state, entry.next.at, entry.next.why) == ("suspended", desk.clock.time() + 60, WHY)
        desk.outlooks["far.test"] = SiteOutlook("far.test", 2)  # this process tries it now
        (entry,) = await desk.do("queue list")
        assert entry.next.state == "soon"
        desk.outlooks["far.test"] = SiteOutlook("far.test", 1, desk.clock.monotonic() + 90, "another reason")
        (entry,) = await desk.do("queue list")
        assert (entry.next.at, entry.next.why) == (desk.clock.time() + 60, WHY)

    run(scenario)


def test_an_attempt_of_another_worker_is_told() -> None:
    async def scenario() -> None:
        desk, other = await OperationHarness(), await OperationHarness()
        queue_id = await desk.store("bob@far.test")
        now = desk.clock.time()
        await desk.queue.lease("w", now, now + 60, limit=10)
        other.positions[queue_id, 0] = AttemptPosition("mx.far.test", other.clock.monotonic())
        desk.reports = [await asked_of(other)]
        (entry,) = await desk.do("queue list")
        assert (entry.next.state, entry.next.site, entry.next.at) == ("trying", "mx.far.test", now)

    run(scenario)


def test_the_fault_of_one_worker_is_told() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        desk.reports = [SitesReport(sites=[]), SitesReport(sites=[], fault="the spool was replaced")]
        assert (await desk.do("queue sites")).fault == "the spool was replaced"

    run(scenario)


def test_sites_of_all_workers_are_listed_the_suspended_ones_first() -> None:
    async def scenario() -> None:
        desk, other = await OperationHarness(), await OperationHarness()
        at = desk.clock.monotonic() + 60
        desk.sites = [
            (SiteOutlook("a.test", 5, active=2), []),
            (SiteOutlook("b.test", 2, at, "x", 0, 0, True), ["b.test"]),
        ]
        other.sites = [
            (SiteOutlook("a.test", 3, active=1, waiting=4), []),
            (SiteOutlook("b.test", 1, at + 30, WHY), []),
        ]
        desk.reports = [await asked_of(other)]
        found = await desk.do("queue sites")
        assert [(each.site, each.limit, each.active, each.waiting, each.why) for each in found.sites] == [
            ("b.test", 3, 0, 0, WHY),
            ("a.test", 8, 3, 4, ""),
        ]
        assert found.sites[0].until == desk.clock.time() + 90

    run(scenario)


def test_workers_ask_each_other_over_their_sockets(tmp_path: Path) -> None:
    """A user asks number 0; a socket that a dead worker left, and one that hangs, are passed over."""

    async def scenario() -> None:
        desks = [await OperationHarness(), await OperationHarness()]
        sockets = []
        for number, desk in enumerate(desks):
            desk.sites = [(SiteOutlook(f"{number}.test", 2, active=1), [])]
            path = control_path(str(tmp_path), number)
            contexts = partial(_of, desk.context()._replace(peers=partial(ask_peers, path)))
            sockets.append(ControlSocket(path, contexts, CallbackSink(lambda event, /, **fields: None)))
            await sockets[-1].open()
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(control_path(str(tmp_path), 2))
        dead.close()
        hanging = socket.socket(socket.AF_UNIX)
        hanging.bind(control_path(str(tmp_path), 3))
        hanging.listen()
        try:
            found = await ask(str(tmp_path), SITES, {})
            assert [each.site for each in found.sites] == ["0.test", "1.test"]
        finally:
            hanging.close()
            for each in sockets:
                await each.close()

    run(scenario)


def _of(context: Context, who: str) -> Context:
    return context
