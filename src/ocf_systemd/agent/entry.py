"""The entry point of the agent file: runs the OCF action that the command line names.

The result is the exit code and an exit reason on standard error. Only this module, `client` and `commands` read
`os.environ`, write exit reasons and set exit codes; actions take and return values. Imports that not every action needs
are lazy. docs/design/deadlines.md describes the watchdog.
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
"""The exit code of a command that Ctrl-C ended, as in shells."""

# The reserve is the time from the agent deadline to Pacemaker's timeout. When this share of it has passed, the
# watchdog ends the process.
_WATCHDOG_SHARE = 0.75
_WATCHDOG_MIN_S = 1.0  # least seconds from the start of the watchdog until it ends the process
_WATCHDOG_UNIT_MAX = 60  # characters of the unit's name in the watchdog's reason
# The same values as in core/timeouts, a module that a stop without enough memory may be unable to import.
_DEFAULT_TIMEOUT_S, _DEADLINE_SHARE, _RESERVE_MIN_S = 20.0, 0.9, 0.25
_RESTART_PAUSE_S = 0.5  # before a stop that failed by an exception starts again
_IMPORT_FAILURES = (ImportError, SyntaxError)  # what an import raises while the package is replaced
_TRACE_VARIABLES = frozenset({"OCF_TRACE_RA", "OCF_RESKEY_trace_ra"})


class AgentGroup(click.Group):
    """The command line of the installed agent file, which consists of the name of an OCF action.

    Any other name, or none, gives exit code 3 (OCF_ERR_UNIMPLEMENTED). click's own exit code for usage errors is 2,
    which OCF defines as OCF_ERR_ARGS.
    """

    def __init__(self) -> None:
        super().__init__(PROGRAM, callback=_report_no_action, invoke_without_command=True, add_help_option=False)
        for action in Action:
            self.add_command(_lenient_command(action, partial(perform_action, action)))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return the command of an action, or for any other name a command that reports an unknown action."""
        return super().get_command(ctx, cmd_name) or _lenient_command(
            cmd_name, partial(_report_unimplemented, f"unknown action '{printable(cmd_name)}'")
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; there are no options, so an argument that begins with a dash is an unknown action."""
        return super().parse_args(ctx, ["--", *args])


def _lenient_command(name: str, callback: "Callable[[], int]") -> click.Command:
    """Return a command that ignores surplus arguments (OCF 1.1, Execution Syntax)."""
    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, callback=callback, context_settings=settings, add_help_option=False)


@click.pass_context
def _report_no_action(ctx: click.Context) -> int:
    if ctx.invoked_subcommand is not None:
        return ExitCode.SUCCESS
    return _report_unimplemented("no action given")


def _report_unimplemented(problem: str) -> int:
    return _report_result(ActionResult(ExitCode.ERR_UNIMPLEMENTED, f"{problem}, expected {', '.join(Action)}"))


def perform_action(action: Action) -> int:
    """Perform an action with the parameters in the environment; report its result and return its exit code."""
    if action is Action.META_DATA:
        return _print_metadata()
    try:
        result = _run_action(action)
    except Exception as error:  # Pacemaker must get a result, not a traceback, for any exception
        if action is Action.STOP:
            _restart_process_image()
        if _is_import_failure(error) or _is_replaced():
            raise ImportError(str(cause_of(error))) from error  # the agent file then executes itself again
        result = result_of_bug(error)
    return _report_result(result)


def _restart_process_image() -> None:
    """Execute this program again in this process; return only if too little of the timeout is left, or on an error.

    Only a stop does this, because Pacemaker fences the node of a failed stop. The cause of the failure may be a short
    lack of memory or descriptors, after which modules that could not be imported stay unusable in this process.
    execve(2) keeps the start time of the process, so the deadline stays the same.
    """
    with suppress(Exception):
        # A lower bound of Operation.deadline(), which a process without memory may be unable to import.
        timeout = os.environ.get("OCF_RESKEY_CRM_meta_timeout", "")  # noqa: SIM112
        timeout_s = int(timeout) / 1000 if timeout.isdecimal() else _DEFAULT_TIMEOUT_S
        if timeout_s * _DEADLINE_SHARE - _RESERVE_MIN_S - _age_s() > _RESTART_PAUSE_S:
            time.sleep(_RESTART_PAUSE_S)
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _age_s() -> float:
    """Return the seconds since the fork of this process, like procfs.age_s(), which may be impossible to import."""
    ticks = int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _is_replaced() -> bool:
    """Return whether a loaded module's file has changed since this process began, which may then mix two versions."""
    files = [getattr(module, "__file__", None) for name, module in sys.modules.items() if name != "__main__"]
    try:
        began = time.time() - _age_s()
        return any(Path(file).stat().st_ctime > began for file in files if file)
    except OSError:
        return True


def _is_import_failure(error: Exception) -> bool:
    """Return whether the error, or the one that anyio raised it from, is a failed import, as during an upgrade."""
    cause = cause_of(error)
    return any(isinstance(each, _IMPORT_FAILURES) or _is_missing_module(each) for each in (cause, cause.__cause__))


def _is_missing_module(error: BaseException | None) -> bool:
    """Return whether importlib has found the file of a module, but could not read it, as it has vanished since."""
    return isinstance(error, FileNotFoundError) and str(error.filename).endswith(".py")


def _print_metadata() -> int:
    from ocf_systemd.core.metadata import metadata_xml

    # Pacemaker 3's controller does not validate metadata, and logs each declaration of a document type as an error.
    is_controller = os.environ.get("PCMK_service") == "pacemaker-controld"  # noqa: SIM112
    _print(metadata_xml(_agent_name(), has_document_type=not is_controller))
    return ExitCode.SUCCESS


def _agent_name() -> str:
    name = Path(sys.argv[0]).name
    return agent_name("systemd" if name == PROGRAM else name, os.environ)


def _run_action(action: Action) -> ActionResult:
    from ocf_systemd.agent.log import log_reporter
    from ocf_systemd.agent.run import run_action
    from ocf_systemd.host.procfs import age_s

    gc.freeze()  # imported objects live as long as the process; the agent file has disabled the collector until here
    gc.enable()
    name = _agent_name()
    reporter: Reporter = log_reporter(os.environ, name, action=action)
    if _TRACE_VARIABLES & os.environ.keys():
        from ocf_systemd.agent.tracing import traced

        reporter = traced(reporter, os.environ, action, name)
    return _run_with_watchdog(action, age_s(), lambda: run_action(action, os.environ, reporter, age_s=age_s))


# The watchdog ends this process with exit code 1 and a reason, between the action's deadline and Pacemaker's
# timeout. It is for system calls that do not return, as on a file system or a user database that does not respond.
# During such a call, the event loop cannot act on its deadline, and no Python thread runs while the call holds the GIL,
# as the start of a process does. The timer thread of faulthandler is written in C and needs no GIL, but all that it can
# write is the stack: file, line and function name of each frame. So the action runs in a function whose name is the
# exit reason, prefix included. Pacemaker takes the text after the last prefix on standard error as the reason,
# wherever in a line that prefix is.
def _run_with_watchdog(action: Action, age_s: float, run: "Callable[[], ActionResult]") -> ActionResult:
    """Run an action under the watchdog; `age_s` is the age of this process, which counts towards the timeout."""
    from ocf_systemd.core.parameters import read_operation

    operation = read_operation(os.environ)
    seconds = max(operation.deadline(-age_s) + operation.reserve_s * _WATCHDOG_SHARE, _WATCHDOG_MIN_S)
    with suppress(RuntimeError):  # at the limit of processes, no thread starts: then there is no watchdog
        faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    try:
        return _call_from_function_named(_watchdog_reason(action, seconds + age_s), run)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _watchdog_reason(action: Action, seconds: float) -> str:
    from ocf_systemd.core.parameter_table import UNIT

    unit = printable(os.environ.get(UNIT.variable, ""))[:_WATCHDOG_UNIT_MAX]
    reason = ActionResult(
        ExitCode.ERR_GENERIC, f"{action} of {unit}: a system call did not return within {seconds:.1f} s"
    )
    return reason_line(reason, os.environ).decode(errors="backslashreplace").rstrip()


def _call_from_function_named(name: str, run: "Callable[[], ActionResult]") -> ActionResult:
    def call() -> ActionResult:
        return run()

    call.__code__ = call.__code__.replace(co_name=name, co_qualname=name)
    return call()


def _report_result(result: ActionResult) -> int:
    """Write the exit reason of a result, if it has one, to standard error; return the exit code."""
    if line := reason_line(result, os.environ):
        with suppress(OSError):  # the reader may have closed its end
            os.write(2, line)
    return result.code


def main() -> NoReturn:
    """Run the agent and exit."""
    # Nothing is printed for an exception in a destructor, such as the one of an event loop that lacks descriptors.
    sys.unraisablehook = lambda _: None
    code = run(AgentGroup())
    # Finalizing the interpreter would take time, which is short near the deadline, and there is nothing to clean up.
    os._exit(code)


def run(group: click.Group) -> int:
    """Run the command that the command line names; return its exit code."""
    _open_closed_standard_streams()
    try:
        # complete_var="" disables click's shell completion: no environment variable may keep an action from running.
        code: int = group.main(prog_name=PROGRAM, complete_var="", standalone_mode=False)
        _print()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except BrokenPipeError:
        code = _discard_output()
    except _OutputError as error:
        _discard_output()
        code = _report_result(ActionResult(ExitCode.ERR_GENERIC, f"output cannot be written: {error}"))
    return code


def _discard_output() -> int:
    """Send unwritten output to /dev/null, so that the interpreter's end does not try to write it again; return 1."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return ExitCode.ERR_GENERIC


class _OutputError(Exception):
    """Standard output could not be written; the argument says why."""


def _print(text: str = "") -> None:
    """Print text and flush earlier output. Nothing is printed if standard output is closed."""
    if sys.stdout is not None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _OutputError(error.strerror) from error


def _open_closed_standard_streams() -> None:
    """Open /dev/null for each closed standard descriptor, so that no other file gets its number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
