"""What an attempt leaves in the spool: settlements, retry times, delivery status notifications."""

__all__: list[str] = []
