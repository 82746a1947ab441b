"""Both ends for tests: a receiving sink with faults on demand, and a load generator."""

__all__: list[str] = []
