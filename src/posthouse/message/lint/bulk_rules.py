"""Lint rules for bulk mail: what large receivers demand of it since 2024 (RFC 2369, RFC 8058)."""

from __future__ import annotations

import re
from typing import Final

from posthouse.message.lint.linted import LintedMessage

__all__ = ["check_bulk", "looks_like_bulk"]

_BULK_FIELDS: Final = ("list-unsubscribe", "list-unsubscribe-post", "list-id", "list-post", "feedback-id")
_BULK_WORDS: Final = ("bulk", "list")
_URL: Final = re.compile(r"<([^<>\s]{1,2000})>")
_SIGNED: Final = re.compile(r"(?i)(?:^|;)\s*h\s*=\s*([^;]*)")
_ONE_CLICK: Final = "list-unsubscribe=one-click"


def looks_like_bulk(linted: LintedMessage) -> bool:
    """Whether the message says itself that it goes to many."""
    return any(linted.all(name) for name in _BULK_FIELDS) or any(
        field.value.strip().lower() in _BULK_WORDS for field in linted.all("precedence")
    )


def check_bulk(linted: LintedMessage) -> None:
    """Apply the rules."""
    findings = linted.findings
    unsubscribe = linted.all("list-unsubscribe")
    post = linted.all("list-unsubscribe-post")
    if not unsubscribe:
        findings.error(
            "no-unsubscribe",
            1,
            "There is no List-Unsubscribe field; large receivers refuse bulk mail without it.",
            "Add List-Unsubscribe with an https URL, and List-Unsubscribe-Post: List-Unsubscribe=One-Click.",
            "RFC 8058 §3.1",
        )
        return
    field = unsubscribe[0]
    line = linted.line_of(field)
    urls = _URL.findall(field.value)
    if not urls:
        findings.error(
            "bad-unsubscribe",
            line,
            "List-Unsubscribe names no URL in angle brackets.",
            "Write it as <https://example.com/unsubscribe/…>, <mailto:…>.",
            "RFC 2369 §2",
        )
    https = [url for url in urls if url.lower().startswith("https:")]
    if not post:
        findings.error(
            "no-one-click",
            line,
            "There is no List-Unsubscribe-Post field; Gmail and Yahoo ask bulk senders for it.",
            "Add List-Unsubscribe-Post: List-Unsubscribe=One-Click, and take a POST at the URL.",
            "RFC 8058 §3.1",
        )
    else:
        if "".join(post[0].value.lower().split()) != _ONE_CLICK:
            findings.error(
                "bad-one-click",
                linted.line_of(post[0]),
                f"List-Unsubscribe-Post has the value {post[0].value[:60]!r}.",
                "Write exactly List-Unsubscribe=One-Click.",
                "RFC 8058 §3.1",
            )
        if not https:
            findings.error(
                "no-https-unsubscribe",
                line,
                "One-click unsubscription needs an https URL in List-Unsubscribe.",
                "Add one that identifies the recipient and takes a POST.",
                "RFC 8058 §3.1",
            )
    _signature(linted, line, one_click=bool(post))


def _signature(linted: LintedMessage, line: int, *, one_click: bool) -> None:
    signatures = linted.all("dkim-signature")
    if not signatures or not one_click:
        return
    signed = [
        {name.strip().lower() for name in match[1].split(":")}
        for field in signatures
        if (match := _SIGNED.search("".join(field.value.split()))) is not None
    ]
    if not any({"list-unsubscribe", "list-unsubscribe-post"} <= names for names in signed):
        linted.findings.error(
            "unsigned-unsubscribe",
            line,
            "No DKIM signature covers List-Unsubscribe and List-Unsubscribe-Post; receivers ignore them.",
            "Name both fields in h= of a signature.",
            "RFC 8058 §4",
        )
