"""The configuration: its model, its types, and the TOML file they are read from."""

__all__: list[str] = []
