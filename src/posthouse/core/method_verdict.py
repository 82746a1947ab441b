"""A method's verdict: what SPF, DKIM, DMARC or ARC said of a message that came in (RFC 8601 §2.7)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MethodVerdict"]


class MethodVerdict(NamedTuple):
    """The verdict of one method about one message, as histories keep it.

    Args:
        method: ``spf``, ``dkim``, ``dmarc`` or ``arc``.
        result: The word of RFC 8601: pass, fail, softfail, neutral, none, temperror, permerror, policy.
        domain: The domain that was judged; "" if there was none.
        reason: What decided it, in words.
        policy: Of ``dmarc``: what the domain's owner asks for (none, quarantine, reject), or an exception does; "" of
            other methods.
    """

    method: str
    result: str
    domain: str = ""
    reason: str = ""
    policy: str = ""

    def __str__(self) -> str:
        """One word for logs: ``spf=pass``, ``dmarc=fail(reject)``."""
        return f"{self.method}={self.result}({self.policy})" if self.policy else f"{self.method}={self.result}"
