"""Base of values with slots that never change after they are made.

A dataclass would do the same; its import takes longer than that of the whole package.
"""

from __future__ import annotations

from typing import ClassVar, NoReturn, Self

__all__ = ["FrozenValue"]


class FrozenValue:
    """A value: equal and hashed by its fields, picklable, and its own copy.

    A subclass names its fields in ``FIELDS`` and sets them with ``_set``.  Further slots are caches: they are neither
    compared nor pickled, and a class that has some sets them in ``_forget``.
    """

    __slots__ = ()

    FIELDS: ClassVar[tuple[str, ...]] = ()

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _forget(self) -> None:
        """Set the slots that are caches."""

    def _key(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.FIELDS)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} does not change; make another one with replace({name}=…)")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} does not change; {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FrozenValue) or type(other) is not type(self):
            return NotImplemented
        return self is other or self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.FIELDS}

    def __setstate__(self, state: dict[str, object]) -> None:
        self._set(**state)
        self._forget()
