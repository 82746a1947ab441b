"""Routes of a message: what ``via`` means, and what is taken where it is not given.

The default is read at each call, so that a test or a program can change it at any time: ``$POSTHOUSE_URL``; else the
settings of Django, if Django is in use (``POSTHOUSE_URL``, ``MAILERS``, ``EMAIL_HOST``); else the environment variables
that are named as the last (``EMAIL_HOST`` …).  Where none of these is set nothing is sent: a default that guesses would
let mail of tests leave the machine.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, cast

from posthouse.client.server_url import ServerAddress
from posthouse.core import SettingError
from posthouse.sending.argument_types import check_options
from posthouse.sending.django_settings import django_setting, mailer_setting, url_of_settings
from posthouse.sending.options import SendOptions, ServerTarget, target_of
from posthouse.sending.transports import SCHEMES, Transport, scheme_of, transport_of

if TYPE_CHECKING:
    from posthouse.sending.connection.credentials import CredentialsLike

__all__ = ["Via", "default_via", "route_of"]

#: A URL, a server, or an object with ``deliver(envelope, content)``.
Via = str | ServerAddress | ServerTarget | Transport


def route_of(
    via: Via | None,
    *,
    timeout: float | str | None = None,
    credentials: CredentialsLike | None = None,
    options: SendOptions | None = None,
    asynchronous: bool = False,
) -> ServerTarget | Transport:
    """The server that ``via`` names with everything about it, or the transport that it is or names.

    Raises ``SettingError`` for a URL that is wrong, for an option that the transport does not have, and where ``via``
    is None and no default is set; ``TypeError`` for an option that does not exist, ``LocalError`` for an argument of a
    wrong type.  Where the default is a transport, options for a session are left aside: the program is the same that
    sends by a server elsewhere.
    """
    if options:
        _check_names(options)
        check_options(options)
    if credentials is not None:
        from posthouse.sending.connection.credentials import check_credentials

        check_credentials(credentials)
    by_default = via is None
    if via is None:
        via = default_via()
    if options is not None and options.get("key"):
        via, options = _with_key(via, options)
    if isinstance(via, ServerTarget):
        return via
    if isinstance(via, str) and scheme_of(via) in SCHEMES:
        via = transport_of(via, asynchronous=asynchronous)
    if isinstance(via, str | ServerAddress):
        return target_of(via, timeout=timeout, credentials=credentials, options=options)
    if not hasattr(via, "deliver"):
        raise SettingError(
            f"via cannot be a {type(via).__name__}", remedy="give a URL, or an object with deliver(envelope, content)"
        )
    given = ["credentials"] * (credentials is not None) + list(options or ())
    if given and not by_default:  # of the environment, which sends the mail of a program under test elsewhere
        remedy = f"leave {', '.join(given)} out"
        raise SettingError("these arguments are for a session with a server, and there is none", remedy=remedy)
    return via


def _check_names(options: SendOptions) -> None:
    for name in options:
        if name not in SendOptions.__annotations__:
            from difflib import get_close_matches

            near = get_close_matches(name, [*SendOptions.__annotations__, *_ARGUMENTS], 1)
            remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(SendOptions.__annotations__)}"
            raise TypeError(f"there is no option {name}; {remedy}")


#: Arguments of ``send`` that are no options, for the remedy of a misspelt one.
_ARGUMENTS: Final = ("timeout", "credentials", "envelope", "verp", "transcript", "size", "idle", "max_age", "rate")


def _with_key(via: Via, options: SendOptions) -> tuple[str, SendOptions]:
    """``key`` as the parameter of ``spool:`` that it is, and the other options."""
    if not isinstance(via, str) or scheme_of(via) != "spool":
        remedy = 'leave key out, or send by via="spool:"'
        raise SettingError("a key is for the local daemon's queue, and this is another way", where="key", remedy=remedy)
    from urllib.parse import quote

    rest = options.copy()
    key = rest.pop("key")
    return f"{via}{'&' if '?' in via else '?'}key={quote(key, safe='')}", rest


def default_via() -> Via:
    """What is used where nothing else is given: a URL, or what Django's settings have.  Raises ``SettingError`` if
    there is none."""
    url = os.environ.get("POSTHOUSE_URL", "").strip()
    if url:
        return url
    from_django = django_setting()
    setting = mailer_setting(from_django) if from_django else os.environ.get
    found = cast("Via | None", setting("POSTHOUSE_URL")) or url_of_settings(setting)
    if found:
        return found
    raise SettingError(
        "no server is named", where="via", remedy='give via="smtps://…", or set the environment variable POSTHOUSE_URL'
    )
