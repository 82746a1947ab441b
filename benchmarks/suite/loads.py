"""The loads: a fixed number of messages, timed from the first connection to the last answer."""

from __future__ import annotations

import shutil
import subprocess
import time

from suite.peers import Absent

__all__ = ["smtp_source"]


def smtp_source(
    port: int,
    messages: int,
    *,
    sessions: int = 20,
    size: int = 4096,
    to: str = "someone@hold.test",
    keep: bool = True,
    recipients: int = 1,
    limit: float = 60.0,
) -> float:
    """Seconds that smtp-source took; ``keep`` reuses the sessions, otherwise each message has its own connection."""
    if shutil.which("smtp-source") is None:
        raise Absent("smtp-source is not here: apt-get install postfix")
    command = ["smtp-source", "-s", str(sessions), "-m", str(messages), "-l", str(size), "-r", str(recipients)]
    command += ["-f", "load@src.test", "-t", to, *(["-d"] if keep else []), f"127.0.0.1:{port}"]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    taken = time.perf_counter() - begun
    if done.returncode != 0:
        raise RuntimeError(f"smtp-source failed: {done.stderr.strip()[-500:]}")
    return taken
