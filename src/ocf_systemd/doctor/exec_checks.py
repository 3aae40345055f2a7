"""Checks of what a service executes: its user, programs and files, and whether its processes stay in its cgroup."""

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.core.observations import LoadState
from ocf_systemd.doctor.check import Check, needs
from ocf_systemd.doctor.facts import Execution, Facts, Service, Unit
from ocf_systemd.doctor.fixes import drop_in, quoted

_IF_MOUNTED = "# If the cluster mounts it: check on the node where it is mounted."
_LEAVES_CGROUP = (
    "The processes belong to a login session or to another unit. A stop does not end all of them, and at shutdown "
    "systemd ends them before Pacemaker has moved the service."
)

_Known = tuple[Unit, Service, Execution]


def _find_service(facts: Facts) -> _Known | str:
    unit = facts.unit
    if unit is None or unit.load_state is not LoadState.LOADED:
        return "the unit is not loaded"
    return "the unit is not a service" if unit.service is None else (unit, unit.service, unit.execution)


@needs(_find_service)
def check_accounts(check: Check, known: _Known) -> CheckResult:
    """Check that the user and the groups of the service exist."""
    missing = known[2].missing_accounts
    if not missing:
        return check.ok("its user and groups exist")
    return check.error(
        f"there is no such account: {', '.join(missing)}",
        "A start fails.",
        *dict.fromkeys(map(_add_account, missing)),
        "# on every node, and with the same number if its files are on shared storage",
    )


def _add_account(setting: str) -> str:
    kind, _, name = setting.partition("=")
    if kind == "User" and name.isdecimal():
        return f"useradd --system --uid {name} --no-create-home --shell /usr/sbin/nologin NAME"
    if kind == "User":
        return f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {quoted(name)}"
    return f"groupadd --system --force {quoted(name)}"


@needs(_find_service)
def check_programs(check: Check, known: _Known) -> CheckResult:
    """Check that the programs of the service can be executed."""
    unit = known[0]
    if not unit.unstartable:
        return check.ok("its programs can be executed")
    command = unit.unstartable[0]
    programs = dict.fromkeys(f"{each.setting}={each.path} ({each.why_not})" for each in unit.unstartable)
    return check.error(
        f"cannot be executed: {', '.join(programs)}",
        "A start fails.",
        _IF_MOUNTED,
        f"ls -l {quoted(command.path)}; findmnt --target {quoted(command.path)}   # or install its package",
        f"systemctl cat {quoted(unit.id)}   # shows the file with {command.setting}=",
    )


@needs(_find_service)
def check_files(check: Check, known: _Known) -> CheckResult:
    """Check that the files and directories that systemd needs to start the service exist."""
    unit, _, execution = known
    if not execution.missing_files:
        return check.ok("the files that a start needs exist")
    return check.error(
        f"missing on this node: {', '.join(execution.missing_files)}",
        "A start fails. systemd ignores a missing file only with the prefix `-`.",
        _IF_MOUNTED,
        f"systemctl cat {quoted(unit.id)}   # shows the file with the setting",
    )


@needs(_find_service)
def check_pid_file(check: Check, known: _Known) -> CheckResult:
    """Check that the service can write its PID file where systemd expects it."""
    unit, service, execution = known
    if service.type != "forking" or not service.pid_file:
        return check.skipped("systemd waits for no PID file")
    if not execution.why_no_pid_file:
        return check.ok(f"PIDFile={service.pid_file}")
    return check.error(
        f"PIDFile={service.pid_file}, but {execution.why_no_pid_file}",
        "systemd waits for the file until TimeoutStartSec=, and a start fails.",
        f"systemctl edit {quoted(unit.id)}   # set PIDFile= to the path that the service writes",
    )


@needs(_find_service)
def check_session(check: Check, known: _Known) -> CheckResult:
    """Check that the processes of the service stay in the cgroup of the unit."""
    unit, _, execution = known
    found = [command for command in execution.commands if command.session and command.setting == "ExecStart"]
    if execution.pam_session:
        return check.error(
            f"PAMName={execution.pam_session} opens a login session",
            _LEAVES_CGROUP,
            *drop_in(unit.id, "PAMName="),
        )
    if not found:
        return check.ok("its processes stay in its cgroup")
    if script := found[0].script:
        return check.warning(
            f"{script} calls {found[0].session}, which moves processes out of the unit",
            _LEAVES_CGROUP,
            f"systemctl edit --full {quoted(unit.id)}   # set User= and Group=",
            f"${{EDITOR:-vi}} {quoted(script)}   # remove {found[0].session}",
        )
    return check.error(
        f"ExecStart={found[0].text} moves the process out of the unit ({found[0].session})",
        _LEAVES_CGROUP,
        f"systemctl edit --full {quoted(unit.id)}   # set User= and Group=, and remove {found[0].session}",
    )


CHECKS = (
    Check("accounts", check_accounts),
    Check("programs", check_programs),
    Check("files", check_files),
    Check("pid-file", check_pid_file),
    Check("session", check_session),
)
