"""The settings of message authentication: who is verified, what is done about a failure, what is signed.

They are part of ``config.model``; ``config.mailauth_zh`` has their texts in Chinese.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from posthouse.protocol.grammar import GrammarError, domain_to_ascii, parse_domain, parse_mailbox
from posthouse.service.config import types
from posthouse.service.config.types import InvalidValue, SettingType, list_of, quoted, several, shown, text_of

__all__ = ["BatvSettings", "DmarcException", "MailauthSettings", "SigningSettings", "VERIFY"]

_VERIFY: Final = ("off", "mark", "enforce")
_FOLDER_NAME: Final = re.compile(r"\.?[^/\x00-\x1f\x7f.][^/\x00-\x1f\x7f]{0,99}")


def _read_verify(raw: object) -> str:
    if raw not in _VERIFY:
        raise InvalidValue(f"{shown(raw)} is not one of the choices", f"write {', '.join(map(quoted, _VERIFY))}")
    return str(raw)


def _read_domain(raw: object) -> str:
    """A domain in A-labels and lower case."""
    text = text_of(raw).strip().removesuffix(".")
    try:
        return domain_to_ascii(parse_domain(text)).lower()
    except GrammarError:
        raise InvalidValue(f"{shown(raw)} is no domain name", 'write one such as "example.org"') from None


def _read_domain_or_nothing(raw: object) -> str:
    return "" if raw == "" else _read_domain(raw)


def _read_domain_or_address(raw: object) -> str:
    """A domain, or an address whose domain is in A-labels and lower case."""
    text = text_of(raw).strip()
    if "@" not in text:
        return _read_domain(text)
    try:
        address = parse_mailbox(text)
        return f"{address.local}@{domain_to_ascii(address.domain).lower()}"
    except GrammarError:
        raise InvalidValue(
            f"{shown(raw)} is no domain or address", 'write one such as "example.org" or "news@example.org"'
        ) from None


def _read_selector(raw: object) -> str:
    text = text_of(raw).strip()
    try:
        return parse_domain(text).lower()
    except GrammarError:
        raise InvalidValue(f"{shown(raw)} is no selector", 'write one such as "20261129"') from None


def _read_folder(raw: object) -> str:
    text = text_of(raw)
    if _FOLDER_NAME.fullmatch(text) is None or text in ("new", "cur", "tmp", ".."):
        raise InvalidValue(f"{shown(raw)} is no folder of a Maildir", 'write one name without "/", such as ".Junk"')
    return text


def _read_lifetime(raw: object) -> float:
    return 0.0 if raw == 0 and not isinstance(raw, bool) else float(types.DURATION.read(raw))


#: "" where the listener's kind decides.
VERIFY: Final = SettingType(
    " or ".join(map(quoted, _VERIFY)), _read_verify, lambda value: quoted(value) if value else ""
)
_DOMAIN: Final = SettingType("domain name", _read_domain, quoted)
_DOMAIN_OR_NOTHING: Final = SettingType("domain name", _read_domain_or_nothing, quoted)
_DOMAINS: Final = SettingType("list of domains", several(_read_domain), list_of(quoted))
_AUTHOR: Final = SettingType("domain or address", _read_domain_or_address, quoted)
_RECIPIENTS: Final = SettingType("list of domains and addresses", several(_read_domain_or_address), list_of(quoted))
_SELECTORS: Final = SettingType("list of selectors", several(_read_selector), list_of(quoted))
_FOLDER: Final = SettingType("name of a folder", _read_folder, quoted)
_LIFETIME: Final = SettingType("duration", _read_lifetime, lambda value: types.DURATION.write(value) if value else "0")


class DmarcException(Struct, frozen=True, kw_only=True):
    """An exception: the DMARC policy that is applied to one author's domain in place of its own."""

    domain: Annotated[str, _DOMAIN, Meta(description="The domain in From, with the domains below it.")]
    policy: Annotated[
        Literal["none", "quarantine", "reject"],
        Meta(description="What is done with mail of this domain that fails DMARC."),
    ] = "none"
    reason: Annotated[str, Meta(description="Why; log and history name it.")]


class SigningSettings(Struct, frozen=True, kw_only=True):
    """How mail of one domain's authors, or of one author, is signed.

    Without any, each domain with keys signs its own mail and that of the domains below it.
    """

    author: Annotated[
        str,
        _AUTHOR,
        Meta(description="The domain in From, with the domains below it, or one address; an address comes first."),
    ]
    domain: Annotated[
        str,
        _DOMAIN_OR_NOTHING,
        Meta(description="The domain that signs (d=); without it, none: this mail is not signed."),
    ] = ""
    selectors: Annotated[
        tuple[str, ...],
        _SELECTORS,
        Meta(description="The keys that sign; without it, the current ones of the domain, one of each algorithm."),
    ] = ()


class BatvSettings(Struct, frozen=True, kw_only=True):
    """A domain whose senders are signed as mail leaves (BATV), to refuse reports about mail that it never sent."""

    domain: Annotated[str, _DOMAIN, Meta(description="A domain of this server.")]
    reports: Annotated[
        Literal["refuse", "accept"],
        Meta(
            description="What is done with a delivery report to an address of the domain that is not signed, or was "
            "signed more than 14 days ago: `refuse` it (550 5.7.1), or `accept` it. Write `accept` for the first 14 "
            "days, because reports about earlier mail are not signed."
        ),
    ] = "refuse"
    unsigned_to: Annotated[
        tuple[str, ...],
        _RECIPIENTS,
        Meta(
            description="Recipients to which mail leaves with its sender as it is: domains, with the domains below "
            "them, and addresses. Mailing lists need it that know their members by the reverse-path."
        ),
    ] = ()


