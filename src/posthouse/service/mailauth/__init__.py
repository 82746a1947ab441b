"""Message authentication in the daemon: verification as content arrives, signing of what is submitted, keys, DNS."""

from __future__ import annotations

__all__: list[str] = []
