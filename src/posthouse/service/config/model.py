"""Every setting, declared once: its name, type, default and documentation stand together, and nowhere else.

The structs below are both the shape of the configuration file (``service.config.decode`` reads a TOML table into one of
them) and the values the rest of the house is built from.  The manual's page of settings is generated from the
``Annotated`` texts here by ``service.config_file.settings``, so it cannot differ from what the daemon does.

A field's type is what the program wants (seconds as a float, an ``Endpoint``); the ``Form`` beside it says how a
person writes that ("5m", "127.0.0.1:25") and reads it.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from posthouse.client.hostname import machine_name
from posthouse.core import Address
from posthouse.net.stream import Endpoint
from posthouse.service.config import mail_types as names
from posthouse.service.config import types as forms
from posthouse.service.config.mail_types import DeliverySetting, ViaSetting
from posthouse.service.config.types import Network

__all__ = [
    "Config",
    "ConsoleSettings",
    "DnsSettings",
    "DomainSettings",
    "ListenerSettings",
    "LogSettings",
    "MailingList",
    "RelaySettings",
    "RouteSettings",
    "SpoolSettings",
]


class ListenerSettings(Struct, frozen=True, kw_only=True):
    """One address where mail is taken, and on what terms; without any table, 127.0.0.1:1025."""

    bind: Annotated[Endpoint, forms.ENDPOINT, Meta(description="Where to listen; port 0 takes any free port.")]
    kind: Annotated[
        Literal["mx", "submission", "lmtp"],
        Meta(
            description="`mx` takes mail for the domains that are ours, and lets trusted networks send anywhere; "
            "`submission` takes mail from our own people only; `lmtp` takes mail for our domains with one answer "
            "per recipient (RFC 2033)."
        ),
    ] = "mx"
    tls: Annotated[
        Literal["off", "starttls", "implicit"],
        Meta(description="Encryption. Only `off` is available in this version."),
    ] = "off"
    name: Annotated[str, Meta(description="A name for logs; left out, the kind, numbered if there are several.")] = ""
    banner: Annotated[str, Meta(description='The words after the host name in the opening reply ("220 …").')] = (
        "ESMTP Posthouse"
    )
    closed: Annotated[
        bool,
        Meta(description="Whether nobody may send mail here: every session is greeted with 521 (RFC 7504)."),
    ] = False
    vrfy: Annotated[bool, Meta(description="Whether VRFY tells if a mailbox exists; off, it answers 252.")] = False
    expn: Annotated[bool, Meta(description="Whether EXPN shows who is on a list; off, it answers 502.")] = False
    max_connections: Annotated[
        int, forms.at_least(1), Meta(description="Sessions at one time; more are sent away with 421.")
    ] = 1000
    max_connections_per_host: Annotated[
        int, forms.at_least(1), Meta(description="Sessions at one time from one IP address.")
    ] = 200
    max_message_size: Annotated[
        int,
        forms.SIZE,
        Meta(description="The largest message taken; announced by SIZE, and enforced whether announced or not."),
    ] = 52_428_800
    max_recipients: Annotated[
        int, forms.at_least(1), Meta(description="Recipients of one message. RFC 5321 asks for at least 100.")
    ] = 1000
    command_timeout: Annotated[
        float,
        forms.DURATION,
        Meta(description="How long to wait for the next command (RFC 5321 §4.5.3.2.7 asks for 5 minutes)."),
    ] = 300.0
    data_timeout: Annotated[
        float, forms.DURATION, Meta(description="How long to wait for the next piece of a message.")
    ] = 300.0
    transfer_timeout: Annotated[
        float, forms.DURATION, Meta(description="How long one message may take from its first octet to its last.")
    ] = 3600.0


class RelaySettings(Struct, frozen=True, kw_only=True):
    """How mail goes on."""

    trusted_networks: Annotated[
        tuple[Network, ...],
        forms.NETWORKS,
        Meta(description="Who may send to domains that are not ours. Nobody, unless written here."),
    ] = ()
    retry_first: Annotated[
        float, forms.DURATION, Meta(description="The wait before the second attempt; it doubles from there.")
    ] = 300.0
    retry_max: Annotated[float, forms.DURATION, Meta(description="The longest wait between attempts.")] = 14_400.0
    give_up_after: Annotated[
        float,
        forms.DURATION,
        Meta(description="How old a message may grow before it fails (RFC 5321 §4.5.4.1: at least 4 to 5 days)."),
    ] = 432_000.0
    warn_after: Annotated[
        float,
        forms.DURATION,
        Meta(
            description="How late a message may be before its sender is told, once, at the next attempt. "
            "Senders can ask not to be told (RFC 3461 NOTIFY)."
        ),
    ] = 14_400.0
    concurrency: Annotated[
        int,
        forms.at_least(1),
        Meta(
            description="Attempts under way at one time. Beside them, up to twice as many may wait for hosts that have "
            "not answered for two seconds: allow three times as many sockets."
        ),
    ] = 200
    concurrency_per_destination: Annotated[
        int, forms.at_least(1), Meta(description="Attempts under way at one time to one destination.")
    ] = 20
    max_hops: Annotated[
        int,
        forms.at_least(1),
        Meta(
            description="Received fields after which a message is taken to be going in circles (554 5.4.6). "
            "RFC 5321 §6.3 asks for at least 100."
        ),
    ] = 100
    source: Annotated[
        str, forms.IP_OR_NOTHING, Meta(description="The local IP address to send from; left out, the system chooses.")
    ] = ""


class MailingList(Struct, frozen=True, kw_only=True):
    """A mailing list: members, and who hears of what cannot be delivered."""

    members: Annotated[
        tuple[str, ...], names.PEOPLE, Meta(description="Addresses; a bare local part is one in this domain.")
    ]
    owner: Annotated[
        str,
        names.PERSON,
        Meta(description="Becomes the sender of what the list sends on (RFC 5321 §3.9.2); left out, postmaster."),
    ] = "postmaster"


class DomainSettings(Struct, frozen=True, kw_only=True):
    """A domain that is ours: mail for it ends here."""

    name: Annotated[str, names.OUR_DOMAIN, Meta(description='The domain, or "*" for every domain there is.')]
    deliver: Annotated[
        DeliverySetting,
        names.DELIVERY,
        Meta(
            description='Where its mail is put: "maildir:PATH" (with `{domain}` and `{local}` in the path), "mailbox" '
            '(the spool\'s own inboxes), "lmtp://host:port" or "lmtp:/path/of/socket", "smtp://host:port", "discard", '
            '"python:module:object" (your own function; see [operations](operations.md#delivery-to-your-own-code)).'
        ),
    ] = DeliverySetting("mailbox")
    mailboxes: Annotated[
        tuple[str, ...] | None,
        names.MAILBOXES,
        Meta(
            description='Local parts that exist, or "any". Left out: those of aliases, lists and moved only; with '
            '`deliver = "discard"`, any. `postmaster` always exists.'
        ),
    ] = None
    aliases: Annotated[
        dict[str, tuple[str, ...]],
        names.ALIASES,
        Meta(description='Other names: `info = ["bob", "ann@example.net"]`. The sender stays the sender.'),
    ] = field(default_factory=dict)
    lists: Annotated[
        dict[str, MailingList],
        names.LOCAL_KEYS,
        Meta(description="Mailing lists by local part; the owner becomes the sender, and EXPN may show the members."),
    ] = field(default_factory=dict)
    moved: Annotated[
        dict[str, str],
        names.MOVED,
        Meta(description='Mailboxes that are elsewhere now: `ann = "ann@example.net"`.'),
    ] = field(default_factory=dict)
    moved_action: Annotated[
        Literal["forward", "tell"],
        Meta(
            description="What happens to mail for a moved mailbox: `forward` sends it on (251), `tell` names the new "
            "address and refuses (551)."
        ),
    ] = "forward"
    quota: Annotated[
        int, forms.SIZE, Meta(description='How much each mailbox may hold, with `deliver = "mailbox"`; 0: no limit.')
    ] = 0
    quota_action: Annotated[
        Literal["refuse", "defer"],
        Meta(description="Mail for a full mailbox: `refuse` it (552 5.2.2), or have the sender try again (452 4.2.2)."),
    ] = "refuse"
    subaddress: Annotated[
        str,
        names.SUBADDRESS,
        Meta(
            description="The sign that begins a tag: with `+`, mail for `bob+news` is bob's, and whoever delivers sees "
            'the whole name. "" for no tags. A mailbox or an alias that is written with the sign in it comes first.'
        ),
    ] = ""
    paused: Annotated[
        tuple[str, ...],
        names.LOCAL_PARTS,
        Meta(description="Local parts that take nothing for now; senders try again later (450 4.2.1)."),
    ] = ()


class RouteSettings(Struct, frozen=True, kw_only=True):
    """A way to a domain that is not ours."""

    to: Annotated[str, names.PATTERN, Meta(description='A domain, "*.domain" for all below it, or "*".')]
    via: Annotated[
        ViaSetting,
        names.VIA,
        Meta(description='"mx" (ask the DNS), "smtp://host:port" (this host, whoever it is), "lmtp://host:port".'),
    ] = ViaSetting("mx")


class ConsoleSettings(Struct, frozen=True, kw_only=True):
    """The web console (accepted; the console itself comes in a later version)."""

    bind: Annotated[Endpoint, forms.ENDPOINT, Meta(description="Where the console listens.")] = Endpoint(
        "127.0.0.1", 8025
    )


class SpoolSettings(Struct, frozen=True, kw_only=True):
    """The memory that survives."""

    url: Annotated[str, names.SPOOL_URL, Meta(description='"sqlite": a database in `data_dir`.')] = "sqlite"
    min_free: Annotated[
        int,
        forms.SIZE,
        Meta(description="Room that must stay free on the disk; with less, mail is put off with 452 4.3.1."),
    ] = 67_108_864
    history: Annotated[
        float,
        forms.DURATION,
        Meta(description="How long the story of a message is kept, from its arrival, once the message has gone."),
    ] = 604_800.0
    history_size: Annotated[
        int,
        forms.SIZE,
        Meta(description="What stories may fill, about; beyond it the oldest finished ones go sooner."),
    ] = 4_294_967_296


class LogSettings(Struct, frozen=True, kw_only=True):
    """What is written to standard error."""

    format: Annotated[Literal["text", "json"], Meta(description="Lines for people, or one JSON object a line.")] = (
        "text"
    )


class DnsSettings(Struct, frozen=True, kw_only=True):
    """How the DNS is asked."""

    nameservers: Annotated[
        tuple[Endpoint, ...],
        forms.NAMESERVERS,
        Meta(description="Which servers to ask, `address` or `address:port`; left out, the system's."),
    ] = ()
    timeout: Annotated[float, forms.DURATION, Meta(description="How long to wait for an answer, for each try.")] = 3.0
    tries: Annotated[int, forms.at_least(1, 20), Meta(description="How often silent servers are asked.")] = 3


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration."""

    hostname: Annotated[
        str,
        names.HOSTNAME,
        Meta(description="Our name in greetings and trace fields; left out, the machine's own."),
    ] = field(default_factory=machine_name)
    data_dir: Annotated[
        str, forms.DIRECTORY, Meta(description="Where the spool lives; left out, a directory of the user's own.")
    ] = field(default_factory=forms.own_directory)
    workers: Annotated[
        int,
        forms.at_least(0, 256),
        Meta(description="Processes that share the ports and the spool; 0 is one for each processor."),
    ] = 0
    listener: tuple[ListenerSettings, ...] = (ListenerSettings(bind=Endpoint("127.0.0.1", 1025)),)
    relay: RelaySettings = RelaySettings()
    domain: tuple[DomainSettings, ...] = ()
    route: tuple[RouteSettings, ...] = ()
    console: ConsoleSettings = ConsoleSettings()
    spool: SpoolSettings = SpoolSettings()
    log: LogSettings = LogSettings()
    dns: DnsSettings = DnsSettings()

    @property
    def postmaster(self) -> Address:
        """Who ``<Postmaster>`` without a domain is (RFC 5321 §4.5.1): of the first domain, or of this host."""
        named = (domain.name for domain in self.domain if domain.name != "*")
        return Address("postmaster", next(named, self.hostname))

    def trusts(self, host: str) -> bool:
        """Whether ``host`` (an IP address; "" for a unix socket, which file permissions guard) may send anywhere."""
        if not host:
            return True
        try:
            address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.relay.trusted_networks)
