"""A message with signatures in front of it (DKIM, RFC 6376): what ``Message.sign`` gives.

The signatures are made by ``posthouse.mailauth``, which stands above this package: its function is looked up when the
first message is signed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast
from zlib import crc32

from posthouse.core import Envelope, LocalError, Prefixed
from posthouse.message.composing.frozen import FrozenValue

if TYPE_CHECKING:
    import os

__all__ = ["Signable", "SignedMessage", "SigningKey"]

#: ``module:object`` of the function that gives the fields for a message in chunks and keys.
_SIGN_DKIM: Final = "posthouse.mailauth.dkim.signing:sign_dkim"


class SigningKey(Protocol):
    """A key of a domain, ``posthouse.mailauth.DkimKey``."""

    @property
    def domain(self) -> str:
        """The domain that signs (``d=``)."""
        ...

    @property
    def selector(self) -> str:
        """The name under which the domain's DNS has the key (``s=``)."""
        ...

    def sign(self, octets: bytes) -> bytes:
        """The signature of these octets."""
        ...


class _Rendered(Protocol):
    """The part of a ``Message`` that is needed here."""

    @property
    def envelope(self) -> Envelope: ...

    @property
    def size(self) -> int: ...

    def chunks(self, at_most: int = ...) -> Iterator[bytes]: ...


class SignedMessage:
    """A message as it was signed.  It is sent like a ``Message``; a change would break its signature.

    An attachment that was given as a ``Path`` is read again when the message is sent: the file must be as it was.
    """

    __slots__ = ("_checksum", "_content", "envelope", "signature_fields")

    def __init__(self, message: _Rendered, signature_fields: bytes) -> None:
        self._content = Prefixed(signature_fields, message)
        self._checksum = 0  # CRC-32 of the octets
        for chunk in self._content.chunks():
            self._checksum = crc32(chunk, self._checksum)
        #: The DKIM-Signature fields, each with its CRLF.
        self.signature_fields = signature_fields
        #: The envelope of the message, with its size.
        self.envelope = message.envelope._replace(size=self._content.size)

    @property
    def size(self) -> int:
        """Length in octets."""
        return self._content.size

    def chunks(self, at_most: int = 65_536) -> Iterator[bytes]:
        """The octets in chunks.  Raises ``LocalError`` before the last one if an attached file cannot be read or is not
        as it was, so that no message leaves whose signature is broken."""
        checksum = 0
        held = b""
        for chunk in self._content.chunks(at_most):
            checksum = crc32(chunk, checksum)
            if held:
                yield held
            held = chunk
        if checksum != self._checksum:
            raise LocalError("an attached file has changed since the message was signed; sign the message again")
        yield held

    def as_bytes(self) -> bytes:
        """The octets of the message."""
        return b"".join(self.chunks())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the message to a file (.eml).  Raises ``OSError``, and ``LocalError`` as ``chunks``."""
        with open(path, "wb") as file:
            file.writelines(self.chunks())

    def __repr__(self) -> str:
        return f"<SignedMessage of {self.size} octets to {len(self.envelope.recipients)} recipients>"


class Signable(FrozenValue):
    """What ``Message`` has for signing."""

    __slots__ = ()

    def sign(self, *, dkim: SigningKey | Sequence[SigningKey] | Callable[[Iterable[bytes]], bytes]) -> SignedMessage:
        """The message with a DKIM signature (RFC 6376) for each key in front of it.

        Args:
            dkim: A ``posthouse.mailauth.DkimKey``, or several (RSA and Ed25519: RFC 8463 §6); or a function that gets
                the chunks of the message and returns the fields, for other options of ``sign_dkim``.

        Raises:
            LocalError: There is no recipient, or an attached file cannot be read.
        """
        rendered = cast(_Rendered, self)
        if callable(dkim):
            return SignedMessage(rendered, dkim(rendered.chunks()))
        module, _, name = _SIGN_DKIM.partition(":")
        made: bytes = getattr(import_module(module), name)(rendered.chunks(), dkim)
        return SignedMessage(rendered, made)
