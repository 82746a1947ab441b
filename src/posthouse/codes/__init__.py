"""The catalogue of SMTP reply codes: what each code means, in English and Chinese.

The data is large, so each name is imported at its first use: a session that only carries codes does not pay for their
texts.
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
