"""Hooks that another user could change are not run; and what the agent leaves for other users."""

from __future__ import annotations

import os
import struct
import subprocess
from typing import TYPE_CHECKING, ClassVar

import pytest

from tests.system.hook_tree import HOOK, MARKS, TREE, monitored_by_nobody, plant, runs

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box
    from tests.system.requirements import Requirements

PARTS = ("opt", "opt/hooks", "opt/hooks/smtp")
# What is done to the tree, then the path that is given and what is at fault, both below the tree.
VIOLATIONS = [
    *(pytest.param(f"chown daemon {part}", HOOK, f"{part} is owned by uid 1", id=f"owner-of-{part}") for part in PARTS),
    *(
        pytest.param(
            f"chgrp adm {part}; chmod g+w {part}", HOOK, f"{part} is writable by group 4", id=f"group-of-{part}"
        )
        for part in PARTS
    ),
    *(
        pytest.param(f"chmod o+w {part}", HOOK, f"{part} is writable by everyone", id=f"others-of-{part}")
        for part in PARTS
    ),
    pytest.param("chmod 1777 opt/hooks", HOOK, "opt/hooks is writable by everyone", id="sticky-directory"),
    pytest.param("chmod 1777 opt", HOOK, "opt is writable by everyone", id="sticky-parent"),
    pytest.param(
        "chmod 1777 bad; ln -s ../opt/hooks/smtp bad/link",
        f"{TREE}/bad/link",
        "bad is writable by everyone",
        id="link-in-sticky",
    ),
    pytest.param(
        f"mv opt/hooks/smtp bad; echo '#!{TREE}/bad/smtp' >opt/hooks/smtp; chmod 755 opt/hooks/smtp",
        HOOK,
        "bad is writable by everyone (the path of its interpreter)",
        id="interpreter-in-a-bad-place",
    ),
    pytest.param("chmod 1757 opt/hooks/smtp", HOOK, "opt/hooks/smtp is writable by everyone", id="sticky-file"),
    pytest.param(
        "mv opt/hooks/smtp bad; ln -s /run/test/bad/smtp opt/hooks/smtp",
        HOOK,
        "bad is writable by everyone",
        id="link-into-a-bad-place",
    ),
    pytest.param(
        "mkdir bad/good; mv opt/hooks/smtp bad/good; ln -s /run/test/bad/good/smtp opt/hooks/smtp",
        HOOK,
        "bad is writable by everyone",
        id="link-below-a-bad-place",
    ),
    pytest.param(
        "mv opt/hooks/smtp bad; ln -s ../../bad/smtp opt/hooks/smtp",
        HOOK,
        "bad is writable by everyone",
        id="relative-link",
    ),
    pytest.param(
        "ln -s ../opt/hooks/smtp bad/smtp",
        f"{TREE}/bad/smtp",
        "bad is writable by everyone",
        id="link-out-of-a-bad-place",
    ),
    pytest.param(
        "ln -s bad/smtp one; ln -s ../opt/hooks/smtp bad/smtp",
        f"{TREE}/one",
        "bad is writable by everyone",
        id="link-by-way-of-a-bad-place",
    ),
    pytest.param(
        "ln -s smtp opt/hooks/link; chown -h daemon opt/hooks/link",
        f"{TREE}/opt/hooks/link",
        "opt/hooks/link is owned by uid 1",
        id="somebody-elses-link",
    ),
    pytest.param(
        "ln -s opt/hooks hooks; chown -h daemon hooks",
        f"{TREE}/hooks/smtp",
        "hooks is owned by uid 1",
        id="somebody-elses-link-to-the-directory",
    ),
    pytest.param("", f"{TREE}/bad/../opt/hooks/smtp", "bad is writable by everyone", id="dot-dot"),
    pytest.param(
        "ln -s /bin/true opt/hooks/other; chown daemon opt/hooks/smtp",
        f"{TREE}/opt/hooks",
        "opt/hooks/smtp is owned by uid 1",
        id="one-of-a-directory",
    ),
    pytest.param("chmod o+w opt/hooks", f"{TREE}/opt/hooks", "opt/hooks is writable by everyone", id="a-directory"),
    pytest.param(
        "rm opt/hooks/smtp; chmod o+w opt/hooks", f"{TREE}/opt/hooks", "opt/hooks is writable", id="no-hook-yet"
    ),
]

SAFE = [
    pytest.param("chgrp root opt/hooks opt/hooks/smtp; chmod g+w opt/hooks opt/hooks/smtp", HOOK, id="roots-group"),
    pytest.param("ln -s opt/hooks/smtp link", f"{TREE}/link", id="roots-link"),
    pytest.param(
        "mv opt/hooks/smtp 'opt/hooks/a b;$(touch x)*'", f"{TREE}/opt/hooks/a b;$(touch x)*", id="shell-characters"
    ),
]


