"""The configuration file: TOML, read as a whole, with its errors reported together.

``parse`` reports three kinds of errors: of shape (``config.decode``: unknown keys, wrong types, invalid values),
between settings (two domains of one name, two listeners on one port), and settings that this version does not support
yet.  A table with an error of shape hides errors between it and others: aliases can be followed only when each
``[[domain]]`` can be read, and ``ConfigError.unchecked`` says so.  The result is a frozen ``Config``; the file is not
read again.

Without a file, ``default_config`` catches all mail on loopback, and nothing leaves the machine.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

from msgspec.structs import replace

from posthouse.core import SettingError
from posthouse.net.stream import Endpoint
from posthouse.service.config.config_error import ConfigError
from posthouse.service.config.console_settings import ConsoleSettings, console_problems
from posthouse.service.config.decode import decode, named
from posthouse.service.config.mail_types import HOSTNAME, DeliverySetting
from posthouse.service.config.mailauth_checks import mailauth_problems
from posthouse.service.config.model import Config, DomainSettings, ListenerSettings, RouteSettings
from posthouse.service.config.security_types import ANY_MECHANISMS, KNOWN_MECHANISMS, AccountsSetting
from posthouse.service.config.types import DIRECTORY, ENDPOINT, InvalidValue, catcher_directory
from posthouse.service.directory.directory import Directory

__all__ = [
    "CATCHER",
    "CATCHER_WITHOUT_TLS",
    "default_config",
    "load",
    "load_data_dir",
    "load_maildrop",
    "load_table",
    "parse",
    "table_of",
]

_LARGEST_FILE = 16_777_216
#: Where mail is caught without a configuration: with STARTTLS, and without.
CATCHER, CATCHER_WITHOUT_TLS = "127.0.0.1:1025", "127.0.0.1:1026"


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
    raw = table_of(text, where).get("data_dir")
    try:
        return str(DIRECTORY.read(raw))
    except InvalidValue:
        return parse(text, where).data_dir


def load_maildrop(path: str) -> tuple[str, str, str]:
    """``maildrop``, ``data_dir`` and ``hostname`` of the file at ``path``, the first and the last "" without them; as
    for ``load_data_dir``."""
    text, where = _text_of(path), os.path.basename(path)
    table = table_of(text, where)
    try:
        named = str(DIRECTORY.read(table["maildrop"])) if "maildrop" in table else ""
        hostname = str(HOSTNAME.read(table["hostname"])) if "hostname" in table else ""
        return named, str(DIRECTORY.read(table.get("data_dir"))), hostname
    except InvalidValue:
        config = parse(text, where)
        return config.maildrop, config.data_dir, config.hostname


def _text_of(name: str) -> str:
    try:
        with open(name, "rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        why = error.strerror if isinstance(error, OSError) else "this is no path"
        cause = f"the file cannot be read ({why or error})"
        remedy = "name another file with --config, or write one"
        raise ConfigError([SettingError(cause, where=name, remedy=remedy)]) from error
    if len(raw) > _LARGEST_FILE:
        raise ConfigError([SettingError("the file is larger than 16 MiB", where=name, remedy="name another file")])
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError([SettingError("the file is UTF-16", where=name, remedy="save it as UTF-8")])
    try:
        return raw.decode("utf-8-sig")  # some editors begin a file with U+FEFF
    except UnicodeDecodeError as error:
        cause = f"the file is not UTF-8 (octet {error.start})"
        raise ConfigError([SettingError(cause, where=name, remedy="save it as UTF-8")]) from error


def parse(text: str, where: str = "posthouse.toml") -> Config:
    """Read a configuration from its text; ``where`` names the file in errors.  Raises ``ConfigError``."""
    table = table_of(text, where)
    problems: list[SettingError] = []
    config = decode(Config, table, "", problems, where)
    if config is None:
        raise ConfigError(problems)
    assert isinstance(config, Config)
    config = replace(config, listener=_named(config.listener))
    if config.console.enabled is None:
        config = replace(config, console=replace(config.console, enabled="console" in table))
    if config.user and "data_dir" not in table:
        remedy = 'write data_dir, for example "/var/lib/posthouse"'
        problems.append(
            SettingError("a daemon with a user needs a data_dir", where=f"{where}: data_dir", remedy=remedy)
        )
    broken = {each.where.removeprefix(f"{where}: ").partition("[")[0].partition(".")[0] for each in problems}
    for place, cause, remedy in _checks(config, broken):
        problems.append(SettingError(cause, where=f"{where}: {place}", remedy=remedy))
    if problems:
        unchecked = "Aliases, lists and moved mailboxes were not followed yet, because of a mistake in a [[domain]]."
        raise ConfigError(problems, unchecked if "domain" in broken else "")
    return config


def table_of(text: str, where: str) -> dict[str, Any]:
    """The tables of a TOML text, not decoded.  Raises ``ConfigError``."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = SettingError(f"this is not TOML: {error}", where=where, remedy=_toml_remedy(text, str(error)))
        raise ConfigError([problem]) from error
    except RecursionError as error:
        problem = SettingError("lists or tables are nested too deeply", where=where, remedy="write them flat")
        raise ConfigError([problem]) from error


