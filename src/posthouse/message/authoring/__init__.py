"""What messages are written with: invitations, mailing lists, Markdown, format=flowed."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.message.authoring.calendar import CalendarEvent
    from posthouse.message.authoring.list_fields import ListFields

__all__ = ["CalendarEvent", "ListFields"]

__getattr__ = lazily(__name__, {"calendar": "CalendarEvent", "list_fields": "ListFields"})
