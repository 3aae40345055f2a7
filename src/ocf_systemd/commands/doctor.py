"""`ocf-systemd doctor`: checks of a unit, its hook and this host."""

import sys
from typing import TYPE_CHECKING

import click

from ocf_systemd.agent.entry import PROGRAM
from ocf_systemd.commands.program import program, require_systemd, resource_options
from ocf_systemd.display.terminal import console, uses_rich

if TYPE_CHECKING:
    from ocf_systemd.core.operations import Operations
    from ocf_systemd.doctor.facts import Facts


@program.command()
@resource_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(
    unit: str, monitor_hook: str | None, options: dict[str, str], operations: "Operations", *, as_json: bool
) -> int:
    """Check a unit for problems before putting it under cluster control.

    Describes each problem with its reason and its fix. Runs the hook once; changes nothing. On a node of a cluster,
    checks the cluster too, and takes the defaults of the options from the unit's resource. Exit code 0: no errors; 1:
    errors; 2: wrong usage, or no systemd.

    \b
    Examples:
      ocf-systemd doctor --unit nginx
      ocf-systemd doctor --unit postfix@- \\
          --monitor-hook /usr/local/lib/ocf-systemd/hooks/smtp
      ocf-systemd doctor --unit mariadb --op start=15min --op stop=20min
      ocf-systemd doctor --unit redis-server -o stop_escalate=no --op interval=30s
    """
    from ocf_systemd.core.check_result import exit_code
    from ocf_systemd.doctor.checks import run_checks
    from ocf_systemd.doctor.collect import collect
    from ocf_systemd.doctor.report import json_report, text_report

    given = {"unit": unit, **({"monitor_hook": monitor_hook} if monitor_hook else {}), **options}
    known = _known(given, operations)
    require_systemd(f"Use a sandbox: {PROGRAM} sandbox run -- {PROGRAM} doctor …")
    if not as_json and uses_rich():
        from ocf_systemd.doctor.rich_view import show, waiting

        with waiting(console()):
            facts = collect(known, given)
        results = run_checks(facts)
        show(facts, results, console())
    else:
        facts = collect(known, given)
        results = run_checks(facts)
        report = json_report(facts, results) if as_json else "\n".join(text_report(facts, results))
        sys.stdout.write(f"{report}\n")
    return exit_code(results)


def _known(given: dict[str, str], operations: "Operations") -> "Facts":
    """Return the facts from the command line. A wrong unit name is one; other wrong values are usage errors."""
    from ocf_systemd.core.parameter_table import PREFIX, UNIT
    from ocf_systemd.core.parameters import ParameterError, read_parameters
    from ocf_systemd.doctor.facts import Facts

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
    return Facts(given=name, operations=operations, parameters=None if why else parameters, why_unusable=why)
