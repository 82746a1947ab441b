"""Commands about the catcher while it runs."""

__all__: list[str] = []
