"""What is computed once, when it is first asked for: properties, and what functions make of an object."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")
Owner = TypeVar("Owner")


class lazy(Generic[T]):  # noqa: N801
    """A property that an instance computes when it is first asked for, and keeps.

    Not functools.cached_property, which before Python 3.12 holds one lock for all instances of a class: sweeps of two
    threads, each with a tile of its own, took as long as one. Two threads that ask one instance at once both compute.

    Example:
        >>> class Square:
        ...     side = 3
        ...     @lazy
        ...     def area(self) -> int:
        ...         return self.side**2
        >>> square = Square()
        >>> square.area, vars(square)
        (9, {'area': 9})
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> "lazy[T]": ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...
    def __get__(self, instance: object | None, owner: type | None = None) -> "lazy[T] | T":
        """The value; kept in the instance's dict, where it is found before this is."""
        if instance is None:
            return self
        value = instance.__dict__[self.name] = self.function(instance)
        return value


class Remembering:
    """An object that keeps what functions make of it.

    Example:
        >>> class Square(Remembering):
        ...     side = 3
        >>> Square().once(lambda square: square.side**2)
        9
    """

    def once(self: Owner, function: Callable[[Owner], T]) -> T:
        """What the function makes of this object, however often it is asked for."""
        found = self.__dict__.setdefault("_found", {})
        if function not in found:
            found[function] = function(self)
        return found[function]
