"""The machine and the software of a run: processor, time of a disk sync, versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from posthouse.core._mypyc import compiled

__all__ = ["describe", "raise_file_limit", "versions"]


def describe() -> dict[str, str]:
    """Processor, system, time to sync 4 KiB to the file system of the spools, and load of the last minute."""
    place = Path(tempfile.gettempdir())
    libc = " ".join(platform.libc_ver()).strip()
    return {
        "processor": _processor(),
        "processors": str(os.cpu_count() or 1),
        "system": f"{platform.system()} {platform.machine()}" + (f", {libc}" if libc else ""),
        "file system": _file_system(place),
        "sync": f"{_sync(place) * 1000:.2f} ms",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _file_system(place: Path) -> str:
    """The type of the file system that holds ``place``, or ""."""
    best = ("", "")
    try:
        for line in Path("/proc/mounts").read_text().splitlines():
            _, point, kind, *_ = line.split()
            if place.is_relative_to(point) and len(point) >= len(best[0]):
                best = (point, kind)
    except OSError:
        pass
    return best[1]


def _sync(place: Path, times: int = 50) -> float:
    """Seconds to append 4 KiB and sync; the median."""
    found = []
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(times):
            begun = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            found.append(time.perf_counter() - begun)
    return statistics.median(found)


def versions() -> dict[str, str]:
    """Name → version of the installed software that takes part."""
    found = {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
    for name in ("posthouse", "uvloop", "aiosmtpd", "aiosmtplib"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if compiled():
        found["posthouse"] += ", compiled"
    commit = _output("git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD")
    if commit:
        found["posthouse"] += f" ({commit})"
    postfix = _output("postconf", "-h", "mail_version")
    if postfix:
        found["Postfix, smtp-source, smtp-sink"] = postfix
    return found


def _output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def raise_file_limit() -> int:
    """Raise the limit of open files of this process and its children to the hard limit; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 30
