"""doctor finds what breaks start, stop or monitor under a cluster: real units, what they do, and the proposed fix."""

from __future__ import annotations

import json
import resource
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.doctor import dependency_checks, exec_checks, lifetime_checks
from tests.system.box import HOOKS
from tests.system.test_doctor import PROGRAM, problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from subprocess import CompletedProcess

    from tests.system.box import Box

SLEEP = "[Service]\nExecStart=sleep infinity\n"
NOTIFY = "[Service]\nType=notify\nExecStart=sh -c 'systemd-notify --ready; exec sleep infinity'\nNotifyAccess=all\n"
UNTIL = 'until_true() { for i in $(seq 100); do if eval "$1"; then return 0; fi; sleep 0.1; done; return 1; }\n'
# A stop waits for the job of its unit, but not for those that it queues for other units.
UNTIL += "settled() { until_true '! systemctl list-jobs --no-legend | grep -qE \"^ *[0-9]\"'; }\n"
LSB = """#!/bin/sh
### BEGIN INIT INFO
# Provides: probe
# Required-Start: $remote_fs
# Required-Stop: $remote_fs
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
# Short-Description: a daemon that is disabled in /etc/default
### END INIT INFO
ENABLED=0
case $1 in
    start) [ $ENABLED = 1 ] || exit 0; sleep infinity & ;;
    stop) exit 0 ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A unit, and what doctor finds.

    `files` are other files by name or path. Scripts: `harm` succeeds while the problem exists, `prepare` runs before
    systemd loads the unit, `undo` at the end. `running` is another unit that runs. With `is_fixed`, the commands of the
    fix remove problem and harm; with `has_hook` a hook is given.
    """

    check: str
    text: str
    harm: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    unit: str = "probe.service"
    prepare: str = ""
    undo: str = ""
    is_fixed: bool = False
    has_hook: bool = True
    running: str = ""

    @property
    def services(self) -> str:
        """The unit and the other services."""
        return " ".join([self.unit, *(name for name in self.files if name.endswith(".service") and "@" not in name)])


DB = {"probe-db.service": SLEEP}
SOCKET = {"probe.socket": "[Socket]\nListenStream=/run/test/probe.sock\n"}
STAYS = "systemctl start probe; systemctl stop probe; settled; systemctl is-active probe.socket"
WITH_PACEMAKER = {
    "pacemaker.service": SLEEP,
    "probe-all.target": "[Unit]\nWants=pacemaker.service probe-db.service probe.service\n",
}


def cycle(*units: str) -> str:
    """Return a script that starts units in one transaction, as a shutdown stops them; systemd drops one of the jobs.

    The agent's drop-in sets the order.
    """
    all_run = " && ".join(f"systemctl is-active {name}" for name in units)
    return (
        "mkdir -p /run/systemd/system/probe.service.d; printf '[Unit]\\nBefore=pacemaker.service\\n' "
        ">/run/systemd/system/probe.service.d/zz-ocf-systemd.conf; systemctl daemon-reload; "
        f"systemctl start probe-all.target; ! {{ {all_run}; }}"
    )


FAILS = "! systemctl start probe || { until_true '! systemctl is-active probe'; }"


def unit(*settings: str, service: str = NOTIFY) -> str:
    return "\n".join(("[Unit]", *settings, service))


