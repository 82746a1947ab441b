r"""The Received-SPF field (RFC 7208 §9.1): the result of SPF with what it was made of, for whoever reads the message.

Values that the peer chose are quoted strings, and characters that a quoted string cannot have become ``?``, so that the
field remains one field with the pairs that stand here.
"""

from __future__ import annotations

import re

from posthouse.mailauth.spf.spf_result import SpfResult

__all__ = ["received_spf"]

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*")
_SPECIAL = re.compile(r'(["\\])')
_NOT_TEXT = re.compile(r"[^ -~]")
_NOT_COMMENT = re.compile(r"[^ !-'*-\[\]-~]")
_VALUE_AT_MOST = 320


def received_spf(result: SpfResult, receiver: str) -> bytes:
    r"""The field with its CRLF::

        Received-SPF: pass (mx.example.net: ip4:192.0.2.0/24 in the SPF record of example.org matches 192.0.2.1)\r\n
        \treceiver=mx.example.net; client-ip=192.0.2.1;\r\n
        \tenvelope-from="ann@example.org"; helo=out.example.org;\r\n
        \tidentity=mailfrom; mechanism=ip4\r\n

    It stands above the Received field of the same host (§9.1).

    Args:
        result: The result of ``check_spf``.
        receiver: The name of the host that has checked.
    """
    comment = _NOT_COMMENT.sub("?", f"{receiver[:255]}: {result.reason}"[:600])
    pairs = [("receiver", receiver), ("client-ip", result.ip)]
    if result.identity == "mailfrom":
        pairs.append(("envelope-from", result.sender))
    pairs += [("helo", result.helo), ("identity", result.identity)]
    if result.result in ("permerror", "temperror"):
        pairs.append(("problem", result.reason))
    else:
        pairs.append(("mechanism", result.mechanism))
    lines = [f"Received-SPF: {result.result} ({comment})"]
    listed = [f"{key}={_written(value)}" for key, value in pairs]
    lines += [f"{pair};" for pair in listed[:-1]] + listed[-1:]
    return "\r\n\t".join(lines).encode() + b"\r\n"


def _written(value: str) -> str:
    """A value as dot-atom if it is one, else as quoted string."""
    if _DOT_ATOM.fullmatch(value):
        return value[:_VALUE_AT_MOST]
    return '"' + _SPECIAL.sub(r"\\\1", _NOT_TEXT.sub("?", value[:_VALUE_AT_MOST])) + '"'
