"""Authenticated Received Chain (RFC 8617): validation and sealing."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.mailauth.arc.arc_fields import ArcSet
    from posthouse.mailauth.arc.arc_result import ArcResult, sealed_results, vouching_set
    from posthouse.mailauth.arc.arc_validation import ArcVerifier, verify_arc
    from posthouse.mailauth.arc.sealing import ArcSealer, SealingOptions, seal_arc

__all__ = [
    "ArcResult",
    "ArcSealer",
    "ArcSet",
    "ArcVerifier",
    "SealingOptions",
    "seal_arc",
    "sealed_results",
    "verify_arc",
    "vouching_set",
]

__getattr__ = lazily(
    __name__,
    {
        "arc_fields": "ArcSet",
        "arc_result": "ArcResult sealed_results vouching_set",
        "arc_validation": "ArcVerifier verify_arc",
        "sealing": "ArcSealer SealingOptions seal_arc",
    },
)