FINDINGS = [
    Finding(
        "conflicts",
        unit("Conflicts=pacemaker.service"),
        "systemctl start pacemaker; systemctl start probe; settled; ! systemctl is-active pacemaker",
        {"pacemaker.service": SLEEP},
    ),
    Finding(
        "conflicts",
        unit("Conflicts=corosync.service"),
        "systemctl start corosync; systemctl start probe; settled; ! systemctl is-active corosync",
        {"corosync.service": SLEEP},
    ),
    Finding("after-pacemaker", unit("After=pacemaker.service"), cycle("pacemaker", "probe"), WITH_PACEMAKER),
    Finding(
        "after-pacemaker",
        unit("After=probe-db.service"),
        cycle("pacemaker", "probe", "probe-db"),
        {**WITH_PACEMAKER, "probe-db.service": f"[Unit]\nAfter=pacemaker.service\n{SLEEP}"},
    ),
    Finding("own-trigger", unit("Requires=probe.socket"), STAYS, SOCKET, is_fixed=True),
    Finding("own-trigger", unit("Wants=probe.socket"), STAYS, SOCKET, is_fixed=True),
    Finding(
        "own-trigger",
        unit("Wants=probe.path"),
        STAYS.replace("probe.socket", "probe.path"),
        {"probe.path": "[Path]\nPathExists=/run/test/never\n"},
        is_fixed=True,
    ),
    Finding(
        "own-trigger",
        unit("Wants=probe.timer"),
        STAYS.replace("probe.socket", "probe.timer"),
        {"probe.timer": "[Timer]\nOnCalendar=yearly\n"},
        is_fixed=True,
    ),
    Finding(
        "wanted",
        NOTIFY,
        "systemctl start probe-db; systemctl start probe; systemctl stop probe; until_true 'systemctl is-active probe'",
        {"probe-db.service": f"[Unit]\nUpholds=probe.service\n{SLEEP}"},
        running="probe-db.service",
    ),
    Finding(
        "requires",
        unit("Requires=probe-db.service"),
        "systemctl start probe; systemctl restart probe-db; systemctl stop probe-db; settled; "
        "! systemctl is-active probe",
        DB,
    ),
    Finding(
        "requires",
        unit("BindsTo=probe-db.service", "After=probe-db.service"),
        "systemctl start probe; systemctl kill -s KILL probe-db; until_true '! systemctl is-active probe'",
        DB,
    ),
    Finding("requires", unit("Requisite=probe-db.service"), FAILS, DB),
    Finding("requires", unit("Requires=probe-missing.service"), "! systemctl start probe"),
    Finding(
        "requires",
        unit("Requires=probe-db.service"),
        "! systemctl start probe",
        prepare="ln -s /dev/null /etc/systemd/system/probe-db.service",
    ),
    Finding(
        "helpers",
        unit("Wants=probe-db.service"),
        "systemctl start probe; systemctl stop probe; settled; systemctl is-active probe-db",
        DB,
        is_fixed=True,
    ),
    Finding(
        "helpers",
        unit("Wants=probe-db.service"),
        "systemctl start probe; systemctl stop probe; settled; systemctl is-active probe-db",
        {**DB, "probe-client.service": f"[Unit]\nWants=probe-db.service\n{SLEEP}"},
    ),
    Finding(
        "upholds",
        unit("Upholds=probe-db.service"),
        "systemctl start probe; until_true 'systemctl is-active probe-db'; systemctl stop probe-db; "
        "until_true 'systemctl is-active probe-db'",
        DB,
    ),
    Finding(
        "stop-propagated",
        unit("StopPropagatedFrom=probe-db.service"),
        "systemctl start probe probe-db; systemctl stop probe-db; settled; ! systemctl is-active probe",
        DB,
        running="probe-db.service",
    ),
    Finding(
        "mounts",
        unit("RequiresMountsFor=/srv/probe"),
        "systemctl start probe; systemctl stop probe; settled; systemctl is-active srv-probe.mount",
        {"srv-probe.mount": "[Mount]\nWhat=/var/tmp\nWhere=/srv/probe\nOptions=bind\n"},
        undo="systemctl stop srv-probe.mount",
    ),
    Finding(
        "mounts",
        unit("After=srv-probe.mount"),
        "systemctl start probe; systemctl is-active probe; ! systemctl is-active srv-probe.mount",
        {"srv-probe.mount": "[Mount]\nWhat=/var/tmp\nWhere=/srv/probe\nOptions=bind\n"},
    ),
    Finding(
        "on-failure",
        unit("OnFailure=probe-repair@%n.service"),
        "systemctl start probe; systemctl kill -s KILL probe; until_true 'systemctl is-active probe-db'",
        {**DB, "probe-repair@.service": "[Service]\nType=oneshot\nExecStart=systemctl --no-block start probe-db\n"},
    ),
    Finding(
        "triggered-unit",
        SOCKET["probe.socket"],
        "systemctl start probe.socket probe.service; systemctl stop probe.socket; settled; "
        "systemctl is-active probe.service",
        {"probe.service": NOTIFY},
        unit="probe.socket",
        is_fixed=True,
    ),
    Finding(
        "triggered-unit",
        SOCKET["probe.socket"] + "Accept=yes\n",
        unit="probe.socket",
        files={"probe@.service": "[Service]\nExecStart=sleep infinity\nStandardInput=socket\n"},
        is_fixed=True,
    ),
    Finding("accounts", NOTIFY + "User=probe-web\n", FAILS, undo="userdel --force probe-web", is_fixed=True),
    Finding("accounts", NOTIFY + "Group=probe-web\n", FAILS, undo="groupdel probe-web", is_fixed=True),
    Finding("accounts", NOTIFY + "User=4711\n", FAILS),
    Finding("programs", "[Service]\nType=exec\nExecStart=/opt/probe/missing --daemon\n", FAILS),
    Finding("programs", NOTIFY + "ExecStartPre=/opt/probe/missing --check\n", FAILS),
    Finding("programs", NOTIFY + "ExecStartPost=probe-missing\n", FAILS),
    Finding(
        "programs",
        NOTIFY + "ExecStartPre=/run/test/noexec/probe\n",
        FAILS,
        prepare="mkdir -p /run/test/noexec; mount -t tmpfs -o noexec,mode=0755 none /run/test/noexec; "
        "cp /bin/true /run/test/noexec/probe",
        undo="umount /run/test/noexec",
    ),
    Finding(
        "programs",
        NOTIFY + "ExecStartPre=/run/test/probe\n",
        FAILS,
        prepare="mkdir -p /run/test; printf '#!/opt/probe/python3\\n' >/run/test/probe; chmod 0755 /run/test/probe",
    ),
    *(
        Finding(
            "programs",
            NOTIFY + f"User=nobody\nExecStartPre={command}\n",
            FAILS,
            prepare="install -D -m 0755 /bin/true /run/test/sub/probe; chmod 0755 /run/test; " + prepare,
        )
        for command, prepare in {
            "/run/test/sub/probe": "chmod 0750 /run/test/sub/probe",
            "/run/test/sub/probe x": "chmod 0700 /run/test/sub",
            "/run/test/script": "printf '#!/bin/sh\n' >/run/test/script; chmod 0711 /run/test/script",
            "/run/test/script x": "printf '#!/run/test/sub/probe\n' >/run/test/script; chmod 0755 /run/test/script; "
            "chmod 0750 /run/test/sub/probe",
        }.items()
    ),
    Finding("files", NOTIFY + "EnvironmentFile=/etc/default/probe\n", FAILS),
    Finding("files", NOTIFY + "EnvironmentFile=/etc/probe.d/*.conf\n", FAILS),
    Finding("files", NOTIFY + "WorkingDirectory=/srv/probe/none\n", FAILS),
    Finding("files", NOTIFY + "ReadWritePaths=/srv/probe/none\n", FAILS),
    Finding(
        "pid-file",
        "[Service]\nType=forking\nPIDFile=/run/probe.pid\nTimeoutStartSec=1\n"
        "ExecStart=sh -c 'sleep infinity & echo $! >/run/test/probe.pid'\n",
        FAILS,
    ),
    Finding(
        "pid-file",
        "[Service]\nType=forking\nPIDFile=/tmp/probe.pid\nPrivateTmp=yes\nTimeoutStartSec=1\n"
        "ExecStart=sh -c 'sleep infinity & echo $! >/tmp/probe.pid'\n",
        FAILS,
    ),
    Finding(
        "session",
        "[Service]\nType=exec\nExecStart=/bin/su -s /bin/sh nobody -c 'sleep 4711; true'\n",
        "systemctl start probe; until_true 'pgrep -f ^sleep.4711'; systemctl stop probe; pgrep -f '^sleep.4711'",
        undo="pkill -KILL -f '^sleep.4711'; loginctl terminate-user nobody",
    ),
    Finding(
        "session",
        "[Service]\nType=exec\nExecStart=/run/test/start\n",
        "systemctl start probe; until_true 'pgrep -f ^sleep.4712'; systemctl stop probe; pgrep -f '^sleep.4712'",
        {"/run/test/start": "#!/bin/sh\n[ ! -f /none ] || exit\n  su -s /bin/sh nobody -c 'sleep 4712; true'\n"},
        undo="pkill -KILL -f '^sleep.4712'; loginctl terminate-user nobody",
    ),
    Finding("session", NOTIFY + "PAMName=login\nUser=nobody\n", is_fixed=True),
    Finding("session", "[Service]\nType=exec\nExecStart=systemd-run --collect sleep 1\n"),
    Finding(
        "session",
        "[Service]\nType=exec\nExecStart=/sbin/runuser -l -s /bin/sh nobody -c 'sleep 4713; true'\n",
        "systemctl start probe; until_true 'pgrep -f ^sleep.4713'; systemctl stop probe; pgrep -f '^sleep.4713'",
        undo="pkill -KILL -f '^sleep.4713'; loginctl terminate-user nobody",
    ),
    Finding("manual-start", unit("RefuseManualStart=yes"), "! systemctl start probe", is_fixed=True),
    Finding(
        "manual-start",
        unit("RefuseManualStop=yes"),
        "systemctl start probe; ! systemctl stop probe",
        is_fixed=True,
    ),
    Finding("conditions", unit("ConditionPathExists=/srv/probe/none"), FAILS),
    Finding("conditions", unit("AssertPathExists=/srv/probe/none"), FAILS),
    Finding("stop-unneeded", unit("StopWhenUnneeded=yes"), FAILS, is_fixed=True),
    Finding(
        "runtime-max",
        NOTIFY + "RuntimeMaxSec=1\n",
        "systemctl start probe; [ $(systemctl show --property=RuntimeMaxUSec --value probe) != infinity ] && "
        "until_true '! systemctl is-active probe'",
        is_fixed=True,
    ),
    Finding(
        "lsb-script",
        "",
        "systemctl start probe; [ $(systemctl show --property=SubState --value probe) = exited ]",
        {"/etc/init.d/probe": LSB},
        is_fixed=True,
        has_hook=False,
    ),
    Finding(
        "stays-active",
        "[Service]\nType=simple\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'exit 0'\n",
        "systemctl start probe; until_true '[ $(systemctl show --property=MainPID --value probe) = 0 ]'; "
        "systemctl is-active probe",
        is_fixed=True,
        has_hook=False,
    ),
    Finding(
        "stays-active",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'sleep infinity &'\n",
        "systemctl start probe; systemctl kill -s KILL probe; systemctl is-active probe",
        has_hook=False,
    ),
    Finding("no-hook", NOTIFY, has_hook=False),
]  # fmt: skip

