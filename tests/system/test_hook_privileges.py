"""What a hook gets of the agent's, and of its user's, and what it does not: ids, descriptors, powers, environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.server.orphans import MARK
from tests.system.agent import executor_environment
from tests.system.hook_tree import HOOK, MARKS, TREE, monitored_by_nobody, plant, runs

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box
    from tests.system.requirements import Requirements


@pytest.fixture
def tree(box: Box) -> Box:
    return plant(box)


REPORT = f"""exec >{MARKS}/report
grep -E '^(Uid|Gid|Groups|Cap)' /proc/self/status
ls -l /proc/$$/fd/
"""


# Finds the pipe that is neither of its outputs, and leaves a child behind that makes it asynchronous again and again.
TUG = """#!/usr/bin/python3 -I
import fcntl, os, time
pipe = max(int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}"))
if not os.fork():
    os.close(1)
    os.close(2)
    while True:
        fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_ASYNC)
time.sleep(0.1)
"""


class TestUser:
    def report(self, tree: Box, agent: Agent, user: str, before: str = "") -> list[str]:
        tree.write(HOOK, f"#!/bin/sh\n{before}\n{REPORT}", 0o755)
        assert agent("monitor", unit=tree.started(), monitor_hook=HOOK, monitor_hook_user=user).code == 0
        return tree.path(f"{MARKS}/report").read_text(encoding="utf-8").splitlines()

    @pytest.mark.parametrize("by", ["name", "number"])
    def test_who_it_is(self, agent: Agent, tree: Box, by: str) -> None:
        """All ids are the user's, groups those of the user database, and no capability is left."""
        tree.sh("id prober 2>/dev/null || useradd --no-create-home --groups adm,mail prober")
        number, group = tree.sh("id -u prober; id -g prober").split()
        report = self.report(tree, agent, "prober" if by == "name" else number)
        status = {line.split(":")[0]: line.split(":")[1].split() for line in report if ":\t" in line}
        assert status["Uid"] == [number] * 4
        assert status["Gid"] == [group] * 4
        assert set(status["Groups"]) == {group, "4", "8"}
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[name][0], 16) == 0

    @pytest.mark.parametrize("user", ["", "nobody"])
    def test_descriptors(self, agent: Agent, tree: Box, user: str) -> None:
        """Input from nowhere, two pipes to print to; nothing of the agent's that could be read or written."""
        keep = "exec 5>&1"  # a descriptor to be listed next to the report
        report = self.report(tree, agent, user, keep)
        found = dict(line.rsplit(maxsplit=3)[1::2] for line in report if " -> " in line)
        assert found.pop("0") == "/dev/null"
        assert found.pop("1") == f"{MARKS}/report"
        streams = {found.pop("2"), found.pop("5")}
        others = {link for link in found.values() if link != HOOK}  # the script, which its shell reads
        assert all(link.startswith("pipe:") for link in streams | others)
        assert len(others - streams) <= 1  # the parent-death pipe

    def test_what_it_cannot_do(self, agent: Agent, tree: Box) -> None:
        """It can neither signal the agent or its group, nor look into it, nor write where root does."""
        tries = (
            *("kill -0 $PPID", "kill -KILL $PPID", "head -c 1 /proc/$PPID/environ", "ls /proc/$PPID/fd/"),
            *("cat /etc/shadow", f"touch {TREE}/harm", "systemctl stop dbus.socket", "touch /run/systemd/system/harm"),
        )
        tree.write(HOOK, "#!/bin/sh\n" + "".join(f"{each} && exit {n}\n" for n, each in enumerate(tries, 20)), 0o755)
        tree.sh(f"echo 'kill -TERM 0' >>{HOOK}")  # its group: the agent is in it as well
        result = agent("monitor", unit=tree.started(), monitor_hook=HOOK, monitor_hook_user="nobody")
        assert result.code == 1
        assert result.reason.endswith("(killed by SIGTERM)")

    def test_directory(self, agent: Agent, tree: Box) -> None:
        """It begins where everyone may be: from the agent's own directory it could read what it has no way to."""
        tree.write(HOOK, f"#!/bin/sh\npwd >{MARKS}/report\n", 0o755)
        assert agent("monitor", unit=tree.started(), monitor_hook=HOOK, monitor_hook_user="nobody").code == 0
        assert tree.path(f"{MARKS}/report").read_text(encoding="ascii") == "/\n"

    def test_terminal(self, tree: Box) -> None:
        """It has no terminal, so that it cannot type into root's (TIOCSTI in ioctl_tty(2))."""
        tree.write(HOOK, f"#!/bin/sh\ntrue </dev/tty && exit 1\n: >{MARKS}/without; exit 0\n", 0o755)
        debug = f"ocf-systemd debug monitor --unit {tree.started()} --monitor-hook {HOOK} -o monitor_hook_user=nobody"
        path = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
        tree.sh(f"PATH={path} script --quiet --return --command '{debug}' /dev/null </dev/null")
        assert runs(tree) == 1

    def test_pipe(self, agent: Agent, tree: Box) -> None:
        """The parent-death pipe cannot harm the agent: a hook that sets O_ASYNC again can only hit itself."""
        tree.write(HOOK, TUG, 0o755)
        unit, alone = tree.started(), ("setsid", "--wait")  # so that the agent leads its group, as under Pacemaker
        for _ in range(5):
            call = agent.begin(
                "monitor", through=alone, measured=False, unit=unit, monitor_hook=HOOK, monitor_hook_user="nobody"
            )
            result = call.finish()
            agent.audit(call, result)
            assert result.code == 0

    @pytest.mark.parametrize("user", ["no-such-user", "4242424", "4294967295"])
    def test_unknown(self, agent: Agent, tree: Box, user: str) -> None:
        """A user that this host does not have is 5 from all that look; never root in its place; stop works."""
        unit = tree.started()
        level = {"OCF_CHECK_LEVEL": "10"}
        for action in ("start", "monitor", "validate-all"):
            result = agent(action, unit=unit, monitor_hook=HOOK, monitor_hook_user=user, variables=level)
            assert result.code == 5
            assert f"there is no user {user}" in result.reason
        assert agent("stop", unit=unit, monitor_hook=HOOK, monitor_hook_user=user).code == 0
        assert not runs(tree)

    def test_an_agent_that_is_not_root(self, agent: Agent, tree: Box, require: Requirements) -> None:
        """It can run a hook as its own user; as another it returns 1 with that reason."""
        require.readable_interpreter()
        unit = tree.started()
        assert monitored_by_nobody(agent, unit, HOOK, "nobody").code == 190
        result = monitored_by_nobody(agent, unit, HOOK, "root")
        assert result.code == 1
        assert result.reason == "hook smtp: cannot be started: Operation not permitted"


