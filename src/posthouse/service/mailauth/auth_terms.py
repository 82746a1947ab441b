"""Values and contracts of message authentication that the policy of a listener works with; light to import."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from posthouse.core import Address, Content, Verdict
from posthouse.server.content_check import CheckFactory

if TYPE_CHECKING:
    from posthouse.mailauth.dkim import DkimKey

__all__ = ["AuthTerms", "HeaderFilter", "MayBe", "NO_AUTH", "SignerSource", "VerifyTerms"]

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

    def sealing_key(self, hostname: str) -> DkimKey | None:
        """The key with which this host seals (ARC), None without one."""
        ...

    def own_fields(self, content: bytes) -> bytes:
        """The signatures of a message of this server's own, such as a report; b"" without a key."""
        ...

    def signed_again(self, original: Content, converted: Content) -> tuple[Content, str]:
        """A message that was converted on its way out, signed again where this server had signed it, and what became of
        all its signatures, in words.  It reads both contents."""
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
    """What a listener does: it verifies, signs what is submitted, or neither; ``report_refused`` says why a recipient
    takes no message with the null reverse-path, None: all do."""

    verify: VerifyTerms | None = None
    signers: SignerSource | None = None
    report_refused: Callable[[Address], Verdict | None] | None = None


NO_AUTH = AuthTerms()
