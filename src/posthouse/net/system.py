"""Socket addresses, listening sockets and error numbers of the operating system.

An ``OSError`` becomes an error of Posthouse here, with a sentence that names the cause and often a remedy.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import cast

from posthouse.core import Broken, LocalError, NetworkError, SettingError, TimedOut, Unreachable
from posthouse.net.stream import Endpoint

__all__ = [
    "address_of",
    "broken_by",
    "ended_by",
    "endpoint_of",
    "listening_socket",
    "new_socket",
    "not_listening",
    "reserved_socket",
    "unreachable",
]


def endpoint_of(name: object) -> Endpoint:
    """A socket address of the system as an ``Endpoint``.

    A socket of both families gives IPv4 addresses as ``::ffff:192.0.2.1``; they become what rules and logs know.
    """
    if isinstance(name, tuple):
        host: str = name[0]
        if host[:7] == "::ffff:" and "." in host:
            host = host[7:]
        return Endpoint(host, name[1])
    if isinstance(name, bytes):  # Linux's abstract names
        return Endpoint(os.fsdecode(name))
    return Endpoint(name) if isinstance(name, str) else Endpoint("")


def address_of(endpoint: Endpoint) -> tuple[int, tuple[str, int] | tuple[str, int, int, int] | str]:
    """Family and system address.  Never asks the DNS.

    Raises ``LocalError`` if the host is neither an IP address nor a path.
    """
    if endpoint.is_path:
        return socket.AF_UNIX, endpoint.host
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    # A str would pass through Python's IDNA codec, which costs time; no address needs it.
    host = endpoint.host.encode("ascii") if endpoint.host.isascii() else endpoint.host
    try:
        found = socket.getaddrinfo(host, endpoint.port, type=socket.SOCK_STREAM, flags=flags)
    except (socket.gaierror, UnicodeError, OverflowError) as error:
        raise LocalError(f"{endpoint} is not an IP address and port, nor a path; ask a resolver first") from error
    family, _, _, _, address = found[0]
    return family, cast("tuple[str, int]", address)


def new_socket(family: int) -> socket.socket:
    """A stream socket that does not block, with TCP_NODELAY (a dialogue is all small writes)."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    if family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def listening_socket(endpoint: Endpoint, backlog: int, reuse_port: bool) -> socket.socket:
    """A bound, listening socket; ``localhost`` is 127.0.0.1 (RFC 6761 §6.3).  Raises ``OSError``."""
    if endpoint.host == "localhost":
        endpoint = endpoint._replace(host="127.0.0.1")
    try:
        family, address = address_of(endpoint)
    except LocalError as error:
        raise SettingError(
            "this is not an IP address and port", where=str(endpoint), remedy='write "127.0.0.1:2525" or "[::]:25"'
        ) from error
    sock = new_socket(family)
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Accepted connections inherit it.  Replies are short, and a peer that does not read them would else hold up
            # to 4 MiB of the kernel's memory.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if endpoint.is_path:
            _remove_abandoned(endpoint.host)
        sock.bind(address)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def reserved_socket(endpoint: Endpoint) -> socket.socket:
    """A socket bound with SO_REUSEPORT that never listens: it reserves an address for processes that will.

    A port of 0 becomes a real one.  Raises ``OSError``.
    """
    family, address = address_of(endpoint)
    sock = new_socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_abandoned(path: str) -> None:
    """Remove a unix socket whose listener has ended; for anything else ``bind`` raises the error."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)


# -- translation --

_UNREACHABLE = {
    errno.ECONNREFUSED: "refused the connection",
    errno.ETIMEDOUT: "did not answer in time",
    errno.ENETUNREACH: "cannot be reached: this machine has no route to its network",
    errno.EHOSTUNREACH: "cannot be reached: no route to the host",
    errno.ECONNRESET: "reset the connection while it was opened",
    errno.ENOENT: "does not exist: nothing listens there",
    errno.EACCES: "may not be connected to: permission denied",
    errno.EPERM: "may not be connected to: forbidden by this machine's firewall",
    errno.EMFILE: "was not tried: this process has too many open files (raise its limit)",
    errno.ENFILE: "was not tried: this machine has too many open files",
    errno.EAGAIN: "is busy: its queue of new connections is full",
    errno.ENOTCONN: "ended the connection at once (it may be too busy)",
    errno.EAFNOSUPPORT: "cannot be reached: this machine does not support its address family",
}

_NOT_LISTENING = {
    errno.EADDRINUSE: ("another program already listens there", "stop it or choose another port"),
    errno.EACCES: (
        "the system does not permit it",
        "a path needs a directory that this user may write",
    ),
    errno.EADDRNOTAVAIL: ("this is not an address of this machine", "choose one of those that `ip address` shows"),
    errno.EAFNOSUPPORT: ("this machine does not support this address family", "use an address of the other family"),
    errno.ENOENT: ("its directory does not exist", "create the directory first"),
}


_LOW_PORT = (
    "listen at a port from 1024 on, and in a container map it (-p 25:2525); or grant CAP_NET_BIND_SERVICE; or start as "
    "root with `user`; or have systemd open it (socket activation)"
)


def unreachable(error: OSError, endpoint: Endpoint, source: str) -> Unreachable:
    """The error of a connection to ``endpoint`` that could not be opened."""
    if error.errno == errno.EADDRNOTAVAIL and source:
        return Unreachable(f"{endpoint} was not tried: {source} is not an address of this machine")
    if error.errno in (errno.EINVAL, errno.EAFNOSUPPORT) and source:
        return Unreachable(f"{endpoint} cannot be reached from the source address {source}")
    why = _UNREACHABLE.get(error.errno or 0) or f"cannot be reached: {error.strerror or error}"
    return Unreachable(f"{endpoint} {why}")


def not_listening(error: OSError, endpoint: Endpoint) -> SettingError:
    """The error of a listener that could not be opened at ``endpoint``."""
    fallback = (f"cannot listen: {error.strerror or error}", "choose another address")
    why, remedy = _NOT_LISTENING.get(error.errno or 0, fallback)
    if error.errno == errno.EACCES and not endpoint.is_path and endpoint.port < 1024:
        why, remedy = "the system does not permit a port below 1024 to this user", _LOW_PORT
    return SettingError(why, where=str(endpoint), remedy=remedy)


def broken_by(exc: BaseException | None, peer: Endpoint) -> NetworkError | None:
    """The argument of ``Handler.disconnected``; None for an orderly end."""
    if exc is None:
        return None
    error: NetworkError
    if isinstance(exc, TimeoutError):
        error = TimedOut(f"{peer} stopped answering")
    elif isinstance(exc, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        error = Broken(f"{peer} reset the connection")
    else:
        error = Broken(f"the connection to {peer} broke: {getattr(exc, 'strerror', None) or exc}")
    error.__cause__ = exc
    return error


def ended_by(fault: BaseException) -> LocalError:
    """The argument of ``Handler.disconnected`` when the handler has raised."""
    error = LocalError(f"the handler of this channel raised {type(fault).__name__}")
    error.__cause__ = fault
    return error
