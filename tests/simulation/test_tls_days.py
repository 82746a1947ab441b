"""Days of two daemons that speak TLS with each other, with faults of connections, disks and processes.

TLS draws random numbers of its own, so a seed decides about the faults and not about each octet: every run is a day of
its own, and the promises hold in all of them.
"""

from __future__ import annotations

import pytest

from posthouse.testing.simulation import CrashKind, RandomChaos, World
from posthouse.testing.simulation.chaos import NoChaos

RECEIVER = """
[[listener]]
bind = "127.0.0.1:25"
name = "mx"
tls = "starttls"
tls_required = {required}
[[domain]]
name = "b.test"
mailboxes = "any"
"""


@pytest.mark.parametrize("seed", [2, 10, 21])
@pytest.mark.parametrize("required", ["true", "false"])
def test_promises_hold_over_tls(seed: int, required: str) -> None:
    with World(seed=seed) as world:
        sender = world.node("mail.a.test", '[relay]\nretry_first = "1m"')
        receiver = world.node("mail.b.test", RECEIVER.format(required=required))
        world.run(5)
        world.chaos = RandomChaos(0.3)
        for number in range(5):
            world.send(sender, "ann@mail.a.test", ["bob@b.test"], after=number * 40, tries=5)
        world.at(90, lambda: receiver.crash(CrashKind.RESET, down=30))
        world.at(110, lambda: sender.crash(CrashKind.KILLED, down=30))
        world.run(3_600)
        world.chaos = NoChaos()
        world.run(86_400)
        world.check(quiet=True)
        assert not [each for each in world.outcomes if each.state.name == "FAILED"]
        for wire in world.copies:
            assert wire.recipient == "bob@b.test"