def load_table(path: str) -> dict[str, Any]:
    """The tables of the file at ``path``, not decoded.  Raises ``ConfigError``."""
    return table_of(_text_of(path), os.path.basename(path))


def _toml_remedy(text: str, problem: str) -> str:
    """What to do about a fault of TOML's grammar."""
    found = re.search(r"at line ([0-9]+), column ([0-9]+)", problem)
    line = text.splitlines()[int(found[1]) - 1] if found and int(found[1]) <= len(text.splitlines()) else ""
    for key in re.findall(r"""(?:^|[{,\[.])\s*([^\s"'=,{}\[\]#:]+)\s*(?==|\])""", line):
        if not key.isascii() or re.fullmatch(r"[A-Za-z0-9_.-]+", key) is None:
            return f'a name with other characters than A-Z, a-z, 0-9, "_" and "-" is quoted: "{key}" = …'
    if re.search("[“”„«»‘’「」＂]", line):
        return 'write the straight quotes " in place of typographic ones'
    if (pair := re.match(r"\s*([A-Za-z0-9_-]+)\s*[:：]\s*([^\s#]*)", line)) is not None and "=" not in line:
        return f"a setting is written with =, as in {pair[1]} = …"
    # A bare word, which is neither true nor false, no number and no list.
    if (pair := re.match(r"\s*([A-Za-z0-9_.-]+)\s*=\s*([^\s\"'\[{#][^\s\"'#]*)\s*(?:#.*)?$", line)) is not None:
        value = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(pair[2].lower(), pair[2].lower())
        if value in ("true", "false") and value != pair[2]:
            return f"{pair[2]} is written {value}"
        if value != pair[2] or "Cannot overwrite" not in problem:
            return f'text is written in quotes: {pair[1]} = "{pair[2]}"'
    if "Invalid hex value" in problem or "Unescaped" in problem:
        return "a backslash in double quotes is written \\\\; in single quotes it stands for itself"
    if "Illegal character '\\n'" in problem or "Unterminated" in problem:
        return "close the quotes on the same line"
    if "Cannot overwrite" in problem or "Cannot declare" in problem or "Cannot mutate" in problem:
        return "the name stands there a second time: leave one of them out; tables of one kind are [[name]]"
    return "correct that line"


def default_config(
    data_dir: str | None = None,
    binds: Sequence[str] = (),
    *,
    tls: Literal["off", "starttls", "required", "implicit"] = "starttls",
    auth: Literal["off", "offered", "required"] = "offered",
    plain: str = "",
    fault_addresses: bool = True,
    console: str | None = None,
    mechanisms: Sequence[str] = (),
    logins: str = "",
) -> Config:
    """The configuration without a file: SMTP on 127.0.0.1:1025, all mail delivered into local inboxes, nothing sent.

    ``data_dir`` replaces the default directory, which is not that of a configuration: what was caught is never sent.
    ``binds`` replace the address, as in ``[[listener]] bind``.  ``tls`` is that of the listeners, or ``required``:
    STARTTLS, and nothing before it.  ``auth`` is that of the listeners; any name with any password may log in.
    ``plain`` is the address of one more listener, without TLS.  ``fault_addresses``: recipients such as ``tempfail+3``
    fail on demand.  ``console`` is the address of the web console, 127.0.0.1:8025 unless given; "off" for none.
    ``mechanisms`` are offered in place of all that take any name and password; ``logins`` is a file of names that need
    their passwords.  Raises ``SettingError``.
    """
    everything = DomainSettings(name="*", deliver=DeliverySetting("mailbox"), mailboxes=("any",))
    listener = ListenerSettings(
        bind=Endpoint("127.0.0.1", 0),
        strictness="lenient",
        tls="starttls" if tls == "required" else tls,
        tls_required=tls in ("required", "implicit"),
        auth=auth,
        mechanisms=tuple(mechanisms) or ((*KNOWN_MECHANISMS, *ANY_MECHANISMS) if logins else ANY_MECHANISMS),
        fault_addresses=fault_addresses,
        verify="off",
    )
    listeners = [replace(listener, bind=_bound(each)) for each in binds or (CATCHER,)]
    if plain:
        listeners.append(replace(listener, bind=_bound(plain), tls="off", tls_required=False, name="plain"))
    twice = next((at for at, times in Counter(each.bind for each in listeners).items() if times > 1 and at.port), None)
    if twice is not None:
        raise SettingError(f"{twice} is given twice", where="--bind", remedy="name each address once")
    return Config(
        data_dir=catcher_directory() if data_dir is None else data_dir,
        workers=1,
        accounts=AccountsSetting("any", os.path.abspath(logins) if logins else ""),
        listener=_named(tuple(listeners)),
        domain=(everything,),
        console=_console(console),
    )


def _console(place: str | None) -> ConsoleSettings:
    if place == "off":
        return ConsoleSettings(enabled=False)
    found = ConsoleSettings(enabled=True) if place is None else ConsoleSettings(enabled=True, bind=_bound(place))
    for setting, cause, remedy in console_problems(found, "any"):
        del setting
        raise SettingError(cause, where="--console", remedy=remedy)
    return found