class MailauthSettings(Struct, frozen=True, kw_only=True):
    """Message authentication: SPF, DKIM, DMARC and ARC; see [message authentication](mailauth.md)."""

    verify: Annotated[
        str,
        VERIFY,
        Meta(
            description="What is done with mail from other hosts: `off`, nothing; `mark`, it is verified and gets an "
            "Authentication-Results field; `enforce`, the policy of the author's domain (DMARC) is applied as well. "
            'Without it, `mark` for what other machines send to `mx` listeners, and `off` where a [[domain]] "*" takes '
            "all mail. Trusted networks and logged-in clients are not verified."
        ),
    ] = ""
    authserv_id: Annotated[
        str,
        _DOMAIN,
        Meta(
            description="The name of this server in Authentication-Results (RFC 8601); fields of that name which come "
            "in from others are removed. Without it, `hostname`."
        ),
    ] = ""
    dns_failure: Annotated[
        Literal["accept", "defer"],
        Meta(
            description="Mail whose DMARC result depends on DNS answers that cannot be had now: `accept` it "
            "unverified, or, with `enforce`, `defer` it (451 4.4.3)."
        ),
    ] = "accept"
    dns_time: Annotated[
        float, types.DURATION, Meta(description="How long the DNS questions about one message may take in all.")
    ] = 20.0
    dns_questions: Annotated[
        int,
        types.at_least(1, 10_000),
        Meta(description="DNS questions about messages under way at one time in each worker; others wait."),
    ] = 200
    spf_fail: Annotated[
        Literal["mark", "reject"],
        Meta(
            description="With `enforce`, mail whose SPF result is fail and which neither DMARC nor a trusted sealer "
            "clears: `mark` leaves it to DMARC, `reject` refuses it (550 5.7.23). Forwarded mail often fails SPF."
        ),
    ] = "mark"
    quarantine: Annotated[
        Literal["hold", "header", "folder"],
        Meta(
            description="What is done with mail that DMARC quarantines: `hold`, it is accepted and held until an "
            "operator decides; `header`, it is delivered with a Quarantine field at its top, to be sorted by; "
            "`folder`, it has that field and goes into `quarantine_folder` of Maildirs."
        ),
    ] = "hold"
    quarantine_folder: Annotated[
        str,
        _FOLDER,
        Meta(
            description="The folder of a Maildir that quarantined mail goes to: a directory in the Maildir, made where "
            "it is missing. Maildir++ has `.Junk`, Dovecot's `LAYOUT=fs` has `Junk`."
        ),
    ] = ".Junk"
    trusted_sealers: Annotated[
        tuple[str, ...],
        _DOMAINS,
        Meta(
            description="Domains of forwarders whose ARC seal is trusted: mail that passed authentication there is not "
            "refused or quarantined for what forwarding has broken (RFC 8617)."
        ),
    ] = ()
    received_spf: Annotated[
        bool, Meta(description="Whether verified mail also gets a Received-SPF field (RFC 7208 §9.1).")
    ] = False
    exception: tuple[DmarcException, ...] = ()
    sign: Annotated[
        bool,
        Meta(description="Whether submitted mail is signed (DKIM) where there is a key for the author's domain."),
    ] = True
    keys: Annotated[
        str,
        types.DIRECTORY,
        Meta(description="The directory of the keys, see `posthouse dkim`; without it, `dkim` in `data_dir`."),
    ] = ""
    expires: Annotated[
        float,
        _LIFETIME,
        Meta(description="How long a signature counts (x=); 0: it does not expire."),
    ] = 0.0
    signing: tuple[SigningSettings, ...] = ()
    seal: Annotated[
        bool,
        Meta(
            description="Whether verified mail that aliases, lists or moved mailboxes send on to other servers is "
            "sealed (ARC) where `hostname`'s domain has a key."
        ),
    ] = True
    srs_domain: Annotated[
        str,
        _DOMAIN,
        Meta(
            description="The domain of this server whose addresses replace the sender of mail that is sent on (SRS), "
            "so that SPF passes at the next server; delivery reports to them go home. Without it, senders are kept."
        ),
    ] = ""
    batv: tuple[BatvSettings, ...] = ()
    reports: Annotated[
        bool,
        Meta(description="Whether the owners of domains who ask for aggregate reports are sent them daily (RFC 9990)."),
    ] = False
    failure_reports: Annotated[
        int,
        types.at_least(0, 1_000),
        Meta(
            description="How many failure reports a day each destination gets at most, where the owner of a domain "
            "asks for them (`ruf`, RFC 9991): one about one message, with its header fields and without the addresses "
            "of others; 0: none are sent."
        ),
    ] = 0
    report_sender: Annotated[
        str,
        _AUTHOR,
        Meta(description="The author of aggregate and failure reports; without it, `dmarc-reports` at `hostname`."),
    ] = ""
