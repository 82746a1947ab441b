"""Reverse-paths of mail that is sent on (SRS): rewritten when it leaves, and led home when a report comes back.

The queue keeps the sender that the message came with: so reports that this host writes go to it at once, and a change
of the configuration counts for queued mail.  The rewriting is done at the attempt (``delivery.SmtpDeliverer``), for
recipients that an alias or a moved mailbox has led to, at domains of others, unless the sender is one of ours.

The secrets are in ``srs-secrets`` in the data directory (mode 0600), which all workers share.  One that is older than
``ROTATE`` seconds gets a successor, which is accepted from the beginning and signs from the next day on, when every
worker has read it; old ones are accepted as long as an address of theirs may come back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from posthouse.core import Address, Envelope, SettingError, StorageError
from posthouse.mailauth.srs import Srs, SrsStatus
from posthouse.net import Clock
from posthouse.service.config.model import Config
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = ["ROTATE", "ReversePaths", "SrsSecret", "SrsSecrets"]

#: Seconds after which a secret gets a successor.
ROTATE: Final = 90 * 86_400.0
_DAY: Final = 86_400.0
_LIFE: Final = 21  # days for which an address counts
_LOOK_AGAIN: Final = 3_600.0  # seconds between two looks at the file
_FILE_AT_MOST: Final = 16_384
_NAME: Final = "srs-secrets"


class SrsSecret(NamedTuple):
    """One secret, and when it was made (calendar seconds)."""

    made: float
    secret: str

    def __repr__(self) -> str:
        return f"SrsSecret({self.made})"  # logs show repr


class SrsSecrets:
    """The file of secrets in a data directory.  Methods read and write it, under a lock among processes."""

    def __init__(self, data_dir: str) -> None:
        self.path = Path(data_dir) / _NAME

    def current(self, now: float) -> tuple[SrsSecret, ...]:
        """The secrets, that which signs first; a new one is made where it is time.

        Raises ``StorageError``, and ``SettingError`` if the file has another form.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                found = self._read()
                kept = [each for each in found if now - each.made < ROTATE + (_LIFE + 2) * _DAY]
                if not kept or now - max(each.made for each in kept) >= ROTATE:
                    kept.append(SrsSecret(now, secrets.token_urlsafe(24)))
                if kept != found:
                    self._write(kept)
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be read and written ({error.strerror}); see that the daemon's user may do both"
            ) from error
        # The newest that every worker has read by now; at the beginning there is one only.
        signing = max((each for each in kept if now - each.made >= _DAY), default=min(kept))
        return (signing, *(each for each in reversed(kept) if each != signing))

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

    def _read(self) -> list[SrsSecret]:
        try:
            text = self.path.read_bytes()[:_FILE_AT_MOST].decode("ascii")
            lines = (line.split() for line in text.splitlines() if line.strip())
            return sorted(SrsSecret(float(made), secret) for made, secret in lines)
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise SettingError(
                "the secrets of SRS cannot be read",
                where=str(self.path),
                remedy="take the file away; reports about mail that was sent on before then do not come home",
            ) from error

    def _write(self, found: list[SrsSecret]) -> None:
        fresh = f"{self.path}.new"
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.writelines(f"{each.made:.0f} {each.secret}\n" for each in found)
            file.flush()
            os.fsync(file.fileno())
            leave_to_owner(fresh, file.fileno())
        os.replace(fresh, self.path)


class ReversePaths:
    """The rewriting of one configuration; before ``load`` it does nothing."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._secrets = SrsSecrets(config.data_dir)
        self._domain = config.mailauth.srs_domain
        self._ours: Collection[str] = {config.hostname.lower(), *(each.name for each in config.domain)}
        self._clock = clock
        self._srs: Srs | None = None
        self._looked = 0.0

    def load(self) -> None:
        """Read the secrets, and make one where it is time.  Raises ``StorageError`` and ``SettingError``."""
        now = self._clock.time()
        found = self._secrets.current(now)
        self._srs = Srs(self._domain, [each.secret for each in found], days=_LIFE)
        self._looked = self._clock.monotonic()

    @property
    def stale(self) -> bool:
        """Whether it is time to ``load`` again."""
        return self._clock.monotonic() - self._looked >= _LOOK_AGAIN

    def leaving(self, envelope: Envelope) -> Envelope:
        """The envelope under which a message leaves for another server."""
        srs, sender = self._srs, envelope.sender
        if srs is None or sender is None or not sender.domain or sender.domain.lower() in self._ours:
            return envelope
        if not any(each.originals and each.address.domain.lower() not in self._ours for each in envelope.recipients):
            return envelope
        return envelope._replace(sender=srs.forward(sender, self._clock.time()))

    def home(self, address: Address) -> Address | None:
        """The address that an address of ours stands for; None if it is no SRS address, or not one of ours in time."""
        if self._srs is None:
            return None
        found = self._srs.reverse(address, self._clock.time())
        return found.address if found.status is SrsStatus.HOME else None
