"""Certificate of this process's sandboxes: made once, at the first use of TLS, and removed with the process."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from posthouse.core import SettingError

__all__ = ["sandbox_certificate"]

_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_lock = threading.Lock()
_made: list[str] = []


def sandbox_certificate() -> str:
    """The path of a certificate for localhost with its key (PEM), which signed itself.

    Raises ``SettingError`` if the library that makes certificates is not installed.
    """
    from posthouse.net.certificates import make_self_signed

    with _lock:
        if not _made:
            folder = tempfile.mkdtemp(prefix="posthouse-sandbox-")
            try:
                pair, _ = make_self_signed(_NAMES, Path(folder), time.time(), days=30)
            except ImportError as error:
                os.rmdir(folder)
                remedy = "install it (pip install cryptography), or give a certificate of your own (certificate=…)"
                raise SettingError("TLS in a sandbox needs the package cryptography", remedy=remedy) from error
            atexit.register(_remove, folder, os.getpid())
            _made.append(pair.certificate)
        return _made[0]


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:  # and not a fork of it
        shutil.rmtree(folder, ignore_errors=True)
