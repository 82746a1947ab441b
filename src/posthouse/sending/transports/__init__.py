"""Transports: ways to send a message that are no session with a named server, and the table of their URL schemes."""

from posthouse.sending.transports.schemes import ASYNC_SCHEMES, SCHEMES, Transport, scheme_of, transport_of

__all__ = ["ASYNC_SCHEMES", "SCHEMES", "Transport", "scheme_of", "transport_of"]
