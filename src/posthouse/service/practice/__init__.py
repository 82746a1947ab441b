"""Practice: a receiving SMTP in memory for people who type SMTP by hand, with every line explained."""

__all__: list[str] = []
