"""Records are what frozen, slotted dataclasses are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import pytest

from ocf_systemd.core.records import Record, replace

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Point(Record):
    """Somewhere."""

    x: int
    y: int = 2


class Place(Point):
    """Somewhere that has a name."""

    name: str = ""


class Box(Record, Generic[T]):
    """Something that holds something."""

    content: T


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: Point(1), id="default"),
        pytest.param(lambda: Point(1, 2), id="positional"),
        pytest.param(lambda: Point(1, y=2), id="mixed"),
        pytest.param(lambda: Point(y=2, x=1), id="named"),
        pytest.param(lambda: replace(Point(5), x=1), id="replaced"),
    ],
)
def test_fields(made: Callable[[], Point]) -> None:
    """Fields are given by place or by name, or have their default."""
    point = made()
    assert (point.x, point.y) == (1, 2)
    assert point == Point(1, 2)
    assert hash(point) == hash(Point(1, 2))


def test_fields_are_inherited() -> None:
    """Those of the class a record is derived from come first, with their defaults."""
    assert Place(1, 3, "here") == Place(x=1, y=3, name="here")
    assert repr(Place(1)) == "Place(x=1, y=2, name='')"


def test_equal_fields_are_not_enough() -> None:
    """Records of different classes differ, and a record is no tuple."""
    assert Point(1, 2) != Place(1, 2)
    assert Point(1, 2) != (1, 2)
    assert Point(1, 2) != Point(1, 3)


def test_patterns() -> None:
    """A record is taken apart by `match`, by place and by name."""
    match Place(1, 3, "here"):
        case Place(x, y, name=name):
            assert (x, y, name) == (1, 3, "here")


def test_generic() -> None:
    """A record can be generic."""
    assert Box[int](3).content == 3


@pytest.mark.parametrize(
    ("code", "message"),
    [
        pytest.param("Point()", "lacks x", id="too little"),
        pytest.param("Point(1, 2, 3)", "takes 2 fields, not 3", id="too much"),
        pytest.param("Point(1, z=2)", "takes no z", id="unknown"),
        pytest.param("Point(1, x=2)", "takes no x, or had it already", id="twice"),
        pytest.param("replace(Point(1), z=2)", "takes no z", id="replaced"),
    ],
)
def test_wrong_fields(code: str, message: str) -> None:
    """Too many or too few fields raise a TypeError that names them."""
    with pytest.raises(TypeError, match=message):
        eval(code)  # noqa: S307  # what mypy would not let pass


@pytest.mark.parametrize("code", ["point.x = 2", "point.z = 2", "del point.x"])
def test_immutable(code: str) -> None:
    """No field can be set or deleted, none be added: a record has slots, and no dictionary."""
    point = Point(1)
    with pytest.raises(AttributeError, match=r"records do not change"):
        exec(code)  # noqa: S102
    assert not hasattr(point, "__dict__")
