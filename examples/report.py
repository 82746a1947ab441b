"""Compose a message with HTML, a picture in it, a file and an invitation, and write it to a file.

python examples/report.py report.eml
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from posthouse import Attachment, CalendarEvent, Message

PICTURE = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"

message = Message(
    sender="朗瑞 <langrui@sohu.com>",
    to=["任平 <renping@sina.com>", "ann@example.net"],
    subject="第四季度 / the fourth quarter",
    html='<h1>Hello</h1><p>The figures are attached. <img src="cid:logo" alt="our sign"></p>',
    inline={"logo": Attachment.from_data_url(PICTURE, "logo.gif")},
    attachments=[Path(__file__), Attachment("quarter;sum\n4;1200\n", name="figures.csv")],
    calendar=CalendarEvent("Figures", start=datetime(2026, 12, 1, 10, 0, tzinfo=UTC), location="Room 2"),
)
message.save(sys.argv[1])
print(f"{message.size} octets for", *(each.address for each in message.envelope.recipients))
