"""A bad day, by seed: some nodes, remote hosts, an hour or so of random faults, and three hours without faults.

The machines, the messages, the crashes and their times are drawn from the seed before time begins to pass; ``chaos``
draws as it goes.  When the faults have ended, every promised message must reach its end.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from posthouse.testing.simulation.chaos import NoChaos, RandomChaos
from posthouse.testing.simulation.network import CrashKind
from posthouse.testing.simulation.node import SimulatedNode
from posthouse.testing.simulation.world import World

__all__ = ["bad_day"]

_STEPS = (
    *("ok",) * 10,
    *("refuse", "silent", "lose", "connect:554", "helo:550"),
    *("mail:451", "rcpt:450", "rcpt:452", "data:451", "end:450", "end:452"),
    *("rcpt:550", "mail:553", "end:554"),
    *("drop:connect", "drop:helo", "drop:mail", "drop:rcpt", "drop:data", "drop:end"),
    *("wait:connect:400", "wait:rcpt:20", "wait:rcpt:400", "wait:end:30", "wait:end:700"),
)
_RELAY = """
[relay]
retry_first = "{first}s"
retry_max = "15m"
give_up_after = "{give_up_after}"
concurrency_per_destination = {each}
"""
_DOMAINS = ("b.test", "d.test", "e.test", "f.test", "l.test", "nx.test", "null.test", "d.test", "b.test")
_YEAR = 365 * 86_400.0
_QUIET = 3 * 3600.0  # seconds without faults at the end


def bad_day(seed: int, *, wrap: Callable[[Any], Any] | None = None, hours: float = 1.0) -> World:
    """Run the day of this seed; the world afterwards, to be checked and closed.

    ``hours`` is how long faults occur; three hours without faults follow.  ``wrap`` as for ``World.node``.
    """
    world = World(seed, chaos=RandomChaos(0.0))
    try:
        _run(world, hours * 3600, wrap)
    except BaseException:
        world.close()
        raise
    return world


def _run(world: World, seconds: float, wrap: Callable[[Any], Any] | None) -> None:
    """``seconds`` with faults, and the time without."""
    random = world.random
    faults = True

    def step() -> str:
        return random.choice(_STEPS) if faults and random.random() < 0.7 else "ok"

    for name, domain, preference in (
        ("mx1.d.test", "d.test", 10),
        ("mx2.d.test", "d.test", random.choice((10, 20))),
        ("mx.e.test", "e.test", 10),
        ("mx.f.test", "f.test", 10),
        ("mx.people.test", "a.test", 10),
    ):
        most = random.choice((0, 0, 0, 1, 3)) if name == "mx.e.test" else 0
        world.remote_host(name, domains=[domain], preference=preference, script=step, most=most)
    lmtp = world.remote_host("lmtp.l.test", script=step, lmtp=True)
    world.resolver.zone["null.test"] = {"MX": ["0 ."]}
    nodes = _nodes(world, str(lmtp.endpoint), wrap)
    world.chaos = RandomChaos(random.choice((0.0, 0.1, 0.3, 0.6)), random.choice((0.0, 0.0, 1.0, 30.0)))
    for _ in range(random.randint(2, 12)):
        _message(world, nodes, seconds)
    for node in nodes:
        _accidents(world, node, seconds)
    world.run(seconds)
    faults = False
    world.chaos = NoChaos()
    world.ledger.log("chaos", "ends")
    for node in nodes:
        node.crash_at_step(0)
    world.run(_QUIET)


def _nodes(world: World, lmtp: str, wrap: Callable[[Any], Any] | None) -> list[SimulatedNode]:
    """A node that clients send to, sometimes a second one on its spool, and a node behind them."""
    random = world.random
    relay = _RELAY.format(
        first=random.choice((20, 60, 300)), give_up_after=random.choice(("20m", "5d")), each=random.choice((1, 2, 10))
    )
    behind = world.node(
        "mx.b.test",
        f'{relay}[[domain]]\nname = "b.test"\ndeliver = "mailbox"\nmailboxes = "any"\n'
        f'[[domain]]\nname = "l.test"\ndeliver = "lmtp://{lmtp}"\nmailboxes = "any"\n',
        wrap=wrap,
    )
    route = f'{relay}[[route]]\nto = "f.test"\nvia = "smtp://{behind.endpoint}"\n'
    first = world.node("mail.a.test", route, wrap=wrap)
    nodes = [first, behind]
    if random.random() < 0.2:
        nodes.append(world.node("mail2.a.test", route, shares=first))
    return nodes


def _message(world: World, nodes: list[SimulatedNode], seconds: float) -> None:
    """A client sends a message at some time."""
    random = world.random
    number = len(world.messages)
    recipients = [f"p{number}x{n}@{random.choice(_DOMAINS)}" for n in range(random.choice((1, 1, 1, 2, 3, 6)))]
    size = int(random.expovariate(1 / 2000)) if random.random() < 0.95 else random.randint(66_000, 90_000)
    dots = random.choices((b"", b".", b".."), k=size // 12)
    lines = b"".join([b"%s line %d\r\n" % (dot, n) for n, dot in enumerate(dots)])
    world.send(
        random.choice(nodes[:1] + nodes[2:]),
        "" if random.random() < 0.1 else "ann@a.test",
        recipients,
        b"Subject: message %d\r\n\r\n%s" % (number, lines),
        after=random.random() * seconds * 0.8,
        tries=random.choice((1, 1, 3)),
        pause=random.choice((5.0, 300.0)),
    )


def _accidents(world: World, node: SimulatedNode, seconds: float) -> None:
    """A node crashes, restarts and has its calendar set at some times."""
    random = world.random
    after = random.choice((1.0, 60.0, 600.0))
    for _ in range(random.choice((0, 0, 1, 1, 2, 3))):
        moment = random.random() * seconds * 0.95
        kind = random.choice(tuple(CrashKind))
        down = random.choice((0.5, 60.0, 400.0, 1200.0))
        if random.random() < 0.3:
            world.at(moment, lambda kind=kind, down=down: node.crash(kind, down=down))  # type: ignore[misc]
        else:
            step = _few_steps(random)
            world.at(
                moment,
                lambda step=step, kind=kind, down=down: node.crash_at_step(step, kind, down=down),  # type: ignore[misc]
            )
    if random.random() < 0.2:
        world.at(random.random() * seconds, node.drain_and_restart)
    if random.random() < 0.3:
        by = random.choice((-_YEAR, -3600.0, -600.0, -1.0, 30.0, 600.0, 90_000.0))
        world.at(random.random() * seconds, lambda: node.jump(by))
    if random.random() < 0.05:  # a clock without a battery, until it is set
        begin = random.random() * seconds * 0.7
        world.at(begin, lambda: node.jump(_YEAR))
        world.at(begin + random.random() * seconds * 0.2, lambda: node.jump(-_YEAR))
    if random.random() < 0.1 and node.owns_spool:
        world.at(random.random() * seconds * 0.9, lambda: _restore(world, node, after))
    if random.random() < 0.1:
        world.at(random.random() * seconds, lambda: node.start_intruder())


def _restore(world: World, node: SimulatedNode, after: float) -> None:
    """Replace the spool of a node, of which all processes are started again later."""
    node.restore_spool(after=after)
    for other in world.nodes.values():
        if other is not node and other.spool_name == node.spool_name:
            world.at(after, lambda other=other: other.crash(down=1.0))  # type: ignore[misc]


def _few_steps(random: Random) -> int:
    """A number of steps: mostly few, so that the crash falls into work under way; sometimes many."""
    return 1 + int(random.expovariate(1 / random.choice((5, 50, 500))))
