"""What keeps others out: host names, origins, body limits, headers, logins."""

__all__: list[str] = []
