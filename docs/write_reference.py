"""Writes docs/reference.md from the tables in the code; `nox -s docs` calls it, a test compares."""

from pathlib import Path

from ocf_systemd.consequences import MEANINGS, consequence
from ocf_systemd.ocf import Action, ExitCode
from ocf_systemd.parameters import TABLE

_HEAD = """\
# Reference

Written by `docs/write_reference.py` from the tables in the code; do not edit.
"""

_WARNING = """\
With `monitor_hook_protocol=ocf` a hook's code is the monitor's, unchanged: `curl` exits with 6 when a name does not
resolve, and that stops the resource on every node. Give such tools `plain` or `nagios`, or a hook around them that lets
no code out unseen.
"""

_SHOWN = [code for code in ExitCode if "PROMOTED" not in code.name]  # a unit has no roles


def reference() -> str:
    """Return the page."""
    return "\n".join((_HEAD, *_parameters(), *_exit_codes()))


def _parameters() -> list[str]:
    rows = [f"| `{row.name}` | {f'`{row.default}`' if row.default else 'none'} | {row.longdesc} |" for row in TABLE]
    return [
        "## Parameters\n",
        "Durations read as Pacemaker's: `20`, `20s`, `500ms`, `2min`. All but `unit` can be reloaded.\n",
        "| name | default | meaning |",
        "|---|---|---|",
        *rows,
        "",
    ]


def _exit_codes() -> list[str]:
    rows = [
        f"| {code.value} | `OCF_{code.name}` | {MEANINGS[code]} | {consequence(Action.MONITOR, code, recurring=True)} "
        f"| {consequence(Action.START, code, recurring=False)} |"
        for code in _SHOWN
    ]
    failed_stop = consequence(Action.STOP, ExitCode.ERR_GENERIC, recurring=False)
    return [
        "## Exit codes, and what Pacemaker does with them\n",
        f"After a failed stop, whatever its code, Pacemaker {failed_stop}.\n",
        "| code | name | meaning | after a recurring monitor, Pacemaker … | after a start, Pacemaker … |",
        "|---|---|---|---|---|",
        *rows,
        "",
        _WARNING,
    ]


if __name__ == "__main__":
    Path(__file__).with_name("reference.md").write_text(reference(), encoding="utf-8")
