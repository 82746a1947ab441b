"""Types of the settings for TLS and accounts: files, SASL mechanisms, and where the accounts are."""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

from posthouse.protocol.sasl import MECHANISMS as SASL
from posthouse.service.config.types import InvalidValue, SettingType, list_of, quoted, several, shown, text_of

__all__ = [
    "ACCOUNTS",
    "ANY_MECHANISMS",
    "AccountsSetting",
    "FILE",
    "KNOWN_MECHANISMS",
    "LOGIN",
    "MECHANISMS",
    "ROUTE_TLS",
    "SYSTEM_USER",
]

_LOGINS: Final = ("off", "offered", "required")
_ROUTE_TLS: Final = ("off", "opportunistic", "require", "verify")
#: The mechanisms by which ``accounts = "any"`` lets everybody in.  SCRAM is not among them: there the server has to
#: prove that it knows the password as well.  Neither is EXTERNAL: some programs prefer it to a password that they have
#: (Perl's Net::SMTP), and would not do what they do in earnest.
ANY_MECHANISMS: Final = ("PLAIN", "LOGIN", "CRAM-MD5", "OAUTHBEARER", "XOAUTH2")


#: Those that are offered too for the logins of a file.
KNOWN_MECHANISMS: Final = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1")


class AccountsSetting(NamedTuple):
    """Where accounts are: ``kind`` is file, any, dovecot or python; ``target`` a path, which ``any`` may have, or
    ``module:object``."""

    kind: str = "file"
    target: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.target}" if self.target else self.kind


def _read_file(raw: object) -> str:
    text = text_of(raw).strip()
    if not text:
        raise InvalidValue("the file's name is empty", "write a path, or leave the setting out")
    return os.path.abspath(os.path.expanduser(text))


def _read_mechanism(raw: object) -> str:
    name = text_of(raw).strip().upper()
    if name not in SASL:
        raise InvalidValue(f"{shown(raw)} is no mechanism known here", f"choose from {', '.join(SASL)}")
    return name


def _read_login(raw: object) -> str:
    if raw not in _LOGINS:
        raise InvalidValue(f"{shown(raw)} is not one of the choices", f"write {', '.join(map(quoted, _LOGINS))}")
    return str(raw)


def _read_route_tls(raw: object) -> str:
    if raw not in _ROUTE_TLS:
        raise InvalidValue(f"{shown(raw)} is not one of the choices", f"write {', '.join(map(quoted, _ROUTE_TLS))}")
    return str(raw)


def _read_accounts(raw: object) -> AccountsSetting:
    text = text_of(raw).strip()
    kind, _, target = text.partition(":")
    if text in ("file", "any"):
        return AccountsSetting(text)
    if kind == "any" and target.startswith(("/", "~/")):
        return AccountsSetting("any", os.path.expanduser(target))
    if kind == "dovecot" and target.startswith("/"):
        return AccountsSetting("dovecot", target)
    if kind == "python" and all(part.isidentifier() for part in target.replace(":", ".").split(".")) and ":" in target:
        return AccountsSetting("python", target)
    raise InvalidValue(
        f"{shown(raw)} names no accounts", 'write "file", "dovecot:/run/dovecot/auth-client" or "python:module:object"'
    )


def _read_system_user(raw: object) -> str:
    name = text_of(raw).strip()
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*\$?|[0-9]{1,10}", name):
        raise InvalidValue(f"{quoted(name)} is no name of a user or a group", 'write a name such as "posthouse"')
    return name


SYSTEM_USER: Final = SettingType(
    "name of a user or group", _read_system_user, lambda name: quoted(name) if name else ""
)
#: "" where the kind of the route decides.
ROUTE_TLS: Final = SettingType(
    ", ".join(map(quoted, _ROUTE_TLS)), _read_route_tls, lambda value: quoted(value) if value else ""
)
FILE: Final = SettingType("path", _read_file, lambda path: quoted(path) if path else "")
MECHANISMS: Final = SettingType("list of SASL mechanisms", several(_read_mechanism), list_of(quoted))
#: "" where the listener's kind decides.
LOGIN: Final = SettingType(", ".join(map(quoted, _LOGINS)), _read_login, lambda value: quoted(value) if value else "")
ACCOUNTS: Final = SettingType("accounts", _read_accounts, lambda value: quoted(str(value)))
