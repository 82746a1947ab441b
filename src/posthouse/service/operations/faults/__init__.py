"""The operations on faults that are switched on at the listeners of a catcher."""

__all__: list[str] = []
