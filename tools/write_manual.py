"""Writes the manual pages from the tables in the code and from the help texts of the commands.

The pages are in src/ocf_systemd/share, from where they are installed. They use the macros of groff_man(7), which
mandoc(1) reads too. `nox -s docs` runs this script; a test fails if a page differs from what the script would write.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from textwrap import fill
from xml.etree import ElementTree as ET

import click

from ocf_systemd import __version__
from ocf_systemd.agent.entry import PROGRAM
from ocf_systemd.commands import whole_program
from ocf_systemd.core.metadata import metadata_xml
from ocf_systemd.core.ocf import Action, ExitCode
from ocf_systemd.core.pacemaker import MEANINGS, consequence
from ocf_systemd.core.parameter_table import TABLE, Parameter

MAN = Path(__file__).resolve().parent.parent / "src/ocf_systemd/share/man"
_PROSE_OF = "2026-11-28"  # when the texts in this file were last changed
_LINE_WIDTH = 70  # characters of a line before it is escaped

_ESCAPED = {"\\": r"\e", "-": r"\-", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq", "…": r"\&..."}
_INLINE = re.compile(r"`([^`]+)`|\*([^*]+)\*")  # in the texts below: `literal text` and *placeholders*

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
        "The resident server's units, after `install --resident`.",
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


def _page(name: str, section: int, body: Iterable[str]) -> str:
    source, title = escaped(f"{PROGRAM} {__version__}"), "OCF resource agents"
    head = f'.TH {escaped(name.upper())} {section} {_PROSE_OF} "{source}" "{title}"'
    made = '.\\" Written by tools/write_manual.py from the code; do not edit.'
    text = "\n".join((made, head, *body, ""))
    return re.sub(r"^(\.S[HS] .*)\n\.PP$", r"\1", text, flags=re.MULTILINE)  # a heading begins a paragraph itself


def _agent_page() -> Iterator[str]:
    agent = ET.fromstring(metadata_xml("systemd"))  # noqa: S314 - our own text
    yield from _section("NAME")
    yield f"ocf_pacemaker_systemd \\- {escaped(agent.findtext('shortdesc') or '')}"
    yield from _section("SYNOPSIS")
    yield "\\fBocf:pacemaker:systemd\\fP"
    yield f"[{' | '.join(map(escaped, Action))}]"
    yield from _section("DESCRIPTION")
    yield from _prose(_AGENT_DESCRIPTION)
    yield from _section("PARAMETERS")
    yield from _prose(
        "Durations are written `20` (seconds), `20s`, `1.5s`, `500ms` or `2min`, and are at most a day. Blanks "
        "around a value are removed. All but `unit` can be reloaded. With a wrong value the result is 6. "
        "A probe and a stop log it instead: the probe reports the unit's state alone, the stop assumes the default."
    )
    for row in TABLE:
        yield from _parameter(row)
    yield from _section("ACTIONS")
    yield from _prose("Recommended minimum timeouts:")
    for action in agent.iterfind("actions/action"):
        text = ", ".join(f"{name} {value}" for name, value in action.items() if name in {"timeout", "interval"})
        yield from _tagged(f"\\fB{escaped(action.get('name', ''))}\\fP", text)
    yield from _section("EXIT STATUS")
    yield from _codes()
    yield from _section("EXAMPLES")
    yield from _prose("With *pcs*(8):")
    yield from _example(_PCS)
    yield from _prose("With *crm*(8):")
    yield from _example(_CRM)
    yield from _see_also(("ocf-systemd", 1), ("systemctl", 1), ("systemd.unit", 5), ("pacemaker", 7), ("pcs", 8))


def _parameter(row: Parameter) -> Iterator[str]:
    needed = "required" if row.required else f"default {row.default}" if row.default else "no default"
    yield from _tagged(f"\\fB{escaped(row.name)}\\fP ({escaped(needed)})", "")
    yield from _prose(f"{row.shortdesc[0].upper()}{row.shortdesc[1:]}. {row.longdesc}", begin=False)
    if row.choices:
        yield from _prose(f"One of {', '.join(f'`{choice}`' for choice in row.choices)}.", begin=False)


def _codes() -> Iterator[str]:
    failed_stop = consequence(Action.STOP, ExitCode.ERR_GENERIC, recurring=False)
    yield from _prose(f"After a failed stop, whatever its code, Pacemaker {failed_stop}.")
    for code in _CODES:
        after_monitor = consequence(Action.MONITOR, code, recurring=True)
        after_start = consequence(Action.START, code, recurring=False)
        text = f"{MEANINGS[code].capitalize()}. What Pacemaker does after a recurring monitor"
        text += f": {after_monitor}. After a start" if after_start != after_monitor else " or a start"
        yield from _tagged(f"\\fB{code.value}\\fP OCF_{escaped(code.name)}", f"{text}: {after_start}.")
    yield from _prose(_CODES_PROSE)


def _program_page() -> Iterator[str]:
    program = whole_program()
    context = click.Context(program, info_name=PROGRAM)
    summary, _ = _description(program)
    yield from _section("NAME")
    yield f"ocf\\-systemd \\- {escaped(summary[0].lower() + summary[1:].rstrip('.'))}"
    yield from _section("SYNOPSIS")
    yield "\\fBocf\\-systemd\\fP \\fICOMMAND\\fP [\\fIOPTIONS\\fP]"
    yield from _section("DESCRIPTION")
    yield from _prose(_PROGRAM_DESCRIPTION)
    yield from _section("COMMANDS")
    for name, command in sorted(program.commands.items()):
        if name not in set(Action):
            yield from _command(command, click.Context(command, context, name))
    yield from _section("ACTIONS")
    yield from _prose("Pacemaker calls these, with OCF_RESKEY_* in the environment; `debug` is for people.")
    for action in Action:
        yield from _tagged(f"\\fB{escaped(action)}\\fP", program.commands[action].help or "")
    yield from _section("EXIT STATUS")
    yield from _prose(_STATUS_PROSE)
    yield from chain.from_iterable(_tagged(f"\\fB{escaped(name)}\\fP", text) for name, text in _STATUS)
    yield from _section("ENVIRONMENT")
    yield from chain.from_iterable(_tagged(f"\\fB{escaped(name)}\\fP", text) for name, text in _ENVIRONMENT)
    yield from _section("FILES")
    yield from chain.from_iterable(_tagged(f"\\fI{escaped(name)}\\fP", text) for name, text in _FILES)
    yield from _see_also(("ocf_pacemaker_systemd", 7), ("systemctl", 1), ("crm_resource", 8), ("pcs", 8))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, below in sorted(command.commands.items()):
            yield from _command(below, click.Context(below, context, name))
        return
    arguments = [piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]"]
    name = context.command_path.removeprefix(f"{PROGRAM} ")
    yield f".SS {escaped(name)} [OPTIONS] {escaped(' '.join(arguments))}".rstrip()
    text, examples = _description(command)
    yield from _prose(text)
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and isinstance(parameter, click.Option) and "--help" not in parameter.opts:
            yield from _tagged(f"\\fB{escaped(record[0])}\\fP", record[1])
    yield from _example(examples)


def _description(command: click.Command) -> tuple[str, str]:
    """Return the description of a command, and the examples that follow the description in its docstring."""
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\n")
    lines = [line for line in examples.splitlines() if not re.match("Examples?:", line)]
    return text.strip(), "\n".join(line.removeprefix("  ") for line in lines)


def _section(title: str) -> Iterator[str]:
    yield f'.SH "{title}"'


def _prose(text: str, *, begin: bool = True) -> Iterator[str]:
    """Yield lines; each sentence begins a line. Without `begin`, the first paragraph continues the previous text."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if begin or number:
            yield ".PP"
        for sentence in re.split(r"(?<=[.?!:;]) (?=[A-Z`*0-9])", " ".join(paragraph.split())):
            # The sentence is wrapped before it is escaped, so that no line break is within an escape sequence.
            filled = fill(sentence, _LINE_WIDTH, break_long_words=False, break_on_hyphens=False)
            yield from map(_text_line, filled.splitlines())


