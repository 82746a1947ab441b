"""File descriptors of this process: their limit, and whether any is left.

A socket, a file and a pipe each take one.  The soft limit of many systems, 1,024, is older than event loops; a process
may raise it up to the hard limit by itself.
"""

from __future__ import annotations

import os
import sys

__all__ = ["exhausted", "raise_limit"]

if sys.platform != "win32":
    import resource

    def raise_limit(wanted: int) -> int:
        """Raise the soft limit to ``wanted`` if it is lower and the system allows it; returns the limit in force."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        unlimited = resource.RLIM_INFINITY
        if soft != unlimited and soft < wanted:
            target = wanted if hard == unlimited else min(wanted, hard)
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
                soft = target
            except (OSError, ValueError):  # macOS has a limit below the one that it tells
                pass
        return sys.maxsize if soft == unlimited else soft

else:

    def raise_limit(wanted: int) -> int:
        """There is no such limit on Windows."""
        return sys.maxsize


def exhausted() -> bool:
    """Whether this process cannot open one more file now."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return True
    return False
