"""Help desk that receives mail: each message opens a ticket, or answers the one that its address names.

PYTHONPATH=examples posthouse run --app tickets:app --bind 127.0.0.1:2525
"""

from __future__ import annotations

from posthouse import App, ReadMessage, Reject

app = App(max_size=10_000_000)
tickets: dict[int, list[str]] = {}


@app.recipient("help+{number}@example.com")
def answer(number: int, message: ReadMessage) -> str:
    if number not in tickets:
        raise Reject(f"there is no ticket {number}")
    tickets[number].append(message.text)
    return f"ticket {number} has {len(tickets[number])} messages"


@app.recipient("help@example.com")
def open_ticket(message: ReadMessage) -> str:
    tickets[number := len(tickets) + 1] = [message.text]
    return f"this is ticket {number}; its address is help+{number}@example.com"
