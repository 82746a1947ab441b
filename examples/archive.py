"""Delivery to a function of one's own: each letter becomes a file named for what it is.

    PYTHONPATH=examples ARCHIVE=/tmp/archive posthouse run --config examples/archive.toml --data-dir /tmp/house

The daemon calls ``keep`` once for each recipient.  Returning means *delivered*.  After a crash the same letter may come
again; it then replaces its own file, as the name is made of the recipient and the content.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from posthouse import Content, Defer, Envelope, Reject


def keep(envelope: Envelope, letter: Content) -> None:
    """A plain function, so it runs in a thread and may wait for the disk."""
    address = envelope.recipients[0].address
    if address.local.startswith("no-"):
        raise Reject("nobody reads this mailbox")  # for good; the sender is told
    digest = hashlib.sha256(address.key.encode())
    for piece in letter.chunks():
        digest.update(piece)
    try:
        store(Path(os.environ["ARCHIVE"]), f"{digest.hexdigest()[:32]}.eml", letter)
    except OSError as error:
        raise Defer(f"the archive is not available: {error.strerror}") from error  # it will be tried again


def store(directory: Path, name: str, letter: Content) -> None:
    """Return when the file and its name are on the disk."""
    directory.mkdir(parents=True, exist_ok=True)
    part = directory / f"{name}.part"
    with part.open("wb") as file:
        for piece in letter.chunks():
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    part.rename(directory / name)
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