HARMLESS = {
    "probe.service": """
[Unit]
Conflicts=shutdown.target probe-other.service
After=srv-mounted.mount corosync.service network-online.target probe-db.service
PartOf=multi-user.target
Wants=network-online.target probe-shared.service probe-helper.service probe-missing.service
Requires=dbus.socket
BindsTo=probe-helper.service
RequiresMountsFor=/var/lib /srv/elsewhere
OnFailure=probe-mail@%n.service
OnSuccess=probe-report.service
ConditionPathExists=/etc/passwd
ConditionPathExists=|/srv/probe/none
ConditionPathExists=|/etc
AssertPathIsDirectory=!/etc/passwd
[Service]
Type=forking
PIDFile=/var/run/test/probe.pid
DynamicUser=yes
User=probe-dynamic
SupplementaryGroups=4711
EnvironmentFile=-/etc/default/probe
EnvironmentFile=/etc/pass*
WorkingDirectory=-/srv/probe/none
StateDirectory=probe
ReadWritePaths=/var/lib/probe -/srv/probe/none
ExecStartPre=-/opt/probe/missing
ExecStartPre=+/usr/sbin/runuser -u nobody -- true
ExecStartPre=!@/bin/sh probe -c "true; : a 'b c' ; su"
ExecStartPre=+/run/test/private
ExecStart=/run/test/link -c 'sleep infinity & echo $! >/run/test/probe.pid'
""",
    "srv-mounted.mount": "[Mount]\nWhat=/var/tmp\nWhere=/srv/mounted\nOptions=bind\n",
    "probe-report.service": "[Service]\nType=oneshot\nExecStart=-/usr/sbin/pcs status --full\n",
    "probe-shared.service": f"{SLEEP}[Install]\nWantedBy=multi-user.target\n",
    "probe-helper.service": f"[Unit]\nPartOf=probe.service\n{SLEEP}",
    "probe-mail@.service": "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'systemctl status --full %i'\n",
    "probe-db.service": SLEEP,
}


