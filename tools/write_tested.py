"""Writes the table of tested versions into README.md, from docs/tested.json.

Each nox session whose tests have all passed leaves a record in .nox/tested (tests/tested.py). This script first copies
the records of the last run into docs/tested.json. `nox -s docs` runs this script; a test fails if the README differs
from what the script would write.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_RECORDS, _PAGE = _ROOT / "docs/tested.json", _ROOT / "README.md"
_BEGIN, _END = "<!-- written by tools/write_tested.py: begin -->\n", "<!-- end -->\n"
_SYSTEM_SESSIONS = ("system", "faults", "cluster")  # which need a real systemd
_HEAD = """
| distribution | systemd | Pacemaker | Python | |
|---|---|---|---|---|
"""
# Distributions on which the tests do not run, with the versions that they contain; systemd must be 252 or later.
_NOT_TESTED = """\
| Ubuntu 24.04 | 255 | 2.1.6 | 3.12 | expected to work |
| RHEL 9 and its rebuilds | 252 | 2.1 | 3.11 or 3.12, from AppStream | expected to work |
| RHEL 10 and its rebuilds | 257 | 3.0 | 3.12 | expected to work |
| SLES 15 SP6 and later | 254 | 2.1 | 3.11, from the Python 3 Module | expected to work |
| SLES 16 | 257 | 3.0 | 3.13 | expected to work |
| Debian 11, Ubuntu 22.04, RHEL 8 | 247, 249, 239 | | | does not work: systemd is too old |
"""


@dataclass(frozen=True, slots=True)
class Record:
    """What a nox session has passed: so many tests, on these versions."""

    distribution: str
    systemd: str
    pacemaker: str
    python: str
    libraries: dict[str, str]
    session: str
    passed: int


def tested(records: Iterable[Record]) -> str:
    """Return the table, and the lines on Python and the libraries, of these records."""
    ordered = sorted(records, key=lambda each: (each.distribution, each.session, each.python))
    on_systems = [each for each in ordered if each.session in _SYSTEM_SESSIONS]
    quick = [each for each in ordered if each.session not in _SYSTEM_SESSIONS]
    rows = [_row([each for each in on_systems if each.distribution == name]) for name in _names(on_systems)]
    return "".join((_HEAD, *rows, _NOT_TESTED, "\n", *_quick(quick)))


def _names(records: Iterable[Record]) -> list[str]:
    return list(dict.fromkeys(each.distribution for each in records))


def _row(records: list[Record]) -> str:
    counts = {session: sum(each.passed for each in records if each.session == session) for session in _SYSTEM_SESSIONS}
    tests = ", ".join(f"{count:,} {session}" for session, count in counts.items() if count)
    first = max(records, key=lambda each: each.pacemaker)
    versions = f"{first.systemd} | {first.pacemaker} | {first.python}"
    return f"| {first.distribution} | {versions} | tested: {tests} tests |\n"


def _quick(records: Iterable[Record]) -> list[str]:
    return [
        f"- {each.passed:,} quick tests on Python {each.python} with "
        f"{', '.join(f'{name} {number}' for name, number in each.libraries.items())}\n"
        for each in sorted(records, key=lambda each: (each.python.split("."), each.session))
    ]


def page(text: str, records: Iterable[Record]) -> str:
    """Return the README with the table of these records in place of the one that it has."""
    head, rest = text.split(_BEGIN)
    return f"{head}{_BEGIN}{tested(records)}{_END}{rest.split(_END, 1)[1]}"


def known() -> list[Record]:
    """Return the records in docs/tested.json."""
    return [Record(**each) for each in json.loads(_RECORDS.read_text(encoding="utf-8"))] if _RECORDS.exists() else []


if __name__ == "__main__":
    paths = [*_ROOT.glob(".nox/tested/*.json"), *_ROOT.glob(".nox/*/tested/*.json")]
    fresh = [Record(**json.loads(path.read_text(encoding="utf-8"))) for path in paths]
    records = {(each.distribution, each.session): each for each in (*known(), *fresh)}
    kept = sorted(records.values(), key=lambda each: (each.distribution, each.session))
    _RECORDS.write_text(json.dumps([asdict(each) for each in kept], indent=2) + "\n", encoding="utf-8")
    _PAGE.write_text(page(_PAGE.read_text(encoding="utf-8"), kept), encoding="utf-8")
