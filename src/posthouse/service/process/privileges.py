"""The user of the daemon: ports are opened and keys are read as root, then the process becomes another user for good.

Whatever belongs to the new user is made so before: its ``data_dir``.  What cannot be done is found before anything has
been opened, where that is possible.  A process that is this user already has nothing to do.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
from collections.abc import Iterator
from typing import NamedTuple

from posthouse.core import SettingError
from posthouse.spool.sqlite.storage.data_dir import make_data_dir
from posthouse.spool.sqlite.storage.durability import Durable

__all__ = [
    "Identity",
    "become",
    "files_at_start",
    "give_data_dir",
    "identity_of",
    "named_identity",
    "refuse_foreign_files",
    "user_and_number",
]


class Identity(NamedTuple):
    """A user of this machine, with the groups that its processes have."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    def __str__(self) -> str:
        return f"{self.name} (uid {self.uid})" if self.name != str(self.uid) else f"uid {self.uid}"


def identity_of(user: str, group: str) -> Identity | None:
    """The user that the process is to become; None if that is the one it is, or none is named.

    Raises ``SettingError`` if there is no such user or group, or if this process may not become it.
    """
    if not user:
        return None
    identity = named_identity(user, group)
    if os.geteuid() == identity.uid:
        if group and os.getegid() != identity.gid:
            raise SettingError(
                f"this process runs as {identity} with another group than {group}, and may not change it",
                where="group",
                remedy="leave group out, or start it as root",
            )
        return None
    if os.geteuid() != 0:
        raise SettingError(
            f"this process runs as {user_and_number(os.geteuid())} and may not become {identity}",
            where="user",
            remedy="start it as root, or leave user out (where systemd or a container chooses the user already)",
        )
    return identity


def named_identity(user: str, group: str) -> Identity:
    """The user of this name or number.  Raises ``SettingError`` if there is no such user or group."""
    name, uid, gid, home = _user(user)
    if group:
        gid = _group(group)
    elif gid is None:
        raise SettingError(f"user {user} is not in the user database", where="user", remedy="write group as well")
    groups = os.getgrouplist(name, gid) if name != str(uid) else [gid]
    return Identity(name, uid, gid, tuple(sorted(set(groups))), home)


def _user(user: str) -> tuple[str, int, int | None, str]:
    """Name, number, main group and home; a number may stand for a user that has no name."""
    try:
        found = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        if user.isdigit() and int(user) < 2**32 - 1:
            return user, int(user), None, "/"
        remedy = f"create it (useradd --system {user}), or name another"
        raise SettingError(f"there is no user {user} on this machine", where="user", remedy=remedy) from None
    return found.pw_name, found.pw_uid, found.pw_gid, found.pw_dir


def _group(group: str) -> int:
    if group.isdigit() and int(group) < 2**32 - 1:
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        remedy = f"create it (groupadd --system {group}), or name another"
        raise SettingError(f"there is no group {group} on this machine", where="group", remedy=remedy) from None


def user_and_number(uid: int) -> str:
    """A user for a sentence: ``ann (uid 1000)``."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def give_data_dir(path: str, identity: Identity) -> None:
    """Make the data directory for a user, if it is missing.

    Raises ``SettingError`` if it cannot be made, or if something in it is another's.
    """
    path = os.path.abspath(path)
    missing = []
    at = path
    while not os.path.lexists(at):
        missing.append(at)
        at = os.path.dirname(at)
    try:
        make_data_dir(path, Durable())
        for each in missing:
            os.chown(each, identity.uid, identity.gid)
    except OSError as error:
        raise SettingError(
            f"the data directory cannot be made: {error.strerror or error}",
            where=path,
            remedy="set data_dir to a directory on a local disk",
        ) from error
    refuse_foreign_files(path, identity)


def refuse_foreign_files(path: str, identity: Identity) -> None:
    """Raise ``SettingError`` if something in a data directory is not this user's."""
    for each in files_at_start(path):
        with contextlib.suppress(FileNotFoundError):
            owner = os.lstat(each).st_uid
            if owner != identity.uid:
                raise SettingError(
                    f"{each} belongs to {user_and_number(owner)}, and the daemon is to run as {identity}",
                    where=path,
                    remedy=f"give all of it to that user: chown -R {identity.name} {path}",
                )


def files_at_start(path: str) -> Iterator[str]:
    """The data directory and what every start needs in it; content is not looked through."""
    yield path
    spool = os.path.join(path, "spool")
    for folder in (path, spool, os.path.join(spool, "owners"), os.path.join(path, "tls")):
        with contextlib.suppress(OSError):
            yield from (os.path.join(folder, name) for name in sorted(os.listdir(folder)))


def become(identity: Identity) -> None:
    """Make this process that of another user, with its groups and its HOME; there is no way back.

    Raises ``SettingError`` if the system does not allow it, or if the user could not read this program.
    """
    try:
        os.setgroups(identity.groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno == errno.EPERM:
            why = "it lacks CAP_SETUID or CAP_SETGID"
        raise SettingError(
            f"this process may not become {identity}: {why}",
            where="user",
            remedy="grant both, or leave user out and have the process started as that user",
        ) from error
    os.environ.update(HOME=identity.home, USER=identity.name, LOGNAME=identity.name)
    unreadable = _unreadable_program()
    if unreadable:
        raise SettingError(
            f"{identity} may not read the program in {unreadable}",
            where="user",
            remedy="install it where that user can read it, for example in /opt",
        )


def _unreadable_program() -> str:
    """A directory of this program, or of Python, that this user may not read; "" if there is none."""
    import posthouse

    for module in (posthouse, os):
        folder = os.path.dirname(os.path.abspath(module.__file__ or ""))
        if not os.access(folder, os.R_OK | os.X_OK):
            return folder
    return ""