@pytest.fixture
def doctor(box: Box, measuring: Mapping[str, str]) -> Iterator[Doctor]:
    yield Doctor(box, measuring)
    box.sh("rm -rf /etc/systemd/system/probe* /etc/init.d/probe; systemctl daemon-reload")


@dataclass(frozen=True, slots=True)
class Doctor:
    """Runs doctor in the sandbox, by default with a hook."""

    box: Box
    measuring: Mapping[str, str]

    def __call__(self, name: str, *words: str, has_hook: bool = True) -> CompletedProcess[str]:
        script = "timeout 5 systemctl is-active --quiet probe && exit 0; exit 7"
        hook = ("--monitor-hook", self.box.hook(script)) if has_hook else ()
        arguments = [PROGRAM, "doctor", "--unit", name, *hook, *words, "--json"]
        return self.box.sandbox.run(arguments, env=self.measuring, timeout_s=60)


def put(box: Box, files: Mapping[str, str]) -> None:
    """Write files: units by name, others, which are executable, by path."""
    for name, text in files.items():
        if name.startswith("/"):
            box.write(name, text, 0o755)
        else:
            box.unit(name, text)


def commands(done: CompletedProcess[str], check: str) -> str:
    """Return the fix of a check, without the commands of the cluster and of doctor itself."""
    (lines,) = (each["fix"] for each in json.loads(done.stdout)["checks"] if each["name"] == check)
    return "\n".join(line for line in lines if not line.startswith(("pcs ", "ocf-systemd ")))


