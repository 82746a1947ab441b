"""Generation: all that a daemon makes of one accepted configuration, and replaces as a whole when another is accepted.

A generation has the directory, the routes with their deliverers, certificates and accounts, and a server with its
policy for each listener.  ``load`` reads the files that a configuration names, so that a mistake is found before
anything has changed.  Sessions keep the generation in which they began.  What outlives a configuration (certificates
that have not changed, failed logins, accounts of the same place, kept connections) is handed from one to the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from posthouse.core import Envelope, EventSink, SettingError
from posthouse.net import Clock, Endpoint, Network
from posthouse.protocol import Limits, Transcript
from posthouse.relay import DsnWriter, Worker
from posthouse.server import CheckFactory, Server, ServerTimeouts
from posthouse.service.config.config_error import ConfigError
from posthouse.service.config.model import Config, ListenerSettings
from posthouse.service.daemon.protection import LoadedCertificates, Protections
from posthouse.service.daemon.route_security import check_route
from posthouse.service.daemon.routing import ConfiguredRouter, Deliverers
from posthouse.service.directory.directory import Directory
from posthouse.service.directory.expansion import sends_on
from posthouse.service.mailauth.auth_terms import AuthTerms, SignerSource
from posthouse.service.mailauth.listener_auth import signers_of, verify_terms
from posthouse.service.mailauth.lookups import KnowingResolver
from posthouse.service.mailauth.reverse_paths import ReversePaths
from posthouse.service.monitor.monitor import Monitor
from posthouse.service.policy.listener_policy import InboxUsage, ListenerPolicy
from posthouse.service.policy.logins import Logins
from posthouse.service.policy.session_policy import SessionPolicy
from posthouse.service.policy.shared_counts import SharedCounts
from posthouse.service.policy.switched_faults import SwitchedFaults
from posthouse.service.process.ports import ListenerKey, key_of
from posthouse.spool import Spool

if TYPE_CHECKING:
    from posthouse.mailauth.dkim import DkimKey
    from posthouse.service.mailauth.mail_verification import JudgedSink

__all__ = ["Generation", "Lasting", "OpenServer"]

#: Seconds that a start or a reload waits for the import of all handlers; less than a worker has to answer.
_IMPORT: Final = 20.0
_MAILDROP = "/maildrop"  # the place that its policy names in logs; nothing listens there


class Lasting(NamedTuple):
    """The parts of a daemon that no change of its configuration replaces."""

    clock: Clock
    network: Network
    log: EventSink
    spool: Spool
    worker: Worker
    usage: InboxUsage
    dsn_writer: DsnWriter
    fault: Callable[[BaseException], None]
    sweep: Callable[[], object]
    checks: Sequence[CheckFactory]
    transcript: Callable[[str], Transcript] | None
    counts: SharedCounts
    mail_resolver: KnowingResolver | None
    key_fault: Callable[[str], object]
    judged: JudgedSink | None
    switches: SwitchedFaults
    monitor: Monitor


class OpenServer(NamedTuple):
    """A listener's server, and the policy of its sessions."""

    settings: ListenerSettings
    policy: ListenerPolicy
    server: Server


