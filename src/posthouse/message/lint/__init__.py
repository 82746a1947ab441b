"""Lint of a message against RFC 5322, RFC 2045–2049, RFC 2047, RFC 6854, RFC 8058 and what large receivers ask for."""

from posthouse.message.lint.finding import Finding, Level
from posthouse.message.lint.message_lint import lint_message

__all__ = ["Finding", "Level", "lint_message"]
