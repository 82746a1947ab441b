"""Texts of message authentication: verdicts as sentences, and Chinese for its reasons, findings and advice."""

from __future__ import annotations

__all__: list[str] = []
