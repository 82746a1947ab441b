"""Delivery status notifications (RFC 3461, 3464): composed and read."""

__all__: list[str] = []
