"""The checks of doctor for dependencies, programs and lifetime: for each, facts with a problem and facts without."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import anyio
import pytest

from ocf_systemd.core.check_result import Status
from ocf_systemd.core.observations import LoadState
from ocf_systemd.doctor import collect, dependency_checks, exec_checks, execution, lifetime_checks, parse
from ocf_systemd.doctor.facts import Command, Edge, Execution, Facts, RelatedUnit, Service, Unit
from tests.unit.builders import executable
from tests.unit.test_doctor_checks import (
    ACTIVE,
    BY_NAME,
    NAME,
    SOCKET,
    hooked,
    known,
    of,
    problems,
    serving,
    socket,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def related(**relations: str) -> Unit:
    """Return a service with these dependencies."""
    return of(relations={name: tuple(value.split()) for name, value in relations.items()})


def other(name: str = "db.service", **facts: object) -> RelatedUnit:
    """Return another service: disabled, and running only if this one starts it."""
    return replace(RelatedUnit(name, "disabled", type="simple"), **facts)  # type: ignore[arg-type]


def executing(*commands: Command, service: Service | None = None, **facts: object) -> Facts:
    """Return facts of a service that executes these commands."""
    execution = replace(Execution(commands=commands), **facts)  # type: ignore[arg-type]
    return known(of(service=service or Service(), execution=execution))


def mount(name: str = "srv-data.mount", path: str = "/etc/fstab", **facts: object) -> RelatedUnit:
    return replace(RelatedUnit(name, "generated", type="ext4", path=path), **facts)  # type: ignore[arg-type]


ITS_OWN = Edge("WantedBy", NAME)
HELPER = other(file_state="static", edges=(ITS_OWN,))
FOLLOWING = other(relations={"PartOf": (NAME,)})
MOUNTING = known(related(Requires="srv-data.mount"), mount())
MISSING = Command("ExecStart", "/opt/web/webd", "/opt/web/webd", why_not="No such file or directory")
SU = Command("ExecStart", "/bin/su - web -c webd", "/bin/su", session="su -l")
IN_SCRIPT = Command("ExecStart", "/opt/web/start", "/opt/web/start", session="su", script="/opt/web/start")
FORKING = Service(type="forking", pid_file="/run/web.pid")
LSB = of(
    source="/etc/init.d/web",
    service=Service(
        type="forking",
        remain_after_exit=True,
        guess_main_pid=False,
        kill_mode="process",
        start_timeout_s=300.0,
        stop_timeout_s=300.0,
        exec_stop=("/etc/init.d/web stop",),
    ),
)


ACTING = (
    "/usr/sbin/pcs node standby",
    "/usr/sbin/pcs resource move web n2",
    "/bin/sh -c pcs resource cleanup web",
    "/usr/sbin/crm --wait resource restart web",
    "/usr/sbin/crm_resource --resource web --move",
    "/usr/sbin/crm_resource -r web -B",
    "/usr/sbin/crm_resource --ban --resource=web",
    "/usr/sbin/stonith_admin --fence n1",
    "/usr/sbin/stonith_admin -F n1",
    "/sbin/init 6",
)
REPORTING = (
    "/usr/sbin/pcs status --full",
    "/bin/sh -c pcs status resources | mail -s restart root",
    "/usr/sbin/pcs resource config web",
    "/usr/sbin/crm status",
    "/usr/sbin/crm configure show",
    "/usr/sbin/crm_resource --locate --resource web",
    "/usr/sbin/crm_node -l",
    "/usr/sbin/stonith_admin --list-registered",
    "/usr/bin/logger pcs resource move web",
)


def on_success(command: str) -> Facts:
    """Return facts of a service with a unit in OnSuccess= that runs this command."""
    return known(related(OnSuccess="r.service"), other("r.service", commands=(command,)))


def listening(*units: RelatedUnit, accepts: bool = False) -> Facts:
    """Return facts of a socket that starts a service."""
    trigger = Unit(id="web.socket", accepts=accepts, relations={"Triggers": tuple(unit.name for unit in units)})
    return known(trigger, *units, unit="web.socket")


PULLED = replace(related(Requires="web.socket", TriggeredBy="web.socket"), edges=(SOCKET,))
SHARED = replace(socket("enabled"), users=("a.service",))

ROWS: dict[str, tuple[list[tuple[str, Facts]], list[tuple[str, Facts]]]] = {
    "conflicts": (
        [
            ("with Pacemaker", known(related(Conflicts="shutdown.target pacemaker.service"))),
            ("with corosync", known(related(Conflicts="corosync.service"))),
            ("of Pacemaker", known(related(ConflictedBy="pacemaker.service"))),
        ],
        [("with another service", known(related(Conflicts="shutdown.target exim4.service")))],
    ),
    "after-pacemaker": (
        [
            ("directly", known(related(After="pacemaker.service"))),
            ("on a remote node", known(related(After="pacemaker_remote.service"))),
            (
                "through another unit",
                known(related(After="db.service"), other(relations={"After": ("pacemaker.service",)})),
            ),
        ],
        [("after corosync", known(related(After="corosync.service network.target"), other("corosync.service")))],
    ),
    "own-trigger": (
        [
            (
                relation,
                known(replace(related(**{relation: "web.socket", "TriggeredBy": "web.socket"}), edges=(SOCKET,))),
            )
            for relation in ("Requires", "BindsTo", "Wants", "Upholds")
        ]
        + [("that another unit uses", known(PULLED, replace(socket(), users=("a.service",))))],
        [
            ("that another unit uses, which `triggered` reports", known(PULLED, SHARED)),
            ("not pulled in", known(replace(related(TriggeredBy="web.socket"), edges=(SOCKET,)), socket())),
            ("the socket of another service", known(related(Requires="dbus.socket"))),
            (
                "stops with it",
                known(
                    replace(
                        related(Wants="web.socket", TriggeredBy="web.socket", PropagatesStopTo="web.socket"),
                        edges=(SOCKET,),
                    ),
                ),
            ),
            (
                "is part of it",
                known(
                    replace(related(Wants="web.socket", TriggeredBy="web.socket"), edges=(SOCKET,)),
                    replace(socket(), relations={"PartOf": (NAME,)}),
                ),
            ),
        ],
    ),
    "requires": (
        [
            ("Requires", known(related(Requires="db.service"), other(active_state=ACTIVE))),
            ("BindsTo", known(related(BindsTo="db.service"), other())),
            ("Requisite, not running", known(related(Requisite="db.service"), other())),
            ("Requisite, running", known(related(Requisite="db.service"), other(active_state=ACTIVE))),
            ("not found", known(related(Requires="db.service"), other(is_unusable=True))),
            (
                "a oneshot that stays active",
                known(related(Requires="n.service"), other("n.service", type="oneshot", remain_after_exit=True)),
            ),
        ],
        [
            ("only targets and sockets", known(related(Requires="sysinit.target system.slice dbus.socket"))),
            (
                "the cluster",
                known(related(Requires="corosync.service"), other("corosync.service", active_state=ACTIVE)),
            ),
            ("a part of every boot", known(related(Requires="dbus.service systemd-udevd.service"))),
            ("a helper that stops with it", known(related(BindsTo="db.service"), FOLLOWING)),
            ("a helper that stops unneeded", known(related(BindsTo="db.service"), other(stop_when_unneeded=True))),
            ("a oneshot", known(related(Requires="m.service"), other("m.service", type="oneshot"))),
        ],
    ),
    "helpers": (
        [
            ("only of this unit", known(related(Wants="db.service"), HELPER)),
            ("that can be enabled", known(related(Wants="db.service"), other(edges=(ITS_OWN,)))),
            (
                "that others use",
                known(related(Wants="db.service"), other(file_state="static", users=("nfs-utils.service",))),
            ),
        ],
        [
            ("a target", known(related(Wants="network-online.target"), other("network-online.target"))),
            ("enabled", known(related(Wants="db.service"), other(file_state="enabled"))),
            (
                "of another unit as well",
                known(
                    related(Wants="db.service"), other(edges=(Edge("WantedBy", NAME), Edge("WantedBy", "x.service")))
                ),
            ),
            ("stops with it", known(related(Wants="db.service"), FOLLOWING)),
            ("a oneshot", known(related(Wants="db.service"), other(type="oneshot"))),
            ("not installed", known(related(Wants="db.service"), other(is_unusable=True))),
        ],
    ),
    "upholds": (
        [("another service", known(related(Upholds="db.service"), other()))],
        [("a helper that stops with it", known(related(Upholds="db.service"), FOLLOWING))],
    ),
    "stop-propagated": (
        [
            ("running", known(related(StopPropagatedFrom="db.service"), other(active_state=ACTIVE))),
            ("enabled", known(related(StopPropagatedFrom="db.service"), other(file_state="enabled"))),
        ],
        [
            ("stopped", known(related(StopPropagatedFrom="db.service"), other())),
            (
                "reported by `part-of`",
                known(
                    replace(related(StopPropagatedFrom="db.service"), part_of=("db.service",)),
                    other(active_state=ACTIVE),
                ),
            ),
        ],
    ),
    "mounts": (
        [
            ("noauto", MOUNTING),
            ("its own unit file", known(related(BindsTo="srv-data.mount"), mount(path="/etc/systemd/system/x.mount"))),
            ("only ordered after it", known(related(After="srv-data.mount"), mount())),
        ],
        [
            (
                "of every boot",
                known(
                    related(Requires="srv.mount"), mount("srv.mount", edges=(Edge("RequiredBy", "local-fs.target"),))
                ),
            ),
            ("enabled", known(related(Requires="srv.mount"), mount("srv.mount", file_state="enabled"))),
            ("without a unit file", known(related(Requires="srv.mount"), mount("srv.mount", path=""))),
            (
                "a pseudo file system",
                known(related(Requires="proc-fs-nfsd.mount"), mount("proc-fs-nfsd.mount", type="nfsd")),
            ),
            (
                "only ordered after one that is mounted",
                known(related(After="srv-data.mount"), mount(active_state=ACTIVE)),
            ),
            (
                "only ordered after one of every boot",
                known(related(After="srv.mount"), mount("srv.mount", file_state="enabled")),
            ),
        ],
    ),
    "on-failure": (
        [
            ("a target", known(related(OnFailure="emergency.target"))),
            (
                "systemctl",
                known(
                    related(OnFailure="r.service"),
                    other("r.service", commands=("/bin/systemctl --no-block restart web",)),
                ),
            ),
            (
                "a script",
                known(
                    related(OnFailure="r.service"),
                    other("r.service", commands=("/x\n#!/bin/sh\nlogger x\nreboot -f\n",)),
                ),
            ),
            *((f"on success: {command}", on_success(command)) for command in ACTING),
        ],
        [
            (
                "a mail",
                known(related(OnFailure="m@web.service"), other("m@web.service", commands=("/usr/bin/mail root",))),
            ),
            (
                "a status",
                known(
                    related(OnFailure="m.service"),
                    other("m.service", commands=("/x\n#!/bin/sh\nsystemctl status --full web | mail -s reboot\n",)),
                ),
            ),
            *((f"on success: {command}", on_success(command)) for command in REPORTING),
            ("none", known()),
        ],
    ),
    "triggered-unit": (
        [
            ("of a socket", listening(other(NAME))),
            ("of a timer, which ends by itself", listening(other(NAME, type="oneshot"))),
            ("of each connection", listening(other("web@CONNECTION.service"), accepts=True)),
        ],
        [
            ("requires the socket", listening(other(NAME, relations={"Requires": ("web.socket",)}))),
            ("is not installed", listening(other(NAME, is_unusable=True))),
        ],
    ),
    "accounts": (
        [
            ("a user", executing(missing_accounts=("User=web",))),
            ("a group", executing(missing_accounts=("Group=web",))),
        ],
        [("all", executing())],
    ),
    "programs": (
        [
            ("missing", executing(MISSING)),
            ("before the start", executing(replace(MISSING, setting="ExecStartPre"))),
            ("the main process, with a prefix", executing(replace(MISSING, ignores_failure=True))),
        ],
        [
            ("present", executing(Command("ExecStart", "/bin/web", "/bin/web"))),
            ("ignored", executing(replace(MISSING, setting="ExecStartPre", ignores_failure=True))),
            (
                "ignored in a oneshot",
                executing(replace(MISSING, ignores_failure=True), service=Service(type="oneshot")),
            ),
        ],
    ),
    "files": (
        [("an EnvironmentFile", executing(missing_files=("EnvironmentFile=/etc/default/web",)))],
        [("all", executing())],
    ),
    "pid-file": (
        [("elsewhere", executing(service=FORKING, why_no_pid_file="its command writes /run/webd.pid"))],
        [("there", executing(service=FORKING))],
    ),
    "session": (
        [
            ("su", executing(SU)),
            ("su in a script", executing(IN_SCRIPT)),
            ("PAMName", executing(pam_session="login")),
        ],
        [
            ("no session", executing(replace(SU, session=""))),
            ("before the start", executing(replace(SU, setting="ExecStartPre"))),
        ],
    ),
    "manual-start": (
        [
            ("start", known(of(refused=("RefuseManualStart",)))),
            ("stop", known(of(refused=("RefuseManualStop",)))),
            ("both", known(of(refused=("RefuseManualStart", "RefuseManualStop")))),
        ],
        [("neither", known())],
    ),
    "conditions": (
        [
            ("one", known(of(unmet=("ConditionPathExists=/etc/web",)))),
            (
                "of the two, another than the program",
                known(
                    of(
                        unmet=("ConditionPathExists=/etc/web", "ConditionFileIsExecutable=/opt/web/webd"),
                        execution=Execution(commands=(MISSING,)),
                    )
                ),
            ),
        ],
        [
            ("met", known()),
        ],
    ),
    "stop-unneeded": ([("yes", known(of(stop_when_unneeded=True)))], [("no", known())]),
    "runtime-max": (
        [("a day", known(serving(runtime_max_s=86400.0)))],
        [("none", known()), ("a oneshot", known(serving(type="oneshot", runtime_max_s=60.0)))],
    ),
    "lsb-script": (
        [("as generated", known(LSB))],
        [
            ("adapted", known(replace(LSB, service=Service(type="forking")))),
            ("with a hook", known(LSB, hook=hooked())),
        ],
    ),
    "stays-active": (
        [
            ("a oneshot", known(serving(type="oneshot", remain_after_exit=True))),
            ("another service", known(serving(type="simple", remain_after_exit=True))),
        ],
        [("no", known()), ("with a hook", known(serving(type="oneshot", remain_after_exit=True), hook=hooked()))],
    ),
    "no-hook": ([("none", known())], [("a hook", known(hook=hooked()))]),
}

PROBLEMS = [pytest.param(name, facts, id=f"{name}: {row}") for name, rows in ROWS.items() for row, facts in rows[0]]
PASSING = [pytest.param(name, facts, id=f"{name}: {row}") for name, rows in ROWS.items() for row, facts in rows[1]]
WARNINGS = {"helpers", "upholds", "stop-propagated", "mounts", "no-hook"}
NO_STOP = of(refused=("RefuseManualStop",))
SEVERITIES = [
    ("manual-start", known(of(refused=("RefuseManualStart",))), Status.ERROR),
    ("manual-start", known(of(refused=("RefuseManualStart", "RefuseManualStop"))), Status.ERROR),
    ("manual-start", known(NO_STOP), Status.WARNING),
    ("manual-start", known(NO_STOP, stop_escalate="no"), Status.ERROR),
    ("manual-start", known(replace(NO_STOP, service=Service(remain_after_exit=True))), Status.ERROR),
    ("manual-start", known(Unit(id="srv.mount", refused=("RefuseManualStop",))), Status.ERROR),
    ("own-trigger", known(PULLED), Status.ERROR),
    ("own-trigger", known(PULLED, replace(socket(), users=("a.service",))), Status.WARNING),
    ("requires", known(related(Requires="db.service"), other(active_state=ACTIVE)), Status.WARNING),
    ("requires", known(related(Requisite="db.service"), other(active_state=ACTIVE)), Status.WARNING),
    ("requires", known(related(Requisite="db.service"), other()), Status.ERROR),
    ("requires", known(related(Requires="db.service"), other(is_unusable=True)), Status.ERROR),
    ("session", executing(SU), Status.ERROR),
    ("session", executing(IN_SCRIPT), Status.WARNING),
    ("session", executing(pam_session="login"), Status.ERROR),
    ("triggered-unit", listening(other(NAME)), Status.ERROR),
    ("triggered-unit", listening(other(NAME, type="oneshot")), Status.WARNING),
    ("stays-active", known(serving(type="oneshot", remain_after_exit=True)), Status.WARNING),
    ("stays-active", known(serving(type="simple", remain_after_exit=True)), Status.ERROR),
]


def test_every_check_is_tested_with_and_without_a_problem() -> None:
    """No check is in the table without facts for both."""
    modules = (dependency_checks, exec_checks, lifetime_checks)
    assert list(ROWS) == [check.name for module in modules for check in module.CHECKS]
    assert all(problems and passing for problems, passing in ROWS.values())


@pytest.mark.parametrize(("name", "facts"), PROBLEMS)
def test_problem(name: str, facts: Facts) -> None:
    """The result states what is wrong, why that matters, and how to fix it, with lines that a shell accepts."""
    result = BY_NAME[name].run(facts)
    assert (result.name, result.is_problem) == (name, True)
    assert result.what
    assert not result.what.endswith(".")
    assert result.why.endswith(".")
    assert result.fix or "Decide " in result.why
    assert all(line and "\n" not in line for line in result.fix)
    if name not in {each for each, _, _ in SEVERITIES}:
        assert result.status == (Status.WARNING if name in WARNINGS else Status.ERROR)


@pytest.mark.parametrize(("name", "facts"), PROBLEMS)
def test_no_fix_changes_what_is_not_this_units(name: str, facts: Facts) -> None:
    """No command stops or disables a unit, or changes the settings of another than this one and what it starts."""
    assert facts.unit
    own = {facts.unit.id, "web@.service" if facts.unit.accepts else facts.unit.id}
    for command in (line.partition("#")[0] for line in BY_NAME[name].run(facts).fix):
        assert not re.match("systemctl (stop|disable|mask|kill|restart)|chown|chmod|mv|rm", command)
        if drop_in_of := re.match(r"cd /etc/systemd/system && mkdir -p (\S+)\.d$", command):
            assert drop_in_of[1] in own
        if edited := re.match(r"systemctl edit (?:--full )?(\S+)", command):
            assert edited[1] in own
        for stopped in re.findall(r"PropagatesStopTo=([\w.@-]+?)(?:\\n|$)", command):
            assert name != "helpers" or facts.related[stopped] == HELPER
            assert stopped not in facts.related or not facts.related[stopped].users


@pytest.mark.parametrize(("name", "facts"), PASSING)
def test_passes(name: str, facts: Facts) -> None:
    """The result describes the state in a few words."""
    result = BY_NAME[name].run(facts)
    assert (result.name, result.status) == (name, Status.OK)
    assert 0 < len(result.what) < 80


@pytest.mark.parametrize(("name", "facts", "status"), SEVERITIES)
def test_severity_by_facts(name: str, facts: Facts, status: Status) -> None:
    """Some checks find what fails the next start, and what may fail later."""
    assert BY_NAME[name].run(facts).status is status


@pytest.mark.parametrize("name", ROWS)
def test_a_unit_that_is_not_loaded(name: str) -> None:
    """A unit that is masked or not found has no settings to check."""
    for state in (LoadState.MASKED, LoadState.NOT_FOUND):
        assert BY_NAME[name].run(known(of(load_state=state))).status is Status.SKIPPED


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("conditions", known(of(active_state=ACTIVE, unmet=("ConditionPathExists=!/run/web.pid",)))),
        (
            "conditions",
            known(of(unmet=("ConditionFileIsExecutable=/opt/web/webd",), execution=Execution(commands=(MISSING,)))),
        ),
        ("conditions", known(of(unmet="systemd-analyze is not installed"))),
        ("triggered-unit", known()),
        ("pid-file", known()),
        ("lsb-script", known()),
        ("accounts", known(Unit(id="srv.mount"))),
        ("runtime-max", known(Unit(id="srv.mount"))),
    ],
)
def test_skipped(name: str, facts: Facts) -> None:
    """A check that does not apply reports why."""
    result = BY_NAME[name].run(facts)
    assert result.status is Status.SKIPPED
    assert result.what


CAUSES = [
    pytest.param(known(LSB), ["lsb-script"], id="an LSB script"),
    pytest.param(known(LSB, hook=hooked()), [], id="an LSB script with a hook"),
    pytest.param(known(), ["no-hook"], id="no hook"),
    pytest.param(known(serving(type="simple")), ["readiness"], id="no hook: not ready"),
    pytest.param(known(serving(type="forking")), ["main-process"], id="no hook: no main process"),
    pytest.param(known(serving(type="forking", remain_after_exit=True)), ["stays-active"], id="no hook: stays active"),
    pytest.param(
        known(serving(type="oneshot", remain_after_exit=True, exec_start=("/bin/true",))),
        ["placeholder"],
        id="a placeholder",
    ),
    pytest.param(
        known(
            of(unmet=("ConditionPathExists=/opt/web/webd",), execution=Execution(commands=(MISSING,))), hook=hooked()
        ),
        ["programs"],
        id="a program that is not installed",
    ),
    pytest.param(
        known(replace(related(Upholds="web.socket", TriggeredBy="web.socket"), edges=(SOCKET,)), hook=hooked()),
        ["own-trigger"],
        id="a socket that the unit upholds",
    ),
    pytest.param(
        known(
            replace(related(Requires="web.socket", TriggeredBy="web.socket"), edges=(SOCKET,)),
            socket("disabled", ACTIVE),
            hook=hooked(),
        ),
        ["own-trigger"],
        id="a socket that the unit has started",
    ),
]


@pytest.mark.parametrize(("facts", "expected"), CAUSES)
def test_one_cause_is_one_problem(facts: Facts, expected: list[str]) -> None:
    """What has the same cause, and the same fix, is reported once; the other checks name the one that reports it."""
    assert problems(facts) == expected


FIXES = [
    ("own-trigger", ROWS["own-trigger"][0][0][1], "PropagatesStopTo=web.socket"),
    ("own-trigger", ROWS["own-trigger"][0][2][1], "(Wants=)"),
    ("conflicts", ROWS["conflicts"][0][0][1], "systemctl edit --full web.service"),
    ("conflicts", ROWS["conflicts"][0][2][1], "systemctl cat pacemaker.service"),
    ("accounts", executing(missing_accounts=("SupplementaryGroups=a b",)), "groupadd --system --force 'a b'"),
    ("triggered-unit", listening(other("web@CONNECTION.service"), accepts=True), "web@.service.d"),
    ("accounts", executing(missing_accounts=("User=4711",)), "useradd --system --uid 4711 "),
    ("helpers", known(related(Wants="a.service b.service"), other("a.service"), other("b.service")), "b.service"),
    ("triggered-unit", listening(other(NAME)), "ocf-systemd doctor web.service"),
    ("manual-start", known(of(refused=("RefuseManualStop",))), "RefuseManualStop=no"),
    ("mounts", MOUNTING, "/etc/fstab"),
    ("runtime-max", known(serving(runtime_max_s=86400.0)), "RuntimeMaxSec=24 h"),
    ("lsb-script", known(LSB), "RemainAfterExit=no"),
    ("on-failure", ROWS["on-failure"][0][1][1], "systemctl --no-block restart"),
]


@pytest.mark.parametrize(("name", "facts", "expected"), [pytest.param(*row, id=row[2]) for row in FIXES])
def test_fix(name: str, facts: Facts, expected: str) -> None:
    """The result has the names and the times of the facts."""
    assert expected in text_of(BY_NAME[name].run(facts))


@pytest.mark.parametrize(("name", "facts"), PROBLEMS)
def test_no_fix_stops_another_unit(name: str, facts: Facts) -> None:
    """A fix is for this unit: it neither stops nor disables another one at once."""
    for line in BY_NAME[name].run(facts).fix:
        command = line.partition("#")[0]
        assert not any(verb in command for verb in ("systemctl stop", "disable", "mask", "kill "))


class TestParse:
    @pytest.mark.parametrize(
        ("command", "sessions"),
        [
            ("/bin/su - web -c webd", (("su -l", "su-l"),)),
            ("su web -c webd", (("su", "su"),)),
            ("su -l web -c webd", (("su -l", "su-l"),)),
            ("su --login web", (("su -l", "su-l"),)),
            ("/usr/sbin/runuser -u web -- webd", ()),
            ("/sbin/runuser -l web -c webd", (("runuser -l", "runuser-l"),)),
            ("sudo -u web webd", (("sudo", "sudo"),)),
            ("sudo -i -u web webd", (("sudo -i", "sudo-i"),)),
            ("/usr/bin/systemd-run --scope webd", (("systemd-run", ""),)),
            ("/bin/sh -c su - web -c webd", (("su -l", "su-l"),)),
            ("/bin/sh -c cd /srv && exec su web -c webd", (("su", "su"),)),
            ("/usr/bin/webd su login", ()),
            ("/usr/bin/sum", ()),
            ("/opt/su/webd", ()),
        ],
    )
    def test_sessions(self, command: str, sessions: tuple[tuple[str, str], ...]) -> None:
        """They are opened where a command begins; runuser with -u executes the command without PAM's session."""
        assert parse.sessions(command) == sessions

    def test_commands(self) -> None:
        """The path is the program, whatever its name is in the arguments; a semicolon may be part of these."""
        shown = (
            "{ path=/bin/sleep ; argv[]=foo 0 ; ignore_errors=no ; start_time=[n/a] ; pid=0 } "
            "{ path=/bin/sh ; argv[]=/bin/sh -c a ; b ; ignore_errors=yes ; start_time=[n/a] ; pid=0 } "
            "{ path=sleep ; argv[]=sleep 1 ; flags=ignore-failure privileged ; start_time=[n/a] ; pid=0 }"
        )
        assert parse.commands({"ExecStartPre": shown}, "ExecStartPre", "ExecStart") == (
            Command("ExecStartPre", "foo 0", "/bin/sleep"),
            Command("ExecStartPre", "/bin/sh -c a ; b", "/bin/sh", ignores_failure=True),
            Command("ExecStartPre", "sleep 1", "sleep", ignores_failure=True, runs_as_root=True),
        )

    def test_environment_files(self) -> None:
        """Those with the prefix `-` may be missing."""
        shown = "/etc/default/a (ignore_errors=no) /etc/default/b c (ignore_errors=yes) /etc/d (ignore_errors=no)"
        assert parse.environment_files({"EnvironmentFiles": shown}) == ("/etc/default/a", "/etc/d")

    @pytest.mark.parametrize(
        ("command", "files"),
        [
            ("/usr/sbin/webd --pid-file=/run/web.pid", ("/run/web.pid",)),
            ("/usr/sbin/webd -p /var/run/web/web.pid -x", ("/var/run/web/web.pid",)),
            ("/bin/sh -c echo $! >/run/a.pid; echo >/run/a.pid", ("/run/a.pid",)),
            ("/usr/sbin/webd -p ${RUN}/web.pid $RUN/web.pid web.pid", ()),
            ("/usr/sbin/webd /run/web.pids", ()),
        ],
    )
    def test_pid_files(self, command: str, files: tuple[str, ...]) -> None:
        """Only an absolute path without variables is known."""
        assert parse.pid_files({"ExecStart": command}) == files

    def test_all_flags_of_a_command(self) -> None:
        """Where systemd reports them, a prefix with which a command ignores User= is known."""
        old = "{ path=/bin/a ; argv[]=a ; ignore_errors=no ; start_time=[n/a] ; pid=0 }"
        for flags, runs_as_root in {"": False, "privileged": True, "no-setuid": True, "ambient": False}.items():
            shown = {"ExecStart": old, "ExecStartEx": old.replace("ignore_errors=no", f"flags={flags}")}
            (command,) = parse.commands(shown, "ExecStart")
            assert command == Command("ExecStart", "a", "/bin/a", runs_as_root=runs_as_root)

    @pytest.mark.parametrize(
        ("tests", "unmet"),
        [
            ("ConditionPathExists=/a b failed", ("ConditionPathExists=/a b",)),
            ("AssertPathExists=/a failed", ("AssertPathExists=/a",)),
            ("ConditionPathExists=/a succeeded", ()),
            ("ConditionPathExists=|/a failed,ConditionPathExists=|/b succeeded", ()),
            ("ConditionPathExists=|/a failed,AssertPathExists=|/b succeeded", ("ConditionPathExists=|/a",)),
            ("ConditionPathExists=!/a failed,ConditionPathExists=|/b succeeded", ("ConditionPathExists=!/a",)),
        ],
    )
    def test_unmet_conditions(self, tests: str, unmet: tuple[str, ...]) -> None:
        """All must be met, and one of those with the prefix `|`, among conditions and among assertions."""
        printed = "".join(f"web.service: {test}.\n" for test in tests.split(",")) + "Conditions failed.\n"
        assert parse.unmet_conditions(printed) == unmet


