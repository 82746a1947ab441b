"""Text in format=flowed, read: lines that end with a space are joined with the next one (RFC 3676 §4)."""

from __future__ import annotations

__all__ = ["unflowed"]

_SIGNATURE = "-- "


def unflowed(text: str, *, delete_space: bool) -> str:
    """The text with one line for each paragraph; quoted lines keep their marks.

    Args:
        text: With LF line ends.
        delete_space: The parameter DelSp is yes: the space at the end of a line that is joined is no text.
    """
    made: list[str] = []
    held: list[str] = []  # the beginning of a paragraph
    depth = 0
    for line in text.split("\n"):
        rest = line.lstrip(">")
        quoted = len(line) - len(rest)
        content = rest.removeprefix(" ")
        if held and (quoted != depth or content == _SIGNATURE):
            made.append("".join(held))
            held = []
        if not held:
            held.append(">" * quoted + " " * bool(quoted and content))
            depth = quoted
        if content.endswith(" ") and content != _SIGNATURE:
            held.append(content[:-1] if delete_space else content)
            continue
        held.append(content)
        made.append("".join(held))
        held = []
    if held:
        made.append("".join(held))
    return "\n".join(made)
