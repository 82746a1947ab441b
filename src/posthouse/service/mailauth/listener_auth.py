"""Listeners' terms of message authentication, made from the configuration.

Verification and signing import cryptography and a good deal of code; this module imports them only where a listener
verifies, or where mail can be signed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from posthouse.core import Envelope
from posthouse.net import Clock
from posthouse.service.config.model import Config, ListenerSettings
from posthouse.service.mailauth.auth_terms import SignerSource, VerifyTerms

if TYPE_CHECKING:
    from posthouse.mailauth.dkim import DkimKey
    from posthouse.service.mailauth.lookups import KnowingResolver
    from posthouse.service.mailauth.mail_verification import JudgedSink

__all__ = ["signers_of", "verify_terms", "verify_word"]


def verify_word(config: Config, listener: ListenerSettings) -> tuple[str, bool]:
    """``off``, ``mark`` or ``enforce``, and whether clients of this machine are verified too.

    Without a word in the configuration, an ``mx`` listener marks what other machines send.  A catcher, which takes all
    mail, is for seeing what a program sends: it asks nothing, unless its configuration says so.
    """
    written = listener.verify or config.mailauth.verify
    if listener.verify:
        return written, True
    if written:
        return (written if listener.kind == "mx" else "off"), False
    takes_all = any(each.name == "*" for each in config.domain)
    return ("mark" if listener.kind == "mx" and not takes_all else "off"), False


def verify_terms(
    config: Config,
    listener: ListenerSettings,
    resolver: KnowingResolver | None,
    clock: Clock,
    sealing_key: Callable[[Envelope], DkimKey | None] | None = None,
    judged: JudgedSink | None = None,
) -> VerifyTerms | None:
    """How a listener verifies; None if it does not.

    ``sealing_key`` gives the key for mail that is sent on; ``judged`` is told of each message, for reports.
    """
    word, local = verify_word(config, listener)
    if word == "off" or resolver is None:
        return None
    from posthouse.service.mailauth.forged_fields import ForgedFields
    from posthouse.service.mailauth.mail_verification import Verifier

    name = config.mailauth.authserv_id or config.hostname
    check = Verifier(resolver, clock, config.mailauth, name, word == "enforce", judged, sealing_key)
    return VerifyTerms(check, partial(ForgedFields, (name,), listener.max_header_size), local)


def signers_of(config: Config, clock: Clock, fault: Callable[[str], object]) -> SignerSource | None:
    """What signs; None where nothing is to be signed, and where all mail stays here."""
    if not config.mailauth.sign or any(each.name == "*" for each in config.domain):
        return None
    from posthouse.service.mailauth.key_store import KeyStore, directory_of
    from posthouse.service.mailauth.signers import Signers

    store = KeyStore(directory_of(config.data_dir, config.mailauth.keys))
    signers = Signers(store, config.mailauth, clock, fault)
    signers.load()
    return signers
