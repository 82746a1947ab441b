"""The operations: what people ask and do, each declared once with its name, arguments and help."""

__all__: list[str] = []
