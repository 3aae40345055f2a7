"""`ocf-systemd doctor`: what a unit, its hook and this host lack for a cluster."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocf_systemd.agent.entry import PROGRAM
from ocf_systemd.commands.program import hook_option, operation_option, parameter_option, program, unit_option
from ocf_systemd.display.terminal import console, is_drawn

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ocf_systemd.core.operations import Operations
    from ocf_systemd.doctor.checks import Diagnosis
    from ocf_systemd.doctor.collect import Question

_CLEAN, _FINDINGS, _CANNOT = 0, 1, 2


class _CannotError(click.ClickException):
    """There is nothing to look at; not to be taken for findings."""

    exit_code = _CANNOT


@program.command()
@unit_option
@hook_option
@parameter_option
@operation_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(
    unit: str, monitor_hook: str | None, options: dict[str, str], operations: "Operations", *, as_json: bool
) -> int:
    """Tell what to mend before a cluster runs a unit.

    What it is, why it matters, how to mend it. Nothing is changed; the hook is run once. Exit code 0: nothing to mend;
    1: something; 2: called wrongly, or there is no systemd here.

    \b
    Examples:
      ocf-systemd doctor --unit nginx
      ocf-systemd doctor --unit postfix@- --monitor-hook /usr/local/lib/hooks/smtp
      ocf-systemd doctor --unit mariadb --op start=15min --op stop=20min
      ocf-systemd doctor --unit redis-server -o stop_escalate=no --op interval=30s
    """
    from ocf_systemd.doctor.checks import diagnose
    from ocf_systemd.doctor.collect import collect

    given = {"unit": unit, **({"monitor_hook": monitor_hook} if monitor_hook else {}), **options}
    question = _question(given, operations)
    if not Path("/run/systemd/system").is_dir():
        raise _CannotError(
            f"this host does not run systemd; try it in a throw-away one: {PROGRAM} sandbox run -- {PROGRAM} doctor …"
        )
    with _waiting(drawn=not as_json and is_drawn()):
        diagnosis = diagnose(collect(question))
    _show(diagnosis, as_json=as_json)
    return _FINDINGS if diagnosis.findings else _CLEAN


def _waiting(*, drawn: bool) -> "AbstractContextManager[None]":
    if not drawn:
        return nullcontext()
    from ocf_systemd.doctor.rich_view import waiting

    return waiting(console())


def _question(given: dict[str, str], operations: "Operations") -> "Question":
    """Return what to look at; a unit's name that is none is something to tell, other wrong parameters are not."""
    from ocf_systemd.core.parameter_table import PREFIX, UNIT
    from ocf_systemd.core.parameters import ParameterError, read_parameters
    from ocf_systemd.doctor.collect import Question

    name, parameters = given["unit"], None
    try:
        UNIT.parse(name)
        why = ""
    except ValueError as error:
        why = str(error)
    environment = {PREFIX + option: text for option, text in given.items()}
    try:
        parameters = read_parameters({**environment, **({UNIT.variable: "none"} if why else {})})
    except ParameterError as error:
        raise click.UsageError(str(error)) from None
    return Question(name, given, operations, None if why else parameters, why)


def _show(diagnosis: "Diagnosis", *, as_json: bool) -> None:
    """Show it as the output's reader can take it; rich is imported for a terminal alone."""
    if as_json:
        from ocf_systemd.doctor.json_view import write
    elif not is_drawn():
        from ocf_systemd.doctor.text_view import write
    else:
        from ocf_systemd.doctor.rich_view import show

        return show(diagnosis, console())
    return write(diagnosis)
