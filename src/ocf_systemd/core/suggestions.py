"""Proposes what a person may have meant: the most similar of the names that exist. difflib is imported when needed."""

from collections.abc import Callable, Collection, Iterable, Mapping

from ocf_systemd.core.parameter_table import TABLE, Parameter

# The most units that are proposed, and the least similarity of their names, from 0 to 1 (difflib).
_UNITS_MAX, _UNIT_SIMILARITY = 4, 0.75


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'NAME'?" with the known name that is most similar to a word; empty: none is similar."""
    close = most_similar(word, known)
    return f" Did you mean '{close}'?" if close else ""


def most_similar(word: str, known: Iterable[str]) -> str:
    """Return the known name that is most similar to a word; empty: none is similar."""
    from difflib import get_close_matches

    names = {_folded(each): each for each in known}
    close = get_close_matches(_folded(word), names, n=1)
    return names[close[0]] if close else ""


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")


def similar_values(options: Mapping[str, str]) -> str:
    """Return what `did_you_mean` proposes for each value that is not one of its parameter's choices."""
    return "".join(
        did_you_mean(options[row.name].strip(), row.choices)
        for row in TABLE
        if row.choices and options.get(row.name) and not _is_right(row.parse, options[row.name])
    )


def proposed_value(row: Parameter, text: str) -> str:
    """Return the value to propose for a parameter whose value is wrong: a similar choice, or the placeholder VALUE.

    If the value is valid by itself, but not together with the other parameters, the default is proposed.
    """
    return row.default if _is_right(row.parse, text) else most_similar(text.strip(), row.choices) or "VALUE"


def _is_right(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text.strip())
    except ValueError:
        return False
    return True


def similar_units(name: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the known units of the same type as the unit `name` whose names are similar to `name`, or contain it."""
    from difflib import get_close_matches

    stem, _, kind = name.rpartition(".")
    names = (each.rpartition(".") for each in known)
    stems = [other for other, _, its_kind in names if its_kind == kind and not other.endswith("@")]
    containing = [other for other in stems if stem.partition("@")[0] in other]
    close = get_close_matches(stem, stems, cutoff=_UNIT_SIMILARITY)
    return tuple(f"{other}.{kind}" for other in dict.fromkeys((*close, *containing)))[:_UNITS_MAX]
