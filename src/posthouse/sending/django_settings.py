"""Django's settings as a default: the server that they name.

Django 6.1 has ``MAILERS`` in place of ``EMAIL_HOST`` and its like; a project has the one or the other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from posthouse.core import SettingError

__all__ = ["django_setting", "mailer_setting", "url_of_settings"]

#: The options of a mailer that stand for settings of Django before 6.1.
_OPTIONS: Final = {
    "EMAIL_HOST": "host",
    "EMAIL_PORT": "port",
    "EMAIL_HOST_USER": "username",
    "EMAIL_HOST_PASSWORD": "password",
    "EMAIL_USE_TLS": "use_tls",
    "EMAIL_USE_SSL": "use_ssl",
    "EMAIL_TIMEOUT": "timeout",
}


def django_setting() -> Callable[[str], object] | None:
    """A reader of Django's settings, if this program uses Django and has configured it; it gives None for a setting
    that is not there."""
    module = sys.modules.get("django.conf")
    settings = getattr(module, "settings", None)
    if settings is None or not getattr(settings, "configured", False):
        return None
    # From 6.1 on the lazy object around the settings warns whenever one of EMAIL_HOST and its like is read.
    wrapped = getattr(settings, "_wrapped", settings)
    return lambda name: getattr(wrapped, name, None)


def mailer_setting(setting: Callable[[str], object]) -> Callable[[str], object]:
    """A reader that finds ``EMAIL_HOST`` and its like, and ``POSTHOUSE_URL``, in the options of the default mailer, if
    the project has ``MAILERS``; else ``setting`` itself."""
    mailers = setting("MAILERS")
    if not isinstance(mailers, dict):
        return setting
    options = mailers.get("default", {}).get("OPTIONS", {})
    found = {name: options.get(option) for name, option in _OPTIONS.items()}
    found["POSTHOUSE_URL"] = options.get("via") or setting("POSTHOUSE_URL")
    return found.get


def url_of_settings(setting: Callable[[str], object]) -> str:
    """The URL of ``EMAIL_HOST`` and the settings beside it, as Django defines them; "" without a host."""
    from urllib.parse import quote

    host = str(setting("EMAIL_HOST") or "")
    if not host:
        return ""
    if _true(setting("EMAIL_USE_SSL")) and _true(setting("EMAIL_USE_TLS")):
        remedy = "set EMAIL_USE_SSL for port 465, or EMAIL_USE_TLS for port 587"
        raise SettingError("EMAIL_USE_SSL and EMAIL_USE_TLS exclude each other", remedy=remedy)
    scheme = "smtps" if _true(setting("EMAIL_USE_SSL")) else "smtp"
    if _true(setting("EMAIL_USE_TLS")):
        scheme = "smtp+starttls"
    port = setting("EMAIL_PORT")
    place = f"[{host}]" if ":" in host and not host.startswith("[") else host
    if port:
        place += f":{port}"
    user, password = str(setting("EMAIL_HOST_USER") or ""), str(setting("EMAIL_HOST_PASSWORD") or "")
    if user:
        place = f"{quote(user, safe='')}:{quote(password, safe='')}@{place}"
    timeout = setting("EMAIL_TIMEOUT")
    return f"{scheme}://{place}" + (f"?timeout={timeout}" if timeout else "")


def _true(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in ("1", "true", "yes", "on")
    return bool(value)
