"""Sending without a daemon: server URLs, one message to a named server, one message to mail exchangers."""

__all__: list[str] = []