class TestScripts:
    @pytest.mark.parametrize(
        ("script", "session"),
        [
            ("#!/bin/sh\nexec su - web -c webd\n", "su -l"),
            ("#!/bin/bash\n    su web -c webd\n", "su"),
            ('#!/bin/sh\nif [ -n "$U" ]; then su $U -c webd; fi\n', "su"),
            ("#!/bin/sh\ncd /srv && runuser web -c webd\n", "runuser"),
            ("#!/bin/sh\n# su - web\nexec webd\n", ""),
            ("#!/bin/sh\necho su web; issue=su\nrunuser -u web -- webd\n", ""),
            ("#!/usr/bin/python3\nsu = web\n", ""),
            ("su - web\n", ""),
        ],
    )
    def test_sessions(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, session: str) -> None:
        """A shell script that a service executes may call the tools that open a login session."""
        monkeypatch.setattr(execution, "_opens_session", lambda _: True)
        path = executable(tmp_path / "start", script)
        commands = {f"{path} --now": str(path), f"/bin/sh {path}": "/bin/sh"} if session else {str(path): str(path)}
        for text, program in commands.items():
            shown = f"{{ path={program} ; argv[]={text} ; ignore_errors=no ; start_time=[n/a] ; pid=0 }}"
            (command,) = anyio.run(execution.collect_execution, {"ExecStart": shown}).commands
            assert (command.session, command.script) == (session, str(path) if session else "")


