"""Check of the links of a message: each is asked for once, by HEAD, and by GET where HEAD says nothing good.

Every name is resolved once, every address that it has is judged (``link_addresses``), and the connection goes to one of
those; so it is again at each of at most three redirects.  One message has at most 100 links asked for within 60 s,
eight at one time, of one site two at one time and, unless it stands in a network of the configuration, one begun each
second.  What was found is kept for 60 s, so that a check that is pressed again asks nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from posthouse.net.clock import Clock
from posthouse.service.inbox.link_addresses import LinkFault, Network, WebAddress, may_ask, read_link, site_of
from posthouse.service.inbox.link_words import LINK_KINDS, link_sentence

if TYPE_CHECKING:
    from posthouse.service.inbox.link_request import LinkAnswer

__all__ = ["LinkChecker", "LinkVerdict", "MOST_LINKS", "resolved"]

#: Links of one message that are asked for.
MOST_LINKS: Final = 100
_LONGEST: Final = 60  # seconds for one message
_REQUEST: Final = 10.0  # seconds of one request
_NAME: Final = 5.0  # seconds of one look-up
_HOPS: Final = 3
_AT_ONCE: Final = 8
_PER_SITE: Final = 2
_PAUSE: Final = 1.0  # seconds between two requests that one site gets
_KEPT_FOR: Final = 60.0  # seconds
_KEPT: Final = 2000  # verdicts
_SITES: Final = 1000
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SHUT: Final = frozenset({401, 402, 403, 407, 429, 451})

_Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
_Ask = Callable[[str, WebAddress, str], "Awaitable[LinkAnswer]"]


class LinkVerdict(NamedTuple):
    """What was found of one link.

    ``kind`` is a key of ``link_words.LINK_KINDS``; ``status`` that of the last answer, 0 without one; ``detail`` what
    the sentence is about; ``place`` the address that redirects led to, "" without any.
    """

    url: str
    kind: str
    status: int = 0
    detail: str = ""
    place: str = ""

    @property
    def result(self) -> str:
        """works, broken, open (unclear) or skipped (not asked for)."""
        return LINK_KINDS[self.kind][0]

    def sentence(self, lang: str = "en") -> str:
        """The finding in words."""
        return link_sentence(self.kind, lang, status=self.status, detail=self.detail, place=self.place)


async def resolved(host: str, port: int) -> Sequence[str]:
    """The IP addresses of a host, as the system resolves names.  Raises ``OSError`` or ``UnicodeError``."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(found: list[str], error: Exception | None) -> None:
        if answer.done():  # nobody waits for it any more
            return
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)

    def ask() -> None:  # nothing ends a look-up of the system early, so it has no thread of the loop's pool
        found: list[str] = []
        failed: Exception | None = None
        try:
            places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(each[4][0]) for each in places))
        except (OSError, UnicodeError) as error:
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, found, failed)

    threading.Thread(target=ask, name="posthouse-link-name", daemon=True).start()
    return await answer