def is_harmful(box: Box, finding: Finding) -> bool:
    """Return whether the unit does what doctor reports; its services are stopped afterwards."""
    done = box.sandbox.run(["sh", "-c", UNTIL + finding.harm], timeout_s=60)
    box.sh(f"systemctl stop {finding.services}", check=False)
    return done.returncode == 0


@pytest.mark.parametrize(
    "finding", [pytest.param(each, id=f"{number}-{each.check}") for number, each in enumerate(FINDINGS)]
)
def test_finding(finding: Finding, box: Box, doctor: Doctor) -> None:
    """One problem is reported, and it is real; where the fix has commands for this host, these remove it."""
    box.sh(f"mkdir -p /run/test; {finding.prepare}")
    put(box, {**finding.files, **({finding.unit: finding.text} if finding.text else {})})
    box.sh(f"systemctl daemon-reload; for unit in {finding.running}; do systemctl start $unit; done")
    try:
        done = doctor(finding.unit, has_hook=finding.has_hook)
        assert problems(done) == {finding.check}
        assert not finding.harm or is_harmful(box, finding)
        if finding.is_fixed:
            box.sh(f"set -e\n{commands(done, finding.check)}\nsystemctl stop {finding.services}")
            assert problems(doctor(finding.unit)) == set()
            assert not finding.harm or not is_harmful(box, finding)
    finally:
        box.sh(finding.undo, check=False)


