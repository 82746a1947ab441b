"""SASL mechanisms for AUTH (RFC 4422, RFC 4954) as generators, in both roles and without I/O.

``exchange`` says how a generator is driven; ``mechanisms`` has the table of all, and the choice a client makes.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.protocol.sasl.exchange import (
        ANY_SECRET,
        CANCELLED,
        REJECTED,
        UNAVAILABLE,
        Authenticated,
        ChannelBinding,
        CheckPassword,
        CheckToken,
        Denied,
        DeriveKey,
        Exchange,
        FindKeys,
        FindSecret,
        Forward,
        Forwarded,
        ForwardedExchange,
        Question,
        Say,
        ScramKeys,
    )
    from posthouse.protocol.sasl.mechanisms import (
        MECHANISMS,
        Credentials,
        Mechanism,
        ServerContext,
        choose,
        client_exchange,
        server_exchange,
    )
    from posthouse.protocol.sasl.saslprep import NotPrepared, prepare
    from posthouse.protocol.sasl.scram import derive_keys, read_keys, write_keys
    from posthouse.protocol.sasl.tokens import read_token_error

__all__ = [
    "ANY_SECRET",
    "Authenticated",
    "CANCELLED",
    "ChannelBinding",
    "CheckPassword",
    "CheckToken",
    "Credentials",
    "Denied",
    "DeriveKey",
    "Exchange",
    "FindKeys",
    "FindSecret",
    "Forward",
    "Forwarded",
    "ForwardedExchange",
    "MECHANISMS",
    "Mechanism",
    "NotPrepared",
    "Question",
    "REJECTED",
    "Say",
    "ScramKeys",
    "ServerContext",
    "UNAVAILABLE",
    "choose",
    "client_exchange",
    "derive_keys",
    "prepare",
    "read_keys",
    "read_token_error",
    "server_exchange",
    "write_keys",
]

__getattr__ = lazily(
    __name__,
    {
        "exchange": "ANY_SECRET Authenticated CANCELLED ChannelBinding CheckPassword CheckToken Denied DeriveKey "
        "Exchange FindKeys FindSecret Forward Forwarded ForwardedExchange Question REJECTED Say ScramKeys UNAVAILABLE",
        "mechanisms": "Credentials MECHANISMS Mechanism ServerContext choose client_exchange server_exchange",
        "saslprep": "NotPrepared prepare",
        "scram": "derive_keys read_keys write_keys",
        "tokens": "read_token_error",
    },
)
