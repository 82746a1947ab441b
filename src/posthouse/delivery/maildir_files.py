"""Files of a Maildir: directories, owner, mode and line ends, and the steps that make a message durable.

All work is done relative to open directories.  Where files get another owner, the daemon is root and the owner may
write in the Maildir; then no symbolic link below the fixed part of the path is followed, because such a link could lead
root to write elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

__all__ = ["MaildirFiles", "OwnerFault", "with_lf"]

_FOLDERS = ("tmp", "new", "cur")
_FOLDER_MARK = "maildirfolder"
_NO_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV))
_NO_DIRECTORY_SYNC = frozenset((errno.EINVAL, errno.ENOTSUP, errno.EBADF))
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | getattr(os, "O_CLOEXEC", 0)
_SHARED = 0o755  # mode of missing directories in the fixed part of a path whose Maildirs have another owner


class OwnerFault(Exception):
    """The configured owner cannot be used; the text says why, and what to do."""


def with_lf(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The octets with LF in place of each CRLF, which may be cut between its CR and its LF."""
    held = b""
    for chunk in chunks:
        data = held + chunk
        held = b"\r" if data.endswith(b"\r") else b""
        if held:
            data = data[:-1]
        if data:
            yield data.replace(b"\r\n", b"\n")
    if held:
        yield held


