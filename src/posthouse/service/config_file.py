"""The configuration file: TOML, read as a whole, with all errors reported at once.

``parse`` reports three kinds of errors together: of shape (``config.decode``: unknown keys, wrong types, invalid
values), between settings (two domains of one name, two listeners on one port), and settings that this version does not
support yet.  The result is a frozen ``Config``; the file is not read again.

Without a file, ``default_config`` catches all mail on loopback, and nothing leaves the machine.
"""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from posthouse.core import SettingError
from posthouse.net.stream import Endpoint
from posthouse.service.config.decode import decode
from posthouse.service.config.mail_types import DeliverySetting
from posthouse.service.config.model import Config, DomainSettings, ListenerSettings
from posthouse.service.config.types import DIRECTORY, InvalidValue, catcher_directory
from posthouse.service.directory.directory import Directory

__all__ = ["ConfigError", "advice", "default_config", "load", "load_data_dir", "parse"]

_LARGEST_FILE = 16_777_216


class ConfigError(SettingError):
    """A configuration file with errors: ``problems`` has a ``SettingError`` for each, and ``str()`` a line for each."""

    def __init__(self, problems: Sequence[SettingError]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def load(path: str | os.PathLike[str]) -> Config:
    """Read the file at ``path``.  Raises ``ConfigError``."""
    name = os.fspath(path)
    return parse(_text_of(name), os.path.basename(name))


def load_data_dir(path: str) -> str:
    """The ``data_dir`` of the file at ``path``, by which a running daemon is found.

    The other settings are not decoded, so an error in them does not keep an operator from the daemon.  A file without
    a valid ``data_dir`` is read as a whole: a misspelt key must not lead to the daemon of the default directory.
    Raises ``ConfigError``.
    """
    text, where = _text_of(path), os.path.basename(path)
    raw = _table_of(text, where).get("data_dir")
    try:
        return str(DIRECTORY.read(raw))
    except InvalidValue:
        return parse(text, where).data_dir


def _text_of(name: str) -> str:
    try:
        with open(name, "rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
        if len(raw) > _LARGEST_FILE:
            raise ConfigError([SettingError("the file is larger than 16 MiB", where=name, remedy="name another file")])
        return raw.decode("utf-8")
    except OSError as error:
        cause = f"the file cannot be read ({error.strerror or error})"
        remedy = "name another file with --config, or write one"
        raise ConfigError([SettingError(cause, where=name, remedy=remedy)]) from error
    except UnicodeDecodeError as error:
        cause = f"the file is not UTF-8 (octet {error.start})"
        raise ConfigError([SettingError(cause, where=name, remedy="save it as UTF-8")]) from error


def parse(text: str, where: str = "posthouse.toml") -> Config:
    """Read a configuration from its text; ``where`` names the file in errors.  Raises ``ConfigError``."""
    table = _table_of(text, where)
    problems: list[SettingError] = []
    config = decode(Config, table, "", problems, where)
    if config is not None:
        config = replace(config, listener=_named(config.listener))
        if _complete(config, table):
            for place, cause, remedy in _checks(config):
                problems.append(SettingError(cause, where=f"{where}: {place}", remedy=remedy))
    if problems:
        raise ConfigError(problems)
    assert isinstance(config, Config)
    return config


def _table_of(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = SettingError(f"this is not TOML: {error}", where=where, remedy="correct that line")
        raise ConfigError([problem]) from error


def default_config(data_dir: str | None = None) -> Config:
    """The configuration without a file: SMTP on 127.0.0.1:1025, all mail delivered into local inboxes, nothing sent.

    ``data_dir`` replaces the default directory, which is not that of a configuration: what was caught is never sent.
    """
    everything = DomainSettings(name="*", deliver=DeliverySetting("mailbox"), mailboxes=("any",))
    catcher = ListenerSettings(bind=Endpoint("127.0.0.1", 1025), strictness="lenient")
    return Config(
        data_dir=catcher_directory() if data_dir is None else data_dir,
        workers=1,
        listener=_named((catcher,)),
        domain=(everything,),
    )


def _named(listeners: tuple[ListenerSettings, ...]) -> tuple[ListenerSettings, ...]:
    """Every listener with a name: its own, or its kind, numbered from the second on."""
    taken = {each.name for each in listeners if each.name}
    named = []
    for each in listeners:
        name, number = each.name or each.kind, 1
        while not each.name and name in taken:
            number += 1
            name = f"{each.kind}-{number}"
        taken.add(name)
        named.append(replace(each, name=name))
    return tuple(named)


def _complete(config: Config, table: dict[str, object]) -> bool:
    """Whether every table of the file became a value, so that counting them finds the right places."""
    for name in ("listener", "domain", "route"):
        raw = table.get(name)
        if isinstance(raw, list) and len(raw) != len(getattr(config, name)):
            return False
    return True


# Checks between settings --------------------------------------------------------------------------------------------


def _checks(config: Config) -> Iterator[tuple[str, str, str]]:
    """Place, cause and remedy of each problem between settings."""
    yield from _listener_checks(config)
    yield from _domain_checks(config)
    everything = any(each.name == "*" for each in config.domain)
    seen: Counter[str] = Counter()
    for index, route in enumerate(config.route):
        place = f"route[{index}].to"
        seen[route.to] += 1
        if seen[route.to] == 2:
            yield place, f'there are two routes to "{route.to}"', "keep one"
        if route.to in {each.name for each in config.domain if each.name != "*"}:
            yield place, f'"{route.to}" is a [[domain]] as well', "keep the domain or the route"
        elif everything:
            yield place, 'the [[domain]] "*" takes all mail, so this route is never used', "remove one of the two"
    if all(times == 1 for times in Counter(each.name for each in config.domain).values()):
        yield from Directory(config).problems
    if config.accounts.kind == "any" and not everything:
        remedy = 'write a [[domain]] with name = "*", or name real accounts'
        yield "accounts", '"any" lets everybody in, and some mail would leave this machine', remedy
    relay = config.relay
    if relay.retry_first > relay.retry_max:
        yield "relay.retry_first", "the first delay is longer than the longest", "write at most retry_max"


def _listener_checks(config: Config) -> Iterator[tuple[str, str, str]]:
    if not config.listener:
        yield "listener", "there is no listener", "write one, or leave the setting out"
    binds: Counter[Endpoint] = Counter()
    names: Counter[str] = Counter()
    for index, each in enumerate(config.listener):
        binds[each.bind] += 1
        names[each.name] += 1
        place = f"listener[{index}]"
        if binds[each.bind] == 2 and (each.bind.port or each.bind.host.startswith("/")):
            yield f"{place}.bind", f"two listeners cannot both have {each.bind}", "give one another port"
        if names[each.name] == 2:
            yield f"{place}.name", f'two listeners are named "{each.name}"', "rename one"
        if each.tls == "off" and (each.tls_cert or each.tls_required):
            remedy = 'write tls = "starttls" or tls = "implicit", or leave the other setting out'
            yield f"{place}.tls", "TLS is off, and other settings of the listener ask for it", remedy
        if each.tls_key and not each.tls_cert:
            yield f"{place}.tls_key", "there is a key without a certificate", "write tls_cert as well"
        if "EXTERNAL" in each.mechanisms and not each.tls_client_ca:
            remedy = "write tls_client_ca, or leave EXTERNAL out"
            yield f"{place}.mechanisms", "EXTERNAL needs certificates of clients", remedy
        if each.max_message_size < 65_536:
            remedy = "write at least 65536 (RFC 5321 §4.5.3.1.7)"
            yield f"{place}.max_message_size", "every receiver must take messages of 64 KiB", remedy
        if each.max_header_size < 65_536:
            remedy = "write at least 65536"
            yield f"{place}.max_header_size", "a header section of 64 KiB is no attack", remedy


def _domain_checks(config: Config) -> Iterator[tuple[str, str, str]]:
    seen: Counter[str] = Counter()
    for index, each in enumerate(config.domain):
        place = f"domain[{index}]"
        seen[each.name] += 1
        if seen[each.name] == 2:
            yield f"{place}.name", f'there are two domains "{each.name}"', "put both into one [[domain]]"
        if each.quota and each.deliver.kind != "mailbox":
            remedy = 'leave it out, or use deliver = "mailbox"'
            yield f"{place}.quota", f'with deliver = "{each.deliver}" mailboxes are not counted here', remedy
        owners = Counter([*each.aliases, *each.lists, *each.moved])
        for name, times in owners.items():
            if times > 1:
                remedy = "keep it in one of aliases, lists and moved"
                yield place, f'"{name}" is more than one of alias, list and moved', remedy
        if each.name == "*" and (each.aliases or each.lists or each.moved):
            remedy = "write them in a [[domain]] with a name"
            yield place, 'aliases, lists and moved mailboxes need a domain, and "*" is all of them', remedy


def advice(config: Config) -> list[str]:
    """Sentences about settings that work but may not be intended, or fall short of the RFCs; for ``check config``."""
    found = []
    for each in config.listener:
        if each.max_recipients < 100:
            found.append(f"listener {each.name}: max_recipients is below the 100 that RFC 5321 §4.5.3.1.8 asks for.")
        if each.command_timeout < 300:
            found.append(f"listener {each.name}: command_timeout is below the 5 minutes of RFC 5321 §4.5.3.2.7.")
        near = each.bind.is_path or each.bind.host == "::1" or each.bind.host.startswith("127.")
        if each.kind == "mx" and each.strictness == "lenient" and not near:
            found.append(
                f'listener {each.name}: strictness = "lenient" accepts malformed mail from any host, and other servers '
                "may refuse it; mx listeners on the Internet are better strict."
            )
        if each.kind == "submission" and not config.relay.trusted_networks:
            found.append(f"listener {each.name}: [relay] trusted_networks is empty, so no host may submit mail.")
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
    if config.hostname == "localhost" or "." not in config.hostname:
        found.append(f'hostname is "{config.hostname}", which means nothing to other hosts; write a full name.')
    return found