def _text_line(line: str) -> str:
    parts = _INLINE.split(line)
    text = ""
    for plain, typed, placeholder in zip(parts[::3], [*parts[1::3], ""], [*parts[2::3], ""], strict=True):
        text += escaped(plain)
        text += f"\\fB{escaped(typed)}\\fP" if typed else f"\\fI{escaped(placeholder)}\\fP" if placeholder else ""
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _tagged(tag: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield tag
    if text:
        yield from _prose(text, begin=False)


def _example(text: str) -> Iterator[str]:
    yield ".PP"
    yield ".RS 4"
    yield ".EX"
    for line in text.strip("\n").splitlines():
        shown = escaped(line)
        yield f"\\&{shown}" if shown.startswith((".", "'")) else shown
    yield ".EE"
    yield ".RE"


def _see_also(*others: tuple[str, int]) -> Iterator[str]:
    yield from _section("SEE ALSO")
    for number, (name, section) in enumerate(others, 1):
        yield f".BR {escaped(name)} ({section}){'' if number == len(others) else ','}"


def escaped(text: str) -> str:
    """Return text escaped for groff; the caller must protect a `.` or `'` at the beginning of a line."""
    return "".join(_ESCAPED.get(each, each) for each in text)


if __name__ == "__main__":
    for place, page in pages().items():
        (MAN / place).parent.mkdir(parents=True, exist_ok=True)
        (MAN / place).write_text(page, encoding="utf-8")