def _bound(text: str) -> Endpoint:
    try:
        endpoint: Endpoint = ENDPOINT.read(text)
    except InvalidValue as wrong:
        raise SettingError(wrong.cause, where="--bind", remedy=wrong.remedy) from None
    return endpoint


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


# Checks between settings --------------------------------------------------------------------------------------------


def _checks(config: Config, broken: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Place, cause and remedy of each problem between settings.

    ``broken`` are the names of tables with errors: a number would be counted wrongly where one is missing.
    """
    if config.group and not config.user:
        yield "group", "there is a group without a user", "write user as well, or leave group out"
    yield from mailauth_problems(config, broken)
    if "console" not in broken:
        yield from console_problems(config.console, config.accounts.kind)
    if "listener" not in broken:
        yield from _listener_checks(config)
    if "relay" not in broken and config.relay.retry_first > config.relay.retry_max:
        yield "relay.retry_first", "the first delay is longer than the longest", "write at most retry_max"
    if "domain" in broken:
        return
    if config.accounts.kind == "any" and not any(each.name == "*" for each in config.domain):
        remedy = 'write a [[domain]] with name = "*", or name real accounts'
        yield "accounts", '"any" lets everybody in, and some mail would leave this machine', remedy
    for number, listener in enumerate(config.listener):
        if listener.fault_addresses and not any(each.name == "*" for each in config.domain):
            remedy = 'write a [[domain]] with name = "*", or take fault_addresses out'
            yield (
                f"listener[{number}].fault_addresses",
                "it is for tests, and some mail would leave this machine",
                remedy,
            )
    for place, cause, remedy in _domain_checks(config):
        found = re.match(r"domain\[([0-9]+)\]", place)
        name = config.domain[int(found[1])].name if found else None
        yield place, named(cause, "domain", name), remedy
    if "route" not in broken:
        yield from _route_checks(config)


def _route_checks(config: Config) -> Iterator[tuple[str, str, str]]:
    everything = any(each.name == "*" for each in config.domain)
    seen: Counter[str] = Counter()
    for index, route in enumerate(config.route):
        for name, cause, remedy in _route_security_checks(route):
            yield f"route[{index}].{name}", cause, remedy
        place = f"route[{index}].to"
        seen[route.to] += 1
        if seen[route.to] == 2:
            yield place, f'there are two routes to "{route.to}"', "keep one"
        if route.to in {each.name for each in config.domain if each.name != "*"}:
            yield place, f'"{route.to}" is a [[domain]] as well', "keep the domain or the route"
        elif everything:
            yield place, 'the [[domain]] "*" takes all mail, so this route is never used', "remove one of the two"


def _route_security_checks(route: RouteSettings) -> Iterator[tuple[str, str, str]]:
    """Setting, cause and remedy of each contradiction about TLS and the login of a route."""
    kind, tls = route.via.kind, route.tls
    if kind == "lmtp" and (tls not in ("", "off") or route.user):
        yield "tls" if tls else "user", "a route by LMTP has neither TLS nor a login", "leave it out, or write smtp://"
    elif kind in ("smtps", "smtp+starttls") and tls in ("off", "opportunistic"):
        yield "tls", f'"{kind}://" is TLS in any case', 'write "require" or "verify", or via = "smtp://…"'
    if kind == "smtp" and route.via.target.endswith(":465"):
        yield "via", "port 465 speaks TLS from the first octet", 'write "smtps://…"'
    if (route.ca or route.tls_cert) and (tls == "off" or kind == "lmtp"):
        yield "ca" if route.ca else "tls_cert", "the route has no TLS", "leave it out, or leave tls out"
    elif route.ca and tls in ("opportunistic", "require"):
        yield "ca", f'tls = "{tls}" checks no certificate', 'write tls = "verify", or leave ca out'
    if route.tls_key and not route.tls_cert:
        yield "tls_key", "there is a key without a certificate", "write tls_cert as well"
    if route.user and tls == "opportunistic":
        yield "tls", "a login needs TLS that cannot be taken away", 'write "require" or "verify"'
    if route.user and kind == "mx":
        yield "user", "mail exchangers of others take no login", 'write via = "smtps://host"'
    passwords = bool(route.password_file) + bool(route.password_env)
    if route.user and passwords != 1:
        yield "user", "there is no password for it, or there are two", "write password_file or password_env"
    elif passwords and not route.user:
        yield "password_file" if route.password_file else "password_env", "there is no user for it", "write user"


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
        if each.tls_client_name != "email" and not each.tls_client_ca:
            remedy = "write tls_client_ca, or leave the setting out"
            yield f"{place}.tls_client_name", "no certificates of clients are asked for", remedy
        if each.check_from and (each.auth or ("required" if each.kind == "submission" else "off")) == "off":
            remedy = 'write auth = "offered" or auth = "required", or leave the setting out'
            yield f"{place}.check_from", "nobody can log in here, so that no From is checked", remedy
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
    if all(times == 1 for times in seen.values()):
        yield from Directory(config).problems
