"""`ocf-systemd doctor`: checks of a unit, its hook and this host."""

import sys
from typing import TYPE_CHECKING

import click

from ocf_systemd.agent.entry import PROGRAM
from ocf_systemd.commands.program import command_as_root, is_root, program, require_systemd
from ocf_systemd.commands.resource import Choice, ResourceCommand, Target, resource_options
from ocf_systemd.display.terminal import console, uses_rich

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ocf_systemd.core.check_result import CheckResult
    from ocf_systemd.doctor.facts import Facts


@program.command(cls=ResourceCommand)
@resource_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(choice: Choice, *, as_json: bool) -> int:
    """Check a unit for problems before putting it under cluster control.

    Describes each problem with its reason and its fix. Runs the hook once; changes nothing. On a node of a cluster,
    doctor also checks the cluster, and takes from the unit's resource all options that you do not give. Exit code 0:
    no errors; 1: errors; 2: wrong usage, or no systemd.

    \b
    Examples:
      ocf-systemd doctor nginx
      ocf-systemd doctor --resource web
      ocf-systemd doctor redis-server -o stop_escalate=no --op stop=20min \\
          --monitor-hook /usr/local/lib/ocf-systemd/hooks/redis
    """
    from ocf_systemd.core.check_result import exit_code
    from ocf_systemd.doctor.checks import run_checks
    from ocf_systemd.doctor.collect import collect
    from ocf_systemd.doctor.report import json_report, text_report

    choice.require_unit()
    target = choice.find()
    known = _known(choice, target)
    require_systemd(f"Use a sandbox: {PROGRAM} sandbox run -- {PROGRAM} doctor …")
    if not as_json and uses_rich():
        from ocf_systemd.doctor.rich_view import show, waiting

        with waiting(console()):
            facts = collect(known, target.options)
        results = run_checks(facts)
        show(facts, results, console())
    else:
        facts = collect(known, target.options)
        results = run_checks(facts)
        report = json_report(facts, results) if as_json else "\n".join(text_report(facts, results))
        sys.stdout.write(f"{report}\n")
    if not is_root():
        _report_unseen(facts, results, as_json=as_json)
    return exit_code(results)


def _report_unseen(facts: "Facts", results: "Sequence[CheckResult]", *, as_json: bool) -> None:
    """Print which checks were skipped because they need root; to standard error if standard output has the JSON."""
    from ocf_systemd.core.observations import LoadState
    from ocf_systemd.doctor.report import unseen_lines

    is_found = facts.unit is None or facts.unit.load_state is not LoadState.NOT_FOUND
    for line in (*unseen_lines(results), *([f"To check all of it: {facts.as_root}"] if is_found else [])):
        click.echo(line, err=as_json)


def _known(choice: Choice, target: Target) -> "Facts":
    """Return the facts from the command line, a wrong unit name included; other wrong values there raise UsageError."""
    from ocf_systemd.core.parameter_table import PREFIX, UNIT
    from ocf_systemd.core.parameters import read_leniently
    from ocf_systemd.core.suggestions import similar_values
    from ocf_systemd.doctor.facts import Facts

    given = target.options
    name = given["unit"]
    try:
        UNIT.parse(name)
        why = ""
    except ValueError as error:
        why = str(error)
    options = {**given, **({UNIT.name: "none"} if why else {})}
    if problems := _wrong_here(choice, target, options):
        raise click.UsageError(f"{'; '.join(problems)}.{similar_values(choice.options)}")
    parameters, _ = read_leniently({PREFIX + option: text for option, text in options.items()})
    return Facts(
        given=name,
        operations=target.operations,
        parameters=None if why else parameters,
        why_unusable=why,
        options=given,
        times=target.times,
        as_root="" if is_root() else command_as_root(),
    )


def _wrong_here(choice: Choice, target: Target, options: "Mapping[str, str]") -> list[str]:
    """Return the problems with values on the command line; a check reports those with the resource's own values."""
    from ocf_systemd.core.named_resource import options_of
    from ocf_systemd.core.parameters import wrong_values

    configured = wrong_values(options_of(target.resource)) if target.resource else {}
    wrong = wrong_values(options)
    return [text for name, text in wrong.items() if name in choice.options or text != configured.get(name)]
