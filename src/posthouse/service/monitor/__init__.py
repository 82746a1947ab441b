"""What a daemon notes about its own work for operators: counts, sessions, attempts, and their course over a day."""

__all__: list[str] = []
