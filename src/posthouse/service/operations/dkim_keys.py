"""The operations on DKIM keys: make, show, rotate, and compare with what the DNS has.

They work on the key store itself, also while a daemon runs: it looks at the directory every minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from posthouse.core import Answer, Kind, Question, SettingError, Status
from posthouse.service.operations.base import Context, Operation, Parameter

if TYPE_CHECKING:
    from posthouse.net import Resolver
    from posthouse.service.mailauth.key_store import KeyStore, StoredKey

__all__ = ["DKIM_OPERATIONS", "DkimCheck", "DkimEntry", "DkimRotation"]


class DkimEntry(Struct, frozen=True, kw_only=True):
    """A DKIM key and its DNS record.

    ``state`` is next, signing, retired or removable; ``until`` the time at which it changes, None where that is not
    known; ``name`` and ``record`` are the TXT record, and ``zone`` is the same as a line of a zone file.
    """

    domain: str
    selector: str
    algorithm: str
    bits: int
    state: str
    until: float | None
    made: float
    name: str
    record: str
    zone: str


class DkimRotation(Struct, frozen=True, kw_only=True):
    """A rotation: the keys of a domain after it, and the record names of keys that were removed."""

    keys: list[DkimEntry]
    removed: list[str]


class DkimCheck(Struct, frozen=True, kw_only=True):
    """A key compared with the DNS: ``published`` is yes, no, different or unknown; ``usable`` is False where mail is
    signed, or soon will be, with a key that receivers cannot find.  ``advice`` says what to do, in sentences."""

    domain: str
    selector: str
    state: str
    name: str
    published: str
    usable: bool
    advice: list[str]


def _store(context: Context) -> KeyStore:
    from posthouse.service.mailauth.key_store import KeyStore, directory_of  # only these operations need it

    return KeyStore(directory_of(context.config.data_dir, context.config.mailauth.keys))


def _entries(keys: Sequence[StoredKey], now: float) -> list[DkimEntry]:
    from posthouse.service.mailauth.key_store import state_of, zone_text

    found = []
    for key in keys:
        state, until = state_of(key, keys, now)
        found.append(
            DkimEntry(
                domain=key.domain,
                selector=key.selector,
                algorithm=key.algorithm,
                bits=key.bits,
                state=str(state),
                until=until or None,
                made=key.made,
                name=key.record_name,
                record=key.record,
                zone=zone_text(key),
            )
        )
    return found


def _all(store: KeyStore, domain: str) -> list[Sequence[StoredKey]]:
    """The keys of each domain, or of one.  Raises ``SettingError`` if the one has none."""
    if not domain:
        return [keys for each in store.domains() if (keys := store.keys(each))]
    keys = store.keys(domain)
    if not keys:
        raise SettingError(f"there is no DKIM key of {domain}", remedy=f"make one with: posthouse dkim keygen {domain}")
    return [keys]


async def _keygen(context: Context, domain: str, algorithm: str = "rsa", selector: str = "") -> list[DkimEntry]:
    store, now = _store(context), context.clock.time()

    def make() -> list[DkimEntry]:
        from posthouse.service.mailauth.key_store import ALGORITHMS, LEAD

        wanted = [each for each in ALGORITHMS if algorithm in (each, "both")]
        if not wanted:
            raise SettingError(f'there is no algorithm "{algorithm}"', remedy="choose rsa, ed25519 or both")
        if len(wanted) > 1 and selector:
            raise SettingError("two keys cannot have one selector", remedy="leave the selector out, or make one key")
        there = {each.algorithm for each in store.keys(domain)}
        for each in wanted:
            if each in there:
                raise SettingError(
                    f"there is a key of {domain} with this algorithm already",
                    remedy=f"replace it with: posthouse dkim rotate {domain}",
                )
        # A first key signs at once: mail without a signature is no better off.  One beside others waits for its record.
        signs = now + LEAD if there else now
        made = {store.generate(domain, each, now, signs=signs, selector=selector).selector for each in wanted}
        return [each for each in _entries(store.keys(domain), now) if each.selector in made]

    return await asyncio.to_thread(make)


async def _show(context: Context, domain: str = "") -> list[DkimEntry]:
    store, now = _store(context), context.clock.time()

    def show() -> list[DkimEntry]:
        return [entry for keys in _all(store, domain) for entry in _entries(keys, now)]

    return await asyncio.to_thread(show)


async def _rotate(context: Context, domain: str, days: int = 2) -> DkimRotation:
    store, now = _store(context), context.clock.time()
    if not 0 <= days <= 365:
        raise SettingError(f"{days} days are out of range", remedy="write a number of days from 0 to 365")
    if not domain:
        raise SettingError("no domain is named", remedy="name the domain whose keys are to be replaced")

    def rotate() -> DkimRotation:
        from posthouse.service.mailauth.key_store import ALGORITHMS, KeyState, state_of

        (keys,) = _all(store, domain)
        states = {key.selector: state_of(key, keys, now)[0] for key in keys}
        waiting = [key.selector for key in keys if states[key.selector] is KeyState.NEXT]
        if waiting:
            raise SettingError(
                f"the key {waiting[0]} of {domain} does not sign yet",
                remedy="publish its record, and rotate again when it signs",
            )
        old = [key for key in keys if states[key.selector] is KeyState.REMOVABLE]
        for key in old:
            store.remove(key)
        there = {key.algorithm for key in keys}
        for algorithm in [each for each in ALGORITHMS if each in there]:
            store.generate(domain, algorithm, now, signs=now + days * 86_400.0)
        return DkimRotation(keys=_entries(store.keys(domain), now), removed=[key.record_name for key in old])

    return await asyncio.to_thread(rotate)


async def _check(context: Context, domain: str = "", zone: str = "") -> list[DkimCheck]:
    store, now = _store(context), context.clock.time()
    groups = await asyncio.to_thread(_all, store, domain)
    resolver: Resolver
    if zone:
        from posthouse.mailauth.zone import read_zone

        resolver = read_zone(zone)
    else:
        resolver = context.routing().resolver
    return [
        _judged(key, keys, now, await resolver.ask(Question(key.record_name, Kind.TXT)))
        for keys in groups
        for key in keys
    ]


def _judged(key: StoredKey, keys: Sequence[StoredKey], now: float, answer: Answer) -> DkimCheck:
    from posthouse.service.mailauth.key_store import KeyState, state_of

    state, _ = state_of(key, keys, now)
    published = _published(key, answer)
    needed = state is not KeyState.REMOVABLE
    advice = []
    if published == "unknown":
        advice.append(f"The DNS gave no answer ({answer.reason}); ask again later.")
    elif published == "no" and needed:
        advice.append(f"Publish the TXT record {key.record_name}: {key.record}")
    elif published == "different" and needed:
        advice.append(f"The TXT record {key.record_name} has another key; replace it with: {key.record}")
    elif published in ("yes", "different") and not needed:
        advice.append(f"Nothing needs the TXT record {key.record_name} any more; remove it.")
    if key.exposed:
        advice.append(f"Other users of this machine may read {key.path}; run: chmod 600 {key.path}")
    if key.algorithm == "rsa" and key.bits < 2048 and needed:
        advice.append(f"An RSA key of {key.bits} bits is weak; replace it with: posthouse dkim rotate {key.domain}")
    usable = published in ("yes", "unknown") or state in (KeyState.RETIRED, KeyState.REMOVABLE)
    return DkimCheck(
        domain=key.domain,
        selector=key.selector,
        state=str(state),
        name=key.record_name,
        published=published,
        usable=usable,
        advice=advice,
    )


def _published(key: StoredKey, answer: Answer) -> str:
    """Whether the DNS has the key: yes, no, different, or unknown."""
    if answer.status is Status.FAILED:
        return "unknown"
    texts = [each.decode("latin-1") for each in answer.records if isinstance(each, bytes)]
    if not texts:
        return "no"
    # RFC 6376 §3.6.2.2: with several records the result is undefined, so all of them must be this key.
    return "yes" if all(_key_of(text) == _key_of(key.record) for text in texts) else "different"


def _key_of(record: str) -> tuple[str, str]:
    """The algorithm and the public key of a record, without white space."""
    tags: dict[str, str] = {}
    for part in record.split(";"):
        name, _, value = part.partition("=")
        tags[name.strip()] = "".join(value.split())
    return tags.get("k", "rsa"), tags.get("p", "")


_DOMAIN: Final = Parameter("domain", "The domain; without it, every domain that has keys.", str, "")
_ONE: Final = Parameter("domain", "The domain that signs (d=).", str)

#: The operations of this module.
DKIM_OPERATIONS: Final = (
    Operation(
        "dkim keygen",
        "Make the first DKIM key of a domain.",
        _keygen,
        list[DkimEntry],
        (
            _ONE,
            Parameter("algorithm", "rsa, ed25519 or both.", str, "rsa"),
            Parameter("selector", "The selector; without it, the date and a letter.", str, ""),
        ),
    ),
    Operation("dkim show", "Show the DKIM keys and their DNS records.", _show, list[DkimEntry], (_DOMAIN,), reads=True),
    Operation(
        "dkim rotate",
        "Make the next DKIM keys of a domain, and remove those that have had their time.",
        _rotate,
        DkimRotation,
        (_ONE, Parameter("days", "Days until the new keys sign, for their records to spread.", int, 2)),
    ),
    Operation(
        "dkim check",
        "Compare the DKIM keys with the DNS.",
        _check,
        list[DkimCheck],
        (_DOMAIN, Parameter("zone", "A zone (JSON) that answers in place of the DNS.", str, "")),
        reads=True,
    ),
)
