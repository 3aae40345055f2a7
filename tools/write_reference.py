"""Writes docs/reference.md from the tables in the code.

`nox -s docs` runs this script; a test fails if the page differs from what the script would write.
"""

from pathlib import Path

from ocf_systemd.core.ocf import Action, ExitCode
from ocf_systemd.core.pacemaker import MEANINGS, consequence
from ocf_systemd.core.parameter_table import TABLE

_HEAD = """\
# Reference

Written by `tools/write_reference.py` from the tables in the code; do not edit.
"""

_VALUES = """\
Durations are written `20` (seconds), `20s`, `1.5s`, `500ms` or `2min`, and are at most a day. Blanks around a value are
removed; an empty value counts as not set. All parameters but `unit` can be changed without a restart of the service
(`reload-agent`).

With a wrong value, `start`, a recurring `monitor`, `reload`, `reload-agent` and `validate-all` return 6, and the reason
names all wrong values. A probe and a `stop` log a warning instead: the probe reports the unit's state alone, and `stop`
assumes the default. After 6 from a probe Pacemaker would run `stop`, and after 6 from that it would fence the node,
because of a typing error. Without a valid `unit`, the probe returns 7 and `stop` returns 0.
"""

_WARNING = """\
With `monitor_hook_protocol=ocf` a hook's code is the monitor's, except that 8, 9 and 191 become 1: `curl` exits with 6
when a name does not resolve, and that stops the resource on every node. Use `plain` or `nagios` for such tools, or a
hook that translates their exit codes.
"""

_SHOWN = [code for code in ExitCode if "PROMOTED" not in code.name]  # a unit has no promoted role


def reference() -> str:
    """Return the text of docs/reference.md."""
    return "\n".join((_HEAD, *_parameters(), *_exit_codes()))


def _parameters() -> list[str]:
    rows = [f"| `{row.name}` | {f'`{row.default}`' if row.default else 'none'} | {row.longdesc} |" for row in TABLE]
    return [
        "## Parameters\n",
        _VALUES,
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
    (Path(__file__).resolve().parents[1] / "docs/reference.md").write_text(reference(), encoding="utf-8")
