"""Key store: the DKIM keys of this server, a directory for each domain with a PEM file for each selector.

``DIRECTORY/example.org/20261129r.pem`` is the private key with the selector ``20261129r``; directories have the mode
0700 and files 0600.  ``schedule.json`` beside the keys says when each was made and from when on it signs; a key that it
does not name (copied here from another signer) was made when its file was, and signs from the start.

*Rotation.*  A new key is made some days before it signs, so that its record is in every DNS cache by then.  From that
moment the older key of the same algorithm no longer signs; its record stays published for ``KEEP`` seconds more,
because mail that it has signed is still under way, and then the key can go.  So the state of a key follows from the
times alone, and nothing has to run at the moment of the change.

Keys are read by threads or commands, never on the path of a message: ``service.mailauth.signers`` holds them in memory.
"""

from __future__ import annotations

import contextlib
import datetime
import enum
import errno
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from posthouse.core import PosthouseError, SettingError, StorageError
from posthouse.mailauth.dkim import DkimKey, zone_lines
from posthouse.mailauth.dkim.keys import KeyKind
from posthouse.protocol.grammar import GrammarError, domain_to_ascii, parse_domain
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = [
    "ALGORITHMS",
    "KEEP",
    "KeyState",
    "KeyStore",
    "LEAD",
    "StoredKey",
    "directory_of",
    "state_of",
    "unusable_keys",
    "zone_text",
]

#: Seconds before a new key signs: longer than records stay in caches.
LEAD: Final = 2 * 86_400.0
#: Seconds for which the record of a key that no longer signs stays published: longer than mail is under way.
KEEP: Final = 14 * 86_400.0
#: The algorithms of new keys, with the letter that ends their selectors.
ALGORITHMS: Final[Mapping[KeyKind, str]] = {"rsa": "r", "ed25519": "e"}

_SCHEDULE: Final = "schedule.json"
_EXAMPLE: Final = "write one such as example.org"
_FILE_AT_MOST: Final = 65_536
_MOST_DOMAINS: Final = 10_000
_MOST_KEYS: Final = 100  # of one domain


class KeyState(enum.StrEnum):
    """What a key is used for at a moment."""

    NEXT = "next"  # its record is to be published; it does not sign yet
    SIGNING = "signing"
    RETIRED = "retired"  # it does not sign any more; its record stays
    REMOVABLE = "removable"  # its record and its file can go


class StoredKey(NamedTuple):
    """One key of the store.

    Attributes:
        algorithm: ``rsa`` or ``ed25519``.
        bits: The size of an RSA key; 256 for Ed25519.
        made: When it was made; like ``signs`` in calendar seconds.
        signs: From when on it signs.
        path: Its PEM file.
        record: The text of its DNS record.
        exposed: Whether other users of the machine may read the file.
    """

    domain: str
    selector: str
    algorithm: str
    bits: int
    made: float
    signs: float
    path: str
    record: str
    exposed: bool = False

    @property
    def record_name(self) -> str:
        """The name of its DNS record."""
        return f"{self.selector}._domainkey.{self.domain}"


def directory_of(data_dir: str, configured: str = "") -> str:
    """The directory of the keys: as configured, else ``dkim`` in the data directory."""
    return configured or os.path.join(data_dir, "dkim")


def unusable_keys(directory: str) -> Iterator[str]:
    """A sentence about each domain with a key that cannot be read.  A file that this user may not read is none: the
    daemon may be another user."""
    store = KeyStore(directory)
    try:
        domains = store.domains()
    except StorageError:
        return
    for domain in domains:
        try:
            store.keys(domain)
        except PosthouseError as error:
            if not isinstance(error.__cause__, PermissionError):
                yield f"DKIM: {error}; as it is, mail of {domain} is signed with its other keys alone, if any."


