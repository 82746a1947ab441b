"""Zone in memory: DNS records from a mapping or a JSON text, looked up by the rules of the DNS.

Records can be tried before they are published, and tests need no network.  A zone is a name server's whole world: a
name that it does not hold does not exist.  What DNS servers do, it does: names are compared without regard to case, a
name with names below it exists without records (RFC 8020), a CNAME is followed, and ``*`` stands for names that do not
exist (RFC 4592).

    {
      "example.org": {"TXT": ["v=spf1 mx -all"], "MX": [[10, "mx.example.org"]]},
      "mx.example.org": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
      "www.example.org": {"CNAME": ["example.org"]},
      "broken.example.org": "SERVFAIL"
    }
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address

from posthouse.core import MX, Answer, Kind, Question, SettingError, Status

__all__ = ["Zone", "read_zone"]

_MAX_ALIASES = 16
_TTL = 300

_FAILURES = {
    "SERVFAIL": "the DNS server of {name} failed (SERVFAIL)",
    "TIMEOUT": "no DNS server answered in time for {name}",
    "REFUSED": "the DNS server of {name} refused to answer",
}
"""Word in place of records → the reason of the failed answer."""

_ABSENT = "NXDOMAIN"

# Types that zones have and that no check asks for: their names exist.
_OTHER_TYPES = frozenset(
    re.findall(r"\w+", "CAA DNSKEY DS HINFO HTTPS LOC NAPTR NS NSEC NSEC3 NSEC3PARAM RP RRSIG SOA SPF SSHFP SVCB")
)

_TYPES = frozenset(str(kind) for kind in Kind)
_UNSIGNED = re.compile(r"[0-9]{1,5}")

_Record = str | bytes | MX


class Zone:
    """DNS records of names; answers questions from them, also as a resolver (``await zone.ask(question)``).

    Args:
        names: Name → its records by type.  The name may end with a dot, and begin with ``*.`` for every name below that
            does not exist.  Records of one type are a list, and a list of one may be written without brackets.

            - ``A``, ``AAAA``: addresses.
            - ``TXT``: texts, or octets, or lists of strings that are joined without a space (RFC 7208 §3.3).
            - ``MX``: ``[10, "mx.example.org"]`` or ``"10 mx.example.org"``; ``[0, "."]`` is the null MX (RFC 7505).
            - ``CNAME``, ``PTR``: names; ``TLSA``, ``SRV``: the presentation form.
            - Other types of the DNS make the name exist, and are never asked for.

            ``"NXDOMAIN"``, ``"SERVFAIL"``, ``"TIMEOUT"`` or ``"REFUSED"`` in place of the records of a name, or of the
            list of one type, is the answer to every question about it.

    Raises:
        SettingError: What is wrong, at which name, and what to write instead.
        TypeError: ``names`` is no mapping.
    """

    __slots__ = ("_answers", "_existing", "_names")

    def __init__(self, names: Mapping[str, object]) -> None:
        if not isinstance(names, Mapping):
            raise TypeError(f"a zone is a mapping of names to their records, not {type(names).__name__}")
        self._names: dict[str, dict[str, tuple[_Record, ...] | str] | str] = {}
        for name, records in names.items():
            plain = _plain(name)
            if plain in self._names:
                raise SettingError(
                    f"the name {plain!r} stands twice in the zone", remedy="join its records under one name"
                )
            self._names[plain] = _records_of(plain, records)
        self._answers: dict[Question, Answer] = {}  # of records that stand at the name itself, once asked for
        self._existing = {above for name in self._names if self._names[name] != _ABSENT for above in _upwards(name)}

    def look_up(self, question: Question) -> Answer:
        """The answer to one question, aliases followed.  Records are as ``Answer.records`` documents."""
        known = self._answers.get(question)
        if known is not None:
            return known
        name = _plain(question.name)
        for _ in range(_MAX_ALIASES):
            found = self._found(name)
            if isinstance(found, Answer):
                return found
            records = found.get(question.kind, ())
            if isinstance(records, str):
                return _failure(name, records)
            if records:
                given = Answer(Status.OK, records, _TTL)
                if question.name in self._names:
                    self._answers[question] = given
                return given
            alias = found.get(Kind.CNAME, ())
            if isinstance(alias, str):
                return _failure(name, alias)
            if not alias:
                return Answer(Status.NODATA, (), _TTL, False, f"{name} has no {question.kind} record")
            name = str(alias[0])
        return Answer(Status.FAILED, reason=f"the alias (CNAME) chain of {question.name} does not end")

    async def ask(self, question: Question) -> Answer:
        """``look_up``, for code that wants a resolver."""
        return self.look_up(question)

    def _found(self, name: str) -> Mapping[str, tuple[_Record, ...] | str] | Answer:
        """The records of a name by type, or the answer to every question about it."""
        records = self._names.get(name)
        if records is None:
            if name in self._existing:
                return {}
            records = self._names.get(self._wildcard(name), _ABSENT) if _is_name(name) else _ABSENT
        return _failure(name, records) if isinstance(records, str) else records

    def _wildcard(self, name: str) -> str:
        """The name of the wildcard that may stand for a name that does not exist (RFC 4592 §3.3.1)."""
        return next((f"*.{above}" for above in _upwards(name) if above in self._existing), "*")


def read_zone(text: str | bytes) -> Zone:
    """The zone in a JSON text, an object as ``Zone`` takes it.

    Raises:
        SettingError: The text is no JSON object, a name stands twice in it, or its records are wrong.
    """
    try:
        found = json.loads(text, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        if isinstance(error, SettingError):
            raise
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise SettingError(f"the zone is no JSON text ({problem})", remedy=_EXAMPLE) from None
    if not isinstance(found, dict):
        raise SettingError("the zone is no JSON object", remedy=_EXAMPLE)
    return Zone(found)


_EXAMPLE = 'write {"example.org": {"TXT": ["v=spf1 mx -all"]}}'


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object, which must not have a key twice: the earlier value would be lost without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise SettingError(f"{twice!r} stands twice in one object of the zone", remedy="join the two values")
    return found


def _plain(name: str) -> str:
    """A name in lower case without the final dot, U-labels as A-labels; what cannot be one is left as it is."""
    plain = name.lower().removesuffix(".")
    if plain.isascii():
        return plain
    import idna  # its tables are large, and hardly any zone needs them

    try:
        return ".".join(label if label.isascii() else idna.alabel(label).decode("ascii") for label in plain.split("."))
    except ValueError:  # idna.IDNAError is one
        return plain


def _upwards(name: str) -> Iterable[str]:
    """A name and all names above it, the root left out."""
    yield name
    while "." in name:
        name = name[name.index(".") + 1 :]
        yield name


def _is_name(name: str) -> bool:
    """True for what the DNS can carry: labels of 1 to 63 octets, 253 in all (RFC 1035 §2.3.4)."""
    return len(name) <= 253 and name.isascii() and all(1 <= len(label) <= 63 for label in name.split("."))


def _failure(name: str, word: str) -> Answer:
    if word == _ABSENT:
        return Answer(Status.NXDOMAIN, (), _TTL, False, f"{name} does not exist in the DNS")
    return Answer(Status.FAILED, reason=_FAILURES[word].format(name=name))


def _records_of(name: str, records: object) -> dict[str, tuple[_Record, ...] | str] | str:
    """The records of one name by type, or the word that stands for them."""
    if isinstance(records, str) and (records in _FAILURES or records == _ABSENT):
        return records
    if not isinstance(records, Mapping):
        raise SettingError(
            f"{records!r:.80} are no records",
            where=name,
            remedy='write {"TXT": ["…"]}, or "NXDOMAIN", "SERVFAIL", "TIMEOUT"',
        )
    found: dict[str, tuple[_Record, ...] | str] = {}
    for kind, listed in records.items():
        where = f"{name}: {kind}"
        word = kind.upper() if isinstance(kind, str) else ""
        if word in _OTHER_TYPES:
            continue
        if word not in _TYPES:
            raise SettingError(
                f"{kind!r:.40} is no record type", where=name, remedy=f"types are {', '.join(sorted(_TYPES))}"
            )
        values = _as_list(Kind(word), listed)
        words = [each for each in values if isinstance(each, str)]
        failure = next((each for each in words if each in _FAILURES or each == _ABSENT), "")
        if failure and (listed == failure or word != Kind.TXT):  # in a list of texts, the word is a text
            found[word] = failure
            continue
        found[word] = tuple(_value(Kind(word), each, where) for each in values)
    return found


def _as_list(kind: Kind, listed: object) -> Sequence[object]:
    """The records of one type; a single record may stand without brackets."""
    if isinstance(listed, (list, tuple)):
        one_mx = kind is Kind.MX and len(listed) == 2 and isinstance(listed[0], int)
        return (listed,) if one_mx else listed
    return (listed,)


def _value(kind: Kind, record: object, where: str) -> _Record:
    """A record in the type of ``Answer.records``."""
    match kind:
        case Kind.TXT:
            return _text(record, where)
        case Kind.MX:
            return _exchange(record, where)
        case Kind.A | Kind.AAAA:
            return _address(kind, record, where)
        case _:
            if not isinstance(record, str):
                raise SettingError(f"{record!r:.80} is no text", where=where, remedy="write the record as a string")
            return _plain(record) if kind in (Kind.CNAME, Kind.PTR) else record


def _text(record: object, where: str) -> bytes:
    strings = record if isinstance(record, (list, tuple)) else (record,)
    octets = b""
    for each in strings:
        if isinstance(each, str):
            try:
                octets += each.encode("utf-8", "surrogateescape")
            except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
                raise SettingError(
                    f"{each!r:.80} has a character that does not exist", where=where, remedy="write other text"
                ) from None
        elif isinstance(each, bytes):
            octets += each
        else:
            raise SettingError(f"{each!r:.80} is no text", where=where, remedy='write "…", or ["…", "…"] to be joined')
    return octets


def _exchange(record: object, where: str) -> MX:
    match record.split() if isinstance(record, str) else record:
        case [int(preference), str(exchange)] if 0 <= preference <= 65535:
            return MX(preference, _plain(exchange))
        case [str(preference), str(exchange)] if _UNSIGNED.fullmatch(preference) and int(preference) <= 65535:
            return MX(int(preference), _plain(exchange))
    raise SettingError(f"{record!r:.80} is no MX record", where=where, remedy='write [10, "mx.example.org"]')


def _address(kind: Kind, record: object, where: str) -> str:
    try:
        if not isinstance(record, str):
            raise ValueError
        return str(IPv4Address(record) if kind is Kind.A else IPv6Address(record))
    except ValueError:
        example = "192.0.2.1" if kind is Kind.A else "2001:db8::1"
        raise SettingError(f"{record!r:.80} is no address", where=where, remedy=f'write "{example}"') from None
