"""The process of a daemon: its ports, what the service manager gave it, the user it runs as."""

__all__: list[str] = []
