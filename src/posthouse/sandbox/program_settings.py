"""Settings by which programs find their mail server: environment variables, and those of Django and Flask.

A program under test has its server from its environment or its framework.  ``ProgramSettings`` has these settings for
a sandbox, and puts them in place for as long as a test lasts.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

__all__ = ["ProgramSettings", "SandboxPlace"]

_LOCMEM: Final = "django.core.mail.backends.locmem.EmailBackend"
_DJANGO_SMTP: Final = "django.core.mail.backends.smtp.EmailBackend"
_POSTHOUSE: Final = "posthouse.django.EmailBackend"


class SandboxPlace(Protocol):
    """What programs must know of a sandbox; see ``Sandbox``."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def url(self) -> str: ...

    @property
    def tls(self) -> str: ...

    @property
    def auth(self) -> str: ...

    @property
    def username(self) -> str: ...

    @property
    def password(self) -> str: ...

    @property
    def certificate(self) -> str: ...


class ProgramSettings:
    """The settings for programs that are to send to a sandbox; ``sandbox.settings`` are those."""

    def __init__(self, sandbox: SandboxPlace) -> None:
        self._sandbox = sandbox

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables, as docs/testing.md lists them.  Name and password are there where the sandbox wants a
        login, and ``SSL_CERT_FILE`` where it has TLS."""
        sandbox = self._sandbox
        host, port = sandbox.host, str(sandbox.port)
        starttls, implicit = _written(_starttls(sandbox)), _written(sandbox.tls == "implicit")
        found = {
            "POSTHOUSE_URL": sandbox.url,
            "EMAIL_URL": self._email_url(),
            "SMTP_HOST": host,
            "SMTP_SERVER": host,
            "SMTP_PORT": port,
            "SMTP_TLS": starttls,
            "SMTP_STARTTLS": starttls,
            "SMTP_SSL": implicit,
            "EMAIL_HOST": host,
            "EMAIL_PORT": port,
            "EMAIL_USE_TLS": starttls,
            "EMAIL_USE_SSL": implicit,
            "MAIL_HOST": host,
            "MAIL_STARTTLS": starttls,
            "MAIL_SSL_TLS": implicit,
        }
        flask = {name: _written(value) if isinstance(value, bool) else str(value) for name, value in self.flask.items()}
        for name, value in flask.items():
            if value != "None":
                found[name] = found[f"FLASK_{name}"] = value
        if sandbox.auth == "required":
            for prefix in ("SMTP_", "MAIL_"):
                found |= {f"{prefix}USER": sandbox.username, f"{prefix}USERNAME": sandbox.username}
                found[f"{prefix}PASSWORD"] = sandbox.password
            found |= {"EMAIL_HOST_USER": sandbox.username, "EMAIL_HOST_PASSWORD": sandbox.password}
        if sandbox.tls != "off":
            found["SSL_CERT_FILE"] = _trusted_file(sandbox.certificate)
        return found

    @property
    def django(self) -> Mapping[str, str | int | bool]:
        """Django's settings: ``EMAIL_HOST``, ``EMAIL_PORT`` and the others of django.core.mail."""
        sandbox = self._sandbox
        login = sandbox.auth == "required"
        return {
            "EMAIL_HOST": sandbox.host,
            "EMAIL_PORT": sandbox.port,
            "EMAIL_HOST_USER": sandbox.username if login else "",
            "EMAIL_HOST_PASSWORD": sandbox.password if login else "",
            "EMAIL_USE_TLS": _starttls(sandbox),
            "EMAIL_USE_SSL": sandbox.tls == "implicit",
            "POSTHOUSE_URL": sandbox.url,
        }

    @property
    def flask(self) -> Mapping[str, str | int | bool | None]:
        """Flask's, as Flask-Mail and Flask-Mailman read them: ``app.config.update(sandbox.settings.flask)``."""
        sandbox = self._sandbox
        login = sandbox.auth == "required"
        return {
            "MAIL_SERVER": sandbox.host,
            "MAIL_PORT": sandbox.port,
            "MAIL_USERNAME": sandbox.username if login else None,
            "MAIL_PASSWORD": sandbox.password if login else None,
            "MAIL_USE_TLS": _starttls(sandbox),
            "MAIL_USE_SSL": sandbox.tls == "implicit",
            "POSTHOUSE_URL": sandbox.url,
        }

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the settings in place, and at the end all back as it was.

        The environment always gets them; Django where its settings are configured; Flask where a block
        ``with app.app_context()`` is open.  Django's backend becomes that of SMTP if Django's test runner has replaced
        it by one that keeps mail in memory.
        """
        with contextlib.ExitStack() as undo:
            _put(os.environ, self.environment, undo.callback)
            self._put_django(undo.callback)
            self._put_flask(undo.callback)
            yield

    def _put_django(self, undo: Callable[..., object]) -> None:
        configured = getattr(sys.modules.get("django.conf"), "settings", None)
        if configured is None or not configured.configured:
            return
        target = _DjangoSettings(configured)
        wanted: dict[str, Any]
        if "MAILERS" in target:
            wanted = {
                "MAILERS": {alias: self._mailer(mailer) for alias, mailer in target["MAILERS"].items()},
                "POSTHOUSE_URL": self._sandbox.url,
            }
        else:
            wanted = dict(self.django)
            if target.get("EMAIL_BACKEND", "") == _LOCMEM:
                wanted["EMAIL_BACKEND"] = _DJANGO_SMTP
        _put(target, wanted, undo)

    def _mailer(self, mailer: Mapping[str, Any]) -> Mapping[str, Any]:
        """A mailer of Django that sends to the sandbox, if it is one for a server or keeps mail for Django's tests."""
        backend, options = mailer.get("BACKEND", _DJANGO_SMTP), mailer.get("OPTIONS", {})
        if backend == _POSTHOUSE:
            ours = {name: value for name, value in options.items() if name in ("on_commit", "using", "fail_silently")}
            return {"BACKEND": backend, "OPTIONS": {**ours, "via": self._sandbox.url}}
        if backend not in (_DJANGO_SMTP, _LOCMEM):
            return mailer
        names = {"EMAIL_HOST_USER": "username", "EMAIL_HOST_PASSWORD": "password"}
        found = {names.get(name, name.removeprefix("EMAIL_").lower()): value for name, value in self.django.items()}
        del found["posthouse_url"]
        return {"BACKEND": _DJANGO_SMTP, "OPTIONS": found}

    def _put_flask(self, undo: Callable[..., object]) -> None:
        application = getattr(sys.modules.get("flask"), "current_app", None)
        if application:  # false outside of an application's context
            _put(application.config, self.flask, undo)

    def _email_url(self) -> str:
        """The URL that dj-email-url and django-environ read."""
        sandbox = self._sandbox
        scheme = "smtp+ssl" if sandbox.tls == "implicit" else "smtp+tls" if _starttls(sandbox) else "smtp"
        login = ""
        if sandbox.auth == "required":
            login = f"{quote(sandbox.username, safe='')}:{quote(sandbox.password, safe='')}@"
        return f"{scheme}://{login}{sandbox.host}:{sandbox.port}"


