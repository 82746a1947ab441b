"""What messages are written with: templates, replies, invitations, mailing lists, Markdown, format=flowed."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.message.authoring.calendar import CalendarEvent
    from posthouse.message.authoring.list_fields import ListFields
    from posthouse.message.authoring.replies import forward, reply
    from posthouse.message.authoring.templates import RenderedTemplate, Templates

__all__ = ["CalendarEvent", "ListFields", "RenderedTemplate", "Templates", "forward", "reply"]

__getattr__ = lazily(
    __name__,
    {
        "calendar": "CalendarEvent",
        "list_fields": "ListFields",
        "replies": "forward reply",
        "templates": "RenderedTemplate Templates",
    },
)
