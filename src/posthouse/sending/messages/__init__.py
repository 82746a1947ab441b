"""Messages to be sent: taken in the forms that callers have, and fitted to what a server can carry."""

from posthouse.sending.messages.message_forms import EnvelopeLike, MessageLike, OutgoingMessage
from posthouse.sending.messages.outgoing import Outgoing, outgoing

__all__ = ["EnvelopeLike", "MessageLike", "Outgoing", "OutgoingMessage", "outgoing"]
