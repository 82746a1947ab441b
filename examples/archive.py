"""Delivery to your own function: each message becomes a file, named by its digest.

    PYTHONPATH=examples ARCHIVE=/tmp/archive posthouse run --config examples/archive.toml --data-dir /tmp/posthouse

The daemon calls ``keep`` once for each recipient.  Returning means *delivered*.  After a crash the daemon may call
it again with the same message; the new file then replaces the old one, because its name is a digest of recipient and
content.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from posthouse import Content, Defer, Envelope, Reject


def keep(envelope: Envelope, message: Content) -> None:
    """A plain function, so it runs in a thread and may wait for the disk."""
    address = envelope.recipients[0].address
    if address.local.startswith("no-"):
        raise Reject("nobody reads this mailbox")  # a permanent failure; the sender gets a delivery report
    digest = hashlib.sha256(address.key.encode())
    for chunk in message.chunks():
        digest.update(chunk)
    try:
        store(Path(os.environ["ARCHIVE"]), f"{digest.hexdigest()[:32]}.eml", message)
    except OSError as error:
        raise Defer(f"the archive is not available: {error.strerror}") from error  # the daemon tries again later


def store(directory: Path, name: str, message: Content) -> None:
    """Return when the file and its name are on the disk."""
    directory.mkdir(parents=True, exist_ok=True)
    part = directory / f"{name}.part"
    with part.open("wb") as file:
        for chunk in message.chunks():
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    part.rename(directory / name)
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
