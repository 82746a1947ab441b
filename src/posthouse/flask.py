"""Flask: sending for the life of an application.

    mail = Mail(app)                                    # or mail.init_app(app) in a factory
    mail.send(Message("shop@example.org", to, subject="…", text="…"))       # now; a SendResult
    mail.enqueue(message)                               # into the local daemon's queue: durable, and needs no server

Connections are kept for the life of the process and shared by its threads.  The configuration:

``POSTHOUSE_URL``    as ``via`` of ``posthouse.send``; else ``MAIL_SERVER`` and its like, else the environment
``POSTHOUSE_SPOOL``  where ``enqueue`` leaves messages; ``spool:`` if it is left out
``MAIL_SERVER``      and ``MAIL_PORT``, ``MAIL_USERNAME``, ``MAIL_PASSWORD``, ``MAIL_USE_TLS``, ``MAIL_USE_SSL``, as
                     Flask-Mail has them
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import Flask, current_app

from posthouse.core import LocalError, SettingError
from posthouse.sending.kept_pools import KeptPools
from posthouse.sending.via import Via, default_via

if TYPE_CHECKING:
    from posthouse.sending.messages.message_forms import EnvelopeLike, MessageLike
    from posthouse.sending.results import SendResult

__all__ = ["Mail"]


class Mail:
    """Sends messages of Flask applications.  May be shared by threads and by several applications.

    Args:
        app: The application; or call ``init_app``.
        **options: Those of ``posthouse.Pool``.
    """

    def __init__(self, app: Flask | None = None, **options: Any) -> None:
        self._pools = KeptPools(**options)
        self._app: Flask | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Make this the ``mail`` extension of an application."""
        self._app = app if self._app is None else self._app
        app.extensions["posthouse"] = self

    def send(self, message: MessageLike, *, envelope: EnvelopeLike | None = None) -> SendResult:
        """Send a message now, and return what became of it; as ``posthouse.send``."""
        return self._pools.send(message, via=_server_of(self._config()), envelope=envelope)

    def enqueue(self, message: MessageLike, *, envelope: EnvelopeLike | None = None, key: str = "") -> SendResult:
        """Leave a message to the local daemon, which sends it and tries again as long as it takes.

        The message is on stable storage when this returns, whether or not the daemon runs, and ``queue_id`` is its
        name.  A message with a ``key`` that was used before is not sent again.
        """
        place = str(self._config().get("POSTHOUSE_SPOOL") or "spool:")
        more = {"key": key} if key else {}
        return self._pools.send(message, via=place, envelope=envelope, **more)

    def close(self) -> None:
        """Close the connections; the next message opens new ones."""
        self._pools.close()

    def _config(self) -> dict[str, Any]:
        if current_app:
            return current_app.config
        if self._app is not None:
            return self._app.config
        raise LocalError("there is no application; call mail.init_app(app), or send within app.app_context()")


def _server_of(config: dict[str, Any]) -> Via:
    if config.get("POSTHOUSE_URL"):
        return str(config["POSTHOUSE_URL"])
    host = str(config.get("MAIL_SERVER") or "")
    if not host:
        return default_via()
    if config.get("MAIL_USE_SSL") and config.get("MAIL_USE_TLS"):
        remedy = "set MAIL_USE_SSL for port 465, or MAIL_USE_TLS for port 587"
        raise SettingError("MAIL_USE_SSL and MAIL_USE_TLS exclude each other", remedy=remedy)
    scheme = "smtps" if config.get("MAIL_USE_SSL") else "smtp+starttls" if config.get("MAIL_USE_TLS") else "smtp"
    place = f"[{host}]" if ":" in host and not host.startswith("[") else host
    place += f":{config['MAIL_PORT']}" if config.get("MAIL_PORT") else ""
    if config.get("MAIL_USERNAME"):
        user, password = str(config["MAIL_USERNAME"]), str(config.get("MAIL_PASSWORD") or "")
        place = f"{quote(user, safe='')}:{quote(password, safe='')}@{place}"
    return f"{scheme}://{place}"