USERS = [
    ({}, None),
    ({"User": "root"}, None),
    ({"User": "no-such-user"}, None),
    ({"User": "nobody"}, ("nobody", 65534, 65534)),
    ({"User": "65534", "Group": "0"}, ("65534", 65534, 0)),
    ({"User": "nobody", "DynamicUser": "yes"}, ("nobody", 65534, 65534)),
    ({"User": "no-such-user", "DynamicUser": "yes"}, ("no-such-user", 61184, 61184)),
    ({"DynamicUser": "yes", "SupplementaryGroups": "4711"}, ("of DynamicUser=yes", 61184, 61184)),
    ({"DynamicUser": "yes", "SupplementaryGroups": "no-such-group"}, None),
]


@pytest.fixture
def open_place() -> Iterator[Path]:
    """Yield a directory that every user can reach, unlike one below the home directory of root."""
    with TemporaryDirectory(dir="/var/tmp") as place:
        Path(place).chmod(0o755)
        yield Path(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can execute a command as another user")
@pytest.mark.parametrize(("properties", "expected"), USERS)
def test_who_executes_a_program(
    open_place: Path, properties: dict[str, str], expected: tuple[str, int, int] | None
) -> None:
    """A program that only its group may execute: whether the user of a service is in that group decides."""
    program = executable(open_place / "webd", "#!/bin/sh\n", 0o750)
    shown = {"ExecStart": f"{{ path={program} ; argv[]=webd ; ignore_errors=no ; start_time=[n/a] ; pid=0 }}"}
    name, _, gid = expected or ("", 0, 0)
    for group in (0, 4711, 65534, 61184):
        os.chown(program, 0, group)
        (command,) = anyio.run(execution.collect_execution, {**shown, **properties}).commands
        may = expected is None or group == gid or (group == 4711 and "SupplementaryGroups" in properties)
        assert (not command.why_not) == may
        assert may or command.why_not.startswith(f"user {name} may not ")


def test_a_moved_drop_in_replaces_none(tmp_path: Path) -> None:
    """The command that moves the drop-in which hides the agent's keeps a file that has the new name already."""
    hiding, local = tmp_path / "zz-ocf-systemd.conf", tmp_path / "40-local.conf"
    hiding.write_text("hiding", encoding="utf-8")
    local.write_text("local", encoding="utf-8")
    move, _ = BY_NAME["drop-in"].run(known(of(hidden_by=str(hiding)))).fix
    assert str(local) in move
    subprocess.run(move, shell=True, check=False, capture_output=True)  # noqa: S602 - as an administrator runs it
    assert local.read_text(encoding="utf-8") == "local"
    assert hiding.exists()


@pytest.mark.parametrize(("count", "left"), [(100, 0), (150, 50)])
def test_too_many_related_units(monkeypatch: pytest.MonkeyPatch, count: int, left: int) -> None:
    """Those that are not examined are known, and no result says that none of them starts the unit."""

    async def show(_: object, *names: str) -> list[dict[str, str]]:
        return [{"Id": name} for name in names]

    monkeypatch.setattr(collect, "show", show)
    wanted_by = " ".join(f"u{number}.target" for number in range(count))
    view = collect._View({"Id": NAME, "WantedBy": wanted_by}, (), NAME)  # noqa: SLF001
    monkeypatch.setattr(view, "namesakes", ())
    found, unexamined = anyio.run(collect._others, view)  # noqa: SLF001
    assert (len(found), len(unexamined)) == (count - left, left)
    status = BY_NAME["wanted"].run(replace(known(), unexamined=unexamined)).status
    assert status is (Status.SKIPPED if left else Status.OK)
