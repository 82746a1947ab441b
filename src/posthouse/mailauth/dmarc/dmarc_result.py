"""The result of DMARC: the word, what is to be done with the message, and what both follow from."""

from __future__ import annotations

from typing import Literal, NamedTuple

from posthouse.mailauth.dmarc.dmarc_record import DmarcPolicy, DmarcRecord, PolicyTag

__all__ = ["DmarcResult", "DmarcWord"]

DmarcWord = Literal["pass", "fail", "none", "temperror", "permerror"]
"""The results of RFC 9989 §9.2."""


class DmarcResult(NamedTuple):
    """What DMARC says of a message.

    Args:
        result: ``pass``: an aligned identifier was authenticated.  ``fail``: none was.  ``none``: there is no policy
            for the author's domain, or one without effect.  ``temperror``: the DNS did not answer, and the result
            depends on it.  ``permerror``: the message has no readable author.
        author_domain: The domain in From, in lower case and A-labels; "" if there is none.
        disposition: What the domain's owner wants to be done with this message: ``none`` unless the result is
            ``fail``, and one level milder than ``policy`` where the record says that it is being tested (t=y).  The
            receiver decides.
        policy: The policy that the record has for the author's domain; "" without a record.
        policy_tag: The tag that the policy comes from: ``p``, ``sp`` or ``np``; "" without a record.
        policy_domain: The domain whose record counts; "" without a record.
        organizational_domain: That of the author's domain; "" where it was not needed.
        record: The record that counts, None without one.
        spf_aligned: SPF passed for an aligned domain.
        dkim_aligned: A signature of an aligned domain passed.
        aligned: The domains that were authenticated and are aligned.
        exists: Whether the author's domain exists in the DNS; None where that was not asked.
        reason: One sentence that says why.
        remarks: What is wrong with the records, in sentences.
        authors: For a message with several author domains, the result of each; the fields above are those of the
            result that counts.  Empty for a message with one.
    """

    result: DmarcWord
    author_domain: str
    disposition: DmarcPolicy = "none"
    policy: DmarcPolicy | Literal[""] = ""
    policy_tag: PolicyTag | Literal[""] = ""
    policy_domain: str = ""
    organizational_domain: str = ""
    record: DmarcRecord | None = None
    spf_aligned: bool = False
    dkim_aligned: bool = False
    aligned: tuple[str, ...] = ()
    exists: bool | None = None
    reason: str = ""
    remarks: tuple[str, ...] = ()
    authors: tuple[DmarcResult, ...] = ()

    @property
    def properties(self) -> tuple[tuple[str, str], ...]:
        """The properties of RFC 9989 §9.1: header.from, and policy.dmarc where there is a policy."""
        found = (("header.from", self.author_domain),) if self.author_domain else ()
        return (*found, ("policy.dmarc", self.disposition)) if self.policy else found
