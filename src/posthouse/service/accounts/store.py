"""Stores of accounts: the questions that logging in asks, and the answers that every store can give.

A store answers a mechanism's questions (``protocol.sasl``) and says as whom an account may send.  It never says *why* a
password is wrong: an unknown account and a wrong password get the same answer after the same work.
"""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.core import Reply
from posthouse.protocol.grammar import GrammarError, parse_domain, parse_mailbox
from posthouse.protocol.sasl import (
    CheckPassword,
    CheckToken,
    DeriveKey,
    FindKeys,
    FindSecret,
    Forward,
    Forwarded,
    Question,
    ScramKeys,
)

__all__ = ["AccountStore", "answer", "is_address", "is_domain"]


class AccountStore:
    """Base class of stores; each method's default is the answer of a store that cannot do it.

    Every method may raise ``StorageError``: the store cannot be asked now, which is answered 454 and never 535.  A
    question of a mechanism may be answered with a ``Reply`` of 4xx or 5xx, which the client is given.
    """

    #: The mechanisms that this store can serve, by name without ``-PLUS``.
    mechanisms: Sequence[str] = ("PLAIN", "LOGIN")
    #: Mechanisms that the store judges itself, by ``forward``; they are offered only if a listener names them.
    forwards: Sequence[str] = ()
    #: Seconds for which a session goes by what ``identities`` said, where ``identities_now`` says nothing; then MAIL
    #: asks again.
    identities_seconds: float = 60.0
    #: Whether an empty password may be a right one.  Elsewhere it is refused unasked: to some directories a login with
    #: an empty password is an anonymous one, which succeeds (RFC 4513 §5.1.2).
    empty_passwords = False
    #: Whether EXTERNAL is for clients with a verified certificate.  Elsewhere any client under TLS may use it, and is
    #: the account that it names.
    needs_certificate = True

    async def check_password(self, user: str, password: str) -> bool | str | Reply:
        """Whether this is the account's password; the account's name, if it is spelt otherwise than ``user``."""
        return False

    def is_right(self, user: str, password: str) -> bool:
        """Whether this certainly is the account's password, if that is known at once: a login that need not wait costs
        no task.  After False, ``check_password`` is asked."""
        return False

    async def forward(self, question: Forward) -> Forwarded:
        """The answer of the server that keeps the accounts to a message of the client, in one of ``forwards``."""
        return Forwarded()

    async def find_keys(self, user: str, hash_name: str) -> ScramKeys | Reply | None:
        """The account's SCRAM keys for ``sha1`` or ``sha256``; None for an unknown account."""
        return None

    async def find_secret(self, user: str) -> str | Reply | None:
        """The account's password in clear, which CRAM-MD5 needs; None if it is not kept."""
        return None

    async def check_token(self, user: str, token: str) -> str | Reply | None:
        """The account that an OAuth bearer token is for; None if it is not valid.

        ``user`` is the name that the client gave, empty if it gave none.
        """
        return None

    async def identities(self, user: str) -> Sequence[str] | None:
        """As whom the account may send: addresses, ``@domain`` for a whole domain, ``*`` for all.

        None if the account is unknown or switched off.
        """
        return None

    def identities_now(self, user: str) -> Sequence[str] | None:
        """As ``identities``, if the answer is known at once; after None, ``identities`` is asked."""
        return None

    async def knows(self, user: str) -> bool:
        """Whether there certainly is such an account: a name that is none may be a password in the wrong place, and
        logs must not show it."""
        return False

    async def close(self) -> None:
        """Let go of files and connections."""


async def answer(store: AccountStore, question: Question) -> bool | ScramKeys | Forwarded | Reply | str | bytes | None:
    """The store's answer to a mechanism's question."""
    if isinstance(question, CheckPassword):
        return await store.check_password(question.user, question.password)
    if isinstance(question, FindKeys):
        return await store.find_keys(question.user, question.hash_name)
    if isinstance(question, FindSecret):
        return await store.find_secret(question.user)
    if isinstance(question, CheckToken):
        return await store.check_token(question.user, question.token)
    if isinstance(question, Forward):
        return await store.forward(question)
    assert isinstance(question, DeriveKey)
    return question.compute()


def is_address(text: str) -> bool:
    """Whether this is an address with a domain: a name that an account may send as without being told so."""
    try:
        return bool(parse_mailbox(text).domain)
    except GrammarError:
        return False


def is_domain(text: str) -> bool:
    """Whether this is a domain."""
    try:
        return bool(parse_domain(text))
    except GrammarError:
        return False
