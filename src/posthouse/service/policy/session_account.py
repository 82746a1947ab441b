"""The account that a session has logged in as: each MAIL goes by what the accounts say of it now.

A session may last for hours, and an account may be removed, switched off or changed meanwhile.  A store that knows at
once is asked at every MAIL (2 µs for the account file, whose rows are kept while it stays the same), another one after
the seconds that it names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Final

from posthouse.core import Address, Reply, StorageError, Verdict
from posthouse.net.clock import Clock
from posthouse.protocol.grammar import parse_mailbox
from posthouse.service.accounts import AccountStore
from posthouse.service.policy.logins import may_send_as

__all__ = ["SessionAccount"]

_NOT_YOURS: Final = Reply(553, "5.7.1", "The account may not send as this address")
#: RFC 4954 §6: 530 where a login is needed "and authentication is not currently in force".
_GONE: Final = Reply(530, "5.7.0", "Authentication required: this account may no longer log in")
_UNKNOWN: Final = Reply(451, "4.7.0", "Cannot look up the account now; try again later")


class SessionAccount:
    """The account ``user``, which may send as ``identities`` by what ``store`` has just said."""

    __slots__ = ("_asked", "_clock", "_store", "identities", "user")

    def __init__(self, user: str, identities: Sequence[str], store: AccountStore, clock: Clock) -> None:
        self.user = user
        self.identities = identities
        self._store = store
        self._clock = clock
        self._asked = clock.monotonic()

    def refuses(self, sender: Address | None) -> Verdict | Awaitable[Verdict | None] | None:
        """Why it may not send as ``sender`` now, or None."""
        found = self._store.identities_now(self.user)
        if found is None:
            if self._clock.monotonic() - self._asked >= self._store.identities_seconds:
                return self._ask(sender)
            found = self.identities
        return self._judge(sender, found)

    async def _ask(self, sender: Address | None) -> Verdict | None:
        try:
            found = await self._store.identities(self.user)
        except StorageError as error:
            return Verdict(_UNKNOWN, f"the accounts cannot be asked: {error}")
        self._asked = self._clock.monotonic()
        if found is None:
            return Verdict(_GONE, f"the account {self.user} is gone, or switched off")
        return self._judge(sender, found)

    def _judge(self, sender: Address | None, identities: Sequence[str]) -> Verdict | None:
        self.identities = identities
        if may_send_as(sender, identities):
            return None
        return Verdict(_NOT_YOURS, f"not an identity of {self.user}")

    def may_be_author(self, author: Address) -> bool:
        """Whether it may be the author of a message."""
        return may_send_as(author, self.identities)

    def may_assert(self, mailbox: str) -> bool:
        """Whether its word counts for who submitted a message first (AUTH= of MAIL)."""
        return may_send_as(parse_mailbox(mailbox), self.identities)