class _Attributes(MutableMapping[str, Any]):
    """The attributes of an object as a mapping."""

    def __init__(self, target: object) -> None:
        self._target = target

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self._target, name)
        except AttributeError:
            raise KeyError(name) from None

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self._target, name, value)

    def __delitem__(self, name: str) -> None:
        delattr(self._target, name)

    def __iter__(self) -> Iterator[str]:
        return iter(dir(self._target))

    def __len__(self) -> int:
        return len(dir(self._target))


class _DjangoSettings(_Attributes):
    """Django's settings as a mapping, without the warnings of Django 6.1 about the names of the versions before it."""

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(getattr(self._target, "_wrapped", self._target), name)
        except AttributeError:
            raise KeyError(name) from None

    def __setitem__(self, name: str, value: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            super().__setitem__(name, value)


def _put(target: MutableMapping[str, Any], values: Mapping[str, Any], undo: Callable[..., object]) -> None:
    for name, value in values.items():
        if name in target:
            undo(target.__setitem__, name, target[name])
        else:
            undo(target.pop, name, None)
        target[name] = value


def _starttls(sandbox: SandboxPlace) -> bool:
    return sandbox.tls in ("starttls", "required")


def _written(value: bool) -> str:
    """A truth value as most readers of environment variables understand it."""
    return "true" if value else "false"


_lock = threading.Lock()
_trusted: dict[str, str] = {}


def _trusted_file(certificate: str) -> str:
    """A file of what the system trusts and the sandbox's certificate, beside that certificate if it is of our making.

    OpenSSL reads the file of ``SSL_CERT_FILE`` in place of the system's, which other connections may need.
    """
    folder = Path(certificate).parent
    if not folder.name.startswith("posthouse-sandbox-"):
        return certificate
    with _lock:
        if certificate not in _trusted:
            system = ssl.get_default_verify_paths().cafile
            known = Path(system).read_bytes() if system and os.path.isfile(system) else b""
            text = Path(certificate).read_bytes()
            ours = text[text.index(b"-----BEGIN CERTIFICATE") : text.index(b"-----END CERTIFICATE-----") + 26]
            with tempfile.NamedTemporaryFile(dir=folder, suffix=".pem", delete=False) as file:
                file.write(known + b"\n" + ours)
            _trusted[certificate] = file.name
        return _trusted[certificate]
