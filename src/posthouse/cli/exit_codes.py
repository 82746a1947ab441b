"""Exit codes, as sysexits.h has them, and the exit code of each class of error."""

from __future__ import annotations

import errno
from typing import Final

__all__ = [
    "CONFIG",
    "CommandFailed",
    "DATAERR",
    "IOERR",
    "MEANINGS",
    "NOHOST",
    "NOINPUT",
    "NOPERM",
    "OK",
    "PIPE",
    "PROTOCOL",
    "SIGNALLED",
    "SOFTWARE",
    "TEMPFAIL",
    "UNAVAILABLE",
    "USAGE",
    "of",
    "remedy",
]

OK: Final = 0
USAGE: Final = 64
DATAERR: Final = 65
NOINPUT: Final = 66
NOHOST: Final = 68
UNAVAILABLE: Final = 69
SOFTWARE: Final = 70
IOERR: Final = 74
TEMPFAIL: Final = 75
PROTOCOL: Final = 76
NOPERM: Final = 77
CONFIG: Final = 78
SIGNALLED: Final = 130
PIPE: Final = 141

#: The meaning of each code, for the manual.
MEANINGS: Final[dict[int, str]] = {
    OK: "done",
    USAGE: "the command line is wrong",
    DATAERR: "an argument (an address, a code, a message) is wrong, or is not UTF-8",
    NOINPUT: "a file that was named cannot be read, the configuration among them",
    NOHOST: "there is no such host",
    UNAVAILABLE: "something needed is not available: a server, a port, a recipient",
    SOFTWARE: "an error in Posthouse itself",
    IOERR: "a disk failed or is full, or the output cannot be written",
    TEMPFAIL: "a temporary failure, or a daemon that does not answer; try again later",
    PROTOCOL: "the other side broke the protocol",
    NOPERM: "not permitted, or the server refused the login",
    CONFIG: "the configuration is wrong",
    SIGNALLED: "interrupted",
    PIPE: "the reader of the output has gone",
}


_LATER: Final = "try again later"
_CLOSED: Final = "see whether the host is up; a firewall may close this port, as many networks do with port 25"
#: What to do about a connection that could not be opened, by the system's error.
_UNREACHABLE: Final[dict[int, str]] = {
    errno.ETIMEDOUT: _CLOSED,
    errno.EHOSTUNREACH: _CLOSED,
    errno.ENETUNREACH: "see whether this machine has a network",
    errno.ENOENT: "start the server, or correct the path",
    errno.EACCES: "have the socket's owner let this user in, or run the command as that user",
    errno.EPERM: "let it pass the firewall",
    errno.EMFILE: _LATER,
    errno.ENFILE: _LATER,
    errno.EAGAIN: _LATER,
}


class CommandFailed(Exception):
    """A command failed: one sentence (cause and remedy), and the exit code."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


def remedy(error: BaseException) -> str:
    """What a person can do about a server that was not reached, or is none for mail; "" for any other error."""
    from posthouse.core import Broken, RemoteError, TimedOut, TlsFailed, Unreachable
    from posthouse.sending import NoSuchHost, SessionRefused, TlsUnavailable

    if isinstance(error, NoSuchHost):
        return "see whether the name is written right"
    if isinstance(error, Unreachable):
        number = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
        return _UNREACHABLE.get(number or 0, "see whether a server runs there, and whether this port is the one")
    if isinstance(error, SessionRefused | TlsUnavailable) and error.reply is not None:
        return _LATER if error.reply.transient else "its operator can say why"
    if type(error) is TlsFailed:
        return "its operator can say why; nothing was sent without TLS"
    if type(error) is Broken:
        return "see whether this port is one for mail and whether the server lets this machine in"
    if type(error) is TimedOut:
        return _CLOSED
    return "see whether this port is one for mail" if type(error) is RemoteError else ""


def of(error: BaseException) -> int:
    """The exit code of an error; ``SOFTWARE`` for one that is not among the expected classes."""
    if isinstance(error, CommandFailed):
        return error.code
    from posthouse import core

    if (
        isinstance(error, core.SettingError)
        and isinstance(error.__cause__, PermissionError)
        and error.__cause__.filename
    ):
        return NOPERM  # a file; a port that may not be opened is unavailable
    if isinstance(error, core.SettingError):
        if hasattr(error, "problems"):
            return NOINPUT if isinstance(error.__cause__, OSError) else CONFIG
        # A setting that is valid and cannot be had: a port, a directory.
        return UNAVAILABLE if isinstance(error.__cause__, OSError) else DATAERR
    from posthouse.sending import (
        LoginFailed,
        LoginRefused,
        NoMechanism,
        NoSuchHost,
        SessionRefused,
        TlsUnavailable,
        WrongDoor,
    )

    if isinstance(error, SessionRefused | TlsUnavailable | LoginFailed) and not isinstance(error, NoMechanism):
        if error.reply is not None and error.reply.transient:
            return TEMPFAIL
        return NOPERM if isinstance(error, LoginRefused) else UNAVAILABLE
    kinds: tuple[tuple[type[BaseException], int], ...] = (
        (NoSuchHost, NOHOST),
        (core.Unreachable, UNAVAILABLE),
        (core.CertificateRefused, UNAVAILABLE),
        (WrongDoor, DATAERR),
        (NoMechanism, UNAVAILABLE),
        (core.NetworkError, TEMPFAIL),
        (core.RemoteError, PROTOCOL),
        (core.StorageBusy, TEMPFAIL),
        (core.StorageError, IOERR),
        (core.LocalError, DATAERR),
        (FileNotFoundError, NOINPUT),
        (PermissionError, NOPERM),
        (OSError, IOERR),
    )
    return next((code for kind, code in kinds if isinstance(error, kind)), SOFTWARE)