class _Site:
    """What one site is asked now: two at one time, and when the next may begin."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(_PER_SITE)
        self.next = 0.0


class LinkChecker:
    """The links of messages, asked for within bounds that all who ask share.

    Args:
        clock: measures pauses and how long verdicts are kept.
        resolve: gives the IP addresses of a host; raises ``OSError``.
        ask: asks for one address at an IP address; raises ``LinkFault``.  Without it, by HTTP.
    """

    def __init__(self, clock: Clock, *, resolve: _Resolve = resolved, ask: _Ask | None = None) -> None:
        self._clock = clock
        self._resolve = resolve
        self._given_ask = ask
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._sites: OrderedDict[str, _Site] = OrderedDict()
        self._kept: OrderedDict[tuple[str, tuple[Network, ...]], tuple[float, LinkVerdict]] = OrderedDict()

    async def check(self, links: Sequence[str], networks: tuple[Network, ...] = ()) -> list[LinkVerdict]:
        """The verdicts on links, each once, in their order.

        ``networks`` are those whose hosts are asked although they are not public.
        """
        urls = list(dict.fromkeys(links))
        found: dict[str, LinkVerdict] = {}
        asked = urls[:MOST_LINKS]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST), asyncio.TaskGroup() as group:
                for url in asked:
                    group.create_task(self._noted(found, url, networks))
        late = {url: LinkVerdict(url, "late", detail=str(_LONGEST)) for url in asked}
        many = {url: LinkVerdict(url, "many", detail=str(MOST_LINKS)) for url in urls[MOST_LINKS:]}
        return [found.get(url) or late.get(url) or many[url] for url in urls]

    async def _noted(self, found: dict[str, LinkVerdict], url: str, networks: tuple[Network, ...]) -> None:
        key, now = (url, networks), self._clock.monotonic()
        at, known = self._kept.get(key, (0.0, None))
        if known is None or now - at > _KEPT_FOR:
            async with self._slots:
                known = await self._verdict(url, networks)
            self._kept[key] = (self._clock.monotonic(), known)
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        found[url] = known

    async def _verdict(self, url: str, networks: tuple[Network, ...]) -> LinkVerdict:
        place = ""
        try:
            address = read_link(url)
            for _ in range(_HOPS + 1):
                answer = await self._answer(address, networks)
                if answer.status not in _REDIRECTS or not answer.location:
                    return _judged(url, answer.status, place)
                address = read_link(answer.location, str(address))
                place = str(address)
        except LinkFault as fault:
            return LinkVerdict(url, fault.kind, detail=fault.detail, place=place)
        return LinkVerdict(url, "hops", detail=str(_HOPS), place=place)

    async def _answer(self, address: WebAddress, networks: tuple[Network, ...]) -> LinkAnswer:
        """The answer for one address: HEAD first, then GET where a server may not understand HEAD."""
        places = await self._judged_places(address, networks)
        paced = may_ask(places[0], ())
        try:
            answer = await self._asked("HEAD", address, places, paced)
        except LinkFault as fault:
            if fault.kind != "no_http":
                raise
        else:
            if answer.status < 400 or answer.status == 429:
                return answer
        return await self._asked("GET", address, places, paced)

    async def _judged_places(self, address: WebAddress, networks: tuple[Network, ...]) -> Sequence[str]:
        """The IP addresses of the host.  Raises ``LinkFault`` unless every one may be asked."""
        try:
            async with asyncio.timeout(_NAME):
                places = await self._resolve(address.host, address.port)
        except (OSError, UnicodeError):  # a TimeoutError is an OSError
            places = ()
        if not places:
            raise LinkFault("name", address.host)
        for each in places:
            if not may_ask(each, networks):
                raise LinkFault("private", each)
        return places

    async def _asked(self, method: str, address: WebAddress, places: Sequence[str], paced: bool) -> LinkAnswer:
        """The answer of the first or second IP address."""
        site = self._site(address.host)
        async with site.slots:
            if paced:
                now = self._clock.monotonic()
                begin = max(now, site.next)
                site.next = begin + _PAUSE
                if begin > now:
                    await self._clock.sleep(begin - now)
            try:
                return await self._ask(method, address, places[0], own=not paced)
            except LinkFault as fault:
                if fault.kind != "unreachable" or len(places) < 2:
                    raise
            return await self._ask(method, address, places[1], own=not paced)

    async def _ask(self, method: str, address: WebAddress, at: str, *, own: bool) -> LinkAnswer:
        if self._given_ask is not None:
            return await self._given_ask(method, address, at)
        from posthouse.service.inbox.link_request import ask_once

        return await ask_once(method, address, at, own=own, patience=_REQUEST)

    def _site(self, host: str) -> _Site:
        name = site_of(host)
        site = self._sites.setdefault(name, _Site())
        self._sites.move_to_end(name)
        while len(self._sites) > _SITES:
            self._sites.popitem(last=False)
        return site


def _judged(url: str, status: int, place: str) -> LinkVerdict:
    if status < 400:
        return LinkVerdict(url, "moved" if place else "ok", status, place=place)
    kind = "gone" if status in (404, 410) else "refused" if status in _SHUT else "fault" if status >= 500 else "status"
    return LinkVerdict(url, kind, status, place=place)
