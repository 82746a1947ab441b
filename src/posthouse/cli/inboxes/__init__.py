"""Commands of ``posthouse inbox`` beyond listing and showing."""

__all__: list[str] = []
