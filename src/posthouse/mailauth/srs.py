"""Sender Rewriting Scheme: reverse-paths of forwarded mail that pass SPF, and lead bounces home.

A forwarder that keeps the reverse-path of a message fails SPF at the next host.  SRS writes a reverse-path of the
forwarder instead, and puts the original one into its local part:

    ann@example.org              →  SRS0=k3Xq2A=7F=example.org=ann@forward.test        (the first forwarder)
    SRS0=k3Xq2A=7F=…@forward.test →  SRS1=9dPz1Q=forward.test==k3Xq2A=7F=…@second.test   (every later one)

A bounce to an ``SRS0`` address goes to the original sender, a bounce to ``SRS1`` to the first forwarder, so a bounce
passes two hosts however many forwarded the message.  The hash (HMAC) is the proof that this host made the address:
without it anybody could send mail through us to anyone.  The two letters of time, in days, end its life.

The form of the address and its hash (HMAC-SHA-1 over the parts in lower case, in base64) are those of Mail::SRS and
libsrs2, on which Postfix's and Exim's SRS are built: hosts that share a secret read each other's addresses, and
addresses that another program made before a change of software still lead home.  Hosts may change the case of a local
part on its way, so the hash is compared without regard to case, and in constant time.
"""

from __future__ import annotations

import enum
import hmac
import re
from base64 import b64encode
from collections.abc import Sequence
from typing import Final, NamedTuple

from posthouse.core import Address, SettingError

__all__ = ["Srs", "SrsReversal", "SrsStatus", "is_srs"]

_DAY: Final = 86_400
_BASE32: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_SLOTS: Final = len(_BASE32) ** 2  # days until the time stamp begins anew
_SHORTEST_HASH: Final = 4  # characters; Mail::SRS and libsrs2 write as many
_LONGEST_HASH: Final = 27
_SHORTEST_SECRET: Final = 8  # octets
_MOST_OCTETS: Final = 256  # of a path (RFC 5321 §4.5.3.1.3)

_TAGGED: Final = re.compile(r"SRS([01])([=+-])(.+)", re.IGNORECASE | re.DOTALL)
# hash = time = domain = local, and hash = domain = rest; the rest of SRS1 begins with the first forwarder's separator.
_SRS0: Final = re.compile(r"([^=\s]+)=([^=\s]+)=([^=\s]+)=(.*)", re.DOTALL)
_SRS1: Final = re.compile(r"([^=\s]+)=([^=\s]+)=([=+-].+)", re.DOTALL)


class SrsStatus(enum.StrEnum):
    """What a recipient address turned out to be."""

    HOME = "home"  # an address of ours: the bounce goes to SrsReversal.address
    PLAIN = "plain"  # no SRS address
    MALFORMED = "malformed"  # it begins as an SRS address and is none
    FORGED = "forged"  # none of our secrets made it
    EXPIRED = "expired"  # we made it too long ago


class SrsReversal(NamedTuple):
    """Where a message to an address goes: ``address`` with the status HOME, else None and ``reason`` in words."""

    status: SrsStatus
    address: Address | None = None
    reason: str = ""


def is_srs(address: Address) -> bool:
    """True if the local part begins as that of an SRS address, ours or another host's."""
    return _TAGGED.match(address.local) is not None


