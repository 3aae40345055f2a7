"""What `systemctl show` prints of units in several states."""

from __future__ import annotations

from ocf_systemd.core.observations import (
    UnitDetails,
)

ACTIVE = b"""\
LoadState=loaded
ActiveState=active
SubState=running
Result=success
ExecMainCode=0
ExecMainStatus=0
CanReload=yes
ConditionResult=yes
ConditionTimestampMonotonic=4711
NeedDaemonReload=no
DropInPaths=/run/systemd/system/a.d/1.conf /etc/systemd/system/a.d/2.conf
"""


FAILED = b"""\
Result=exit-code
ExecMainCode=1
ExecMainStatus=3
LoadState=loaded
ActiveState=failed
SubState=failed
CanReload=no
ConditionResult=yes
NeedDaemonReload=yes
"""


NOT_FOUND = b"LoadState=not-found\nActiveState=inactive\nSubState=dead\nCanReload=no\nConditionResult=no\n"


DETAILS = """\
Id=mariadb.service
Names=mariadb.service mysql.service mysqld.service
Restart=on-abort
RestartForceExitStatus=3 SIGHUP
KillMode=mixed
MainPID=812
ExecMainPID=812
ExecMainStartTimestampMonotonic=4711000000
ControlGroup=/system.slice/mariadb.service
Slice=system.slice
"""


ALL_DETAILS = UnitDetails(
    id="mariadb.service",
    names=("mariadb.service", "mysql.service", "mysqld.service"),
    restart="on-abort",
    restart_force="3 SIGHUP",
    kill_mode="mixed",
    main_pid=812,
    main_started_us=4_711_000_000,
    control_group="/system.slice/mariadb.service",
    slice="system.slice",
)


STARTING = b"LoadState=loaded\nActiveState=activating\nSubState=start\nJob=1234\nResult=success\n"