def test_harmless(box: Box, doctor: Doctor) -> None:
    """What resembles these problems, but breaks nothing, is not reported; the unit starts and stops."""
    box.sh("mkdir -p -m 0755 /run/test; ln -s /bin/sh /run/test/link; install -m 0700 /bin/true /run/test/private")
    put(box, HARMLESS)
    box.sh("systemctl daemon-reload; systemctl enable --quiet probe-shared.service; systemctl start srv-mounted.mount")
    assert problems(doctor("probe")) == set()
    box.sh("systemctl start probe; systemctl is-active probe; systemctl stop probe srv-mounted.mount")
    box.sh("systemctl disable --quiet probe-shared.service")


def test_what_cannot_be_read_does_not_delay_it(box: Box, doctor: Doctor) -> None:
    """A named pipe in the place of a unit file, or of a file that a unit names, is not waited for."""
    box.sh("mkdir -p /run/test; cd /etc/systemd/system; mkfifo -m 0755 probe-pipe.service /run/test/probe-pipe")
    put(box, {"probe.service": f"{NOTIFY}EnvironmentFile=/run/test/probe-pipe\nExecStartPre=/run/test/probe-pipe\n"})
    box.sh("systemctl daemon-reload")
    assert problems(doctor("probe")) == {"programs"}


def test_the_interpreter_of_a_hook(box: Box, doctor: Doctor) -> None:
    """A hook is only as safe as its interpreter: what doctor finds is what a monitor refuses, and why."""
    put(box, {"probe.service": NOTIFY})
    box.sh(f"systemctl daemon-reload; mkdir -p {HOOKS}; install -m 0757 /bin/sh {HOOKS}/interpreter")
    hook = box.hook("timeout 5 true; exit 7", "strange", shebang=f"#!{HOOKS}/interpreter\n")
    done = doctor("probe", "--monitor-hook", hook, has_hook=False)
    assert problems(done) == {"hook-safety"}
    assert f"{HOOKS}/interpreter is writable by everyone (the path of its interpreter)" in done.stdout
    assert commands(done, "hook-safety").startswith("#")  # it may be another package's


def test_conditions_are_unknown_without_systemd_analyze(box: Box, doctor: Doctor) -> None:
    """Where it is not installed, or is too old, the result says so: nothing is reported as met."""
    put(box, {"probe.service": unit("ConditionPathExists=/srv/probe/none")})
    box.sh("systemctl daemon-reload")
    for prepare in ("mv $(which systemd-analyze) /run/analyze", "install /bin/false /usr/bin/systemd-analyze"):
        box.sh(prepare)
        (found,) = (each for each in json.loads(doctor("probe").stdout)["checks"] if each["name"] == "conditions")
        assert (found["status"], "systemd-analyze" in found["what"]) == ("skipped", True)
    box.sh("mv /run/analyze /usr/bin/systemd-analyze")


def test_every_check_is_tested() -> None:
    """Each check of these modules finds a problem in a real unit above."""
    modules = (dependency_checks, exec_checks, lifetime_checks)
    assert {finding.check for finding in FINDINGS} >= {check.name for module in modules for check in module.CHECKS}


def test_it_is_quick(box: Box, doctor: Doctor) -> None:
    """It takes at most a second of CPU time, of a unit with many dependencies."""
    put(box, HARMLESS)
    box.sh("systemctl daemon-reload")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    doctor("probe", has_hook=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
