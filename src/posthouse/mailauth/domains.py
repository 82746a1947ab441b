"""Domain names as the DNS carries them: A-labels, and what no name can be."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["LONGEST_NAME", "a_labels", "is_dns_name"]

LONGEST_NAME = 253
"""Characters of a domain name without its final dot (RFC 1035 §2.3.4 in presentation form; RFC 7208 §7.3)."""


def is_dns_name(name: str) -> bool:
    """True for what a question of the DNS can carry: ASCII, labels of 1 to 63 octets, 253 octets in all.

    The characters of a label do not matter: a name that nothing has is no error.
    """
    return len(name) <= LONGEST_NAME and name.isascii() and all(1 <= len(label) <= 63 for label in name.split("."))


def a_labels(domain: str) -> str | None:
    """A domain in lower case and A-labels without the final dot (RFC 5890 §2.3.2.1), or None for what is no DNS name.

    U-labels are as SMTPUTF8 has them (RFC 6531 §3.3): one that IDNA2008 does not allow makes the domain no name.
    """
    return _a_labels(domain) if len(domain) <= LONGEST_NAME + 1 else None


@lru_cache(maxsize=2048)
def _a_labels(domain: str) -> str | None:
    plain = domain.lower().removesuffix(".")
    if not plain.isascii():
        labels = [label if label.isascii() else _a_label(label) for label in plain.split(".")]
        plain = ".".join(labels)
    return plain if is_dns_name(plain) else None


@lru_cache(maxsize=1024)
def _a_label(label: str) -> str:
    """The A-label of a U-label in lower case, "" for what is none."""
    import idna  # its tables are large, and hardly any domain needs them

    try:
        return idna.alabel(label).decode("ascii")
    except ValueError:  # idna.IDNAError is one
        return ""
