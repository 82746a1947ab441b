"""Bounce Address Tag Validation: own reverse-paths with a signature, so that forged bounces can be refused.

Spam is sent with the addresses of people who have nothing to do with it, and its bounces come to them.  A host that
signs the reverse-path of everything it sends can refuse bounces (null reverse-path) to addresses without a signature.
The form is ``prvs`` of draft-levine-smtp-batv, which other hosts know and take off when they compare senders:

    ann@example.org  →  prvs=1234a1b2c3=ann@example.org

Behind ``=`` are one digit, the number of the key, three digits of the day on which the signature ends, and six
hexadecimal digits of an HMAC-SHA-1 over both and the address.
"""

from __future__ import annotations

import enum
import hmac
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from posthouse.core import Address, SettingError

__all__ = ["Batv", "BatvStatus", "SignedPath"]

_DAY: Final = 86_400
_DAYS: Final = 1_000  # until the number of the day begins anew
_MOST_SECRETS: Final = 10
_SHORTEST_SECRET: Final = 8  # octets
_SIGNED: Final = re.compile(r"prvs=([0-9])([0-9]{3})([0-9a-f]{6})=(.+)", re.IGNORECASE | re.DOTALL)


class BatvStatus(enum.StrEnum):
    """What the recipient of a bounce turned out to be."""

    SIGNED = "signed"  # signed by us, and in time
    PLAIN = "plain"  # without a signature
    FORGED = "forged"
    EXPIRED = "expired"


class SignedPath(NamedTuple):
    """An address that was checked: ``address`` is the mailbox without the signature, whatever the status is."""

    status: BatvStatus
    address: Address


class Batv:
    """Signer of own reverse-paths.

    Args:
        secrets: 1 to 10 keys of at least 8 octets.  The first one signs, all are tried; a new one goes in front.
        days: How many days a signature lives, 1 to 400.

    Raises:
        SettingError: A value that cannot be used.
    """

    __slots__ = ("_days", "_secrets")

    def __init__(self, secrets: Sequence[str | bytes], *, days: int = 7) -> None:
        keys = tuple(each.encode() if isinstance(each, str) else bytes(each) for each in secrets)
        if not 1 <= len(keys) <= _MOST_SECRETS or min(map(len, keys)) < _SHORTEST_SECRET:
            raise SettingError(
                f"BATV needs 1 to {_MOST_SECRETS} secrets of {_SHORTEST_SECRET} octets at least",
                remedy="make one with: openssl rand -base64 24",
            )
        if not 1 <= days <= 400:
            raise SettingError(f"a signed reverse-path cannot live {days} days", remedy="write 1 to 400")
        self._secrets = keys
        self._days = days

    def __repr__(self) -> str:
        return f"Batv({len(self._secrets)} secrets)"

    def sign(self, sender: Address | None, now: float) -> Address | None:
        """The reverse-path with a signature; None, and what is signed already, stay as they are.

        ``now`` is in seconds since 1970.
        """
        if sender is None or not sender.domain or _SIGNED.fullmatch(sender.local):
            return sender
        day = (int(now // _DAY) + self._days) % _DAYS
        opening = f"0{day:03}"
        return Address(f"prvs={opening}{_mac(self._secrets[0], opening, sender)}={sender.local}", sender.domain)

    def check(self, recipient: Address, now: float) -> SignedPath:
        """What the recipient of a bounce is, and the mailbox that it goes to."""
        parts = _SIGNED.fullmatch(recipient.local)
        if parts is None:
            return SignedPath(BatvStatus.PLAIN, recipient)
        number, day, given, local = parts.groups()
        mailbox = Address(local, recipient.domain)
        made = [_mac(each, number + day, mailbox) for each in self._secrets]
        if sum(hmac.compare_digest(each, given.lower()) for each in made) == 0:  # each is tried
            return SignedPath(BatvStatus.FORGED, mailbox)
        left = (int(day) - int(now // _DAY)) % _DAYS
        return SignedPath(BatvStatus.SIGNED if left <= self._days else BatvStatus.EXPIRED, mailbox)


def _mac(secret: bytes, opening: str, mailbox: Address) -> str:
    octets = f"{opening}{mailbox.local}@{mailbox.domain}".lower().encode("utf-8", "surrogatepass")
    return hmac.digest(secret, octets, "sha1")[:3].hex()
