"""Messages to be sent: taken in the forms that callers have, and fitted to what a server can carry."""

from posthouse.sending.messages.outgoing import EnvelopeLike, MessageLike, Outgoing, OutgoingMessage, outgoing

__all__ = ["EnvelopeLike", "MessageLike", "Outgoing", "OutgoingMessage", "outgoing"]
