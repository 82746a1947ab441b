"""A bad day, by seed: a few houses, other people's hosts, a storm of an hour or so, and a calm afterwards.

Who there is, what is sent when, what goes wrong and when, are drawn from the seed before time begins to pass; the
weather draws as it goes.  After the storm nothing goes wrong any more, and everything that was promised must come to
its end.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from posthouse.testing.simulation.chaos import Calm, Storm
from posthouse.testing.simulation.network import Death
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
give_up_after = "{patience}"
concurrency_per_destination = {each}
"""
_PEOPLE = ("b.test", "d.test", "e.test", "f.test", "l.test", "nx.test", "null.test", "d.test", "b.test")


def bad_day(seed: int, *, wrap: Callable[[Any], Any] | None = None, hours: float = 1.0) -> World:
    """Live through the day of this seed; the world afterwards, to be checked and closed.

    ``hours`` is how long the storm lasts; the calm is some hours more.  ``wrap`` as for ``World.house``.
    """
    world = World(seed, weather=Storm(0.0))
    try:
        _live(world, hours * 3600, wrap)
    except BaseException:
        world.close()
        raise
    return world


def _live(world: World, length: float, wrap: Callable[[Any], Any] | None) -> None:
    """The storm, ``length`` seconds of it, and the calm."""
    random = world.random
    stormy = True

    def step() -> str:
        return random.choice(_STEPS) if stormy and random.random() < 0.7 else "ok"

    for name, domain, preference in (
        ("mx1.d.test", "d.test", 10),
        ("mx2.d.test", "d.test", random.choice((10, 20))),
        ("mx.e.test", "e.test", 10),
        ("mx.f.test", "f.test", 10),
        ("mx.people.test", "a.test", 10),
    ):
        world.destination(name, domains=[domain], preference=preference, script=step)
    lmtp = world.destination("lmtp.l.test", script=step, lmtp=True)
    world.resolver.zone["null.test"] = {"MX": ["0 ."]}
    houses = _houses(world, str(lmtp.endpoint), wrap)
    world.weather = Storm(random.choice((0.0, 0.1, 0.3, 0.6)))
    for _ in range(random.randint(2, 12)):
        _letter(world, houses, length)
    for house in houses:
        _accidents(world, house, length)
    world.run(length)
    stormy = False
    world.weather = Calm()
    world.book.tell("weather", "calm")
    for house in houses:
        house.crash_at_step(0)
    world.run(3 * 3600)


def _houses(world: World, lmtp: str, wrap: Callable[[Any], Any] | None) -> list[SimulatedNode]:
    """One that takes mail from clients, sometimes two on one spool; and one that is behind it."""
    random = world.random
    relay = _RELAY.format(
        first=random.choice((20, 60, 300)), patience=random.choice(("20m", "5d")), each=random.choice((1, 2, 10))
    )
    behind = world.house(
        "mx.b.test",
        f'{relay}[[domain]]\nname = "b.test"\ndeliver = "mailbox"\nmailboxes = "any"\n'
        f'[[domain]]\nname = "l.test"\ndeliver = "lmtp://{lmtp}"\nmailboxes = "any"\n',
        wrap=wrap,
    )
    route = f'{relay}[[route]]\nto = "f.test"\nvia = "smtp://{behind.endpoint}"\n'
    first = world.house("mail.a.test", route, wrap=wrap)
    houses = [first, behind]
    if random.random() < 0.2:
        houses.append(world.house("mail2.a.test", route, shares=first))
    return houses


def _letter(world: World, houses: list[SimulatedNode], length: float) -> None:
    random = world.random
    number = len(world.letters)
    people = [f"p{number}x{n}@{random.choice(_PEOPLE)}" for n in range(random.choice((1, 1, 1, 2, 3, 6)))]
    size = int(random.expovariate(1 / 2000)) if random.random() < 0.95 else random.randint(66_000, 90_000)
    dots = random.choices((b"", b".", b".."), k=size // 12)
    lines = b"".join([b"%s line %d\r\n" % (dot, n) for n, dot in enumerate(dots)])
    world.send(
        random.choice(houses[:1] + houses[2:]),
        "" if random.random() < 0.1 else "ann@a.test",
        people,
        b"Subject: letter %d\r\n\r\n%s" % (number, lines),
        after=random.random() * length * 0.8,
        tries=random.choice((1, 1, 3)),
        pause=random.choice((5.0, 300.0)),
    )


def _accidents(world: World, house: SimulatedNode, length: float) -> None:
    random = world.random
    for _ in range(random.choice((0, 0, 1, 1, 2, 3))):
        moment = random.random() * length * 0.95
        death = random.choice(tuple(Death))
        down = random.choice((0.5, 60.0, 400.0, 1200.0))
        if random.random() < 0.3:
            world.at(moment, lambda death=death, down=down: house.crash(death, down=down))  # type: ignore[misc]
        else:
            step = _small(random)
            world.at(
                moment,
                lambda step=step, death=death, down=down: house.crash_at_step(step, death, down=down),  # type: ignore[misc]
            )
    if random.random() < 0.2:
        world.at(random.random() * length, house.drain_and_restart)
    if random.random() < 0.3:
        by = random.choice((-3600.0, -600.0, -1.0, 30.0, 600.0, 90_000.0))
        world.at(random.random() * length, lambda: house.jump(by))


def _small(random: Random) -> int:
    """A number of steps: mostly few, so that they fall into what is under way; sometimes many."""
    return 1 + int(random.expovariate(1 / random.choice((5, 50, 500))))
