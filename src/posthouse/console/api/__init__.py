"""The API: every operation by HTTP, and its description as OpenAPI 3.1, both from the operations' declarations."""

__all__: list[str] = []
