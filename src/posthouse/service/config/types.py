"""Types of settings: how a value is read from TOML, and written in the manual.

A ``SettingType`` reads what TOML gives (a string, a number, a list) into what the program uses, or raises
``InvalidValue`` with cause and remedy in two short phrases; it also writes a value as the manual shows it.
``config.decode`` adds the place to an error.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from posthouse.core import SettingError
from posthouse.core.units import read_duration, read_size, write_duration, write_size
from posthouse.net.stream import Endpoint

__all__ = [
    "COUNT",
    "DIRECTORY",
    "DURATION",
    "ENDPOINT",
    "IP_OR_NOTHING",
    "InvalidValue",
    "NAMESERVERS",
    "NETWORKS",
    "Network",
    "SIZE",
    "SettingType",
    "at_least",
    "catcher_directory",
    "expanded",
    "host_port",
    "list_of",
    "own_directory",
    "quoted",
    "several",
    "shown",
    "text_of",
]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class InvalidValue(Exception):
    """An invalid value: the cause, the remedy, and the place inside a list or table.

    ``config.decode`` turns it into a ``SettingError``.  ``others`` are further errors of the same list or table.
    """

    def __init__(self, cause: str, remedy: str, place: str = "") -> None:
        super().__init__(cause, remedy, place)
        self.cause = cause
        self.remedy = remedy
        self.place = place
        self.others: tuple[InvalidValue, ...] = ()

    @classmethod
    def together(cls, faults: Sequence[InvalidValue]) -> InvalidValue:
        """Several errors as one."""
        faults[0].others = tuple(faults[1:])
        return faults[0]

    def each(self) -> tuple[InvalidValue, ...]:
        """This error and the others."""
        return (self, *self.others)


class SettingType(NamedTuple):
    """One type of setting: its name for the manual, its reader and its writer."""

    name: str
    read: Callable[[Any], Any]
    write: Callable[[Any], str]


def quoted(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def list_of(write: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda values: "[" + ", ".join(write(value) for value in values) + "]"


def text_of(raw: object) -> str:
    if not isinstance(raw, str):
        raise InvalidValue(f"{shown(raw)} is not text", "write it in quotes")
    if any(ord(character) < 32 or ord(character) == 127 for character in raw):
        raise InvalidValue("the text has a control character in it", "take it out")
    return raw


def shown(raw: object) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, str):
        return quoted(raw)
    if isinstance(raw, dict):
        return "a table"
    if isinstance(raw, list):
        return "a list"
    return str(raw)


# Numbers ----------------------------------------------------------------------------------------------------------


def _read_duration(raw: object) -> float:
    remedy = 'write a number of seconds, or one with a unit such as "30s", "5m", "4h", "5d"'
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        seconds = float(raw)
    else:
        try:
            seconds = read_duration(text_of(raw).strip())
        except ValueError:
            raise InvalidValue(f"{shown(raw)} is no duration", remedy) from None
    if not 0 < seconds <= 3_650 * 86_400:
        raise InvalidValue("a duration must be above 0 and at most ten years", remedy)
    return seconds


def _read_size(raw: object) -> int:
    remedy = 'write a number of octets, or one with a unit such as "50MiB" or "10MB"'
    if isinstance(raw, int) and not isinstance(raw, bool):
        if raw < 0:
            raise InvalidValue("a size cannot be below 0", remedy)
        return raw
    try:
        return read_size(text_of(raw).strip())
    except ValueError:
        raise InvalidValue(f"{shown(raw)} is no size", remedy) from None


def _write_size(octets: int) -> str:
    written = write_size(octets)
    return written if written.isdigit() else quoted(written)


def at_least(least: int, most: int = 10_000_000) -> SettingType:
    """A whole number from ``least`` to ``most``."""

    def read(raw: object) -> int:
        if not isinstance(raw, int) or isinstance(raw, bool):
            raise InvalidValue(f"{shown(raw)} is no whole number", f"write a number from {least}")
        if not least <= raw <= most:
            raise InvalidValue(f"{raw} is out of range", f"write a number from {least} to {most}")
        return raw

    return SettingType("whole number", read, str)


COUNT = at_least(1)
DURATION = SettingType("duration", _read_duration, lambda seconds: quoted(write_duration(seconds)))
SIZE = SettingType("size", _read_size, _write_size)

# Endpoints and networks ---------------------------------------------------------------------------------------------


def host_port(text: str, remedy: str = "", *, default_port: int | None = None) -> Endpoint:
    """A host and port.  ``remedy`` replaces the one of ``Endpoint.parse``, where the setting takes more than that."""
    try:
        return Endpoint.parse(text, default_port=default_port)
    except SettingError as error:
        raise InvalidValue(f"{quoted(text)}: {error.message}", remedy or error.remedy) from None


def _ip(text: str, remedy: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise InvalidValue(f"{quoted(text)} is no IP address", remedy) from None


def _read_endpoint(raw: object) -> Endpoint:
    endpoint = host_port(text_of(raw).strip())
    if endpoint.host == "localhost":  # RFC 6761 §6.3: always loopback, whatever a name server says
        return endpoint._replace(host="127.0.0.1")
    if not endpoint.is_path:
        _ip(endpoint.host, 'write it like "127.0.0.1:25", "[::1]:25" or "unix:/path/of/socket"')
    return endpoint


def _write_endpoint(endpoint: Endpoint) -> str:
    return quoted(endpoint if not endpoint.host.startswith("/") else f"unix:{endpoint.host}")


def _read_nameserver(raw: object) -> Endpoint:
    remedy = 'write it like "192.0.2.53" or "127.0.0.1:5353"'
    text = text_of(raw).strip()
    try:
        return Endpoint(str(ipaddress.ip_address(text)), 53)
    except ValueError:
        endpoint = host_port(text, remedy)
        _ip(endpoint.host, remedy)
        if not endpoint.port:
            raise InvalidValue("port 0 cannot be asked", remedy) from None
        return endpoint


def _read_network(raw: object) -> Network:
    remedy = 'write it like "192.0.2.0/24" or "2001:db8::/32"'
    try:
        return ipaddress.ip_network(text_of(raw).strip())
    except ValueError as fault:
        cause = "it has bits set behind the prefix" if "host bits" in str(fault) else "it is no network"
        raise InvalidValue(f"{shown(raw)}: {cause}", remedy) from None


def _read_ip_or_nothing(raw: object) -> str:
    text = text_of(raw).strip()
    return _ip(text, "write one address of this machine, or leave the setting out") if text else ""


def several(read: Callable[[object], Any]) -> Callable[[object], tuple[Any, ...]]:
    def read_all(raw: object) -> tuple[Any, ...]:
        if not isinstance(raw, list):
            raise InvalidValue(f"{shown(raw)} is not a list", "put it in [ ]")
        values = []
        faults = []
        for index, item in enumerate(raw):
            try:
                values.append(read(item))
            except InvalidValue as wrong:
                faults.append(InvalidValue(wrong.cause, wrong.remedy, f"[{index}]{wrong.place}"))
        if faults:
            raise InvalidValue.together(faults)
        return tuple(values)

    return read_all


ENDPOINT = SettingType("address and port", _read_endpoint, _write_endpoint)
NAMESERVERS = SettingType("list of addresses", several(_read_nameserver), list_of(_write_endpoint))
NETWORKS = SettingType("list of networks", several(_read_network), list_of(quoted))
IP_OR_NOTHING = SettingType("IP address", _read_ip_or_nothing, quoted)

# Directories ------------------------------------------------------------------------------------------------------


def expanded(path: str) -> str:
    """A path with a home directory in the place of ``~`` or ``~user``; absolute."""
    full = os.path.expanduser(path)
    if full.startswith("~"):
        user = full[1:].partition("/")[0]
        cause = f"there is no user {quoted(user)}" if user else "there is no home directory ($HOME is not set)"
        raise InvalidValue(f"{cause}, so {quoted(path)} names no place", "write the whole path")
    if path.startswith("~") and path[1:2] in ("", "/") and not os.path.isabs(os.environ.get("HOME", "/")):
        raise InvalidValue(f"$HOME is {quoted(os.environ.get('HOME', ''))}, not a whole path", "write the whole path")
    return os.path.abspath(full)


def _read_directory(raw: object) -> str:
    text = text_of(raw).strip()
    if not text:
        raise InvalidValue("the directory's name is empty", "write a path, or leave the setting out")
    return expanded(text)


def own_directory() -> str:
    """The default data directory of a configuration: ``posthouse`` in ``$XDG_DATA_HOME``, or in ``~/.local/share``.

    Raises ``SettingError`` if there is no home directory.
    """
    return os.path.join(_data_home(), "posthouse")


def catcher_directory() -> str:
    """The default data directory without a configuration: ``posthouse-catcher``, beside that of a configuration.

    Raises ``SettingError`` if there is no home directory.
    """
    return os.path.join(_data_home(), "posthouse-catcher")


def _data_home() -> str:
    base = os.environ.get("XDG_DATA_HOME", "")
    try:
        return base if os.path.isabs(base) else expanded("~/.local/share")
    except InvalidValue as wrong:
        cause = "there is no home directory to keep mail in: $HOME is not set, or is no whole path"
        remedy = "name a directory with --data-dir, or with data_dir in a configuration"
        raise SettingError(cause, remedy=remedy) from wrong


DIRECTORY = SettingType("path", _read_directory, quoted)
