"""Immutable records: like `dataclass(frozen=True, slots=True)`, but quick to define.

The agent is a new process for every monitor, so the time of imports counts. dataclasses generates and compiles five
functions for each class, which takes 0.4 ms; all other imports of this package together take 10 ms. The package's forty
records share one set of functions instead.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import NoReturn, TypeVar, dataclass_transform

R = TypeVar("R", bound="Record")


def _annotated(namespace: Mapping[str, object]) -> Iterable[str]:
    """Return the names that a class body annotates, in order."""
    annotations = namespace.get("__annotations__", {})
    if sys.version_info >= (3, 14) and not annotations:
        import annotationlib  # PEP 749: a function creates the annotations on demand

        if annotate := annotationlib.get_annotate_from_class_namespace(namespace):
            annotations = annotationlib.call_annotate_function(annotate, annotationlib.Format.FORWARDREF)
    assert isinstance(annotations, dict)  # noqa: S101  # it is Python's own
    return annotations


@dataclass_transform(frozen_default=True)
class _RecordType(type):
    """Creates classes of records: each annotated name is a field, and a value assigned to the name is its default."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, object]) -> "_RecordType":
        annotated = _annotated(namespace)
        inherited = [base for base in bases if isinstance(base, _RecordType)]
        fields = dict.fromkeys(field for base in inherited for field in base.__match_args__) | dict.fromkeys(annotated)
        defaults = {field: value for base in inherited for field, value in base.__defaults__.items()}
        defaults |= {field: namespace.pop(field) for field in annotated if field in namespace}
        own = {"__slots__": tuple(annotated), "__match_args__": tuple(fields), "__defaults__": defaults}
        return super().__new__(cls, name, bases, namespace | own)

    __match_args__: tuple[str, ...]
    __defaults__: dict[str, object]


class Record(metaclass=_RecordType):
    """An immutable value with named fields, of which those of the base classes come first.

    Two records are equal if they are of the same class and have equal fields. Wrong arguments raise TypeError, as
    for any function.
    """

    def __init__(self, *values: object, **named: object) -> None:
        fields, defaults = type(self).__match_args__, type(self).__defaults__
        if len(values) > len(fields):
            raise TypeError(f"{type(self).__name__}() takes {len(fields)} fields, not {len(values)}")
        for field, value in zip(fields, values, strict=False):
            object.__setattr__(self, field, value)
        for field in fields[len(values) :]:
            if field not in named and field not in defaults:
                raise TypeError(f"{type(self).__name__}() lacks {field}")
            object.__setattr__(self, field, named.pop(field) if field in named else defaults[field])
        if named:
            raise TypeError(f"{type(self).__name__}() takes no {', '.join(named)}, or had it already")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash(_values(self))

    def __repr__(self) -> str:
        fields = (f"{field}={getattr(self, field)!r}" for field in type(self).__match_args__)
        return f"{type(self).__name__}({', '.join(fields)})"

    def __setattr__(self, name: str, _: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set: records do not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted: records do not change")


def _values(record: Record) -> tuple[object, ...]:
    return tuple(getattr(record, field) for field in type(record).__match_args__)


def replace(record: R, **changes: object) -> R:
    """Return a copy of a record with some fields changed. Raises TypeError if the record does not have one of them."""
    return type(record)(**dict(zip(type(record).__match_args__, _values(record), strict=True)) | changes)


def record_of(kind: type[R], fields: Mapping[str, object]) -> R:
    """Return a record with these fields, by name. Raises TypeError if one is unknown or missing."""
    return kind(**fields)
