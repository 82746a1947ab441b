"""Limits on the clients of a listener: name, default, documentation, precedent and reply of each, declared once.

``ListenerSettings`` has them all.  The manual's page of limits is generated from here: ``extra`` of each setting says
which known server or RFC has such a limit, and what a client is answered that exceeds it.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from posthouse.service.config import types
from posthouse.service.config.types import InvalidValue, SettingType

__all__ = ["LimitSettings"]


def _limit(text: str, precedent: str, reply: str) -> Meta:
    return Meta(description=text, extra={"precedent": precedent, "reply": reply})


#: 0 where the number follows from another setting.
_COUNT_OR_NOTHING: Final = SettingType("whole number", types.COUNT.read, lambda value: str(value) if value else "")


def _read_pause(raw: object) -> float:
    if raw in (0, "0", "0s") and raw is not False:
        return 0.0
    seconds: float = types.DURATION.read(raw)
    if seconds > _LONGEST_PAUSE:
        raise InvalidValue("the pause is too long: honest clients would give up", f"write at most {_LONGEST_PAUSE:g} s")
    return seconds


_LONGEST_PAUSE: Final = 10.0
_PAUSE: Final = SettingType("duration", _read_pause, lambda value: types.DURATION.write(value) if value else "0")


class LimitSettings(Struct, frozen=True, kw_only=True):
    """Limits on the clients of one listener; a number of 0 means no limit where it may be written."""

    @property
    def connections_per_network(self) -> int:
        """``max_connections_per_network``, or what follows from the limit for one host."""
        return self.max_connections_per_network or self.max_connections_per_host * 5 // 2

    # Connections: counted by all worker processes together.
    max_connections: Annotated[
        int,
        types.COUNT,
        _limit(
            "Sessions open at one time; further ones are refused with 421.",
            "Postfix: 100 processes (`default_process_limit`); Exim: `smtp_accept_max`, 20",
            "421 4.7.0 at connect",
        ),
    ] = 1000
    max_connections_per_host: Annotated[
        int,
        types.COUNT,
        _limit(
            "Sessions open at one time from one IPv4 address or one IPv6 /64 network.",
            "Postfix: `smtpd_client_connection_count_limit`, 50; Courier: `MAXPERIP`, 4",
            "421 4.7.0 at connect",
        ),
    ] = 200
    max_connections_per_network: Annotated[
        int,
        _COUNT_OR_NOTHING,
        _limit(
            "Sessions open at one time from one network, whose size the next two settings say; without it, 5/2 of "
            "`max_connections_per_host`.",
            "Courier: `MAXPERC`, 4 of one /24",
            "421 4.7.0 at connect",
        ),
    ] = 0
    network_prefix_ipv4: Annotated[
        int, types.at_least(8, 32), Meta(description="The bits of an IPv4 address that say its network.")
    ] = 24
    network_prefix_ipv6: Annotated[
        int, types.at_least(16, 128), Meta(description="The bits of an IPv6 address that say its network.")
    ] = 64
    max_connection_rate_per_host: Annotated[
        int,
        types.at_least(0),
        _limit(
            "New sessions within a minute from one IPv4 address or one IPv6 /64 network; 0: no limit.",
            "Postfix: `smtpd_client_connection_rate_limit`, none; Sendmail: `ClientRate`",
            "421 4.7.0 at connect",
        ),
    ] = 0
    max_connection_rate_per_network: Annotated[
        int,
        types.at_least(0),
        _limit(
            "New sessions within a minute from one network; 0: no limit.",
            "as above, by network",
            "421 4.7.0 at connect",
        ),
    ] = 0
    # What one client or one account may send: counted by all worker processes together.
    max_messages_per_hour: Annotated[
        int,
        types.at_least(0),
        _limit(
            "Messages accepted within an hour from one IPv4 address or one IPv6 /64 network; 0: no limit.",
            "Postfix: `smtpd_client_message_rate_limit`, none",
            "450 4.7.1 to MAIL or DATA",
        ),
    ] = 0
    max_recipients_per_hour: Annotated[
        int,
        types.at_least(0),
        _limit(
            "Recipients of the messages accepted within an hour from one IPv4 address or one IPv6 /64 network; 0: no "
            "limit. Those of a message that is refused do not count.",
            "Postfix: `smtpd_client_recipient_rate_limit`, none",
            "450 4.7.1 to RCPT or DATA",
        ),
    ] = 0
    max_login_messages_per_hour: Annotated[
        int,
        types.at_least(0),
        _limit(
            "Messages accepted within an hour from one account, at all listeners together and whatever senders they "
            "name; 0: no limit.",
            "Exim: `ratelimit` by `$authenticated_id`; large providers: 100 to 10,000 a day",
            "450 4.7.1 to MAIL or DATA",
        ),
    ] = 0
    max_login_recipients_per_hour: Annotated[
        int,
        types.at_least(0),
        _limit(
            "Recipients of the messages accepted within an hour from one account; 0: no limit.",
            "Exim: `ratelimit` with `per_rcpt`; Exchange Online: `RecipientRateLimit`",
            "450 4.7.1 to RCPT or DATA",
        ),
    ] = 0
    # One session.
    max_messages: Annotated[
        int,
        types.at_least(0),
        _limit(
            "Messages of one session; 0: no limit.",
            "Exim: `smtp_accept_max_per_connection`, 1,000",
            "421 4.7.0 to MAIL",
        ),
    ] = 0
    max_recipients: Annotated[
        int,
        types.COUNT,
        _limit(
            "Recipients of one message. RFC 5321 asks for at least 100.",
            "RFC 5321 §4.5.3.1.8; Postfix: `smtpd_recipient_limit`, 1,000",
            "452 4.5.3 to each further RCPT; after ten times as many 421 4.7.0",
        ),
    ] = 1000
    max_errors: Annotated[
        int,
        types.COUNT,
        _limit(
            "Errors in one session without an accepted message between them (illegal commands, refused "
            "MAIL, DATA and content); one more ends the session with 421.",
            "Postfix: `smtpd_hard_error_limit`, 20",
            "421 4.7.0 behind the reply to the error",
        ),
    ] = 20
    max_refused_recipients: Annotated[
        int,
        types.COUNT,
        _limit(
            "Refused recipients in one session without an accepted message between them, beyond the number "
            "of those that the message has; one more ends the session with 421.",
            "Postfix: counted as errors, 20; Sendmail: `BadRcptThrottle`",
            "421 4.7.0 behind the reply to RCPT",
        ),
    ] = 100
    max_idle_commands: Annotated[
        int,
        types.COUNT,
        _limit(
            "Commands in one session without an accepted message between them (HELO, EHLO, NOOP, RSET, "
            "VRFY, EXPN, HELP, and BDAT with fewer than 512 octets); one more ends the session with 421.",
            "Postfix: `smtpd_junk_command_limit`, 100",
            "421 4.7.0 behind the reply to the command",
        ),
    ] = 1000
    # Sizes.
    max_message_size: Annotated[
        int,
        types.SIZE,
        _limit(
            "The largest message accepted; announced by SIZE, and enforced always.",
            "RFC 1870; Exim: `message_size_limit`, 50 MB; Postfix: 10 MB",
            "552 5.3.4 to MAIL or at the end of the content",
        ),
    ] = 52_428_800
    max_header_size: Annotated[
        int,
        types.SIZE,
        _limit(
            "The largest header section of a message; a larger one is refused with 552 5.3.4.",
            "Exim: `header_maxsize`, 1 MB; Postfix: `header_size_limit`, 100 KiB for each field",
            "552 5.3.4 at the end of the content",
        ),
    ] = 262_144
    # Time.
    command_timeout: Annotated[
        float,
        types.DURATION,
        _limit(
            "How long to wait for the next complete command (RFC 5321 §4.5.3.2.7 asks for 5 minutes).",
            "RFC 5321 §4.5.3.2.7; Postfix: `smtpd_timeout`, 5 minutes",
            "421 4.4.2",
        ),
    ] = 300.0
    session_timeout: Annotated[
        float,
        types.DURATION,
        _limit(
            "How long a session may last without an accepted message.",
            "none known for a whole session; qmail: `timeoutsmtpd`, 20 minutes",
            "421 4.4.2",
        ),
    ] = 1800.0
    data_timeout: Annotated[
        float,
        types.DURATION,
        _limit(
            "How long to wait for the next piece of a message.",
            "RFC 5321 §4.5.3.2.5 and §4.5.3.2.7",
            "421 4.4.2",
        ),
    ] = 300.0
    transfer_timeout: Annotated[
        float,
        types.DURATION,
        _limit(
            "How long one message may take from its first octet to its last.",
            "Postfix: `smtpd_per_request_deadline`",
            "421 4.4.2",
        ),
    ] = 3600.0
    min_data_rate: Annotated[
        int,
        types.SIZE,
        _limit(
            "The octets a second at which a message must come, on average, once `min_data_rate_after` has passed; 0: "
            "any speed.",
            "Postfix: `smtpd_min_data_rate`, 500",
            "421 4.4.2",
        ),
    ] = 100
    min_data_rate_after: Annotated[
        float,
        types.DURATION,
        Meta(description="The time of each message that is not judged by its speed."),
    ] = 300.0
    tls_timeout: Annotated[
        float,
        types.DURATION,
        _limit(
            "How long a TLS handshake may take.",
            "Postfix: `smtpd_starttls_timeout`, 5 minutes, under stress 10 s",
            "end of the connection",
        ),
    ] = 30.0
    proxy_timeout: Annotated[
        float,
        types.DURATION,
        _limit(
            "How long to wait for the PROXY header of a proxy.",
            "Postfix: `smtpd_upstream_proxy_timeout`, 5 s",
            "end of the connection",
        ),
    ] = 5.0
    greeting_pause: Annotated[
        float,
        _PAUSE,
        _limit(
            "How long to wait before 220; a client that speaks meanwhile is no mail program. Never at `submission` and "
            'with `tls = "implicit"`. At most 10 s, because honest clients give up; 0: no pause.',
            "Postfix: `postscreen_greet_wait`, 6 s; Sendmail: `greet_pause`",
            "554 5.5.1",
        ),
    ] = 0.0
