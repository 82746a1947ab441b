"""Contradictions between the settings of message authentication and others (``config_file``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from posthouse.service.config.model import Config

__all__ = ["mailauth_problems"]


def mailauth_problems(config: Config, broken: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Place, cause and remedy of each problem; ``broken`` are the names of tables with errors."""
    if "mailauth" in broken or "domain" in broken:
        return
    settings = config.mailauth
    ours = {config.hostname.lower(), *(each.name for each in config.domain)}
    if settings.srs_domain and settings.srs_domain not in ours and "*" not in ours:
        cause = f"{settings.srs_domain} is no domain of this server, so that reports to its addresses do not come back"
        yield "mailauth.srs_domain", cause, "write the name of a [[domain]], or hostname"
    signed = Counter(each.domain for each in settings.batv)
    for index, entry in enumerate(settings.batv):
        if entry.domain not in ours and "*" not in ours:
            cause = f"{entry.domain} is no domain of this server, so that reports to its addresses do not come here"
            yield f"mailauth.batv[{index}].domain", cause, "write the name of a [[domain]], or hostname"
        elif signed[entry.domain] > 1:
            cause = f"there are {signed[entry.domain]} entries for {entry.domain}"
            signed[entry.domain] = 0
            yield f"mailauth.batv[{index}].domain", cause, "keep one"
    domains = Counter(each.domain for each in settings.exception)
    for index, exception in enumerate(settings.exception):
        if domains[exception.domain] > 1:
            cause = f"there are {domains[exception.domain]} exceptions for {exception.domain}"
            domains[exception.domain] = 0
            yield f"mailauth.exception[{index}].domain", cause, "keep one"
    authors = Counter(each.author for each in settings.signing)
    for index, signing in enumerate(settings.signing):
        if authors[signing.author] > 1:
            cause = f"there are {authors[signing.author]} entries for {signing.author}"
            authors[signing.author] = 0
            yield f"mailauth.signing[{index}].author", cause, "keep one"
        if signing.selectors and not signing.domain:
            cause = f"the mail of {signing.author} is not signed, so that no key is used"
            yield f"mailauth.signing[{index}].selectors", cause, "write domain as well, or leave selectors out"