def state_of(key: StoredKey, keys: Sequence[StoredKey], now: float) -> tuple[KeyState, float]:
    """The state of a key among the ``keys`` of its domain, and until when it lasts; 0.0: until a rotation.

    The state of the newest key of an algorithm whose time has come is SIGNING; the older ones are RETIRED for ``KEEP``
    seconds from the moment at which their successor began to sign.
    """
    if key.signs > now:
        return KeyState.NEXT, key.signs
    later = [each for each in keys if each.algorithm == key.algorithm and _order(each) > _order(key)]
    begun = [each.signs for each in later if each.signs <= now]
    if begun:
        end = min(begun) + KEEP
        return (KeyState.RETIRED, end) if now < end else (KeyState.REMOVABLE, 0.0)
    return KeyState.SIGNING, min((each.signs for each in later), default=0.0)


def _order(key: StoredKey) -> tuple[float, float, str]:
    return key.signs, key.made, key.selector


def zone_text(key: StoredKey) -> str:
    """The record as a zone file has it."""
    return zone_lines(key.record_name, key.record).rstrip("\n")


class KeyStore:
    """The keys below one directory.  Methods read or write files.

    Raises ``StorageError`` where the system fails, and ``SettingError`` for a file that is no key.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def domains(self) -> list[str]:
        """The domains that have a directory here, sorted."""
        try:
            with os.scandir(self.directory) as entries:
                found = [each.name for each in entries if each.is_dir() and _is_domain(each.name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self.directory, error) from error
        return sorted(found)[:_MOST_DOMAINS]

    def keys(self, domain: str, *, usable: bool = False) -> tuple[StoredKey, ...]:
        """The keys of a domain, oldest first; with ``usable``, a file that cannot be read or is no key is left out."""
        folder = self.directory / _checked(domain)
        schedule = self._schedule(folder)
        found = []
        try:
            names = sorted(each for each in os.listdir(folder) if each.endswith(".pem") and not each.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise _unreadable(folder, error) from error
        for name in names[:_MOST_KEYS]:
            path = folder / name
            try:
                key = self._load(folder.name, path)
                mode, changed = _mode_and_time(path)
            except PosthouseError:
                if usable:
                    continue
                raise
            made, signs = schedule.get(path.stem, (changed, 0.0))
            exposed = bool(mode & (stat.S_IRWXG | stat.S_IRWXO))
            found.append(_stored(key, made, signs, path, exposed=exposed))
        return tuple(sorted(found, key=_order))

    def generate(self, domain: str, algorithm: KeyKind, now: float, *, signs: float, selector: str = "") -> StoredKey:
        """Make a key that signs from the time ``signs`` on.  Without a ``selector`` it is the date and a letter.

        Raises ``SettingError`` if the selector is taken or cannot be one.
        """
        folder = self.directory / _checked(domain)
        if selector:
            _checked_selector(selector)
        self._make(folder)
        selector = selector or _free_selector(folder, now, ALGORITHMS[algorithm])
        path = folder / f"{selector}.pem"
        key = DkimKey.generate(folder.name, selector, algorithm)
        schedule = self._schedule(folder)
        schedule[selector] = (now, signs)
        self._write_schedule(folder, schedule)  # first: a key that the schedule does not name would sign at once
        try:
            with _whole(path, replace=False) as file:
                file.write(key.pem())
        except FileExistsError as error:
            raise SettingError(
                f"there is a key {selector} of {folder.name} already", remedy="give another --selector"
            ) from error
        except OSError as error:
            raise _unwritable(path, error) from error
        return _stored(key, now, signs, path, exposed=False)

    def signing_key(self, key: StoredKey) -> DkimKey:
        """The private key of one of the keys."""
        return self._load(key.domain, Path(key.path))

    def remove(self, key: StoredKey) -> None:
        """Delete the file of a key and forget its times."""
        folder = self.directory / _checked(key.domain)
        try:
            os.unlink(key.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _unwritable(Path(key.path), error) from error
        schedule = self._schedule(folder)
        if schedule.pop(key.selector, None) is not None:
            self._write_schedule(folder, schedule)

    def stamp(self) -> tuple[tuple[str, int], ...]:
        """What changes when a key is made, removed or replaced: the time of change of each directory."""
        found = []
        for path in (self.directory, *(self.directory / each for each in self.domains())):
            with contextlib.suppress(OSError):
                found.append((str(path), os.stat(path).st_mtime_ns))
        return tuple(found)

    # -- files -------------------------------------------------------------------------------------------------------

    def _make(self, folder: Path) -> None:
        for each in (self.directory, folder):
            try:
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
                leave_to_owner(str(each))
            except OSError as error:
                raise _unwritable(each, error) from error

    def _load(self, domain: str, path: Path) -> DkimKey:
        try:
            with open(path, "rb") as file:
                octets = file.read(_FILE_AT_MOST)
        except OSError as error:
            raise _unreadable(path, error) from error
        try:
            return DkimKey.from_pem(domain, path.stem, octets)
        except SettingError as error:
            raise SettingError(error.message, where=str(path), remedy=error.remedy) from error

    def _schedule(self, folder: Path) -> dict[str, tuple[float, float]]:
        """Selector → (made, signs)."""
        path = folder / _SCHEDULE
        try:
            with open(path, "rb") as file:
                table = json.loads(file.read(_FILE_AT_MOST))
            return {str(name): (float(each["made"]), float(each["signs"])) for name, each in table.items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _unreadable(path, error) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SettingError(
                "the times of the keys cannot be read",
                where=str(path),
                remedy="take the file away; every key beside it then signs, the newest of each algorithm first",
            ) from error

    def _write_schedule(self, folder: Path, schedule: Mapping[str, tuple[float, float]]) -> None:
        path = folder / _SCHEDULE
        table: dict[str, Any] = {
            name: {"made": made, "signs": signs} for name, (made, signs) in sorted(schedule.items())
        }
        try:
            with _whole(path) as file:
                file.write(json.dumps(table, indent=1).encode() + b"\n")
        except OSError as error:
            raise _unwritable(path, error) from error


@contextlib.contextmanager
def _whole(path: Path, *, replace: bool = True) -> Iterator[Any]:
    """A new file that gets the name ``path`` when it is whole: a part of a key stops the domain's other keys.

    Raises ``FileExistsError`` where the name is taken and ``replace`` is false.
    """
    handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            leave_to_owner(name, file.fileno())
        if replace:
            os.replace(name, path)
        else:
            os.link(name, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _stored(key: DkimKey, made: float, signs: float, path: Path, *, exposed: bool) -> StoredKey:
    return StoredKey(
        key.domain, key.selector, key.kind, key.bits, made, signs, str(path), key.record(), exposed=exposed
    )


def _free_selector(folder: Path, now: float, letter: str) -> str:
    date = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y%m%d")
    for number in range(1, _MOST_KEYS):
        selector = f"{date}{letter}{number if number > 1 else ''}"
        if not (folder / f"{selector}.pem").exists():
            return selector
    raise SettingError(
        f"{_MOST_KEYS - 1} keys of {folder.name} were made today", remedy="remove those that are not used"
    )


def _is_domain(name: str) -> bool:
    try:
        return "." in name and domain_to_ascii(name) == name
    except GrammarError:
        return False


def _checked(domain: str) -> str:
    try:
        name = domain_to_ascii(domain.removesuffix("."))
    except GrammarError as error:
        raise SettingError(f'"{domain}" is no domain name', remedy=_EXAMPLE) from error
    if "." not in name:
        raise SettingError(f'"{domain}" is no domain name with two labels or more', remedy=_EXAMPLE)
    return name


def _checked_selector(selector: str) -> None:
    try:
        if parse_domain(selector) == selector and selector.isascii():
            return
    except GrammarError:
        pass
    raise SettingError(
        f'"{selector}" cannot be a selector', remedy='write lower-case letters, digits and "-", as in 20261129r'
    )


def _mode_and_time(path: Path) -> tuple[int, float]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return found.st_mode, found.st_mtime


def _unreadable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path} cannot be read ({error.strerror}); see that the daemon's user may read it")


def _unwritable(path: Path, error: OSError) -> StorageError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "make room there" if full else "see that the daemon's user may write there"
    return StorageError(f"{path} cannot be written ({error.strerror}); {remedy}")
