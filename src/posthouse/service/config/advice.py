"""Advice about a configuration that can be used: what may not be intended, and what this machine does not have.

``advice`` looks at the settings only.  ``surroundings`` looks at the machine as well: directories that cannot be
written, modules that do not exist, too little room on the disk.  It opens no listener, writes nothing and imports no
code of the operator's own.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import socket
import time
from collections.abc import Iterator, Mapping
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

from posthouse.client.hostname import means_something
from posthouse.core import SettingError
from posthouse.core.units import size_in_words
from posthouse.net import Endpoint
from posthouse.service.config.model import Config

if TYPE_CHECKING:
    from posthouse.net.certificates import KeyPair

__all__ = ["advice", "surroundings"]


def advice(config: Config) -> list[str]:
    """Sentences about settings that work but may not be intended, or fall short of the RFCs; for ``check config``."""
    found = []
    for each in config.listener:
        if each.max_recipients < 100:
            found.append(f"listener {each.name}: max_recipients is below the 100 that RFC 5321 §4.5.3.1.8 asks for.")
        if each.command_timeout < 300:
            found.append(f"listener {each.name}: command_timeout is below the 5 minutes of RFC 5321 §4.5.3.2.7.")
        if each.greeting_pause and not each.pause:
            found.append(f"listener {each.name}: greeting_pause has no effect at submission and with implicit TLS.")
        if any(
            network.prefixlen == 0
            for network in (*each.proxy_networks, *each.xclient_networks, *each.xforward_networks)
        ):
            found.append(
                f"listener {each.name}: proxy_networks, xclient_networks or xforward_networks has the whole Internet: "
                "anybody can claim any address."
            )
        if each.kind == "mx" and each.strictness == "lenient" and not _is_local(each.bind):
            found.append(
                f'listener {each.name}: strictness = "lenient" accepts malformed mail from any host, and other servers '
                "may refuse it; mx listeners on the Internet are better strict."
            )
        if each.kind == "submission" and each.auth == "off" and not config.relay.trusted_networks:
            found.append(
                f'listener {each.name}: auth = "off" and [relay] trusted_networks is empty, so no host may submit mail.'
            )
    if any(network.prefixlen == 0 for network in config.relay.trusted_networks):
        found.append("[relay] trusted_networks contains the whole Internet: this is an open relay.")
    if config.relay.max_hops < 100:
        found.append("[relay] max_hops is below the 100 that RFC 5321 §6.3 asks for.")
    if not config.domain:
        found.append("There is no [[domain]]: other servers can write to postmaster only.")
    found += [
        f"domain {each.name}: maildir_owner works only while the daemon runs as root or as that user."
        for each in config.domain
        if each.maildir_owner and os.geteuid()
    ]
    if not means_something(config.hostname):
        found.append(f'hostname is "{config.hostname}", which means nothing to other hosts; write a full name.')
    return found


# This machine --------------------------------------------------------------------------------------------------------


def surroundings(config: Config, table: Mapping[str, Any], *, starting: bool = True) -> list[str]:
    """Sentences about what the configuration finds on this machine; ``table`` is the file, not decoded.

    ``starting``: with those about what would keep the daemon from starting, as far as they can be told without
    ``daemon.start_check``, which tells them all.
    """
    return [
        *_listeners(config),
        *_certificates(config, starting),
        *_routes(config, starting),
        *_directories(config, table, starting),
        *_modules(config, starting),
    ]


def _refused_client_cas(config: Config) -> Iterator[SettingError]:
    """What is wrong with the files of certificates whose clients may log in."""
    from posthouse.net.tls_context import client_context

    for path in dict.fromkeys(each.tls_client_ca for each in config.listener if each.tls_client_ca):
        try:
            client_context(ca=path)
        except SettingError as error:
            yield error


def _unusable(error: SettingError) -> str:
    who = " as this user" if isinstance(error.__cause__, PermissionError) else ""
    return f"certificate {error}; as it is, the daemon would not start{who}."


def _pairs(config: Config) -> list[KeyPair]:
    from posthouse.net.certificates import KeyPair

    shown = any(each.tls != "off" for each in config.listener)
    pairs = [KeyPair(each.tls_cert, each.tls_key) for each in config.listener if each.tls_cert]
    pairs += [KeyPair(each.cert, each.key) for each in config.certificate if shown]
    return list(dict.fromkeys(pairs))


def _certificates(config: Config, starting: bool) -> Iterator[str]:
    """What is wrong with the files of certificates, or will be."""
    from posthouse.net.certificates import WARN_DAYS, Certificates, open_to_all

    pairs = _pairs(config)
    now = time.time()
    for pair in pairs:
        try:
            ((_, facts),) = Certificates([pair]).facts()
        except SettingError as error:
            if starting:
                yield _unusable(error)
            continue
        days = int((facts.not_after - now) // 86_400)
        if facts.expires_within(WARN_DAYS, now):
            when = f"ends in {days} days" if days >= 0 else "has expired"
            yield f"certificate {pair.certificate}: it {when}; renew it."
        if facts.not_before > now:
            yield f"certificate {pair.certificate}: it is not valid yet; see whether this machine's clock is right."
        if facts.chain == 1 and not facts.self_signed:
            yield from _alone(pair.certificate, facts.issuer)
        if not facts.in_order:
            yield (
                f"certificate {pair.certificate}: the certificates in the file are not a chain; put the server's own "
                "first, and each other one behind the one that it has issued."
            )
        if not facts.names:
            yield f"certificate {pair.certificate}: it has no subject alternative name, so clients will refuse it."
        if sentence := open_to_all(pair.key or pair.certificate):
            yield f"certificate {pair.certificate}: {sentence}."
    if starting:
        yield from map(_unusable, _refused_client_cas(config))
    if (
        any(each.tls != "off" for each in config.listener)
        and pairs
        and not any(_is_for(pair, config.hostname) for pair in pairs)
    ):
        yield f"No certificate is for the host name {config.hostname}; clients that verify it will refuse them."


def _alone(path: str, issuer: str) -> Iterator[str]:
    """What follows from a file that holds the server's certificate and no other: nothing if a root issued it that
    clients know."""
    from posthouse.net.certificates import kind_of_issuer

    kind = kind_of_issuer(path)
    if kind == "intermediate":
        yield (
            f"certificate {path}: the file holds this one certificate without the intermediate that issued it, so "
            "most phones and many servers will refuse it; name the file with the whole chain (fullchain.pem)."
        )
    elif kind == "unknown":
        yield (
            f"certificate {path}: the file holds this one certificate, and its issuer ({issuer}) is not among the "
            "roots that this system trusts. If that is a root of your own, each client has to trust it; if it is an "
            "intermediate, name the file with the whole chain (fullchain.pem)."
        )


def _is_for(pair: Any, host: str) -> bool:
    from posthouse.net.certificates import read_facts

    try:
        return read_facts(pair.certificate).names_host(host)
    except SettingError:
        return True  # it was said already


def _is_local(endpoint: Endpoint) -> bool:
    """Whether only this machine can connect."""
    return endpoint.is_path or endpoint.host == "::1" or endpoint.host.startswith("127.")


def _listeners(config: Config) -> Iterator[str]:
    for each in config.listener:
        if each.tls == "off" and not _is_local(each.bind):
            yield (
                f"listener {each.name}: {each.bind} is open to other hosts without TLS, so mail crosses the network "
                "unencrypted."
            )
        if each.bind.is_path:
            directory = os.path.dirname(each.bind.host)
            if not os.path.isdir(directory):
                yield f"listener {each.name}: the directory {directory} does not exist; create it first."
        elif refusal := _refusal(each.bind):
            yield f"listener {each.name}: {refusal}"


def _routes(config: Config, starting: bool) -> Iterator[str]:
    for each in config.route:
        for name in ("ca", "tls_cert", "tls_key", "password_file"):
            path = getattr(each, name) if starting else ""
            if path and not os.access(path, os.R_OK):
                yield f"route {each.to}: {name} {path} cannot be read by you; the daemon's user must be able to."
        if each.password_env and not os.environ.get(each.password_env):
            yield f"route {each.to}: the environment variable {each.password_env} is not set here."
        if each.password_file and os.path.exists(each.password_file) and os.stat(each.password_file).st_mode & 0o004:
            yield f"route {each.to}: every user of this machine can read {each.password_file}; chmod o-r it."


def _refusal(at: Endpoint) -> str:
    """Why this user could not listen there, or "".  That a daemon has the port is no reason; systemd may open it."""
    family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((at.host, at.port if at.port < 1024 else 0))
    except PermissionError:
        return (
            f"you (uid {os.geteuid()}) may not open port {at.port}; start the daemon as root with user, grant it "
            "CAP_NET_BIND_SERVICE, or have systemd open the port."
        )
    except OSError as error:
        return "" if error.errno == errno.EADDRINUSE else f"{at.host} is not an address of this machine."
    return ""


def _directories(config: Config, table: Mapping[str, Any], starting: bool) -> Iterator[str]:
    given = table.get("data_dir")
    if given is None:
        yield (
            f"There is no data_dir: mail is kept in {config.data_dir}, which depends on the user who starts the daemon."
        )
    else:
        yield from _relative("data_dir", str(given), config.data_dir)
    if starting:
        yield from _unwritable("data_dir", config.data_dir)
    for raw, each in zip(table.get("domain", ()), config.domain, strict=False):
        if each.deliver.kind == "maildir":
            place = f"domain {each.name}: the Maildir"
            yield from _relative(place, str(raw.get("deliver", "")).partition(":")[2], each.deliver.target)
            yield from _unwritable(place, each.deliver.target.partition("{")[0].rpartition("/")[0] or "/")
    free = _free(config.data_dir)
    if free is not None and free < config.spool.min_free:
        yield (
            f"The disk of {config.data_dir} has {size_in_words(free)} free, which is less than min_free: the daemon "
            "would answer 452 to all mail."
        )


def _relative(place: str, written: str, whole: str) -> Iterator[str]:
    if written and not written.strip().startswith(("/", "~")):
        yield f"{place} is a relative path: it is {whole} here, and elsewhere where the daemon is started elsewhere."


def _existing(path: str) -> str:
    """The nearest directory above ``path`` that exists, or ``path`` itself."""
    while not os.path.lexists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


def _unwritable(place: str, path: str) -> Iterator[str]:
    existing = _existing(path)
    if not os.path.isdir(existing):
        yield f"{place}: {existing} is not a directory."
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield f"{place}: {existing} cannot be written by you (uid {os.geteuid()}); the daemon's user must be able to."


def _free(path: str) -> int | None:
    try:
        status = os.statvfs(_existing(path))
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def _modules(config: Config, starting: bool) -> Iterator[str]:
    domains = [each for each in config.domain if starting and each.deliver.kind == "python"]
    named = [(f"domain {each.name}", each.deliver.target) for each in domains]
    if config.accounts.kind == "python":
        named.append(("accounts", config.accounts.target))
    for where, target in named:
        name = target.partition(":")[0]
        if not _module_exists(name):
            yield (
                f'{where}: there is no module "{name}"; correct the name, or put its directory into PYTHONPATH where '
                "posthouse is started."
            )
    if config.accounts.kind == "dovecot" and not os.path.exists(config.accounts.target):
        yield (
            f"accounts: there is no socket {config.accounts.target}, so nobody can log in; start Dovecot, or correct "
            "the path."
        )


def _module_exists(name: str) -> bool:
    """Whether a module can be found, without importing it or the packages around it."""
    path = None
    for number, _ in enumerate(name.split(".")):
        full = ".".join(name.split(".")[: number + 1])
        spec = None
        with contextlib.suppress(Exception):  # finders of others may do anything
            spec = importlib.util.find_spec(full) if path is None else PathFinder.find_spec(full, path)
        if spec is None:
            return False
        path = list(spec.submodule_search_locations or ())
    return True
