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
import os
from collections.abc import Iterable
from typing import Any, Final

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction

from posthouse.core import Address, PosthouseError, SettingError
from posthouse.message import parse_mailboxes
from posthouse.sending.django_settings import django_setting, url_of_settings
from posthouse.sending.kept_pools import KeptPools
from posthouse.sending.options import target_of
from posthouse.sending.results import SendResult
from posthouse.sending.transports import SCHEMES, scheme_of
from posthouse.sending.via import Via, default_via

__all__ = ["EmailBackend"]

_log: Final = logging.getLogger("posthouse.django")
_pools: Final = KeptPools()
atexit.register(_pools.close)
_SERVER: Final = ("host", "port", "username", "password", "use_tls", "use_ssl", "timeout")
_LOGIN: Final = frozenset(("username", "password"))


class EmailBackend(BaseEmailBackend):  # type: ignore[misc]  # Django has no types
    """A backend for ``EMAIL_BACKEND`` and for ``MAILERS``.

    Args:
        fail_silently: Whether nothing is raised; failures are logged at ERROR all the same.
        via: As for ``posthouse.send``.  Without it: the server of the next arguments, else the setting
            ``POSTHOUSE_URL``, else the environment variable of that name, else ``EMAIL_HOST`` and the settings beside.
        on_commit: Whether messages wait for the end of the database transaction, and are dropped if it is rolled back;
            else the setting ``POSTHOUSE_ON_COMMIT``.  They are composed at once.  A failure after the commit is logged
            at ERROR, because nobody waits for it: take ``via="spool:"`` so that it cannot get lost.
        host, port, username, password, use_tls, use_ssl, timeout: As Django's own backend has them.  Name and password
            alone (``send_mail(…, auth_user=…, auth_password=…)``) are for the server that is named otherwise.
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
        super().__init__()  # fail_silently is deprecated there since Django 6.1
        self.alias = alias
        self.fail_silently = fail_silently
        server.pop("_ignore_unknown_kwargs", None)  # of get_connection(fail_silently=True) in a project with MAILERS
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
        via = self._via
        if via is None and self._server.keys() <= _LOGIN:
            via = getattr(settings, "POSTHOUSE_URL", None) or os.environ.get("POSTHOUSE_URL", "").strip() or None
        if via is None:
            return self._server_url() if self._server else default_via()
        if not self._server.keys() & _LOGIN or not isinstance(via, str) or scheme_of(via) in SCHEMES:
            return via
        login = (str(self._server.get("username", "")), str(self._server.get("password", "")))
        return target_of(via, credentials=login)  # of send_mail(…, auth_user=, auth_password=)

    def _server_url(self) -> str:
        """The URL of the server that Django's own arguments name; what they leave out is in the settings."""
        from_django = django_setting() or (lambda name: None)
        in_mailers = from_django("MAILERS") is not None  # then the options of a mailer are all that it has

        def setting(name: str) -> object:
            option = {"EMAIL_HOST_USER": "username", "EMAIL_HOST_PASSWORD": "password"}.get(name)
            option = option or name.removeprefix("EMAIL_").lower()
            found = self._server.get(option, None if in_mailers else from_django(name))
            return (found or "localhost") if name == "EMAIL_HOST" else found

        return url_of_settings(setting)


def _rendered(message: EmailMessage) -> tuple[bytes, tuple[Address | None, list[Address]]]:
    """The octets of a message and its envelope.  Raises ``LocalError`` for an address that is none."""
    written_by = getattr(message, "envelope_sender", None) or message.from_email
    senders = parse_mailboxes(str(written_by), "from_email") if written_by else []
    recipients = [box.address for each in message.recipients() for box in parse_mailboxes(str(each), "a recipient")]
    octets = message.message().as_bytes()
    return octets, (senders[0].address if senders else None, recipients)
