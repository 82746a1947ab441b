"""The configuration: its model, the types of its settings, and the decoder of TOML tables.

Over budget: each large group of settings has a module, and another for its texts in Chinese.
"""

__all__: list[str] = []
