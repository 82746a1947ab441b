"""Values of an Authentication-Results field (RFC 8601 §2.2), and which of them a reader may use (§4.1).

A consumer must ignore methods, result words and property types that it does not know (RFC 8601 §2.3, §4.1), because
their meaning may be the opposite of what they look like.  ``AuthenticationResults.usable`` does that by the tables of
this module, which follow the IANA registry "Email Authentication Parameters".
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["AuthenticationResults", "MethodResult", "RESULT_WORDS", "ResultProperty"]

_COMMON: Final = frozenset(("none", "pass", "fail", "temperror", "permerror"))
_SIGNATURE: Final = _COMMON | {"policy", "neutral"}
_SENDER: Final = _SIGNATURE | {"softfail"}

#: Method → its registered results (RFC 8601 §2.7, RFC 9989 §9.2, RFC 8617 §10.1, and the other registrations).
RESULT_WORDS: Final[dict[str, frozenset[str]]] = {
    "arc": frozenset(("none", "pass", "fail")),
    "auth": _COMMON,
    "bimi": frozenset(("pass", "none", "fail", "temperror", "declined", "skipped")),
    "dkim": _SIGNATURE,
    "dkim-adsp": frozenset(("none", "pass", "unknown", "fail", "discard", "nxdomain", "temperror", "permerror")),
    "dkim-atps": frozenset(("none", "pass", "fail", "temperror", "permerror", "neutral")),
    "dmarc": _COMMON,
    "dnswl": frozenset(("none", "pass", "temperror", "permerror")),
    "domainkeys": _SIGNATURE,
    "iprev": frozenset(("pass", "fail", "temperror", "permerror")),
    "rrvs": frozenset(("none", "pass", "fail", "unknown", "temperror", "permerror")),
    "sender-id": _SENDER,
    "smime": _SIGNATURE,
    "spf": _SENDER,
    "vbr": _COMMON,
}
_PROPERTY_TYPES: Final = frozenset(("smtp", "header", "body", "policy", "dns", "tls"))


class ResultProperty(NamedTuple):
    """What a method looked at: ``smtp.mailfrom=example.org`` is ``("smtp", "mailfrom", "example.org")``."""

    ptype: str
    name: str
    value: str


class MethodResult(NamedTuple):
    """The result of one method.

    Args:
        method: ``spf``, ``dkim``, ``dmarc``, ``arc`` …, in lower case.
        result: ``pass``, ``fail`` …, in lower case.
        properties: What was looked at, in the field's order.
        reason: The text of ``reason=``, "" without it.
        comment: The comment behind the result word, without parentheses; "" without one.
        version: The version of the method.
    """

    method: str
    result: str
    properties: tuple[ResultProperty, ...] = ()
    reason: str = ""
    comment: str = ""
    version: int = 1

    def property(self, ptype: str, name: str) -> str:
        """The value of the first property of that type and name, "" without one."""
        return next((each.value for each in self.properties if each.ptype == ptype and each.name == name), "")


class AuthenticationResults(NamedTuple):
    """What one host found out about a message (RFC 8601 §2.2).

    Args:
        authserv_id: The name of the authentication service that writes the field, usually a host's or a domain.
        results: One for each statement; none for ``none``: no method was applied.
        version: The version of the field's syntax; ``results`` is empty for a version other than 1.
    """

    authserv_id: str
    results: tuple[MethodResult, ...] = ()
    version: int = 1

    def of(self, method: str) -> tuple[MethodResult, ...]:
        """The results of that method."""
        return tuple(each for each in self.results if each.method == method)

    def usable(self) -> AuthenticationResults:
        """The same without what a consumer must ignore (RFC 8601 §2.6, §4.1): results of unknown methods, of versions
        other than 1, with unknown result words, and properties of unknown types."""
        kept = (
            each._replace(properties=tuple(found for found in each.properties if found.ptype in _PROPERTY_TYPES))
            for each in self.results
            if each.version == 1 and each.result in RESULT_WORDS.get(each.method, ())
        )
        return self._replace(results=tuple(kept))
