"""Message authentication in the daemon: verification as content arrives, signing of what is submitted, keys, DNS.

Over budget: one module for each part of verification, signing, reverse-paths and reports.
"""

from __future__ import annotations

__all__: list[str] = []
