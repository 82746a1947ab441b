"""Catalogue of SMTP commands, reply codes and enhanced status codes, with their meanings in English and Chinese.

The catalogue is large, so each name is imported at its first use; sending and receiving do not need it.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.codes.code_lookup import (
        ALL_BASIC,
        ALL_ENHANCED,
        REGISTRY,
        explain_enhanced,
        explain_reply,
        guess_enhanced,
        guess_reply,
        lookup,
        near,
        sentence,
    )
    from posthouse.codes.command_words import ALL_COMMANDS, CommandEntry, command
    from posthouse.codes.dialogue import Live, Said, annotate
    from posthouse.codes.known_refusals import KNOWN_REFUSALS, KnownRefusal, known_refusal, known_refusal_in
    from posthouse.codes.leniencies import LENIENCIES, LeniencyEntry, remark_in_brief, remark_text
    from posthouse.codes.model import BasicCode, EnhancedCode, Registration, Text, Whose

__all__ = [
    "ALL_BASIC",
    "ALL_COMMANDS",
    "ALL_ENHANCED",
    "BasicCode",
    "CommandEntry",
    "EnhancedCode",
    "KNOWN_REFUSALS",
    "KnownRefusal",
    "LENIENCIES",
    "LeniencyEntry",
    "Live",
    "REGISTRY",
    "Registration",
    "Said",
    "Text",
    "Whose",
    "annotate",
    "command",
    "explain_enhanced",
    "explain_reply",
    "guess_enhanced",
    "guess_reply",
    "known_refusal",
    "known_refusal_in",
    "lookup",
    "near",
    "remark_in_brief",
    "remark_text",
    "sentence",
]

__getattr__ = lazily(
    __name__,
    {
        "command_words": "ALL_COMMANDS CommandEntry command",
        "dialogue": "Live Said annotate",
        "known_refusals": "KNOWN_REFUSALS KnownRefusal known_refusal known_refusal_in",
        "leniencies": "LENIENCIES LeniencyEntry remark_in_brief remark_text",
        "code_lookup": "ALL_BASIC ALL_ENHANCED REGISTRY explain_enhanced explain_reply guess_enhanced guess_reply"
        " lookup near sentence",
        "model": "BasicCode EnhancedCode Registration Text Whose",
    },
)
