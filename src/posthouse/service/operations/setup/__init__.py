"""Operations on the installation itself: its settings."""

__all__: list[str] = []
