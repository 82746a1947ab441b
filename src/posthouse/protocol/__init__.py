"""SMTP and LMTP in both roles, without I/O: bytes in, events out; commands in, bytes out.

Each name is imported at its first use: a program that only sends does not load the receiver, and one that only parses
addresses loads neither role.

Over budget: one module for each reader, each table and each side of the dialogue.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.protocol.commands import (
        Auth,
        Bdat,
        Command,
        Data,
        Expn,
        Greet,
        Help,
        Mail,
        Noop,
        Quit,
        Rcpt,
        Rset,
        StartTls,
        Vrfy,
        write_command,
    )
    from posthouse.protocol.events import (
        Answered,
        AuthResponse,
        ContentChunk,
        EndOfChunk,
        EndOfContent,
        Pause,
        Refused,
        Sent,
        Transcript,
    )
    from posthouse.protocol.extensions import Capabilities, Offer
    from posthouse.protocol.leniency import LENIENT, STRICT, Leniency
    from posthouse.protocol.limits import Limits
    from posthouse.protocol.parsing import CommandError, parse_command
    from posthouse.protocol.receiver import Event, Receiver
    from posthouse.protocol.sender import Sender
    from posthouse.protocol.states import COMMANDS, LAW, CommandRow, Input, Move, State, after, may
    from posthouse.protocol.tap import Tap, TranscriptTap, dialogue_lines, heard_lines, said_lines
    from posthouse.protocol.writers import write_reply

__all__ = [
    "Answered",
    "Auth",
    "AuthResponse",
    "Bdat",
    "COMMANDS",
    "Capabilities",
    "Command",
    "CommandError",
    "CommandRow",
    "ContentChunk",
    "Data",
    "EndOfChunk",
    "EndOfContent",
    "Event",
    "Expn",
    "Greet",
    "Help",
    "Input",
    "LAW",
    "LENIENT",
    "Leniency",
    "Limits",
    "Mail",
    "Move",
    "Noop",
    "Offer",
    "Pause",
    "Quit",
    "Rcpt",
    "Receiver",
    "Refused",
    "Rset",
    "STRICT",
    "Sender",
    "Sent",
    "StartTls",
    "State",
    "Tap",
    "Transcript",
    "TranscriptTap",
    "Vrfy",
    "after",
    "dialogue_lines",
    "heard_lines",
    "may",
    "parse_command",
    "said_lines",
    "write_command",
    "write_reply",
]

__getattr__ = lazily(
    __name__,
    {
        "commands": "Auth Bdat Command Data Expn Greet Help Mail Noop Quit Rcpt Rset StartTls Vrfy write_command",
        "events": "Answered AuthResponse ContentChunk EndOfChunk EndOfContent Pause Refused Sent Transcript",
        "extensions": "Capabilities Offer",
        "leniency": "LENIENT Leniency STRICT",
        "limits": "Limits",
        "parsing": "CommandError parse_command",
        "receiver": "Event Receiver",
        "sender": "Sender",
        "states": "COMMANDS CommandRow Input LAW Move State after may",
        "tap": "Tap TranscriptTap dialogue_lines heard_lines said_lines",
        "writers": "write_reply",
    },
)
