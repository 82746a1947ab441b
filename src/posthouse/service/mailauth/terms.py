"""Terms of message authentication for each listener, as the configuration has them.

Verification and signing import cryptography and a good deal of code; this module imports them only where a listener
verifies, or where mail can be submitted and there is a directory for keys to be in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from posthouse.core import Address
from posthouse.net import Clock
from posthouse.server.content_check import CheckFactory
from posthouse.service.config.model import Config, ListenerSettings

if TYPE_CHECKING:
    from posthouse.service.mailauth.lookups import KnowingResolver

__all__ = [
    "AuthTerms",
    "HeaderFilter",
    "MayBe",
    "NO_AUTH",
    "SignerSource",
    "VerifyTerms",
    "signers_of",
    "verify_terms",
    "verify_word",
]

#: Whether the account of a session may be an author.
MayBe = Callable[[Address], bool]


class HeaderFilter(Protocol):
    """Remover of header fields on their way into the spool; the content checks see them."""

    def write(self, chunk: bytes) -> bytes:
        """The octets that may be stored now, of this piece and those before."""
        ...

    def end(self) -> bytes:
        """The content is complete: the octets that are left."""
        ...


class SignerSource(Protocol):
    """What signs submitted mail; ``signers.Signers`` is one."""

    @property
    def any(self) -> bool:
        """Whether there is a key."""
        ...

    def factory(self, may_be: MayBe | None) -> CheckFactory:
        """What makes the check that signs the messages of one account."""
        ...

    @property
    def present(self) -> bool:
        """Whether the keys have a directory."""
        ...

    def load(self) -> None:
        """Read the keys, if their directory has changed since the last time."""
        ...


class VerifyTerms(NamedTuple):
    """How a listener verifies: the content check, the filter of forged fields, and whether clients of this machine are
    verified too."""

    check: CheckFactory
    header_filter: Callable[[], HeaderFilter]
    local: bool


class AuthTerms(NamedTuple):
    """What a listener does: it verifies, signs what is submitted, or neither."""

    verify: VerifyTerms | None = None
    signers: SignerSource | None = None


NO_AUTH = AuthTerms()


def verify_word(config: Config, listener: ListenerSettings) -> tuple[str, bool]:
    """``off``, ``mark`` or ``enforce``, and whether clients of this machine are verified too.

    Without a word in the configuration, an ``mx`` listener marks what other machines send.  A catcher, which takes all
    mail, is for seeing what a program sends: it asks nothing, unless its configuration says so.
    """
    written = listener.verify or config.mailauth.verify
    if listener.verify:
        return written, True
    if written:
        return (written if listener.kind == "mx" else "off"), False
    takes_all = any(each.name == "*" for each in config.domain)
    return ("mark" if listener.kind == "mx" and not takes_all else "off"), False


def verify_terms(
    config: Config, listener: ListenerSettings, resolver: KnowingResolver | None, clock: Clock
) -> VerifyTerms | None:
    """How a listener verifies; None if it does not."""
    word, local = verify_word(config, listener)
    if word == "off" or resolver is None:
        return None
    from functools import partial

    from posthouse.service.mailauth.forged_fields import ForgedFields
    from posthouse.service.mailauth.verification import Verifier

    name = config.mailauth.authserv_id or config.hostname
    check = Verifier(resolver, clock, config.mailauth, name, word == "enforce")
    return VerifyTerms(check, partial(ForgedFields, (name,), listener.max_header_size), local)


def signers_of(config: Config, clock: Clock, fault: Callable[[str], object]) -> SignerSource | None:
    """What signs; None where nothing is to be signed, and where all mail stays here."""
    if not config.mailauth.sign or any(each.name == "*" for each in config.domain):
        return None
    from posthouse.service.mailauth.key_store import KeyStore, directory_of
    from posthouse.service.mailauth.signers import Signers

    store = KeyStore(directory_of(config.data_dir, config.mailauth.keys))
    signers = Signers(store, config.mailauth, clock, fault)
    signers.load()
    return signers
