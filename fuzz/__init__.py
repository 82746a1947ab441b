"""Fuzz targets: one for each reader of octets that another program or person sends.

A target takes octets and raises an exception if a reader breaks a promise: an exception that its contract does not
name, another result for the same octets cut elsewhere, or a secret where it must not be.  ``scripts/fuzz`` runs all of
them with coverage guidance (atheris); ``tests/fuzz`` runs each on its corpus.  A finding is mended as a kind, gets a
test beside the reader's other tests, and its input joins ``corpus/<target>``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

__all__ = ["CORPUS", "TARGETS", "target"]

CORPUS = Path(__file__).parent / "corpus"
#: Target → its module.
TARGETS = {
    "addresses": "fuzz.wire",
    "aggregate_reports": "fuzz.forwarded",
    "arc": "fuzz.forwarded",
    "auth_results": "fuzz.forwarded",
    "chunks": "fuzz.wire",
    "commands": "fuzz.wire",
    "config": "fuzz.operators",
    "content": "fuzz.wire",
    "control": "fuzz.operators",
    "dkim_bodies": "fuzz.signatures",
    "dkim_records": "fuzz.signatures",
    "dkim_signatures": "fuzz.signatures",
    "dmarc_records": "fuzz.forwarded",
    "domain_records": "fuzz.policies",
    "dovecot": "fuzz.logins",
    "fields": "fuzz.mail",
    "filters": "fuzz.operators",
    "forwarding": "fuzz.proxies",
    "headers": "fuzz.mail",
    "mail_digests": "fuzz.inboxes",
    "mail_html": "fuzz.inboxes",
    "mail_queries": "fuzz.inboxes",
    "mboxes": "fuzz.inboxes",
    "mime": "fuzz.mail",
    "proxy_header": "fuzz.proxies",
    "receiver": "fuzz.wire",
    "replies": "fuzz.wire",
    "reports": "fuzz.mail",
    "sasl_client": "fuzz.logins",
    "sasl_server": "fuzz.logins",
    "spf": "fuzz.policies",
    "srs": "fuzz.forwarded",
    "tls": "fuzz.logins",
}


def target(name: str) -> Callable[[bytes], None]:
    """The function of a target."""
    found: Callable[[bytes], None] = getattr(importlib.import_module(TARGETS[name]), name)
    return found