class MaildirFiles(NamedTuple):
    """How the files of a Maildir are written.

    Args:
        crlf: Lines end with CRLF instead of LF.
        mode: Mode of files; directories can also be searched by those who may read.
        owner: ``user`` or ``user:group``, by name or number; "" for the daemon's own.
        base: The fixed part of the path, in which symbolic links are followed; used with an owner only.
    """

    crlf: bool = False
    mode: int = 0o600
    owner: str = ""
    base: str = ""

    def store(
        self, target: str, name: str, chunks: Iterable[bytes], lost: Callable[[], bool], folder: str = ""
    ) -> bool:
        """Write, sync, publish, sync: when this returns, the message is on stable storage in ``new``.

        ``folder`` is the name of a folder below the Maildir, made where it is missing; "" for the Maildir itself.
        False if ``lost`` said so before it was published; nothing is left of it then.  Raises ``OSError`` with the full
        path, and ``OwnerFault``.
        """
        ids = self._ids()
        with contextlib.ExitStack() as opened:
            top = self._open_tree(target, ids, opened)
            if folder:
                top = self._open_below(top, target, folder, ids, opened, follow=not self.owner)
                target = os.path.join(target, folder)
                self._mark_folder(top, target, ids)
            temporary, new, _ = (
                self._open_below(top, target, each, ids, opened, follow=not self.owner) for each in _FOLDERS
            )
            with _paths_in(os.path.join(target, "tmp", name)):
                file = os.open(name, _NEW_FILE, self.mode, dir_fd=temporary)
            try:
                with _paths_in(os.path.join(target, "tmp", name)):
                    self._write(file, chunks, ids)
                if lost():
                    return False
                with _paths_in(os.path.join(target, "new", name)):
                    _publish(name, temporary, new)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=temporary)
            with _paths_in(os.path.join(target, "new")):
                _sync(new)
        return True

    def _ids(self) -> tuple[int, int]:
        """The user and group that new files get; -1 leaves the daemon's own."""
        if not self.owner:
            return -1, -1
        import grp  # not on every system
        import pwd

        user, _, group = self.owner.partition(":")
        try:
            uid = int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid if group else -1
        except KeyError:
            raise OwnerFault(
                f'maildir_owner = "{self.owner}" names a user or group that this system does not have; create it or '
                "correct the setting"
            ) from None
        if os.geteuid() == uid:
            return -1, gid
        if os.geteuid():
            raise OwnerFault(
                f'maildir_owner = "{self.owner}" needs the daemon to run as root, or as that user; start it so or '
                "remove the setting"
            )
        if gid < 0:
            with contextlib.suppress(KeyError):
                gid = pwd.getpwuid(uid).pw_gid
        return uid, gid

    def _write(self, file: int, chunks: Iterable[bytes], ids: tuple[int, int]) -> None:
        with open(file, "wb", buffering=0):
            if ids != (-1, -1):
                os.fchown(file, *ids)
            if self.mode != 0o600:  # else no umask matters
                os.fchmod(file, self.mode)
            for chunk in chunks if self.crlf else with_lf(chunks):
                _write_all(file, chunk)
            os.fsync(file)

    def _open_tree(self, target: str, ids: tuple[int, int], opened: contextlib.ExitStack) -> int:
        """The directory ``target``, made with what is missing above it."""
        base = self.base if self.owner and self.base and target.startswith(os.path.join(self.base, "")) else target
        _make_directory(base, _SHARED if self.owner else self._directory_mode())
        with _paths_in(base):
            directory = os.open(base, _DIRECTORY)
        opened.callback(os.close, directory)
        path = base
        for part in os.path.relpath(target, base).split(os.sep) if base != target else ():
            directory = self._open_below(directory, path, part, ids, opened, follow=False)
            path = os.path.join(path, part)
        return directory

    def _open_below(
        self, parent: int, above: str, name: str, ids: tuple[int, int], opened: contextlib.ExitStack, *, follow: bool
    ) -> int:
        """The directory ``name`` in ``parent``, made if it is missing; ``above`` is the parent's path."""
        flags = _DIRECTORY if follow else _DIRECTORY | _NO_FOLLOW
        with _paths_in(os.path.join(above, name)):
            try:
                directory = os.open(name, flags, dir_fd=parent)
            except FileNotFoundError:
                made = True
                try:
                    os.mkdir(name, self._directory_mode(), dir_fd=parent)
                except FileExistsError:  # another delivery was faster
                    made = False
                directory = os.open(name, flags, dir_fd=parent)
                opened.callback(os.close, directory)
                if made:
                    if ids != (-1, -1):
                        os.fchown(directory, *ids)
                    if self.mode != 0o600:
                        os.fchmod(directory, self._directory_mode())
                    _sync(parent)
            else:
                opened.callback(os.close, directory)
        return directory

    def _mark_folder(self, folder: int, path: str, ids: tuple[int, int]) -> None:
        """Make the empty file by which Maildir++ tells a folder from a Maildir, where it is missing."""
        with _paths_in(os.path.join(path, _FOLDER_MARK)):
            try:
                mark = os.open(_FOLDER_MARK, _NEW_FILE, self.mode, dir_fd=folder)
            except FileExistsError:
                return
            self._write(mark, (), ids)

    def _directory_mode(self) -> int:
        return self.mode | (self.mode & 0o444) >> 2


@contextlib.contextmanager
def _paths_in(path: str) -> Iterator[None]:
    """Names ``path`` in errors: calls on descriptors do not know the full path, which the operator needs."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str) and os.path.isabs(error.filename):
            raise
        raise OSError(error.errno, error.strerror, path) from error


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _publish(name: str, temporary: int, new: int) -> None:
    """Give the file its final place; never over another file, where the file system has links."""
    try:
        os.link(name, name, src_dir_fd=temporary, dst_dir_fd=new, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(name, name, src_dir_fd=temporary, dst_dir_fd=new)


def _make_directory(path: str, mode: int) -> None:
    """Make ``path`` and what is missing above it, each new name synced in its parent."""
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return
    except FileNotFoundError:
        parent = os.path.dirname(path)
        if not parent or parent == path:
            raise
        _make_directory(parent, mode)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, mode)
    if mode != 0o700:
        os.chmod(path, mode)  # whatever the umask is
    directory = os.open(os.path.dirname(path) or ".", _DIRECTORY)
    try:
        _sync(directory)
    finally:
        os.close(directory)


def _sync(directory: int) -> None:
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