@pytest.fixture
def tree(box: Box) -> Box:
    return plant(box)


@pytest.fixture
def others_can_run_it(require: Requirements) -> None:
    require.readable_interpreter()


class TestPath:
    @pytest.mark.parametrize(("prepare", "path", "fault"), VIOLATIONS)
    def test_unsafe(self, agent: Agent, tree: Box, prepare: str, path: str, fault: str) -> None:
        """4 from start, monitor and validate-all with the component at fault, nothing is run; stop works."""
        unit = tree.started()
        tree.sh(f"cd {TREE}; {prepare}")
        for action, level in (("start", "0"), ("monitor", "0"), ("validate-all", "10")):
            result = agent(action, unit=unit, monitor_hook=path, variables={"OCF_CHECK_LEVEL": level})
            assert result.code == 4, result
            assert f": not safe to run: {TREE}/{fault}" in result.reason
        assert agent("stop", unit=unit, monitor_hook=path).code == 0
        assert not runs(tree)

    @pytest.mark.usefixtures("others_can_run_it")
    @pytest.mark.parametrize(("prepare", "path", "fault"), VIOLATIONS)
    def test_unsafe_for_another_user(self, agent: Agent, tree: Box, prepare: str, path: str, fault: str) -> None:
        """The check is the same if the hook runs as another user, or if the agent is not root."""
        unit = tree.started()
        tree.sh(f"cd {TREE}; {prepare}")
        results = [
            agent("monitor", unit=unit, monitor_hook=path, monitor_hook_user="nobody"),
            monitored_by_nobody(agent, unit, path),
        ]
        for result in results:
            assert result.code == 4, result
            assert f": not safe to run: {TREE}/{fault}" in result.reason
        assert not runs(tree)

    @pytest.mark.usefixtures("others_can_run_it")
    @pytest.mark.parametrize(("prepare", "path"), SAFE)
    def test_safe(self, agent: Agent, tree: Box, prepare: str, path: str) -> None:
        """A hook that no other user can change is run once a monitor, as any user; no shell interprets the path."""
        unit = tree.started()
        tree.sh(f"cd {TREE}; {prepare}")
        results = [
            agent("monitor", unit=unit, monitor_hook=path),
            agent("monitor", unit=unit, monitor_hook=path, monitor_hook_user="nobody"),
            monitored_by_nobody(agent, unit, path),
        ]
        assert [result.code for result in results] == [190, 190, 190], results
        assert runs(tree) == 3
        assert not tree.path(f"{TREE}/x").exists()

    @pytest.mark.parametrize("part", PARTS)
    def test_access_control_list(self, agent: Agent, tree: Box, part: str) -> None:
        """With a list (acl(5)) the mode does not show who may write: here user nobody, in a group that is root's."""
        unit = tree.started()
        entries = [(0x01, 7, -1), (0x02, 7, 65534), (0x04, 5, -1), (0x10, 7, -1), (0x20, 5, -1)]
        packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
        os.setxattr(tree.path(f"{TREE}/{part}"), "system.posix_acl_access", packed)
        result = agent("monitor", unit=unit, monitor_hook=HOOK)
        assert result.code == 4
        assert f"{TREE}/{part} may be writable by others: it has an access control list" in result.reason

    @pytest.mark.usefixtures("others_can_run_it")
    def test_owner(self, agent: Agent, tree: Box) -> None:
        """A hook may be its user's own, for that user has no more power by it: as root it is not run."""
        unit = tree.started()
        tree.sh(f"chown -R nobody {TREE}/opt")
        assert agent("monitor", unit=unit, monitor_hook=HOOK, monitor_hook_user="nobody").code == 190
        assert monitored_by_nobody(agent, unit, HOOK).code == 190
        assert agent("monitor", unit=unit, monitor_hook=HOOK).code == 4
        assert agent("monitor", unit=unit, monitor_hook=HOOK, monitor_hook_user="daemon").code == 4

    def test_relative(self, agent: Agent, tree: Box) -> None:
        """A path that is not absolute is 6, wherever it would lead."""
        unit = tree.started()
        for path in ("opt/hooks/smtp", "./smtp", "../run/test/opt/hooks/smtp", "smtp"):
            result = agent("monitor", unit=unit, monitor_hook=path)
            assert result.code == 6
            assert "is not an absolute path" in result.reason

    def test_arguments_in_the_path(self, agent: Agent, tree: Box) -> None:
        """Arguments to a shell are part of the path, which does not exist; the reason names the parameter to use."""
        result = agent("monitor", unit=tree.started(), monitor_hook=f"{HOOK} -x")
        assert result.code == 5
        assert result.reason.startswith("hook smtp: cannot be run: its arguments belong in monitor_hook_args")
        assert not runs(tree)

    def test_link_of_the_kernels(self, agent: Agent, tree: Box) -> None:
        """/proc/PID/root reads as / and leads into another file system: what is there has not been looked at."""
        script = (
            f"mount -t tmpfs -o mode=777 x {TREE}/opt; cp -r {TREE}/copy/. {TREE}/opt; echo $$ >{MARKS}/pid; read -r x"
        )
        tree.sh(f"cp -r {TREE}/opt {TREE}/copy")
        command = tree.sandbox.command(["unshare", "--mount", "sh", "-c", script])
        with subprocess.Popen(command, stdin=subprocess.PIPE) as elsewhere:
            tree.sh(f"until [ -s {MARKS}/pid ]; do sleep 0.02; done")
            pid = tree.path(f"{MARKS}/pid").read_text(encoding="ascii").strip()
            result = agent("monitor", unit=tree.started(), monitor_hook=f"/proc/{pid}/root{HOOK}")
            elsewhere.communicate(b"\n", timeout=10)
        assert result.code == 4
        assert "resolves to a different file than its symbolic links name" in result.reason

    @pytest.mark.parametrize("path", [f"{TREE}/fifo", "/dev/null", "/dev/stdin", "/proc/self/fd/0", "/proc/self/mem"])
    def test_special_files(self, agent: Agent, tree: Box, path: str) -> None:
        """What is no file is not opened, let alone waited for."""
        tree.sh(f"mkfifo -m 755 {TREE}/fifo")
        result = agent("monitor", unit=tree.started(), monitor_hook=path)
        assert result.code in {4, 5}
        assert "writable by everyone" in result.reason or "cannot be run" in result.reason


