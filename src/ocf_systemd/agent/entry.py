"""The command line as Pacemaker calls it: each OCF action a click command, its answer an exit code and a reason.

Only here and in `commands` is `os.environ` read, a reason written, an exit code given. What an action does not use is
not imported.
"""

import faulthandler
import gc
import os
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ocf_systemd.core.exit_reason import agent_name, cause_of, reason_line, result_of_bug
from ocf_systemd.core.ocf import Action, ActionResult, ExitCode
from ocf_systemd.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocf_systemd.agent.events import Reporter

PROGRAM = "ocf-systemd"
INTERRUPTED = 130
"""What a shell reports of a command that Ctrl-C ended."""

_WATCHDOG_SHARE, _WATCHDOG_MIN_S = 0.75, 1.0  # of the reserve, between our deadline and Pacemaker's
_WATCHDOG_UNIT_MAX = 60  # characters of a unit name in its reason
_TIMEOUT_S, _OWN_SHARE, _START_S = 20.0, 0.9, 0.25
_PAUSE_S = 0.5  # before a stop that failed over a bug, or over a host short of something, begins anew
_UPGRADING = (ImportError, SyntaxError)  # what an import ends in while its files are replaced
_TRACING = frozenset({"OCF_TRACE_RA", "OCF_RESKEY_trace_ra"})
_ACTION_HELP = {
    Action.START: "Start the unit, wait until unit and hook report it running.",
    Action.STOP: "Stop the unit, wait until it is observed stopped.",
    Action.MONITOR: "Query systemd and the hook, concurrently.",
    Action.RELOAD: "Reload the unit's configuration, wait as after a start.",
    Action.RELOAD_AGENT: "Take over changed parameters; restart nothing.",
    Action.VALIDATE_ALL: "Check the parameters, and at level 10 this host.",
    Action.META_DATA: "Print the agent's metadata as XML.",
}


class AgentGroup(click.Group):
    """The OCF actions; anything else is an action that is not implemented.

    The exit code is 3 (OCF_ERR_UNIMPLEMENTED) then, and not 2, which click has for it and which OCF defines as
    OCF_ERR_ARGS.
    """

    def __init__(self, summary: str = "") -> None:
        super().__init__(
            PROGRAM,
            callback=_report_no_action,
            invoke_without_command=True,
            help=summary,
            add_help_option=bool(summary),
        )
        for action in Action:
            self.add_command(_action_command(action, partial(_perform, action), _ACTION_HELP[action]))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return the command of that name, or one that answers that there is none."""
        return super().get_command(ctx, cmd_name) or _action_command(
            cmd_name, partial(_report_unimplemented, f"unknown action '{printable(cmd_name)}'")
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; an option that is not known is taken for an action, which is no better known."""
        known = {option for parameter in self.get_params(ctx) for option in parameter.opts}
        return super().parse_args(ctx, args if args and args[0] in known else ["--", *args])


def _action_command(name: str, callback: "Callable[[], int]", summary: str = "") -> click.Command:
    """Return a command that ignores all its arguments (OCF 1.1, Execution Syntax)."""
    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, help=summary, callback=callback, context_settings=settings, add_help_option=False)


@click.pass_context
def _report_no_action(ctx: click.Context) -> int:
    if ctx.invoked_subcommand is not None:
        return ExitCode.SUCCESS
    return _report_unimplemented("no action given")


def _report_unimplemented(told: str) -> int:
    group = click.get_current_context().find_root().command
    names = group.commands if isinstance(group, click.Group) else ()
    return _answer(ActionResult(ExitCode.ERR_UNIMPLEMENTED, f"{told}, expected {', '.join(names)}"))


def _perform(action: Action) -> int:
    """Perform an action for Pacemaker, with what the environment says, and answer as OCF wants it."""
    if action is Action.META_DATA:
        return _print_metadata()
    try:
        result = _result_of(action)
    except Exception as error:  # Pacemaker is to get an answer, whatever it is, and no traceback
        if action is Action.STOP:
            _execute_again()
        if _is_upgrade(error):
            raise ImportError(str(error)) from error  # the agent's file begins anew: it needs nothing of the package
        result = result_of_bug(error)
    return _answer(result)


def _execute_again() -> None:
    """Execute this program again, in this process, while its time lasts; return when that is over.

    For a stop, which fences the node when it fails: what came in its way may be a host that is short of memory or
    descriptors for a moment, and half-imported modules do not get better. The process keeps its age, so its deadline.
    """
    with suppress(Exception):
        # As proc.age_s() and, a little earlier, Operation.deadline(): there may be no memory to import anything.
        ticks = int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        timeout = os.environ.get("OCF_RESKEY_CRM_meta_timeout", "")  # noqa: SIM112
        timeout_s = int(timeout) / 1000 if timeout.isdecimal() else _TIMEOUT_S
        if timeout_s * _OWN_SHARE - _START_S - age_s > _PAUSE_S:
            time.sleep(_PAUSE_S)
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _is_upgrade(error: Exception) -> bool:
    """Tell whether an import has failed, as it does while a package is replaced; anyio tells it in words of its own."""
    cause = cause_of(error)
    return isinstance(cause, _UPGRADING) or isinstance(cause.__cause__, _UPGRADING)


