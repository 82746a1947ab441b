"""The operations: what operators can look at and change, each declared once with its name, parameters and help."""

__all__: list[str] = []
