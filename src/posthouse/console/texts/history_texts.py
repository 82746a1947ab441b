"""The texts of the history of a message."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "history.title": ("History of {id}", "邮件 {id} 的经过"),
        "history.now": ("Now", "现在"),
        "history.session": ("The session by which it came", "送来此邮件的会话"),
        "history.dialogue": ("Dialogue with {peer}", "与 {peer} 的会话"),
    }
)