def _print_metadata() -> int:
    from ocf_systemd.core.metadata import metadata_xml

    _print(metadata_xml(_agent_name()))
    return ExitCode.SUCCESS


def _agent_name() -> str:
    name = Path(sys.argv[0]).name
    return agent_name("systemd" if name == PROGRAM else name, os.environ)


def _result_of(action: Action) -> ActionResult:
    from ocf_systemd.agent.log import log_reporter
    from ocf_systemd.agent.run import run_action
    from ocf_systemd.host.procfs import age_s

    gc.freeze()  # what has been imported stays; the agent's file has kept it from being looked through
    gc.enable()
    name = _agent_name()
    reporter: Reporter = log_reporter(os.environ, name)
    if _TRACING & os.environ.keys():
        from ocf_systemd.agent.tracing import traced

        reporter = traced(reporter, os.environ, action, name)
    return _guarded(action, age_s(), lambda: run_action(action, os.environ, reporter, age_s=age_s))


def _guarded(action: Action, age_s: float, run: "Callable[[], ActionResult]") -> ActionResult:
    """Run an action under a watchdog: it ends this process with 1, and a reason, before Pacemaker would kill it.

    For a system call that hangs: a hook on a file system that does not respond, a user database that does not. No event
    loop and no other thread of Python gets past those. faulthandler's thread is C and waits for nobody, but writes
    nothing but stack frames: so a function on the stack has the reason as its name. Pacemaker takes what follows the
    last prefix on standard error, wherever that stands.
    """
    from ocf_systemd.core.parameters import read_operation

    operation = read_operation(os.environ)
    seconds = max(operation.deadline(-age_s) + operation.reserve_s * _WATCHDOG_SHARE, _WATCHDOG_MIN_S)
    with suppress(RuntimeError):  # a host that is out of processes has no thread either; the deadline stands without
        faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    try:
        return _named(_reason_of_watchdog(action, seconds + age_s), run)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _reason_of_watchdog(action: Action, seconds: float) -> str:
    from ocf_systemd.core.parameter_table import UNIT

    unit = printable(os.environ.get(UNIT.variable, ""))[:_WATCHDOG_UNIT_MAX]
    reason = ActionResult(
        ExitCode.ERR_GENERIC, f"{action} of {unit}: a system call did not return within {seconds:.1f} s"
    )
    return reason_line(reason, os.environ).decode(errors="backslashreplace").rstrip()


def _named(name: str, run: "Callable[[], ActionResult]") -> ActionResult:
    """Call a function from one that has this name on the stack."""

    def call() -> ActionResult:
        return run()

    call.__code__ = call.__code__.replace(co_name=name, co_qualname=name)
    return call()


def _answer(result: ActionResult) -> int:
    if line := reason_line(result, os.environ):
        with suppress(OSError):  # whoever would read it may be gone
            os.write(2, line)
    return result.code


def main() -> NoReturn:
    """Be the resource agent: the actions, and nothing for people."""
    sys.unraisablehook = _keep_to_ourselves
    code = run(AgentGroup())
    # The interpreter's own end would take time, of which a late answer has little, and has nothing to clean up.
    os._exit(code)


def _keep_to_ourselves(_: object) -> None:
    """Print nothing of an error that nothing can be done about, as an event loop without descriptors prints."""


def run(group: click.Group) -> int:
    """Run the command that the command line names, and return its exit code."""
    _hold_standard_streams()
    try:
        # No variable by which click would complete a line instead: an action is called to be performed.
        code: int = group.main(prog_name=PROGRAM, complete_var="", standalone_mode=False)
        _print()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except BrokenPipeError:
        code = _give_up_output()
    except _OutputError as error:
        _give_up_output()
        code = _answer(ActionResult(ExitCode.ERR_GENERIC, f"output cannot be written: {error}"))
    return code


def _give_up_output() -> int:
    """Drop what could not be written, so that it is not tried once more as the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return ExitCode.ERR_GENERIC


class _OutputError(Exception):
    """What was printed could not be written; the argument says why."""


def _print(text: str = "") -> None:
    """Print text, and whatever was printed before; a closed standard output takes it as /dev/null does."""
    if sys.stdout is not None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _OutputError(error.strerror) from error


def _hold_standard_streams() -> None:
    """Open /dev/null where a standard descriptor is closed, before anything else is opened in its place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
