"""The router of a configuration: local domains by their ``deliver``, all others by the relay's table of routes.

The relay asks it at each attempt, so a corrected configuration applies to mail that is queued already.  Only the domain
decides.  Whether a mailbox exists was decided when its mail was accepted; that mail is delivered even if the mailbox
has been removed from the configuration since.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from posthouse.core import Address, LocalError, Outcome, Recipient, Reply, Result, local_key
from posthouse.delivery import Deliverer, MaildirDeliverer, MaildirFiles, PythonDeliverer, expand_path
from posthouse.delivery.security import RouteSecurity
from posthouse.relay import NoRoute, Route, RouteRule, RouteTable
from posthouse.service.config.mail_types import VIA, without_tag
from posthouse.service.config.model import Config, DomainSettings
from posthouse.service.config.types import InvalidValue
from posthouse.service.daemon.route_security import SecurityKey, key_of_route, key_of_via

__all__ = ["ConfiguredRouter", "Deliverers"]


class Deliverers(NamedTuple):
    """The deliverer of each kind of target; ``secured`` are those of routes with settings of TLS or a login, and
    ``security`` has these settings."""

    smtp: Deliverer
    lmtp: Deliverer
    maildir: MaildirDeliverer
    mailbox: Deliverer
    discard: Deliverer
    python: PythonDeliverer
    secured: Mapping[SecurityKey, Deliverer] = MappingProxyType({})
    security: Mapping[SecurityKey, RouteSecurity] = MappingProxyType({})

    def of(self, key: SecurityKey) -> Deliverer:
        """The deliverer of a route with these settings."""
        return self.secured.get(key) or (self.lmtp if key[0] == "lmtp" else self.smtp)

    async def close(self) -> None:
        """Close all of them."""
        for each in (*self[:-2], *self.secured.values()):
            await each.close()


class ConfiguredRouter:
    """The ``Router`` of a configuration."""

    __slots__ = (
        "_deliverers",
        "_elsewhere",
        "_everything",
        "_maildirs",
        "_ours",
        "_reasons",
        "_routes",
        "_table",
        "destination",
    )

    def __init__(self, config: Config, deliverers: Deliverers) -> None:
        self._deliverers = deliverers
        self._routes = config.route
        self._elsewhere = {"lmtp": deliverers.lmtp, "smtp": deliverers.smtp, "python": deliverers.python}
        self._ours = {each.name: each for each in config.domain}
        self._everything = self._ours.pop("*", None)
        if self._everything is None and config.hostname not in self._ours:
            self._ours[config.hostname] = DomainSettings(name=config.hostname)  # for its postmaster
        self._reasons = {each.name: f'[[domain]] "{each.name}": deliver = "{each.deliver}"' for each in config.domain}
        folder = config.mailauth.quarantine_folder if config.mailauth.quarantine == "folder" else ""
        self._maildirs = {
            each.name: deliverers.maildir.writing(_maildir_files(each), folder)
            for each in config.domain
            if each.deliver.kind == "maildir"
        }
        mx = RouteRule("*", deliverers.smtp, None, "no [[route]] applies: the mail exchangers of the domain")
        rules = [
            RouteRule(
                each.to,
                deliverers.of(key_of_route(each)),
                each.via.target or None,
                f'[[route]] "{each.to}": via = "{each.via}"' + (f', tls = "{each.tls}"' if each.tls else ""),
            )
            for each in config.route
        ]
        ways = {"mx": deliverers.smtp, "smtp": deliverers.smtp, "lmtp": deliverers.lmtp}
        self._table = RouteTable(rules, mx, home=config.postmaster.domain, ways=ways)
        #: See ``Router.destination``.
        self.destination = self._table.destination

    def route(self, recipient: Recipient, override: str = "") -> Route | NoRoute:
        """See ``Router.route``; ``override`` is written as the ``via`` of a ``[[route]]``."""
        domain = self._table.destination(recipient.address)
        if override:
            return self._overridden(recipient, domain, override)
        ours = self._ours.get(domain, self._everything)
        if ours is None:
            return self._table.route(recipient)
        reason = self._reasons.get(ours.name, "our own host name: its postmaster")
        local = local_key(recipient.address.local)
        if ours.subaddress and local not in (ours.mailboxes or ()):
            local = without_tag(local, ours.subaddress)
        address = Address(local, domain)
        kind, target = ours.deliver
        if kind == "mailbox":
            return Route(self._deliverers.mailbox, str(address), reason)
        if kind == "maildir":
            try:
                return Route(self._maildirs[ours.name], str(expand_path(target, address)), reason)
            except LocalError as error:
                return NoRoute(Outcome(recipient, Result.FAILED, Reply(553, "5.1.3", "no such mailbox"), str(error)))
        if kind == "discard":
            return Route(self._deliverers.discard, domain, reason, shared=True)
        return Route(self._elsewhere[kind], target, reason, shared=True)

    def _overridden(self, recipient: Recipient, domain: str, override: str) -> Route | NoRoute:
        try:
            via = VIA.read(override)
        except InvalidValue as wrong:
            reason = f'an operator sent it to "{override}", which is no way to send; {wrong.remedy}'
            reply = Reply(451, "4.3.5", "the route of this mail is not usable")
            return NoRoute(Outcome(recipient, Result.DEFERRED, reply, reason))
        same = next((each for each in self._routes if each.via == via and via.target), None)  # its TLS, its login
        deliverer = self._deliverers.of(key_of_via(via) if same is None else key_of_route(same))
        return Route(deliverer, via.target or domain, f"an operator sent it to {override}")


def _maildir_files(domain: DomainSettings) -> MaildirFiles:
    """How the files of a domain's Maildirs are written."""
    fixed = domain.deliver.target.partition("{")[0]
    base = fixed[: fixed.rfind("/")] or "/"
    return MaildirFiles(domain.maildir_line_ends == "crlf", domain.maildir_mode, domain.maildir_owner, base)
