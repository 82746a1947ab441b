"""Catalogue of SMTP reply codes and enhanced status codes, with their meanings in English and Chinese.

The catalogue is large, so each name is imported at its first use; sending and receiving do not need it.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.codes.lookup import (
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
    from posthouse.codes.model import BasicCode, EnhancedCode, Registration, Text, Whose

__all__ = [
    "ALL_BASIC",
    "ALL_ENHANCED",
    "BasicCode",
    "EnhancedCode",
    "REGISTRY",
    "Registration",
    "Text",
    "Whose",
    "explain_enhanced",
    "explain_reply",
    "guess_enhanced",
    "guess_reply",
    "lookup",
    "near",
    "sentence",
]

__getattr__ = lazily(
    __name__,
    {
        "lookup": "ALL_BASIC ALL_ENHANCED REGISTRY explain_enhanced explain_reply guess_enhanced guess_reply"
        " lookup near sentence",
        "model": "BasicCode EnhancedCode Registration Text Whose",
    },
)