class TestTraces:
    def test_nothing_in_tmp(self, agent: Agent, tree: Box) -> None:
        """No action needs a place where everyone may write: all do their work where there is none."""
        unit = tree.service()
        read_only = "mount --rbind $place $place; mount --make-rprivate $place; mount -o remount,bind,ro $place"
        tree.sh(f"for place in /tmp /var/tmp; do {read_only}; done")
        try:
            names = ("start", "monitor", "reload-agent", "validate-all", "stop")
            codes = [agent(name, unit=unit, monitor_hook=HOOK, measured=False).code for name in names]
        finally:
            tree.sh("umount --recursive /tmp /var/tmp")
        assert codes == [0, 190, 0, 0, 0]

    def test_journal(self, agent: Agent, tree: Box) -> None:
        """Nothing a hook prints reaches the system's log with an escape code, or on a line of its own making."""
        text = r"\033[2J\033]0;title\007a\rERROR: forged\n\302\2332J\342\200\256turned\n\377\nocf-exit-reason:forged\n"
        tree.write(HOOK, f"#!/bin/sh\nprintf '{text}'; printf '{text}' >&2; exit 42\n", 0o755)
        unit = tree.started()  # no other test has one of that name, and so no other such lines
        assert agent("monitor", unit=unit, monitor_hook=HOOK, variables={"OCF_RESOURCE_INSTANCE": unit}).code == 42
        lines = tree.sh('journalctl --sync; journalctl --output=cat --identifier="systemd($1)"', unit).splitlines()
        assert len([line for line in lines if line.startswith(f"WARNING: {HOOK}: ")]) == 9
        assert lines[-1] == f"ERROR: hook {HOOK}: forged (exit 42)"
        assert len(lines) == 10
        assert all(line.isprintable() for line in lines)


class TestConfidential:
    """The arguments of a hook may contain a password: no reason shows them, and no log above level debug."""

    CONFIDENTIAL = "hunter2"
    LOGGED: ClassVar = {"HA_LOGFILE": "/run/test/log", "HA_LOGFACILITY": "none"}

    @pytest.mark.parametrize(
        ("script", "arguments", "code"),
        [
            pytest.param("exit 42", CONFIDENTIAL, 42, id="fails"),
            pytest.param("exec sleep 60", CONFIDENTIAL, 1, id="times-out"),
            pytest.param("kill -KILL $$", CONFIDENTIAL, 1, id="killed"),
            pytest.param('sh -c "sleep 60; exit" "$1" & sleep 0.2; exit 42', CONFIDENTIAL, 42, id="leaves-a-process"),
            pytest.param("exit 0", f"'{CONFIDENTIAL}", 6, id="cannot-be-split"),
        ],
    )
    def test_arguments(self, agent: Agent, tree: Box, script: str, arguments: str, code: int) -> None:
        """However the hook ends, or cannot be started."""
        tree.write(HOOK, f"#!/bin/sh\n{script}\n", 0o755)
        result = agent(
            "monitor",
            unit=tree.started(),
            monitor_hook=HOOK,
            monitor_hook_args=arguments,
            timeout_s=4,
            variables=self.LOGGED,
        )
        assert result.code == code
        assert tree.marks("log")
        for text in (result.reason, result.stderr, *tree.marks("log")):
            assert self.CONFIDENTIAL not in text
