"""The texts of the story of a message."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "story.title": ("Story of {id}", "邮件 {id} 的经过"),
        "story.now": ("Now", "现在"),
        "story.dialogue": ("Dialogue with {peer}", "与 {peer} 的会话"),
    }
)
