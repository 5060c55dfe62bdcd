"""Frozen dataclasses with slots for the modules that sign, without loading `dataclasses`.

That brings `inspect` with it, which takes as long as all of ours to the first URL. Whoever works with dataclasses has it
loaded: `replace`, `fields`, `asdict` and their kin are told the fields when they ask, and find them as in any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, Self, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class _Value:
    """What `dataclass` adds to a class: equal, hashed, shown, copied and pickled by its fields, which nobody sets."""

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return _parts(self) == _parts(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self) -> int:
        return hash(_parts(self))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__qualname__}({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), _parts(self)

    def __replace__(self, **changes: Any) -> Self:
        return type(self)(**dict(zip(self.__match_args__, _parts(self), strict=True), **changes))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        _refuse(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        _refuse(f"cannot delete field {name!r}")


def _parts(one: Any) -> tuple[Any, ...]:
    return tuple([getattr(one, name) for name in one.__match_args__])


def _refuse(text: str) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(text)


class _Fields:
    """`__dataclass_fields__` of a class with these annotations, made when somebody asks."""

    def __init__(self, annotations: dict[str, Any], defaults: dict[str, Any]) -> None:
        self._annotations = annotations
        self._defaults = defaults

    def __get__(self, instance: object, owner: type) -> dict[str, Any]:
        from dataclasses import field, fields, make_dataclass

        given = {name: {"default": default} for name, default in self._defaults.items()}
        shape = [(name, kind, field(**given.get(name, {}))) for name, kind in self._annotations.items()]
        return {one.name: one for one in fields(make_dataclass(owner.__name__, shape))}


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen, slots):
        """`dataclasses.dataclass` with both of these options. What the class defines itself, it keeps."""
        if not (frozen and slots):
            raise TypeError("a value is frozen and has slots")
        return _value


def _value(cls: Any) -> Any:
    names = tuple(cls.__annotations__)
    defaults = {name: vars(cls)[name] for name in names if name in vars(cls)}
    kept = {name: part for name, part in vars(cls).items() if name not in (*names, "__dict__", "__weakref__")}
    made: Any = type(cls)(cls.__name__, (_Value,), {**kept, "__slots__": names, "__match_args__": names})
    made.__qualname__ = cls.__qualname__
    made.__init__ = _init(made, defaults)
    made.__dataclass_fields__ = _Fields(cls.__annotations__, defaults)
    return made


def _init(made: Any, defaults: dict[str, Any]) -> Any:
    """`__init__` with the fields for arguments."""
    names = made.__match_args__
    known: dict[str, Any] = {f"_set_{name}": getattr(made, name).__set__ for name in names}
    known |= {f"_default_{name}": default for name, default in defaults.items()}
    arguments = ["self", *(f"{name}=_default_{name}" if name in defaults else name for name in names)]
    lines = [f"_set_{name}(self, {name})" for name in names]
    lines += ["self.__post_init__()"] if hasattr(made, "__post_init__") else []
    init = _function("__init__", arguments, lines, known)
    init.__module__, init.__qualname__ = made.__module__, f"{made.__qualname__}.__init__"
    return init


def maker(cls: Callable[_P, _T]) -> Callable[_P, _T]:
    """The class of a value as a function of all its fields, for whoever makes many: it checks nothing.

    The fields are stored where that is allowed, in an object that then becomes a value: a third of the time of `__init__`.
    """
    names: tuple[str, ...] = cls.__match_args__  # type: ignore[attr-defined]
    free = {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    known = {"_Open": type("_Open", (_Value,), {"__slots__": names, **free}), "_cls": cls}
    stores = [f"made.{name} = {name}" for name in names]
    made: Callable[_P, _T] = _function(
        "make", names, ["made = _Open()", *stores, "made.__class__ = _cls", "return made"], known
    )
    return made


def _function(name: str, arguments: Iterable[str], lines: Iterable[str], known: dict[str, Any]) -> Any:
    """Made from text, as `dataclasses` does: a call that does not fit is then Python's to refuse."""
    exec(f"def {name}({', '.join(arguments)}):\n " + "\n ".join(lines), known)
    return known[name]