class Generation:
    """Directory and routes of a configuration; after ``load`` its servers too.

    Args:
        deliverers: makes the deliverers; those of ``before`` are kept where nothing that they are made of has changed.
        loaded: certificates that were read already.
        before: the generation that this one is to replace.
    """

    def __init__(
        self,
        config: Config,
        deliverers: Callable[[Config], Deliverers],
        *,
        clock: Clock,
        log: EventSink,
        before: Generation | None = None,
        loaded: LoadedCertificates | None = None,
    ) -> None:
        self.config = config
        self.reverse_paths = ReversePaths(config, clock) if config.mailauth.srs_domain or config.mailauth.batv else None
        self.directory = Directory(config, None if self.reverse_paths is None else self.reverse_paths.home)
        files = any(each.ca or each.tls_cert or each.password_file for each in config.route)  # may have changed
        same = before is not None and (before.config.relay, before.config.route) == (config.relay, config.route)
        kept = same and not files
        self.deliverers: Deliverers = before.deliverers if kept and before is not None else deliverers(config)
        self.router = ConfiguredRouter(config, self.deliverers)
        earlier: Protections | None = before.protections if before is not None else None
        self.protections: Protections = Protections(config, clock=clock, log=log, before=earlier, loaded=loaded)
        self.servers: dict[ListenerKey, OpenServer] = {}
        self.signers: SignerSource | None = None
        self.local_policy: ListenerPolicy | None = None  # of what users of this machine leave in the maildrop

    @property
    def sessions(self) -> int:
        """Open sessions."""
        return sum(each.server.sessions for each in self.servers.values())

    async def load_handlers(self, tell: Callable[[str], object]) -> None:
        """Import the handlers of mail (``deliver = "python:…"``) in threads.  Raises ``ConfigError``.

        One that takes long is told and left to its thread: its mail waits, and all other mail does not.
        """
        problems = []
        target = ""
        try:
            async with asyncio.timeout(_IMPORT):
                for target in self.config.handlers:
                    try:
                        await self.deliverers.python.load(target)
                    except SettingError as error:
                        problems.append(error)
        except TimeoutError:
            tell(f'deliver = "python:{target}": it has not been imported after {_IMPORT:g} s; see what it waits for')
        if problems:
            raise ConfigError(problems)

    def load(self, lasting: Lasting) -> None:
        """Read the files of routes, certificates and accounts, and make the servers.  Raises ``SettingError``; nothing
        is in use then."""
        for route in self.config.route:
            check_route(route, self.deliverers.security)
        if self.reverse_paths is not None:
            self.reverse_paths.load()
        self.signers = signers_of(self.config, lasting.clock, lasting.key_fault)
        for listener in self.config.listener:
            self.servers[key_of(listener)] = self._server(listener, lasting)
        self.local_policy = self._policy(_local_submission(self.config), lasting, None, SharedCounts())

    def _policy(
        self, listener: ListenerSettings, lasting: Lasting, logins: Logins | None, counts: SharedCounts
    ) -> ListenerPolicy:
        return ListenerPolicy(
            self.config,
            listener,
            directory=self.directory,
            spool=lasting.spool,
            clock=lasting.clock,
            destination=self.router.destination,
            stored=lasting.worker.new_mail.put,
            log=lasting.log,
            usage=lasting.usage,
            owner=lasting.worker.owner,
            claim=lasting.worker.claim,
            dsn_writer=lasting.dsn_writer,
            checks=lasting.checks,
            logins=logins,
            counts=counts,
            auth=self._auth(listener, lasting),
        )

    def _auth(self, listener: ListenerSettings, lasting: Lasting) -> AuthTerms:
        key = self._sealing_key if self.config.mailauth.seal and self.signers is not None else None
        terms = verify_terms(self.config, listener, lasting.mail_resolver, lasting.clock, key, lasting.judged)
        return AuthTerms(terms, self.signers, self.reverse_paths.report_refused if self.reverse_paths else None)

    def _sealing_key(self, envelope: Envelope) -> DkimKey | None:
        """The key with which a message is sealed because it is sent on to other servers; None if it is not."""
        if self.signers is None or not self.signers.any or not sends_on(self.directory, envelope):
            return None
        return self.signers.sealing_key(self.config.hostname)

    def _server(self, listener: ListenerSettings, lasting: Lasting) -> OpenServer:
        config = self.config
        protection, logins = self.protections.of(listener, lasting.counts)
        policy = self._policy(listener, lasting, logins, lasting.counts)
        policy.untrusted = self.protections.untrusted(listener)
        size = listener.max_message_size
        make: Callable[..., Server] = Server
        if listener.fault_addresses:
            from posthouse.service.policy.fault_addresses import faulty_server  # only the catcher needs it

            make = faulty_server(policy, lasting.switches)
        server = make(
            partial(SessionPolicy, policy),
            network=lasting.network,
            clock=lasting.clock,
            hostname=config.hostname,
            lmtp=policy.lmtp,
            limits=Limits(
                recipients=listener.max_recipients,
                message=size,
                chunk=size,
                errors=listener.max_errors,
                idle_commands=listener.max_idle_commands,
                refused_recipients=listener.max_refused_recipients,
                transactions=listener.max_messages,
            ),
            timeouts=ServerTimeouts(
                listener.command_timeout,
                listener.data_timeout,
                listener.transfer_timeout,
                listener.session_timeout,
                least_rate=float(listener.min_data_rate),
                slow_start=listener.min_data_rate_after,
                handshake=listener.tls_timeout,
            ),
            on_error=lasting.fault,
            on_sweep=lasting.sweep,
            leniency=policy.leniency,
            protection=protection,
            proxies=policy.proxies,
            # A submission client may give up in a pause, and one that speaks TLS from the start must speak first.
            greeting_pause=listener.greeting_pause
            if listener.kind != "submission" and listener.tls != "implicit"
            else 0,
            on_refused=policy.turned_away,
            observer=lasting.monitor.watch_of(listener.name, lasting.transcript),
        )
        return OpenServer(listener, policy, server)

    def stop_accepting(self) -> None:
        """Refuse every session that begins from now on."""
        for each in self.servers.values():
            each.policy.draining = True
        if self.local_policy is not None:
            self.local_policy.draining = True

    def end(self) -> None:
        """Write what is left for the log; the sessions have ended."""
        for each in self.servers.values():
            each.policy.end()
        if self.local_policy is not None:
            self.local_policy.end()


def _local_submission(config: Config) -> ListenerSettings:
    """The terms of what is left in the maildrop: those of a submission, with the largest of the listeners' sizes."""
    sizes = [each.max_message_size for each in config.listener]
    headers = [each.max_header_size for each in config.listener]
    terms = ListenerSettings(bind=Endpoint(_MAILDROP), kind="submission", name="maildrop", auth="off")
    if not sizes:
        return terms
    return replace(terms, max_message_size=max(sizes), max_header_size=max(headers))
