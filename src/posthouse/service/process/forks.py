"""Child processes that an operator's own code forks: they must not hold what belongs to the daemon.

A child of ``os.fork`` or ``multiprocessing`` inherits every descriptor.  With a listening socket it would keep a port
from the next daemon, with a client's connection it would hide its end from the client, with a lock file it would make a
dead process look alive, and with the signal pipe of the event loop a signal to the child would stop the daemon.  So in
each child, descriptors that lead into ``data_dir`` and sockets at the listeners' addresses are replaced by
``/dev/null``, pipes to the parent are closed, and signals have their default actions.  Other descriptors stay: the
child may need them.  Children that run another program (``subprocess``) inherit none of them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Callable, Iterable, Iterator

from posthouse.net import Endpoint
from posthouse.net.system import endpoint_of
from posthouse.service.process import signals

__all__ = ["private", "watched"]

#: What each daemon of this process holds: its directory, and a function that gives the addresses of its listeners.
_daemons: dict[str, Callable[[], Iterable[Endpoint]]] = {}
#: Descriptors of this process that no child may hold.
private: set[int] = set()
_registered = False


@contextlib.contextmanager
def watched(data_dir: str, addresses: Callable[[], Iterable[Endpoint]]) -> Iterator[None]:
    """While the context lasts, children give up what belongs to the daemon on ``data_dir``."""
    global _registered
    if not _registered and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_in_child)
        _registered = True
    _daemons[os.path.realpath(data_dir)] = addresses
    try:
        yield
    finally:
        _daemons.pop(os.path.realpath(data_dir), None)


def _in_child() -> None:
    if not _daemons:
        return
    signals.reset()
    directories = tuple(_daemons)
    places = {each for addresses in _daemons.values() for each in addresses()}
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in _open_descriptors():
        with contextlib.suppress(OSError):
            if descriptor in private or (descriptor > 2 and _is_ours(descriptor, directories, places)):
                # The number stays taken, so that an object that still has it cannot touch a file opened later.
                os.dup2(null, descriptor, inheritable=False)
    os.close(null)
    _daemons.clear()
    private.clear()


def _open_descriptors() -> list[int]:
    for directory in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return [int(each) for each in os.listdir(directory)]
    return list(range(3, 4096))


def _is_ours(descriptor: int, directories: tuple[str, ...], places: set[Endpoint]) -> bool:
    """Whether a descriptor leads into a directory, or is a socket at one of the addresses."""
    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            local = endpoint_of(sock.getsockname())
        if local.is_path:
            return local in places or _is_below(local.host, directories)
        everywhere = (Endpoint("0.0.0.0", local.port), Endpoint("::", local.port))
        return bool(local.port) and (local in places or any(each in places for each in everywhere))
    with contextlib.suppress(OSError):
        return _is_below(os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(" (deleted)"), directories)
    return False


def _is_below(path: str, directories: tuple[str, ...]) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in directories)
