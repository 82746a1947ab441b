"""Mechanisms that another server judges: its challenges go to the client, and the client's responses to it.

So a store that keeps no keys, such as a Dovecot server's, serves every mechanism that it knows.
"""

from __future__ import annotations

from typing import cast

from posthouse.protocol.sasl.exchange import (
    Authenticated,
    Exchange,
    Forward,
    Forwarded,
    ForwardedExchange,
    Say,
    malformed,
    rejected,
)

__all__ = ["forwarded_server"]


def forwarded_server(mechanism: str, initial: bytes | None, *, speaks_first: bool) -> Exchange:
    """The server's part of a mechanism that another server judges.

    ``speaks_first``: the mechanism begins with a challenge (CRAM-MD5), so that there is no initial response.
    """
    under_way: ForwardedExchange | None = None
    if speaks_first and initial is not None:
        return malformed(f"{mechanism} has no initial response")
    message = b"" if speaks_first else initial if initial is not None else cast(bytes, (yield Say(b"")))
    try:
        while True:
            said = cast(Forwarded, (yield Forward(mechanism, message, under_way)))
            under_way = said.exchange
            if said.challenge is None:
                break
            message = cast(bytes, (yield Say(said.challenge)))
    except GeneratorExit:
        if under_way is not None:
            under_way.cancel()
        raise
    if not said.user:
        return rejected(said.reason, said.tried)
    return Authenticated(said.user, mechanism)
