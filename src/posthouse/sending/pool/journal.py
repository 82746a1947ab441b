"""Journal of a series of messages: what was about to be sent, and what became of it, on stable storage.

A file of JSON lines.  Before messages are sent, a line with the *intent* of each is written and synced; when they have
ended, a line with the *outcome* of each recipient.  So a program that dies in the middle leaves, for each message, one
of three states:

    no intent                 it was not sent
    intent without outcome    *ambiguous*: it may have been sent, and is not sent again
    outcome                   delivered and failed recipients are done; deferred ones are tried again by the next run

A line that the crash has torn is the last, and has no line end; it is cut off.  What it was about is sent then only if
it was an intent, because nothing is sent before its intent is complete on the disk.

One process at a time uses a journal (``flock``; systems without it do not check).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import IO, Any, Final

from posthouse.core import Envelope, LocalError, Outcome, Recipient, Result, path_text

__all__ = ["Journal", "digest_of", "results_of"]

_HEADER: Final = {"posthouse": "journal", "version": 1}
_LINE: Final = 16_777_216  # octets of the longest line that is read
_DEFERRED: Final = Result.DEFERRED.value
_AMBIGUOUS: Final = Result.AMBIGUOUS.value


class _Known:
    """What a journal knows of one message."""

    __slots__ = ("about", "open", "outcomes")

    def __init__(self, about: str) -> None:
        self.about = about
        self.open = True  # an intent without its outcome
        self.outcomes: dict[str, str] = {}


class Journal:
    """The journal at ``path``, which is made if it is not there.  Use it with ``with``.

    Raises ``LocalError`` if the file is no journal, is damaged, or is in use; ``OSError`` if it cannot be read or
    written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._known: dict[str, _Known] = {}
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        self._file: IO[bytes] = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise

    # -- reading -------------------------------------------------------------------------------------------------------

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalError(f"the journal {self._path} is in use by another run; wait for its end") from None

    def _read(self) -> None:
        good = 0
        number = 0
        with open(self._path, "rb") as lines:
            while line := lines.readline(_LINE):
                number += 1
                if not line.endswith(b"\n"):
                    if len(line) >= _LINE:
                        raise self._damaged(number)
                    break  # torn by a crash
                good += len(line)
                self._note(line, number)
        if not number or good == 0:
            self._file.truncate(0)
            self._file.seek(0)
            self._write([_HEADER])
            _sync_folder(self._path)
            return
        self._file.truncate(good)
        self._file.seek(good)

    def _note(self, line: bytes, number: int) -> None:
        try:
            entry = json.loads(line)
            if number == 1:
                if entry != _HEADER:
                    raise LocalError(f"{self._path} is no journal of this version; name a file that is not there yet")
                return
            key, about = entry["key"], entry.get("about")
            if about is not None:
                self._known.setdefault(key, _Known(about)).open = True
                return
            known, outcomes = self._known[key], entry["outcomes"]
            known.outcomes.update({address: Result(result).value for address, result in outcomes.items()})
            known.open = False
        except LocalError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._damaged(number) from None

    def _damaged(self, number: int) -> LocalError:
        return LocalError(f"line {number} of the journal {self._path} is damaged; restore the file, or begin a new one")

    # -- what it knows -------------------------------------------------------------------------------------------------

    def check(self, key: str, envelope: Envelope) -> None:
        """Raise ``LocalError`` if the journal has another message under this key."""
        known = self._known.get(key)
        if known is not None and known.about != digest_of(envelope):
            raise LocalError(
                f"the journal {self._path} has another message under {key}: sender or recipients differ; give the same "
                "messages in the same order as before, give key=, or begin a new journal"
            )

    def left(self, key: str, envelope: Envelope) -> tuple[tuple[Recipient, ...], tuple[Recipient, ...]]:
        """The recipients that are still to be tried, and those that are ambiguous; those that are done are neither."""
        known = self._known.get(key)
        if known is None:
            return envelope.recipients, ()
        if known.open:
            return (), envelope.recipients
        results = {each: known.outcomes.get(path_text(each.address), _DEFERRED) for each in envelope.recipients}
        return (
            tuple(each for each, result in results.items() if result == _DEFERRED),
            tuple(each for each, result in results.items() if result == _AMBIGUOUS),
        )

    def __len__(self) -> int:
        """How many messages it knows."""
        return len(self._known)

    # -- writing -------------------------------------------------------------------------------------------------------

    def intend(self, messages: Iterable[tuple[str, Envelope]]) -> None:
        """These messages are about to be sent.  They are on stable storage when this returns."""
        entries = []
        for key, envelope in messages:
            # A second attempt has only some of the recipients; the message is still known by all of them.
            known = self._known.setdefault(key, _Known(digest_of(envelope)))
            known.open = True
            entries.append({"key": key, "about": known.about})
        self._write(entries)

    def settle(self, messages: Iterable[tuple[str, Mapping[str, str]]]) -> None:
        """These messages have ended: address → result, as ``results_of`` gives them; no address if nothing was tried.
        On stable storage when this returns."""
        entries = []
        for key, outcomes in messages:
            known = self._known[key]
            known.outcomes.update(outcomes)
            known.open = False
            entries.append({"key": key, "outcomes": dict(outcomes)})
        self._write(entries)

    def _write(self, entries: list[dict[str, Any]]) -> None:
        if entries:
            data = b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in entries)
            while data:
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; another run may use it then."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def digest_of(envelope: Envelope) -> str:
    """A short text that two envelopes share only if sender and recipients are the same."""
    every = [envelope.sender, *(each.address for each in envelope.recipients)]
    text = "\0".join("" if each is None else path_text(each) for each in every)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def results_of(outcomes: Iterable[Outcome]) -> dict[str, str]:
    """Address → result, as a journal keeps it."""
    return {path_text(each.recipient.address): each.result.value for each in outcomes}


def _sync_folder(path: str) -> None:
    """Make the name of a new file durable, where folders can be synced."""
    try:
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(folder)
    except OSError:
        pass
    finally:
        os.close(folder)
