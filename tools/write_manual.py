"""Writes the manual pages from the tables in the code and from the help texts of the commands.

The script writes Markdown, from which pandoc(1) makes pages for man(7). They are in src/ocf_systemd/share, from where
they are installed. `nox -s docs` runs this script; a test fails if a page differs from what the script would write.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from xml.etree import ElementTree as ET

import click
import pypandoc  # type: ignore[import-untyped]

from ocf_systemd import __version__
from ocf_systemd.agent.entry import PROGRAM
from ocf_systemd.commands import whole_program
from ocf_systemd.core.metadata import metadata_xml
from ocf_systemd.core.ocf import Action, ExitCode
from ocf_systemd.core.pacemaker import MEANINGS, consequence
from ocf_systemd.core.parameter_table import TABLE, Parameter

MAN = Path(__file__).resolve().parent.parent / "src/ocf_systemd/share/man"
_PROSE_OF = "November 28, 2026"  # when the texts in this file were last changed
_LITERAL = re.compile("(`[^`]+`)")
_READER = "commonmark+definition_lists"

_AGENT_DESCRIPTION = """\
Manages a systemd unit under Pacemaker. It starts, stops and reloads the unit with *systemctl*(1). Monitor queries \
systemd and at the same time runs a health hook, whose exit code reports whether the service works: systemd reports a \
service that hangs as active, and the hook detects it.

A hook exits with 0 for running, 7 for not running, 190 for degraded; any other code is a failure. It runs as root, so \
it and all directories above it must be writable only by root.

The agent returns before Pacemaker's timeout, and leaves no process behind. It returns 7 (not running) only if the \
unit was observed down, or if the hook reported 7 in a recurring monitor or at the end of a reload; it returns 0 from \
a stop only if the unit was observed down and none of its processes is alive. A probe of an active unit never returns \
7, whatever the hook reports. Two exceptions, where no unit can run: without a valid `unit` a probe returns 7 and a \
stop 0, and on a host that systemd did not boot a stop returns 0.
"""

_CODES_PROSE = """\
With `monitor_hook_protocol=ocf` a hook's code is the monitor's, except that 8, 9 and 191 become 1: *curl*(1) exits \
with 6 when a name does not resolve, and that stops the resource on every node. Use `plain` or `nagios` for such tools.
"""

_PROGRAM_DESCRIPTION = """\
Installs the OCF resource agent `ocf:pacemaker:systemd` on a cluster's node, checks a unit and its hook for problems, \
and shows what the agent does. *ocf_pacemaker_systemd*(7) describes the agent.
"""

_STATUS_PROSE = """\
Every command exits with 2 if its name or its options are wrong, or if it cannot run here: systemd did not boot this \
host, the sandbox cannot be booted, the user is not root. It exits with 130 after Ctrl-C; in a sandbox only the \
command that runs there gets Ctrl-C.
"""

_STATUS = (
    ("doctor", "0: no errors. 1: errors."),
    (
        "rehearse",
        (
            "0: no errors. 1: errors. 2: also with `--on-this-host` if Pacemaker controls the unit, or if the unit is "
            "running and the rehearsal was not confirmed on a terminal or with `--yes`."
        ),
    ),
    (
        "debug",
        (
            "The OCF exit code of the action. Of `cycle` the first exit code that is not expected (1 in place of 0), "
            "or 0 if all are as expected. 2: also if Pacemaker controls the unit, and the action was not confirmed on "
            "a terminal or with `--yes`."
        ),
    ),
    ("demo", "0: the service hung, and the agent detected it. 1: it did not."),
    ("sandbox", "The exit code of the command in the sandbox."),
    ("any other command", "0: done. 1: failed."),
    ("the agent file", "The OCF exit code of the action. 3 for an unknown action."),
)

_ENVIRONMENT = (
    ("TERM", "A terminal that is `dumb` gets plain text."),
    ("NO_COLOR", "Unless it is empty, output has no colour."),
    (
        "FORCE_COLOR",
        "Unless it is empty, output is as on a terminal, with colour, even if standard output is not one.",
    ),
    ("COLUMNS", "The width of the output, if no terminal reports one."),
)

_FILES = (
    ("/usr/lib/ocf/resource.d/pacemaker/systemd", "The agent."),
    (
        "/etc/systemd/system/ocf-systemd.socket, ocf-systemd.service",
        "The resident server's units, after `install --resident`; those of a package are in `/usr/lib/systemd/system`.",
    ),
    (
        "/run/systemd/system/UNIT.d/zz-ocf-systemd.conf",
        "Drop-in of a unit that Pacemaker has started: shutdown stops Pacemaker first, and only Pacemaker restarts it.",
    ),
    (
        "/run/ocf-systemd",
        "The lock by which agents share a daemon-reload, and the records of hooks that cannot be killed.",
    ),
    ("/usr/local/bin/ocf-systemd", "A link to the program, if the environment that it is installed in is elsewhere."),
    (
        "/usr/local/share",
        "Manual pages and completion, below `man`, `bash-completion` and `zsh`, unless a package contains them.",
    ),
    ("/etc/fish/completions/ocf-systemd.fish", "Completion for fish, which does not read that directory."),
    ("/usr/local/lib/systemd/catalog/ocf-systemd.catalog", "Explanations of the log for `journalctl -x`."),
)

_CODES = [code for code in ExitCode if "PROMOTED" not in code.name]  # a unit has no promoted role

_PCS = r"""
pcs resource create web ocf:pacemaker:systemd unit=nginx \
    monitor_hook=/usr/local/lib/ocf-systemd/hooks/http \
    op start timeout=100s op stop timeout=110s \
    op monitor interval=10s timeout=20s
