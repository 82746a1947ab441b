"""The settings: name, type, default and documentation of each are declared once, here.

The structs are the shape of the configuration file (``config.decode`` reads a TOML table into one of them) and the
values that the daemon is built from.  ``config.docs`` generates the manual's page of settings from the ``Annotated``
texts, so the page cannot differ from the program.

A field's type is what the program uses (seconds as a float, an ``Endpoint``); the ``SettingType`` beside it reads and
writes what stands in the file ("5m", "127.0.0.1:25").

Over budget: one declaration with its text for each setting, and no logic.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from posthouse.client.hostname import machine_name
from posthouse.core import Address
from posthouse.net.stream import Endpoint
from posthouse.service.config import mail_types, security_types, types
from posthouse.service.config.console_settings import ConsoleSettings, WebhookSettings
from posthouse.service.config.inbox_settings import InboxRuleSettings, InboxSettings
from posthouse.service.config.limit_settings import LimitSettings
from posthouse.service.config.mail_types import DeliverySetting, ViaSetting
from posthouse.service.config.mailauth_settings import VERIFY, MailauthSettings
from posthouse.service.config.security_types import AccountsSetting
from posthouse.service.config.types import Network

__all__ = [
    "CertificateSettings",
    "Config",
    "DnsSettings",
    "DomainSettings",
    "ListenerSettings",
    "LogSettings",
    "MailingList",
    "RelaySettings",
    "RouteSettings",
    "SpoolSettings",
    "is_within",
]


class ListenerSettings(LimitSettings, frozen=True, kw_only=True):
    """A listener: an address where mail is accepted, and its terms; without any table, 127.0.0.1:1025."""

    bind: Annotated[
        Endpoint,
        types.ENDPOINT,
        Meta(description="Where to listen; port 0 takes any free port, and `localhost` is 127.0.0.1."),
    ]
    kind: Annotated[
        Literal["mx", "submission", "lmtp"],
        Meta(
            description="`mx` accepts mail for the domains of this server, and from trusted networks for any domain; "
            "`submission` accepts mail from trusted networks and from clients that have logged in; `lmtp` accepts mail "
            "for the domains of this server with one reply for each recipient (RFC 2033)."
        ),
    ] = "mx"
    tls: Annotated[
        Literal["off", "starttls", "implicit"],
        Meta(
            description="Encryption: `starttls` begins in clear and offers STARTTLS (RFC 3207), `implicit` is TLS from "
            "the first octet (RFC 8314)."
        ),
    ] = "off"
    tls_required: Annotated[
        bool, Meta(description="Whether mail and logins are refused before STARTTLS (530 5.7.0).")
    ] = False
    tls_cert: Annotated[
        str,
        security_types.FILE,
        Meta(
            description="The certificate (PEM) with its chain; without it, the first `[[certificate]]`, or else "
            "a self-signed one that is made in `data_dir`. The files are read again when they change."
        ),
    ] = ""
    tls_key: Annotated[
        str,
        security_types.FILE,
        Meta(description="The certificate's key (PEM); without it, the key is in the certificate's file."),
    ] = ""
    tls_client_ca: Annotated[
        str,
        security_types.FILE,
        Meta(
            description="Certificates (PEM) whose clients may log in with one of their own, by EXTERNAL; with their "
            "revocation lists, if any."
        ),
    ] = ""
    tls_client_name: Annotated[
        Literal["email", "common_name"],
        Meta(
            description="What names the account in a client's certificate: its `email` address (subjectAltName), or "
            "where it has none its `common_name`. A certificate without that field lets nobody in."
        ),
    ] = "email"
    auth: Annotated[
        str,
        security_types.LOGIN,
        Meta(
            description="Logging in with AUTH (RFC 4954): `off`; `offered`; `required`, before which mail is refused "
            "(530 5.7.0), but from trusted networks. Without it, `required` for `submission` and `off` for others; "
            "`submission` is never open to others without a login."
        ),
    ] = ""
    mechanisms: Annotated[
        tuple[str, ...],
        security_types.MECHANISMS,
        Meta(
            description="The SASL mechanisms to offer; without it, those of SCRAM-SHA-256, PLAIN, LOGIN, OAUTHBEARER "
            "and XOAUTH2 that the accounts serve. One that shows a password is offered under TLS and on loopback only."
        ),
    ] = ()
    complete_messages: Annotated[
        bool,
        Meta(
            description="Whether a submitted message gets Date, From and Message-ID if they are missing, and loses Bcc "
            "(RFC 6409 §8). Submitted is what comes to a `submission` listener, from an account, or without a Received "
            "field from trusted networks."
        ),
    ] = True
    check_from: Annotated[
        bool,
        Meta(
            description="Whether From and Sender of a message must also be identities of the account that has logged "
            "in (553 5.7.1), not only the sender in MAIL."
        ),
    ] = False
    hide_client: Annotated[
        bool,
        Meta(
            description="Whether the Received field of a submitted message leaves out the client's address and name, "
            "and what `hide_login` leaves out. The log and the history keep them."
        ),
    ] = False
    hide_login: Annotated[
        bool,
        Meta(
            description="Whether the Received field leaves out the account that has logged in, and the name in the "
            "client's certificate. The log and the history keep them."
        ),
    ] = False
    strictness: Annotated[
        str,
        mail_types.STRICTNESS,
        Meta(
            description="How mail that breaks the rules of SMTP is treated: `strict` refuses it, `lenient` accepts and "
            "remarks what has only one meaning. Without it, `mx` is strict but to trusted networks, and to them, "
            "`submission` and `lmtp` are lenient in the message and its addresses; see [strictness](strictness.md)."
        ),
    ] = ""
    verify: Annotated[
        str,
        VERIFY,
        Meta(
            description="As `[mailauth] verify`, for this listener; written here, it counts for clients of this "
            "machine too."
        ),
    ] = ""
    name: Annotated[str, Meta(description="A name for logs; without it, the kind, numbered if there are several.")] = ""
    banner: Annotated[str, Meta(description='The words after the host name in the opening reply ("220 …").')] = (
        "ESMTP Posthouse"
    )
    closed: Annotated[
        bool,
        Meta(description="Whether no mail is accepted: every session is greeted with 521 (RFC 7504)."),
    ] = False
    fault_addresses: Annotated[
        bool,
        Meta(
            description="Whether recipients such as `tempfail+3@…` fail as they are told to, to test what sends here; "
            'only where all mail stays here ([[domain]] "*"). See [faults by address](testing.md#faults-by-address).'
        ),
    ] = False
    vrfy: Annotated[bool, Meta(description="Whether VRFY says if a mailbox exists; if off, it answers 252.")] = False
    expn: Annotated[bool, Meta(description="Whether EXPN shows the members of a list; if off, it answers 252.")] = False
    proxy_networks: Annotated[
        tuple[Network, ...],
        types.NETWORKS,
        Meta(
            description="Proxies whose connections begin with a PROXY header, version 1 or 2, which names the client; "
            "see [proxies](limits.md#proxies)."
        ),
    ] = ()
    xclient_networks: Annotated[
        tuple[Network, ...],
        types.NETWORKS,
        Meta(description="Hosts that may name the client by XCLIENT; they can claim any address and any login."),
    ] = ()
    xforward_networks: Annotated[
        tuple[Network, ...],
        types.NETWORKS,
        Meta(description="Hosts that may say by XFORWARD which client the log and the history name."),
    ] = ()

    @property
    def pause(self) -> float:
        """``greeting_pause`` where it applies: a submission client may give up in it, and one that speaks TLS from the
        start must speak first."""
        return 0.0 if self.kind == "submission" or self.tls == "implicit" else self.greeting_pause


class CertificateSettings(Struct, frozen=True, kw_only=True):
    """A certificate for the listeners with TLS; a client that asks for one of its names gets it (SNI)."""

    cert: Annotated[str, security_types.FILE, Meta(description="The certificate (PEM) with its chain.")]
    key: Annotated[
        str,
        security_types.FILE,
        Meta(description="Its key (PEM); without it, the key is in the certificate's file."),
    ] = ""


class RelaySettings(Struct, frozen=True, kw_only=True):
    """How mail is relayed and retried."""

    trusted_networks: Annotated[
        tuple[Network, ...],
        types.NETWORKS,
        Meta(description="Networks that may send to any domain; without it, none."),
    ] = ()
    retry_first: Annotated[
        float, types.DURATION, Meta(description="The delay before the second attempt; it doubles with each attempt.")
    ] = 300.0
    retry_max: Annotated[
        float,
        types.DURATION,
        Meta(description="The longest delay between attempts; 6 times as long after an ambiguous end."),
    ] = 14_400.0
    give_up_after: Annotated[
        float,
        types.DURATION,
        Meta(description="The age at which an undelivered message fails (RFC 5321 §4.5.4.1: at least 4 to 5 days)."),
    ] = 432_000.0
    warn_after: Annotated[
        float,
        types.DURATION,
        Meta(
            description="The age at which the sender of an undelivered message is notified, once, at the next attempt. "
            "Senders can decline this (RFC 3461 NOTIFY)."
        ),
    ] = 14_400.0
    concurrency: Annotated[
        int,
        types.COUNT,
        Meta(
            description="Attempts under way at one time. Up to twice as many more may wait for hosts that have not "
            "answered for 2 s: allow three times as many sockets."
        ),
    ] = 200
    concurrency_per_destination: Annotated[
        int, types.COUNT, Meta(description="Attempts under way at one time to one destination.")
    ] = 20
    max_hops: Annotated[
        int,
        types.COUNT,
        Meta(
            description="Received fields after which a message counts as looping (554 5.4.6). "
            "RFC 5321 §6.3 asks for at least 100.",
            extra={"precedent": "RFC 5321 §6.3; Postfix: `hopcount_limit`, 50", "reply": "554 5.4.6"},
        ),
    ] = 100
    max_passes: Annotated[
        int,
        types.COUNT,
        Meta(
            description="Received fields of this host's own after which a message counts as looping (554 5.4.6). A "
            "message may pass a host several times, by way of forwarding addresses and lists.",
            extra={"precedent": "Postfix: Delivered-To, 1 for each address", "reply": "554 5.4.6"},
        ),
    ] = 10
    source: Annotated[
        str, types.IP_OR_NOTHING, Meta(description="The local IP address to send from; without it, the system chooses.")
    ] = ""


class MailingList(Struct, frozen=True, kw_only=True):
    """A mailing list: its members, and the owner, who gets its delivery reports."""

    members: Annotated[
        tuple[str, ...], mail_types.ADDRESSES, Meta(description="Addresses; a bare local part is one in this domain.")
    ]
    owner: Annotated[
        str,
        mail_types.ADDRESS,
        Meta(description="The sender of mail that the list sends on (RFC 5321 §3.9.2); without it, postmaster."),
    ] = "postmaster"


class DomainSettings(Struct, frozen=True, kw_only=True):
    """A domain of this server: mail for it is delivered here."""

    name: Annotated[str, mail_types.OUR_DOMAIN, Meta(description='The domain, or "*" for all domains.')]
    deliver: Annotated[
        DeliverySetting,
        mail_types.DELIVERY,
        Meta(
            description='Where its mail is delivered: "maildir:PATH" (with `{domain}` and `{local}` in the path), '
            '"mailbox" (the local inboxes in the spool), "lmtp://host:port" or "lmtp:/path/of/socket", '
            '"smtp://host:port", "discard", '
            '"python:module:object" (your own function; see [operations](operations.md#delivery-to-your-own-code)).'
        ),
    ] = DeliverySetting("mailbox")
    maildir_line_ends: Annotated[
        Literal["lf", "crlf"],
        Meta(
            description="Line ends in Maildirs: `lf`, which readers of Maildirs expect, or `crlf`, with which messages "
            "are stored octet for octet."
        ),
    ] = "lf"
    maildir_mode: Annotated[
        int,
        mail_types.FILE_MODE,
        Meta(
            description="Mode of the files in Maildirs; directories can also be searched by those who may read. It "
            "applies to new files and directories."
        ),
    ] = 0o600
    maildir_owner: Annotated[
        str,
        mail_types.OWNER,
        Meta(
            description='Owner of new files and directories of Maildirs, "user" or "user:group"; the daemon must then '
            "run as root or as that user. Without it, the daemon's own."
        ),
    ] = ""
    mailboxes: Annotated[
        tuple[str, ...] | None,
        mail_types.MAILBOXES,
        Meta(
            description='Local parts that exist, or "any". Without it: those of aliases, lists and moved only; with '
            '`deliver = "discard"`, any. `postmaster` always exists.'
        ),
    ] = None
    aliases: Annotated[
        dict[str, tuple[str, ...]],
        mail_types.ALIASES,
        Meta(description='Other names: `info = ["bob", "ann@example.net"]`. The sender is kept.'),
    ] = field(default_factory=dict)
    lists: Annotated[
        dict[str, MailingList],
        mail_types.LOCAL_KEYS,
        Meta(description="Mailing lists by local part; the owner becomes the sender, and EXPN may show the members."),
    ] = field(default_factory=dict)
    moved: Annotated[
        dict[str, str],
        mail_types.MOVED,
        Meta(description='Mailboxes that have another address now: `ann = "ann@example.net"`.'),
    ] = field(default_factory=dict)
    moved_action: Annotated[
        Literal["forward", "tell"],
        Meta(
            description="What happens to mail for a moved mailbox: `forward` sends it on (251), `tell` names the new "
            "address and refuses (551)."
        ),
    ] = "forward"
    quota: Annotated[
        int,
        types.SIZE,
        Meta(description='The most that a mailbox may hold, with `deliver = "mailbox"`; 0: no limit.'),
    ] = 0
    quota_action: Annotated[
        Literal["refuse", "defer"],
        Meta(description="What happens to mail for a full mailbox: `refuse` (552 5.2.2), or `defer` (452 4.2.2)."),
    ] = "refuse"
    subaddress: Annotated[
        str,
        mail_types.SUBADDRESS,
        Meta(
            description="The character that begins a tag: with `+`, mail for `bob+news` is delivered to bob, with the "
            'whole name as recipient. "" for no tags. A mailbox or alias whose own name has the character comes first.'
        ),
    ] = ""
    paused: Annotated[
        tuple[str, ...],
        mail_types.LOCAL_PARTS,
        Meta(description="Local parts that accept no mail for now; senders retry later (450 4.2.1)."),
    ] = ()


class RouteSettings(Struct, frozen=True, kw_only=True):
    """The route to domains of other servers."""

    to: Annotated[str, mail_types.PATTERN, Meta(description='A domain, "*.domain" for all domains below it, or "*".')]
    via: Annotated[
        ViaSetting,
        mail_types.VIA,
        Meta(
            description='"mx" (the mail exchangers in the DNS), or one host: "smtp://host:port", "smtps://host" (TLS '
            'from the first octet, port 465), "smtp+starttls://host" (port 587), "lmtp://host:port" or '
            '"lmtp:/path/of/socket".'
        ),
    ] = ViaSetting("mx")
    tls: Annotated[
        str,
        security_types.ROUTE_TLS,
        Meta(
            description="Encryption to the next host: `off`; `opportunistic`, where it is offered, and in clear if it "
            "fails; `require`, TLS or no delivery; `verify`, and the certificate must prove the host's name. Without "
            "it, `verify` with `user` and to `smtps://` and `smtp+starttls://`, else `opportunistic`; `off` for `lmtp`."
        ),
    ] = ""
    ca: Annotated[
        str,
        security_types.FILE,
        Meta(
            description="Certificates (PEM file) to trust in place of the system's, to `verify`; with their "
            "revocation lists, if any."
        ),
    ] = ""
    tls_cert: Annotated[
        str,
        security_types.FILE,
        Meta(description="The certificate (PEM) to show to a host that asks for one; without it, none is shown."),
    ] = ""
    tls_key: Annotated[
        str,
        security_types.FILE,
        Meta(description="Its key (PEM); without it, the key is in the certificate's file."),
    ] = ""
    user: Annotated[str, Meta(description="The name to log in with at the host (a smarthost).")] = ""
    password_file: Annotated[
        str,
        security_types.FILE,
        Meta(description="The file with the password in its first line; it is read for each new session."),
    ] = ""
    password_env: Annotated[str, Meta(description="Or the environment variable that has the password.")] = ""


class SpoolSettings(Struct, frozen=True, kw_only=True):
    """The spool: the durable storage of the queue and the inboxes."""

    url: Annotated[str, mail_types.SPOOL_URL, Meta(description='"sqlite": a database in `data_dir`.')] = "sqlite"
    min_free: Annotated[
        int,
        types.SIZE,
        Meta(description="Space that must stay free on the disk; with less, mail is deferred with 452 4.3.1."),
    ] = 67_108_864
    history: Annotated[
        float,
        types.DURATION,
        Meta(description="How long the history of a finished message is kept, counted from its arrival."),
    ] = 604_800.0
    history_size: Annotated[
        int,
        types.SIZE,
        Meta(description="About the size of all histories; beyond it the oldest finished ones are deleted sooner."),
    ] = 4_294_967_296


class LogSettings(Struct, frozen=True, kw_only=True):
    """The event log, on standard error."""

    format: Annotated[Literal["text", "json"], Meta(description="Lines of text, or one JSON object per line.")] = "text"


class DnsSettings(Struct, frozen=True, kw_only=True):
    """DNS queries."""

    nameservers: Annotated[
        tuple[Endpoint, ...],
        types.NAMESERVERS,
        Meta(description="The servers to ask, `address` or `address:port`; without it, those of the system."),
    ] = ()
    timeout: Annotated[float, types.DURATION, Meta(description="How long to wait for an answer, for each try.")] = 3.0
    tries: Annotated[int, types.at_least(1, 20), Meta(description="Tries for a server that does not answer.")] = 3


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration."""

    hostname: Annotated[
        str,
        mail_types.HOSTNAME,
        Meta(description="The name of this server in greetings and trace fields; without it, the machine's."),
    ] = field(default_factory=machine_name)
    data_dir: Annotated[
        str,
        types.DIRECTORY,
        Meta(
            description="The directory of the spool. Without it, `$XDG_DATA_HOME/posthouse`, else "
            "`~/.local/share/posthouse`, of the user who starts the daemon: write it for any daemon that is no test."
        ),
    ] = field(default_factory=types.own_directory)
    maildrop: Annotated[
        str,
        types.DIRECTORY,
        Meta(
            description="The directory in which `posthouse sendmail` and `spool:` leave messages, also while the "
            "daemon is down; without it, `maildrop` in `data_dir`, for the daemon's own user. See "
            "[mail of other users](sendmail.md#mail-of-other-users)."
        ),
    ] = ""
    user: Annotated[
        str,
        security_types.SYSTEM_USER,
        Meta(
            description="The user that the daemon becomes when, as root, it has opened its ports and read its keys; "
            "without it, it stays who it is. See [ports below 1024](operations.md#ports-below-1024)."
        ),
    ] = ""
    group: Annotated[
        str,
        security_types.SYSTEM_USER,
        Meta(description="The group that goes with `user`; without it, the user's own."),
    ] = ""
    workers: Annotated[
        int,
        types.at_least(0, 256),
        Meta(description="Worker processes that share the ports and the spool; 0 for one per processor."),
    ] = 0
    listener: tuple[ListenerSettings, ...] = (ListenerSettings(bind=Endpoint("127.0.0.1", 1025)),)
    certificate: tuple[CertificateSettings, ...] = ()
    accounts: Annotated[
        AccountsSetting,
        security_types.ACCOUNTS,
        Meta(
            description='Who may log in: "file" (a file in `data_dir`, see `posthouse user`), '
            '"dovecot:/path/of/auth-socket", "python:module:object", or "any": every name with every password, where '
            'all mail stays here ([[domain]] "*"); with "any:/path" the names in that file need the password that '
            "stands there (a line name:password for each), and may use SCRAM."
        ),
    ] = AccountsSetting()
    relay: RelaySettings = RelaySettings()
    domain: tuple[DomainSettings, ...] = ()
    route: tuple[RouteSettings, ...] = ()
    console: ConsoleSettings = ConsoleSettings()
    webhook: tuple[WebhookSettings, ...] = ()
    inbox: InboxSettings = InboxSettings()
    inbox_rule: tuple[InboxRuleSettings, ...] = ()
    spool: SpoolSettings = SpoolSettings()
    log: LogSettings = LogSettings()
    dns: DnsSettings = DnsSettings()
    mailauth: MailauthSettings = MailauthSettings()

    @property
    def postmaster(self) -> Address:
        """The mailbox of ``<Postmaster>`` without a domain (RFC 5321 §4.5.1): of the first domain, or of this host."""
        named = (domain.name for domain in self.domain if domain.name != "*")
        return Address("postmaster", next(named, self.hostname))

    @property
    def handlers(self) -> tuple[str, ...]:
        """The functions of the operator's own that mail is delivered to, each once: ``module:object``."""
        return tuple(dict.fromkeys(each.deliver.target for each in self.domain if each.deliver.kind == "python"))

    def trusts(self, host: str) -> bool:
        """Whether ``host`` (an IP address; "" for a unix socket, which file permissions guard) may send anywhere."""
        if not host:
            return True
        return is_within(self.relay.trusted_networks, host)


def is_within(networks: tuple[Network, ...], host: str) -> bool:
    """Whether ``host`` is an IP address in one of the networks; an IPv4 address in IPv6's form is IPv4."""
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)
