"""The configuration: its model, the types of its settings, and the decoder of TOML tables."""

__all__: list[str] = []