KEPT = {
    "OCF_CHECK_LEVEL": "10",
    "OCF_RESKEY_other": "a 'quoted' $(id)\nline",
    "HA_LOGFILE": "/dev/null",
    "HA_LOGTAG": "x",
    "PCMK_service": "x",
    "LANG": "de_DE.UTF-8",
    "TZ": "UTC",
    "MY_SETTING": "\u00fc",
    "ENVIRONMENT": "x",
    "OLD_LD_PATH": "x",
    "EMPTY": "",
}
DROPPED = (
    *("LD_LIBRARY_PATH", "LD_AUDIT_x", "GCONV_PATH", "GLIBC_TUNABLES"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PERL5LIB", "PERL5OPT", "RUBYOPT", "NODE_OPTIONS", "LUA_INIT"),
    *("IFS", "ENV", "BASH_ENV", "BASH_FUNC_curl%%", "SHELLOPTS", "BASHOPTS", "PS4", "CDPATH", "GLOBIGNORE"),
    *("SYSTEMD_OFFLINE", "SYSTEMD_LOG_LEVEL", "SYSTEMCTL_FORCE_BUS", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"),
    *("WATCHDOG_USEC", "DBUS_SYSTEM_BUS_ADDRESS", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"),
)


class TestEnvironment:
    def environment(self, agent: Agent, tree: Box, unit: str, user: str) -> dict[str, str]:
        """Return what a hook's environment is, as the kernel gave it."""
        tree.write(HOOK, f"#!/bin/sh\ncat /proc/$$/environ >{MARKS}/environment\n", 0o755)
        given = KEPT | dict.fromkeys(DROPPED, "/no/such/place") | {"LD_PRELOAD": "libc.so.6"}
        given |= {"OCF_RESKEY_monitor_hook_user": user} if user else {}
        assert agent("monitor", unit=unit, monitor_hook=HOOK, variables=given, measured=False).code == 0
        raw = tree.path(f"{MARKS}/environment").read_bytes().decode()
        environment = dict(assignment.split("=", 1) for assignment in raw.removesuffix("\0").split("\0"))
        assert (MARK in environment) is (agent.is_resident and not user)  # the server declines hooks of users
        environment.pop(MARK, None)
        return environment

    def expected(self, unit: str) -> dict[str, str]:
        given = {"OCF_RESKEY_unit": unit, "OCF_RESKEY_monitor_hook": HOOK}
        return {**executor_environment("monitor", 20, 10), **KEPT, **given}

    def test_exactly(self, agent: Agent, tree: Box) -> None:
        """All that the action was given, to the letter; nothing that makes programs run other code; nothing more.

        But for the server's mark, by which it knows its own.
        """
        unit = tree.started()
        assert self.environment(agent, tree, unit, "") == self.expected(unit)

    def test_exactly_of_another_user(self, agent: Agent, tree: Box) -> None:
        """The same, with that user's name and home."""
        unit = tree.started()
        expected = self.expected(unit) | {"OCF_RESKEY_monitor_hook_user": "nobody"}
        expected |= {"USER": "nobody", "LOGNAME": "nobody", "HOME": "/nonexistent"}
        assert self.environment(agent, tree, unit, "nobody") == expected
