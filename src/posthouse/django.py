"""Django: an e-mail backend over Posthouse.

    EMAIL_BACKEND = "posthouse.django.EmailBackend"
    POSTHOUSE_URL = "smtps://name:password@mail.example.org"        # or "spool:", or EMAIL_HOST and its like

    MAILERS = {"default": {"BACKEND": "posthouse.django.EmailBackend", "OPTIONS": {"via": "spool:", "on_commit": True}}}

Connections are kept for the life of the process and shared by its threads, so a message does not wait for a new one and
nothing is locked.  What was sent stands on the message: ``message.posthouse_result`` is the ``SendResult``.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction

from posthouse.core import Address, PosthouseError, SettingError
from posthouse.message import parse_mailboxes
from posthouse.sending.kept_pools import KeptPools
from posthouse.sending.results import SendResult
from posthouse.sending.via import Via, default_via

__all__ = ["EmailBackend"]

_log: Final = logging.getLogger("posthouse.django")
_pools: Final = KeptPools()
atexit.register(_pools.close)
_SERVER: Final = ("host", "port", "username", "password", "use_tls", "use_ssl", "timeout")


class EmailBackend(BaseEmailBackend):  # type: ignore[misc]  # Django has no types
    """A backend for ``EMAIL_BACKEND`` and for ``MAILERS``.

    Args:
        fail_silently: Whether nothing is raised; failures are logged at ERROR all the same.
        via: As for ``posthouse.send``.  Without it: the server of the next arguments, else the setting
            ``POSTHOUSE_URL``, else the environment variable of that name, else ``EMAIL_HOST`` and the settings beside.
        on_commit: Whether messages wait for the end of the database transaction, and are dropped if it is rolled back;
            else the setting ``POSTHOUSE_ON_COMMIT``.  They are composed at once.  A failure after the commit is logged
            at ERROR, because nobody waits for it: take ``via="spool:"`` so that it cannot get lost.
        host, port, username, password, use_tls, use_ssl, timeout: As Django's own backend has them.
        alias: The name of the mailer in ``MAILERS``.
        using: The alias of the database of ``on_commit``.
    """

    def __init__(
        self,
        fail_silently: bool = False,
        *,
        via: Via | None = None,
        on_commit: bool | None = None,
        using: str | None = None,
        alias: str | None = None,
        **server: Any,
    ) -> None:
        super().__init__(fail_silently=fail_silently)
        self.alias = alias
        self.fail_silently = fail_silently
        unknown = [name for name in server if name not in _SERVER]
        if unknown:
            remedy = f"there are via, on_commit, using, {', '.join(_SERVER)}"
            raise SettingError(f"the e-mail backend has no option {unknown[0]}", where=alias or "", remedy=remedy)
        self._via = via
        self._server = {name: value for name, value in server.items() if value not in (None, "")}
        self._on_commit = bool(getattr(settings, "POSTHOUSE_ON_COMMIT", False)) if on_commit is None else on_commit
        self._using = using

    def send_messages(self, email_messages: Iterable[EmailMessage]) -> int:
        """Send the messages; the number of those that at least one recipient got, or that wait for the commit.

        Raises ``SendFailed`` for the first message that nobody got, and what ``posthouse.send`` raises; the messages
        before it have been sent.
        """
        number = 0
        for message in email_messages:
            if not message.recipients():
                continue
            try:
                octets, envelope = _rendered(message)
                if self._on_commit:
                    transaction.on_commit(lambda m=message, o=octets, e=envelope: self._later(m, o, e), self._using)
                    number += 1
                    continue
                result = self._sent(message, octets, envelope)
                if not result.delivered:
                    result.raise_for_failures()
                number += 1
            except PosthouseError as error:
                _log.error("a message to %s was not sent: %s", ", ".join(message.recipients()), error)
                if not self.fail_silently:
                    raise
        return number

    def _later(self, message: EmailMessage, octets: bytes, envelope: tuple[Any, list[Address]]) -> None:
        try:
            self._sent(message, octets, envelope).raise_for_failures()
        except Exception:
            _log.exception("a message to %s was not sent after the commit", ", ".join(message.recipients()))

    def _sent(self, message: EmailMessage, octets: bytes, envelope: tuple[Any, list[Address]]) -> SendResult:
        result = _pools.send(octets, via=self._route(), envelope=envelope)
        message.posthouse_result = result
        if not result.ok and result.delivered:
            _log.error(
                "a message was not sent to all: %s",
                "; ".join(f"{each.recipient.address}: {each.reason}" for each in result if each.result != "delivered"),
            )
        return result

    def _route(self) -> Via:
        if self._via is not None:
            return self._via
        if self._server:
            return self._server_url()
        return getattr(settings, "POSTHOUSE_URL", None) or default_via()

    def _server_url(self) -> str:
        """The URL of the server that Django's own arguments name; what they leave out is in the settings."""

        def of(name: str) -> Any:
            setting = {"username": "EMAIL_HOST_USER", "password": "EMAIL_HOST_PASSWORD"}.get(name)
            return self._server.get(name, getattr(settings, setting or f"EMAIL_{name.upper()}", None))

        if of("use_ssl") and of("use_tls"):
            raise SettingError("use_ssl and use_tls exclude each other", where=self.alias or "", remedy="set one")
        scheme = "smtps" if of("use_ssl") else "smtp+starttls" if of("use_tls") else "smtp"
        host = str(of("host") or "localhost")
        place = f"[{host}]" if ":" in host and not host.startswith("[") else host
        place += f":{of('port')}" if of("port") else ""
        if of("username"):
            place = f"{quote(str(of('username')), safe='')}:{quote(str(of('password') or ''), safe='')}@{place}"
        return f"{scheme}://{place}" + (f"?timeout={of('timeout')}" if of("timeout") else "")


def _rendered(message: EmailMessage) -> tuple[bytes, tuple[Address | None, list[Address]]]:
    """The octets of a message and its envelope.  Raises ``LocalError`` for an address that is none."""
    written_by = getattr(message, "envelope_sender", None) or message.from_email
    senders = parse_mailboxes(str(written_by), "from_email") if written_by else []
    recipients = [box.address for each in message.recipients() for box in parse_mailboxes(str(each), "a recipient")]
    octets = message.message().as_bytes()
    return octets, (senders[0].address if senders else None, recipients)
