"""Types of arguments at the public border: a wrong one is a TypeError that names the argument."""

import sys
from collections.abc import Callable, Container, Mapping
from functools import cache, wraps
from inspect import Parameter, signature
from types import FunctionType, NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

EXPR_MODULES = ("audience.language.atoms", "audience.language.junctions")
MAX_NAMED_TYPES = 6  # more of them are the nodes of an expression
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Checked = TypeVar("Checked")


class _PublicNames(dict[str, Any]):
    """Names of annotations that a module imports for type checkers only: public names of the package."""

    def __missing__(self, name: str) -> Any:
        return getattr(sys.modules["audience"], name)


def check_arguments(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Wrap *function*: raise TypeError for an argument that is not of the type in its annotation.

    Only the type itself is checked, and not what a list or a mapping contains.

    >>> @check_arguments
    ... def repeat(text: str, times: int = 2) -> str:
    ...     return text * times
    >>> repeat("a", times=None)
    Traceback (most recent call last):
    TypeError: times: expected int, got None
    """
    accepted_calls: set[tuple[type, ...]] = set()  # whether a value is accepted depends on its type alone

    @wraps(function)
    def checked(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        types = tuple(map(type, args))
        if kwargs or types not in accepted_calls:
            _require_types(function, args, kwargs)
        if not kwargs:
            accepted_calls.add(types)
        return function(*args, **kwargs)

    return checked


def check_methods(*, skip: Container[str] = ()) -> Callable[[type[Checked]], type[Checked]]:
    """Wrap the public methods of a class by `check_arguments`, but those in *skip*, which check by themselves."""

    def check_class(cls: type[Checked]) -> type[Checked]:
        for name, method in list(vars(cls).items()):
            if name.startswith("_") or name in skip:
                continue
            if isinstance(method, classmethod):
                setattr(cls, name, classmethod(check_arguments(method.__func__)))
            elif isinstance(method, FunctionType):
                setattr(cls, name, check_arguments(method))
        return cls

    return check_class


def _require_types(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    parameters = _read_parameters(function)
    for name, value in (*zip(parameters, args, strict=False), *kwargs.items()):
        if name not in parameters or value is parameters[name].default:
            continue  # the class of an optional argument is not loaded in vain
        accepted = _read_types(function, name)
        is_bytes = isinstance(value, bytes) and bytes not in accepted  # otherwise a list of numbers
        if accepted and (is_bytes or not isinstance(value, accepted)):
            raise TypeError(f"{name}: expected {_describe_types(accepted)}, got {value!r:.60}")


def _describe_types(types: tuple[type, ...]) -> str:
    """Return the names of *types*; the many nodes of expressions are one name."""
    is_any_node = len(types) > MAX_NAMED_TYPES
    names = ["Expr" if is_any_node and each.__module__ in EXPR_MODULES else each.__name__ for each in types]
    return " or ".join(dict.fromkeys("None" if name == "NoneType" else name for name in names))


@cache
def _read_parameters(function: Callable[..., Any]) -> Mapping[str, Parameter]:
    return signature(function).parameters


@cache
def _read_types(function: Callable[..., Any], name: str) -> tuple[type, ...]:
    """Return the types that the parameter *name* accepts; none if they cannot be checked."""
    return _collect_types(function, _read_parameters(function)[name].annotation)


def _collect_types(function: Any, annotation: Any) -> tuple[type, ...]:
    """Return the classes of an annotation; none if it accepts anything or is not made of classes."""
    if isinstance(annotation, str):
        annotation = eval(annotation, function.__globals__, _PublicNames())
    if get_origin(annotation) in (Union, UnionType):
        members = [_collect_types(function, member) for member in get_args(annotation)]
        return tuple(dict.fromkeys(each for member in members for each in member)) if all(members) else ()
    origin = get_origin(annotation) or annotation
    if origin is None:
        return (NoneType,)
    if origin is Literal:
        return tuple({type(value) for value in get_args(annotation)})
    if origin is float:
        return int, float
    return (origin,) if isinstance(origin, type) and origin not in (Parameter.empty, object, Any) else ()
