"""Conformance suites: the promises of a contract as checks, to run against an implementation of your own.

A check of a spool is an async function that takes ``make``, an async function that gives a new, empty, open spool; the
check closes it.  ``SPOOL_CHECKS`` has them all, in the order of a message's life::

    @pytest.mark.parametrize("check", SPOOL_CHECKS, ids=lambda check: check.__name__)
    def test_mine(check):
        asyncio.run(check(make_mine))

``PEER_CHECKS`` take an async function that gives two open spools which share one new, empty store, as two
processes do.  Times are plain numbers: a spool takes "now" from its caller.

``STREAM_CHECKS`` are for a ``Network``; ``run_check`` runs one of them (``conformance.streams``).
"""

from posthouse.testing.conformance.spool_history import HISTORY_CHECKS
from posthouse.testing.conformance.spool_intake import INTAKE_CHECKS
from posthouse.testing.conformance.spool_leasing import LEASING_CHECKS, PEER_CHECKS
from posthouse.testing.conformance.spool_support import Check, Make, MakePeers, PeerCheck
from posthouse.testing.conformance.streams import STREAM_CHECKS, Ground, StreamCheck, run_check

__all__ = [
    "Check",
    "Ground",
    "HISTORY_CHECKS",
    "INTAKE_CHECKS",
    "LEASING_CHECKS",
    "Make",
    "MakePeers",
    "PEER_CHECKS",
    "PeerCheck",
    "SPOOL_CHECKS",
    "STREAM_CHECKS",
    "StreamCheck",
    "run_check",
]

SPOOL_CHECKS: tuple[Check, ...] = (*INTAKE_CHECKS, *LEASING_CHECKS, *HISTORY_CHECKS)
