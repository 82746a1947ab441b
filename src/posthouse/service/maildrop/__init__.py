"""The maildrop: a directory in which programs of this machine leave messages for the daemon, also while it is down."""

__all__: list[str] = []
