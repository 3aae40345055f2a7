"""`ocf-systemd rehearse`: a unit and its hook, certified before they meet a cluster."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocf_systemd.commands.program import duration, hook_option, parameter_option, program, require_systemd, unit_option
from ocf_systemd.core.ocf import ExitCode
from ocf_systemd.display.terminal import console, uses_rich

if TYPE_CHECKING:
    from ocf_systemd.rehearse.actions import Call
    from ocf_systemd.rehearse.progress import View
    from ocf_systemd.rehearse.runner import Before
    from ocf_systemd.sandbox import Sandbox

_SUFFIXES = (".html", ".svg", ".txt")
_INSIDE = "/root/report"  # of the sandbox


def _report(_ctx: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """Refuse, before anything is touched, a report that could not be written at the end."""
    if path is None:
        return None
    if path.suffix not in _SUFFIXES:
        raise click.BadParameter(f"'{path}' says not in which form: expected a name in {', '.join(_SUFFIXES)}")
    is_new = not path.exists()
    try:
        path.open("a", encoding="utf-8").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise click.BadParameter(f"'{path}' cannot be written: {error.strerror}") from None
    return path


@program.command()
@unit_option
@hook_option
@parameter_option
@click.option(
    "--timeout", default="100s", show_default=True, callback=duration, help="What start and stop are granted."
)
@click.option("--yes", is_flag=True, help="Do not ask before a unit that runs is touched.")
@click.option("--sandbox", "in_sandbox", is_flag=True, help="In a throw-away host over this one's files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    callback=_report,
    metavar="FILE",
    help="Write a report too: .html, .svg or .txt.",
)
def rehearse(
    unit: str,
    monitor_hook: str | None,
    options: dict[str, str],
    timeout: float,
    report: Path | None,
    *,
    yes: bool,
    in_sandbox: bool,
    as_json: bool,
) -> int:
    """Do to a unit and its hook what a cluster and bad luck would.

    Each action twice, two callers at once, ten restarts, a crash, a hang; what fails is told with what to do about it.
    From the times it took come operation timeouts. The unit is put back as it was. Exit code 0: all passed.

    \b
    Examples:
      ocf-systemd rehearse --sandbox --unit nginx
      ocf-systemd rehearse --unit redis-server --report redis.html \\
                           --monitor-hook /usr/local/lib/redis
    """
    from ocf_systemd.rehearse.actions import Call

    call = Call({"unit": unit, **({"monitor_hook": monitor_hook} if monitor_hook else {}), **options}, timeout)
    _check_parameters(call)
    if in_sandbox:
        return _rehearse_in_sandbox(call, report, as_json=as_json)
    require_systemd("Use --sandbox")
    if os.geteuid() != 0:
        raise click.ClickException("a rehearsal starts, stops and kills: run this command as root")
    return _rehearse_here(call, report, yes=yes, as_json=as_json)


def _check_parameters(call: "Call") -> None:
    from ocf_systemd.core.parameters import ParameterError

    try:
        _ = call.parameters
    except ParameterError as error:
        raise click.UsageError(str(error)) from None


def _rehearse_here(call: "Call", report: Path | None, *, yes: bool, as_json: bool) -> int:
    from ocf_systemd.rehearse.runner import look
    from ocf_systemd.rehearse.runner import rehearse as play

    before = look(call)
    if before.facts.is_running and not yes and not _agreed(call.parameters.unit, before):
        click.echo("nothing was touched", err=True)
        return ExitCode.ERR_GENERIC
    record = play(call, before, _view(as_json=as_json))
    if report:
        from ocf_systemd.rehearse.rich_view import report_text

        _write(report, report_text(record, report.suffix))
    return record.exit_code


def _write(report: Path, text: str) -> None:
    try:
        report.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"the report {report} cannot be written: {error.strerror}") from error


def _agreed(unit: str, before: "Before") -> bool:
    """Ask whether a unit that runs may be touched."""
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"{unit} runs, and here is nobody to ask whether it may be stopped: --yes says so, "
            "--sandbox rehearses in a throw-away host and leaves it alone"
        )
    clustered = (
        f"{unit} was started by a cluster, it seems: put the resource into maintenance first, "
        "or the cluster will take all this for failures.\n"
        if before.has_drop_in
        else ""
    )
    told = f"{unit} runs. A rehearsal stops, kills and freezes it, a dozen times over; at the end it runs again."
    return click.confirm(f"{clustered}{told} Go on?", err=True)


def _view(*, as_json: bool) -> "View":
    """Return the view for where the output goes; rich is imported for a terminal alone."""
    if as_json:
        from ocf_systemd.rehearse.json_view import JsonView

        return JsonView()
    if not uses_rich():
        from ocf_systemd.rehearse.text_view import PlainView

        return PlainView()
    from ocf_systemd.rehearse.live_view import LiveView

    return LiveView(console())


def _rehearse_in_sandbox(call: "Call", report: Path | None, *, as_json: bool) -> int:
    """Boot a sandbox and have this program rehearse in there; the report comes out."""
    from ocf_systemd.commands.sandbox import booted, run_in_foreground

    inside = f"{_INSIDE}{report.suffix}" if report else ""
    words = [f"-o{name}={value}" for name, value in call.options.items() if name != "unit"]
    words += [f"--unit={call.options['unit']}", f"--timeout={round(call.timeout_s * 1000)}ms", "--yes"]
    words += ["--json"] if as_json else []
    words += [f"--report={inside}"] if inside else []
    with booted([]) as host:
        _bring_hook(host, call.parameters.monitor_hook)
        code = run_in_foreground(host, [sys.executable, "-m", "ocf_systemd", "rehearse", *words])
        if report:
            _fetch(host, inside, report)
    return code


def _bring_hook(host: "Sandbox", hook: str | None) -> None:
    """Copy in a hook that the sandbox does not see, as below /tmp."""
    if hook and Path(hook).exists() and host.run(["test", "-e", hook]).returncode:
        host.copy_in(Path(hook), hook)


def _fetch(host: "Sandbox", inside: str, report: Path) -> None:
    done = host.run(["cat", "--", inside])
    if done.returncode:
        raise click.ClickException(f"there is no report: {done.stderr.strip()}")
    _write(report, done.stdout)
