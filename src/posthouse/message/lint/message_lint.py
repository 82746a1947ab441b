"""Lint of a message: all rules applied to it."""

from __future__ import annotations

from posthouse.message.lint.body_rules import check_body
from posthouse.message.lint.bulk_rules import check_bulk, looks_like_bulk
from posthouse.message.lint.finding import Finding
from posthouse.message.lint.header_rules import check_header
from posthouse.message.lint.linted import LintedMessage
from posthouse.message.reading import ReadMessage, Source, read

__all__ = ["lint_message"]


def lint_message(
    source: Source | ReadMessage, *, now: float | None = None, bulk: bool | None = None
) -> tuple[Finding, ...]:
    """Check a message against the standards and what large receivers demand; returns what was found, by line.

    Args:
        source: The message: its octets, an open binary file, the path of a file, or a message that was read.
        now: The time, seconds since 1970, by which its date is judged; None leaves that out.
        bulk: Whether it goes to many, so that it needs one-click unsubscription; None where it says so itself (List-…
            fields, ``Precedence: bulk``).

    Raises:
        OSError: The file cannot be read.
        LocalError: The source is text and not octets.
    """
    message = source if isinstance(source, ReadMessage) else read(source)
    linted = LintedMessage(message, now)
    check_header(linted)
    check_body(linted)
    if looks_like_bulk(linted) if bulk is None else bulk:
        check_bulk(linted)
    return tuple(sorted(linted.findings.found, key=lambda finding: finding.line))
