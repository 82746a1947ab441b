"""Secrets of reverse-paths (SRS, BATV): made by the daemon, renewed on schedule, shared by all workers.

They are in files of the data directory (mode 0600).  A secret that is older than ``ROTATE`` seconds gets a successor,
which is accepted from the beginning and signs from the next day on, when every worker has read it; old ones are
accepted as long as an address of theirs may come back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from posthouse.core import SettingError, StorageError
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = ["PathSecret", "PathSecrets", "ROTATE"]

#: Seconds after which a secret gets a successor.
ROTATE: Final = 90 * 86_400.0
_DAY: Final = 86_400.0
_FILE_AT_MOST: Final = 16_384


class PathSecret(NamedTuple):
    """One secret, and when it was made (calendar seconds)."""

    made: float
    secret: str

    def __repr__(self) -> str:
        return f"PathSecret({self.made})"  # logs show repr


class PathSecrets:
    """The file of secrets in a data directory.  Methods read and write it, under a lock among processes.

    Args:
        data_dir: The data directory.
        name: The file's name.
        life: How many days an address counts that was made with a secret.
    """

    def __init__(self, data_dir: str, name: str, life: int) -> None:
        self.path = Path(data_dir) / name
        self._kept = ROTATE + (life + 2) * _DAY

    def current(self, now: float) -> tuple[PathSecret, ...]:
        """The secrets, that which signs first; a new one is made where it is time.

        Raises ``StorageError``, and ``SettingError`` if the file has another form.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                found = self._read()
                kept = [each for each in found if now - each.made < self._kept]
                if not kept or now - max(each.made for each in kept) >= ROTATE:
                    kept.append(PathSecret(now, secrets.token_urlsafe(24)))
                if kept != found:
                    self._write(kept)
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be read and written ({error.strerror}); see that the daemon's user may do both"
            ) from error
        # The newest that every worker has read by now; at the beginning there is one only.
        signing = max((each for each in kept if now - each.made >= _DAY), default=min(kept))
        return (signing, *(each for each in reversed(kept) if each != signing))

    def found(self) -> tuple[PathSecret, ...]:
        """The secrets that there are, in no order that counts; none if they cannot be read."""
        try:
            return tuple(self._read())
        except (OSError, SettingError):
            return ()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        handle = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with contextlib.suppress(OSError):
                leave_to_owner(f"{self.path}.lock", handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _read(self) -> list[PathSecret]:
        try:
            text = self.path.read_bytes()[:_FILE_AT_MOST].decode("ascii")
            lines = (line.split() for line in text.splitlines() if line.strip())
            return sorted(PathSecret(float(made), secret) for made, secret in lines)
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise SettingError(
                f"the secrets in {self.path.name} cannot be read",
                where=str(self.path),
                remedy="take the file away; reports about mail that was sent on before then do not come home",
            ) from error

    def _write(self, found: list[PathSecret]) -> None:
        fresh = f"{self.path}.new"
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.writelines(f"{each.made:.0f} {each.secret}\n" for each in found)
            file.flush()
            os.fsync(file.fileno())
            leave_to_owner(fresh, file.fileno())
        os.replace(fresh, self.path)
