"""docs/configuration.md: every setting, from where it is declared (``service.config_file.settings``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from docs_pages.markdown import GENERATED, code_block, table
from posthouse.service.config.docs import SettingDoc, settings

__all__ = ["page"]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

OPENING = """\
# Configuration

One TOML file. Every setting has a safe default, so a file has only the differences. An unknown key is an error that
names the nearest known key. All mistakes of a file are reported at once; only aliases, lists and moved mailboxes are
followed after every `[[domain]]` can be read, and the check says so:

```console
$ posthouse check config posthouse.toml
```

The check also says what may not be intended (a listener that is open to other hosts, an open relay, a relative path),
and what is missing on this machine (an address, a Python module for deliveries, room on the disk). It exits with 0 if
the file can be used, 78 if it has mistakes or if the daemon would not start with it, and 66 if it cannot be read.

What keeps the daemon from starting is looked for in a process of its own, as the user of the daemon: a user that does
not exist, certificates, keys and files of routes that are missing, wrong or may not be read, a `data_dir` that cannot
be used, and a module of `accounts`, which is imported there. Root becomes `user` for it; another user is told what only
a check as root can tell. Without `user`, the daemon is taken to run as the one who checks, so check as the daemon's
user. Addresses are advice, because a daemon that runs has them, or systemd will hand them over.

Without a file, `posthouse run` is the [catcher](operations.md#the-catcher): it listens on 127.0.0.1:1025 (`--bind`
names other addresses), accepts mail for every recipient into local inboxes, and relays nothing. Its mail is in
`$XDG_DATA_HOME/posthouse-catcher`, which is `~/.local/share/posthouse-catcher` if the variable is not set.

Text is UTF-8; a byte order mark at the beginning is ignored. In TOML a name with a dot or with characters beyond ASCII
stands in quotes: `"bob.smith" = ["bob"]`.

A duration is a number of seconds, or a number with a unit: `"30s"`, `"5m"`, `"4h"`, `"5d"`. A size is a number of
octets, or a number with a unit: `"10MB"` is 10,000,000 octets, `"50MiB"` is 50 × 1024 × 1024."""


def page(_existing: str) -> str:
    """The page."""
    parts = [GENERATED, OPENING]
    for heading, name in (("A small example", "posthouse.toml"), ("A whole example", "office.toml")):
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        parts += [f"## {heading}", code_block("toml", text.splitlines())]
    for heading, text, rows in _sections(settings()):
        parts.append(f"## {heading}")
        if text:
            parts.append(text)
        parts.append(table(("setting", "type", "default", "meaning"), [_row(each) for each in rows]))
    return "\n\n".join(parts) + "\n"


def _sections(every: list[SettingDoc]) -> Iterator[tuple[str, str, list[SettingDoc]]]:
    """The settings of each table under its header as TOML writes it, those outside all tables first."""
    top = [each for each in every if "." not in each.path and each.type not in ("table", "tables")]
    yield "At the top of the file", "", top
    for header in every:
        if header.type in ("table", "tables"):
            inside = [each for each in every if each.path.rpartition(".")[0] == header.path]
            rows = [each for each in inside if each.type not in ("table", "tables")]
            yield f"`{_header(header.path)}`", header.text, rows


def _header(path: str) -> str:
    """``listener[]`` as ``[[listener]]``, ``domain[].lists.NAME`` as ``[domain.lists.NAME]``."""
    name = path.replace("[]", "")
    return f"[[{name}]]" if path.endswith("[]") else f"[{name}]"


def _row(each: SettingDoc) -> tuple[str, str, str, str]:
    return f"`{each.path.rpartition('.')[2]}`", each.type, f"`{each.default}`" if each.default else "", each.text
