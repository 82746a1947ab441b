"""Checks of mail before it matters: the DNS records of a domain, and the authentication of a message."""

__all__: list[str] = []