class Srs:
    """Rewriter of reverse-paths for one forwarding domain.

    Args:
        domain: The domain of the new reverse-paths.  Its mail must come back to this host, and its SPF record must
            name the hosts that forward.
        secrets: Keys of the hash, at least 8 octets each.  The first one makes addresses, all are tried when one comes
            back: put a new secret in front, and remove the old one when ``days`` have passed.
        days: How many days an address lives.  Bounces may come as long as other hosts keep mail in their queues.
        hash_length: Characters of the hash that are written; 6 are 36 bits.
        least_hash_length: Characters that are demanded of an address that comes back; 4 accepts what Mail::SRS and
            libsrs2 made.  Without it as many as are written.

    Raises:
        SettingError: A value that cannot be used.
    """

    __slots__ = ("_days", "_domain", "_hash_length", "_least", "_secrets")

    def __init__(
        self,
        domain: str,
        secrets: Sequence[str | bytes],
        *,
        days: int = 21,
        hash_length: int = 6,
        least_hash_length: int | None = None,
    ) -> None:
        keys = tuple(each.encode() if isinstance(each, str) else bytes(each) for each in secrets)
        if not keys or min(map(len, keys)) < _SHORTEST_SECRET:
            raise SettingError(
                f"SRS needs one secret at least, of {_SHORTEST_SECRET} octets at least",
                remedy="make one with: openssl rand -base64 24",
            )
        if not 1 <= days < _SLOTS // 2:
            raise SettingError(f"an SRS address cannot live {days} days", remedy=f"write 1 to {_SLOTS // 2 - 1}")
        least = hash_length if least_hash_length is None else least_hash_length
        if not _SHORTEST_HASH <= least <= hash_length <= _LONGEST_HASH:
            raise SettingError(
                "the lengths of the SRS hash are wrong",
                remedy=f"write {_SHORTEST_HASH} to {_LONGEST_HASH}, least first",
            )
        self._domain = domain.lower().removesuffix(".")
        self._secrets = keys
        self._days = days
        self._hash_length = hash_length
        self._least = least

    def __repr__(self) -> str:
        return f"Srs({self._domain!r}, {len(self._secrets)} secrets)"

    @property
    def domain(self) -> str:
        """The domain of the rewritten addresses."""
        return self._domain

    def forward(self, sender: Address | None, now: float) -> Address | None:
        """The reverse-path for a message from ``sender`` that is forwarded.

        The null reverse-path (None) stays null, and an address of our own domain stays as it is.  ``now`` is in seconds
        since 1970.  A local part may become longer than the 64 octets of RFC 5321 §4.5.3.1.1, which hosts accept in
        practice; if the address would become longer than 256 octets, ``sender`` is returned unchanged, because a
        failed SPF check is less harm than an address that cannot be sent.
        """
        if sender is None or not sender.domain or sender.domain.lower() == self._domain:
            return sender
        tagged = _TAGGED.fullmatch(sender.local)
        local = ""
        if tagged is not None and tagged[1] == "0":
            # The first forwarder's address is kept behind its separator; it alone can read it.
            local = self._second(sender.domain, tagged[2] + tagged[3])
        elif tagged is not None and (parts := _SRS1.fullmatch(tagged[3])) is not None:
            local = self._second(parts[2], parts[3])  # the host in between drops out
        if not local:
            stamp = _stamp(now)
            local = f"SRS0={self._made(stamp, sender.domain, sender.local)}={stamp}={sender.domain}={sender.local}"
        made = Address(local, self._domain)
        return sender if len(str(made).encode()) > _MOST_OCTETS - 2 else made

    def reverse(self, recipient: Address, now: float) -> SrsReversal:
        """Where a message to ``recipient`` goes, an address of our domain; ``now`` is in seconds since 1970."""
        tagged = _TAGGED.fullmatch(recipient.local)
        if tagged is None or recipient.domain.lower() != self._domain:
            return SrsReversal(SrsStatus.PLAIN)
        return self._first_home(tagged[3], now) if tagged[1] == "0" else self._second_home(tagged[3])

    def _first_home(self, text: str, now: float) -> SrsReversal:
        parts = _SRS0.fullmatch(text)
        if parts is None or not parts[4]:
            return SrsReversal(SrsStatus.MALFORMED, None, "the SRS address does not have its four parts")
        given, stamp, domain, local = parts.groups()
        if not self._is_ours(given, stamp, domain, local):
            return SrsReversal(SrsStatus.FORGED, None, "the hash of the SRS address is not ours")
        age = _age(stamp, now)
        if age is None:
            return SrsReversal(SrsStatus.MALFORMED, None, "the time of the SRS address cannot be read")
        # A host whose clock is ahead may have made it: one day is allowed.
        if age > self._days and age != _SLOTS - 1:
            return SrsReversal(SrsStatus.EXPIRED, None, f"the SRS address is older than {self._days} days")
        return SrsReversal(SrsStatus.HOME, Address(local, domain.lower()))

    def _second_home(self, text: str) -> SrsReversal:
        parts = _SRS1.fullmatch(text)
        if parts is None:
            return SrsReversal(SrsStatus.MALFORMED, None, "the SRS1 address does not have its three parts")
        given, host, rest = parts.groups()
        if not self._is_ours(given, host, rest):
            return SrsReversal(SrsStatus.FORGED, None, "the hash of the SRS1 address is not ours")
        return SrsReversal(SrsStatus.HOME, Address(f"SRS0{rest}", host.lower()))

    def _second(self, host: str, rest: str) -> str:
        return f"SRS1={self._made(host, rest)}={host}={rest}"

    def _made(self, *parts: str) -> str:
        return _hash(self._secrets[0], parts)[: self._hash_length]

    def _is_ours(self, given: str, *parts: str) -> bool:
        if not given.isascii() or not self._least <= len(given) <= _LONGEST_HASH:
            return False
        made = [_hash(each, parts)[: len(given)].lower() for each in self._secrets]
        # Each secret is tried, so that the time does not tell which one was right.
        return sum(hmac.compare_digest(each, given.lower()) for each in made) > 0


def _hash(secret: bytes, parts: tuple[str, ...]) -> str:
    octets = "".join(parts).lower().encode("utf-8", "surrogatepass")
    return b64encode(hmac.digest(secret, octets, "sha1")).decode("ascii")[:_LONGEST_HASH]


def _stamp(now: float) -> str:
    day = int(now // _DAY) % _SLOTS
    return _BASE32[day // len(_BASE32)] + _BASE32[day % len(_BASE32)]


def _age(stamp: str, now: float) -> int | None:
    """Days since a time stamp, None if it is none; the days are counted round in a circle of 1,024."""
    digits = [_BASE32.find(letter) for letter in stamp.upper()]
    if len(digits) != 2 or min(digits) < 0:
        return None
    return (int(now // _DAY) - (digits[0] * len(_BASE32) + digits[1])) % _SLOTS
