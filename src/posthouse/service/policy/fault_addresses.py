"""Faults at a listener (``fault_addresses``): what a recipient asks for, or is switched on, happens and is logged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from posthouse.core import Reply, Verdict
from posthouse.sandbox.faulty_policy import FaultSource, Moment, Strike
from posthouse.sandbox.faulty_server import FaultyServer
from posthouse.server import Peer, Server
from posthouse.service.policy.listener_policy import ListenerPolicy

__all__ = ["faulty_server"]

_COMMANDS = {"rcpt": "RCPT", "data": "DATA", "end": "DATA"}


def faulty_server(policy: ListenerPolicy, faults: FaultSource) -> Callable[..., Server]:
    """What makes the server of a listener, in place of ``Server``; ``faults`` are those of all listeners."""

    def struck(peer: Peer, moment: Moment, strike: Strike) -> None:
        if strike.drop:
            verdict = Verdict(Reply(421, "4.3.0", "(not sent)"), f"{strike.why}; the connection was cut")
        elif strike.reply is not None:
            verdict = Verdict(strike.reply, strike.why)
        else:
            return
        source = f"{policy.settings.name} {peer.host or 'unix socket'}:{peer.port}"
        recipient = ", ".join(map(str, moment.recipients[:3]))
        policy.refused(source, _COMMANDS.get(moment.stage, moment.stage), verdict, recipient=recipient)

    return partial(FaultyServer, faults=faults, struck=struck)
