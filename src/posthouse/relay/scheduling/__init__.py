"""The delivery scheduler: ready queues by site, concurrency limits, site health, rate limits."""

__all__: list[str] = []
