"""Interfaces of other mail catchers, answered over our operations, so that their client libraries run unchanged."""

__all__: list[str] = []