"""
_CRM = r"""
primitive web ocf:pacemaker:systemd \
    params unit=nginx \
        monitor_hook="/usr/local/lib/ocf-systemd/hooks/http" \
    op start timeout=100s op stop timeout=110s \
    op monitor interval=10s timeout=20s
"""


def pages() -> dict[str, str]:
    """Return the text of each page by its path below `man`."""
    return {
        "man1/ocf-systemd.1": _page(PROGRAM, 1, _program_page()),
        "man7/ocf_pacemaker_systemd.7": _page("ocf_pacemaker_systemd", 7, _agent_page()),
    }


def _page(name: str, section: int, parts: Iterator[str]) -> str:
    metadata = {
        "title": name.upper(),
        "section": section,
        "date": _PROSE_OF,
        "footer": f"{PROGRAM} {__version__}",
        "header": "OCF resource agents",
    }
    page = roff("\n\n".join(parts), *(f"--variable={key}={value}" for key, value in metadata.items()), "--standalone")
    return f'.\\" Written by tools/write_manual.py from the code; do not edit.\n{page}'


def roff(text: str, *options: str) -> str:
    """Return Markdown in the format of man(7); literal text becomes bold, as in other manual pages."""
    return str(pypandoc.convert_text(_LITERAL.sub(r"**\g<0>**", text), "man", _READER, options))


def _agent_page() -> Iterator[str]:
    agent = ET.fromstring(metadata_xml("systemd"))  # noqa: S314 - our own text
    yield f"# NAME\n\nocf_pacemaker_systemd - {agent.findtext('shortdesc')}"
    yield f"# SYNOPSIS\n\n**ocf:pacemaker:systemd** {plain('[' + ' | '.join(Action) + ']')}"
    yield f"# DESCRIPTION\n\n{_AGENT_DESCRIPTION}"
    yield (
        "# PARAMETERS\n\n"
        "Durations are written `20` (seconds), `20s`, `1.5s`, `500ms` or `2min`, and are at most a day. Blanks "
        "around a value are removed. All but `unit` can be reloaded. With a wrong value the result is 6. "
        "A probe and a stop log it instead: the probe reports the unit's state alone, the stop assumes the default."
    )
    yield from map(_parameter, TABLE)
    yield "# ACTIONS\n\nRecommended minimum timeouts:"
    for action in agent.iterfind("actions/action"):
        text = ", ".join(f"{name} {value}" for name, value in action.items() if name in {"timeout", "interval"})
        yield tagged(f"**{action.get('name')}**", text)
    yield "# EXIT STATUS"
    yield from _codes()
    yield f"# EXAMPLES\n\nWith *pcs*(8):\n\n{_example(_PCS)}\n\nWith *crm*(8):\n\n{_example(_CRM)}"
    yield f"# SEE ALSO\n\n{_see_also('ocf-systemd(1)', 'systemctl(1)', 'systemd.unit(5)', 'pacemaker(7)', 'pcs(8)')}"


def _parameter(row: Parameter) -> str:
    needed = "required" if row.required else f"default {row.default}" if row.default else "no default"
    text = f"{row.shortdesc[0].upper()}{row.shortdesc[1:]}. {row.longdesc}"
    if row.choices:
        text += f" One of {', '.join(f'`{choice}`' for choice in row.choices)}."
    return tagged(f"**{row.name}** ({plain(needed)})", plain(text))


def _codes() -> Iterator[str]:
    failed_stop = consequence(Action.STOP, ExitCode.ERR_GENERIC, recurring=False)
    yield f"After a failed stop, whatever its code, Pacemaker {failed_stop}."
    for code in _CODES:
        after_monitor = consequence(Action.MONITOR, code, recurring=True)
        after_start = consequence(Action.START, code, recurring=False)
        text = f"{MEANINGS[code].capitalize()}. What Pacemaker does after a recurring monitor"
        text += f": {after_monitor}. After a start" if after_start != after_monitor else " or a start"
        yield tagged(f"**{code.value}** OCF_{code.name}", plain(f"{text}: {after_start}."))
    yield f"<!-- ends the list -->\n\n{_CODES_PROSE}"


def _program_page() -> Iterator[str]:
    program = whole_program()
    context = click.Context(program, info_name=PROGRAM)
    summary, _ = _description(program)
    yield f"# NAME\n\nocf-systemd - {summary[0].lower()}{summary[1:].rstrip('.')}"
    yield f"# SYNOPSIS\n\n**ocf-systemd** *COMMAND* {plain('[')}*OPTIONS*{plain(']')}"
    yield f"# DESCRIPTION\n\n{_PROGRAM_DESCRIPTION}"
    yield "# COMMANDS"
    for name, command in sorted(program.commands.items()):
        if name not in set(Action):
            yield from _command(command, click.Context(command, context, name))
    yield "# ACTIONS\n\nPacemaker calls these, with `OCF_RESKEY_*` in the environment; `debug` is for people."
    yield from (tagged(f"**{action}**", plain(program.commands[action].help or "")) for action in Action)
    yield f"# EXIT STATUS\n\n{_STATUS_PROSE}"
    yield from (tagged(f"**{name}**", text) for name, text in _STATUS)
    yield "# ENVIRONMENT"
    yield from (tagged(f"**{name}**", text) for name, text in _ENVIRONMENT)
    yield "# FILES"
    yield from (tagged(f"*{name}*", text) for name, text in _FILES)
    yield f"# SEE ALSO\n\n{_see_also('ocf_pacemaker_systemd(7)', 'systemctl(1)', 'crm_resource(8)', 'pcs(8)')}"


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, below in sorted(command.commands.items()):
            yield from _command(below, click.Context(below, context, name))
        return
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
    name = context.command_path.removeprefix(f"{PROGRAM} ")
    yield f"## {name} {plain(f'[OPTIONS] {usage}')}"
    text, examples = _description(command)
    yield plain(text)
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and isinstance(parameter, click.Option) and "--help" not in parameter.opts:
            yield tagged(f"**{plain(record[0])}**", plain(record[1]))
    yield f"<!-- ends the list -->\n\n{_example(examples)}"


def _description(command: click.Command) -> tuple[str, str]:
    """Return the description of a command, and the examples that follow the description in its docstring."""
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\n")
    lines = [line for line in examples.splitlines() if not re.match("Examples?:", line)]
    return text.strip(), "\n".join(line.removeprefix("  ") for line in lines)


def plain(text: str) -> str:
    """Return text from the code as Markdown: only its literal text, in backquotes, is marked up."""
    parts = _LITERAL.split(text)
    parts[::2] = [re.sub(r"[][*_<>\\#&]", r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def tagged(tag: str, text: str) -> str:
    """Return an entry of a definition list."""
    return f"{tag}\n:   {indent(text, ' ' * 4).lstrip()}"


def _example(text: str) -> str:
    return indent(text.strip("\n"), " " * 4)


def _see_also(*pages: str) -> str:
    return ", ".join(re.sub(r"(.*)(\(\d\))", r"**\1**\2", page) for page in pages)


if __name__ == "__main__":
    for place, page in pages().items():
        (MAN / place).parent.mkdir(parents=True, exist_ok=True)
        (MAN / place).write_text(page, encoding="utf-8")
