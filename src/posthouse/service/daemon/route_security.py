"""TLS and logins of routes: which settings a deliverer's sessions have, and where their password is read.

Routes with the same settings share a deliverer, with its kept sessions.  A password is read for each new session, so
that a new one counts without a reload; it is kept nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from posthouse.client import Timeouts
from posthouse.client.tls_policy import TlsMode, TlsPolicy
from posthouse.core import SettingError
from posthouse.delivery.security import RouteSecurity
from posthouse.service.config.config_error import refuse_named_file
from posthouse.service.config.mail_types import ViaSetting
from posthouse.service.config.model import Config, RouteSettings

if TYPE_CHECKING:
    from posthouse.client.auth import LoginSettings

__all__ = [
    "PLAIN_ROUTE",
    "SecurityKey",
    "check_route",
    "key_of_route",
    "key_of_via",
    "keys_of",
    "security_of_route",
    "timeouts_of",
]

_PATIENCE: Final = 10.0  # seconds
_LONGEST_PASSWORD: Final = 65_536  # octets; a token may be long
#: What routes have in common that share a deliverer: the kind of ``via`` and the settings of TLS and login.
SecurityKey = tuple[str, ...]
#: The key of routes without any such setting: opportunistic TLS, without a login.
PLAIN_ROUTE: Final[SecurityKey] = ("smtp", "opportunistic", "", "", "", "", "", "")


def _mode_of(route: RouteSettings) -> str:
    """The TLS setting of a route, written or not."""
    if route.tls:
        return route.tls
    if route.via.kind == "lmtp":
        return "off"
    return "verify" if route.user or route.via.kind in ("smtps", "smtp+starttls") else "opportunistic"


def key_of_route(route: RouteSettings) -> SecurityKey:
    """What decides about the sessions of a route."""
    kind = "smtps" if route.via.kind == "smtps" else "lmtp" if route.via.kind == "lmtp" else "smtp"
    files = (route.ca, route.tls_cert, route.tls_key)
    return (kind, _mode_of(route), *files, route.user, route.password_file, route.password_env)


def key_of_via(via: ViaSetting) -> SecurityKey:
    """The key for a way to send that an operator has named."""
    return key_of_route(RouteSettings(to="*", via=via))


def keys_of(config: Config) -> set[SecurityKey]:
    """The keys of all deliverers but the usual ones: of routes, and of ways to send that an operator may name."""
    named = {key_of_via(ViaSetting(kind)) for kind in ("smtps", "smtp+starttls")}
    keys = named | {key_of_route(each) for each in config.route}
    return {key for key in keys if key != PLAIN_ROUTE and key[0] != "lmtp"}


def timeouts_of(key: SecurityKey) -> Timeouts:
    """The time limits of sessions: at a port that sends no greeting, a route asks whether it speaks TLS at once."""
    return Timeouts() if key == PLAIN_ROUTE else Timeouts(patience=_PATIENCE)


def security_of_route(key: SecurityKey) -> RouteSecurity:
    """The security of all routes with this key; no file is read yet."""
    kind, mode, ca, certificate, certificate_key, user, password_file, password_env = key
    login = _login(user, password_file, password_env) if user else None
    if mode == "off":
        return RouteSecurity(None, login)
    how: TlsMode | str = TlsMode.IMPLICIT if kind == "smtps" else mode
    verify = False if kind == "smtps" and mode == "require" else None
    return RouteSecurity(TlsPolicy(how, verify=verify, ca=ca, certificate=certificate, key=certificate_key), login)


def _login(user: str, password_file: str, password_env: str) -> Callable[[], LoginSettings]:
    def read() -> LoginSettings:
        from posthouse.client.auth import LoginSettings
        from posthouse.protocol.sasl import Credentials

        return LoginSettings(Credentials(user, _password(password_file, password_env)))

    return read


def _password(file: str, variable: str) -> str:
    """The password of a route.  Raises ``SettingError``, which does not have it."""
    if variable:
        found = os.environ.get(variable, "")
        if not found:
            raise SettingError(
                "the variable is not set", where=f"password_env {variable}", remedy="set it, and restart"
            )
        return found
    try:
        with open(file, "rb") as opened:
            line = opened.read(_LONGEST_PASSWORD).split(b"\n", 1)[0].rstrip(b"\r")
    except OSError as error:
        why = error.strerror or str(error)
        remedy = "correct the path, or write the file"
        if isinstance(error, PermissionError):
            remedy = "let the daemon's user read it"
        raise SettingError(f"the file cannot be read ({why})", where=f"password_file {file}", remedy=remedy) from error
    try:
        password = line.decode()
    except UnicodeDecodeError:
        password = ""
    if not password:
        remedy = "write the password into its first line, in UTF-8"
        raise SettingError("the file has no password", where=f"password_file {file}", remedy=remedy)
    return password


def check_route(route: RouteSettings, made: Mapping[SecurityKey, RouteSecurity]) -> None:
    """Read the files of a route: its certificates for the sessions that ``made`` has the settings of, and until these
    are made anew; its password only to see that there is one.  Raises ``ConfigError``, and ``SettingError`` for a file
    that this user may not read."""
    key = key_of_route(route)
    tls, login, _ = made.get(key) or security_of_route(key)
    try:
        if tls is not None and (route.ca or route.tls_cert):
            tls.context()
        if login is not None:
            login()
    except SettingError as error:
        refuse_named_file(error)
