"""The parameters of the hook, each with a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

DIRECTORY = "/usr/local/lib/hooks"


class TestDirectory:
    @pytest.mark.parametrize(
        ("codes", "expected"),
        [
            pytest.param((0, 0), 0, id="all-running"),
            pytest.param((7, 7), 7, id="all-down"),
            pytest.param((0, 190), 190, id="one-degraded"),
            pytest.param((0, 7), 1, id="disagreement"),
            pytest.param((42, 43), 42, id="first-failure"),
            pytest.param((7, 42), 42, id="failure-before-down"),
            pytest.param((190, 5), 5, id="failure-before-degraded"),
        ],
    )
    def test_together(self, agent: Agent, box: Box, codes: tuple[int, int], expected: int) -> None:
        """Every executable file of a directory is run; any failure wins, the first by name."""
        for number, code in enumerate(codes):
            box.hook(f"exit {code}", f"{number}-hook")
        result = agent("monitor", unit=box.started(), monitor_hook=DIRECTORY)
        assert result.code == expected
        if 0 in codes and 7 in codes:
            assert result.reason.startswith("hooks disagree")
            assert all(f"{number}-hook" in result.reason for number in (0, 1))

    def test_at_once(self, agent: Agent, box: Box) -> None:
        """They are run at the same moment: three of 3 s take less than 6 s."""
        for name in "abc":
            box.hook("sleep 3", name)
        result = agent("monitor", unit=box.started(), monitor_hook=DIRECTORY, measured=False)
        assert result.code == 0
        assert result.elapsed_s < 6

    def test_what_is_passed_over(self, agent: Agent, box: Box) -> None:
        """Files that run-parts would not run, and those that are not executable, do not count."""
        box.hook("exit 0", "good")
        for name in (".hidden", "hook.dpkg-old", "backup~"):
            box.hook("exit 42", name)
        box.hook("exit 42", "README", mode=0o644)
        assert agent("monitor", unit=box.started(), monitor_hook=DIRECTORY).code == 0

    def test_nothing_to_run(self, agent: Agent, box: Box) -> None:
        """A directory without a hook is 5."""
        box.sh(f"mkdir -p {DIRECTORY}")
        result = agent("monitor", unit=box.started(), monitor_hook=DIRECTORY)
        assert result.code == 5
        assert result.reason == "hook hooks: cannot be run: the directory holds no executable file"


@pytest.mark.parametrize(
    ("protocol", "code", "expected"),
    [
        pytest.param("nagios", 0, 0, id="nagios-ok"),
        pytest.param("nagios", 1, 190, id="nagios-warning"),
        pytest.param("nagios", 2, 1, id="nagios-critical"),
        pytest.param("nagios", 3, 1, id="nagios-unknown"),
        pytest.param("nagios", 7, 1, id="nagios-other"),
        pytest.param("plain", 0, 0, id="plain-0"),
        pytest.param("plain", 1, 1, id="plain-1"),
        pytest.param("plain", 6, 1, id="plain-6"),
        pytest.param("plain", 7, 1, id="plain-7"),
        pytest.param("plain", 190, 1, id="plain-190"),
    ],
)
def test_protocol(agent: Agent, box: Box, protocol: str, code: int, expected: int) -> None:
    """How a hook's exit code is read; the reason has the code that it returned."""
    hook = box.hook(f"exit {code}")
    result = agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_protocol=protocol)
    assert result.code == expected
    assert not code or f"(exit {code})" in result.reason


def test_arguments(agent: Agent, box: Box) -> None:
    """Arguments are split by the shell's quoting rules, and no shell sees them."""
    hook = box.hook("""printf '%s|' "$@" >/run/test/arguments""")
    box.sh("mkdir -p /run/test")
    given = r"""one "two words" 'three $(touch /run/test/harm)' fo\ ur ; * """
    assert agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_args=given).code == 0
    assert box.sh("cat /run/test/arguments") == "one|two words|three $(touch /run/test/harm)|fo ur|;|*|"


def test_environment(agent: Agent, box: Box) -> None:
    """A hook sees what OCF gives, and nothing that changes what programs run or whom they talk to."""
    box.sh("mkdir -p /run/test")
    kept = {"OCF_CHECK_LEVEL": "10", "MY_SETTING": "x"}
    dropped = ("LD_PRELOAD", "PYTHONPATH", "IFS", "NOTIFY_SOCKET", "SYSTEMD_OFFLINE", "SYSTEMCTL_FORCE_BUS")
    variables = kept | dict.fromkeys(dropped, "")
    hook = box.hook("tr '\\0' '\\n' </proc/$$/environ >/run/test/environment")
    unit = box.started()
    assert agent("monitor", unit=unit, monitor_hook=hook, variables=variables).code == 0
    environment = dict(line.split("=", 1) for line in box.sh("cat /run/test/environment").splitlines())
    assert environment["OCF_RESKEY_unit"] == unit
    assert kept.items() <= environment.items()
    assert not environment.keys() & set(dropped)


class TestUser:
    def test_runs_as_that_user(self, agent: Agent, box: Box) -> None:
        """The hook has the user's ids and groups, and nothing of root's."""
        hook = box.hook('[ "$(id -un) $(id -gn) $(id -Gn)" = "nobody nogroup nogroup" ]')
        assert agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_user="nobody").code == 0

    def test_by_number(self, agent: Agent, box: Box) -> None:
        """A user can be given by number."""
        hook = box.hook('[ "$(id -u)" = 65534 ]')
        assert agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_user="65534").code == 0

    def test_unknown(self, agent: Agent, box: Box) -> None:
        """A user that this host does not know is 5."""
        result = agent("monitor", unit=box.started(), monitor_hook=box.hook(""), monitor_hook_user="mr-unknown")
        assert result.code == 5
        assert "there is no user mr-unknown" in result.reason

    def test_ends_what_another_user_runs(self, agent: Agent, box: Box) -> None:
        """What hangs as another user is ended too."""
        hook = box.hook("(setsid sleep 999 &); sleep 999")
        result = agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_user="nobody", timeout_s=2)
        assert result.code == 1


@pytest.mark.parametrize(
    ("retries", "code", "runs"),
    [pytest.param("0", 42, 1, id="none"), pytest.param("1", 42, 2, id="one"), pytest.param("5", 0, 3, id="enough")],
)
def test_retries(agent: Agent, box: Box, retries: str, code: int, runs: int) -> None:
    """A monitor runs a failed hook again, as often as it may; this one passes at the third try."""
    box.sh("mkdir -p /run/test")
    hook = box.hook("echo x >>/run/test/runs; [ $(wc -l </run/test/runs) -ge 3 ] || exit 42")
    result = agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_retries=retries)
    assert (result.code, len(box.marks("runs"))) == (code, runs)


@pytest.mark.parametrize(
    ("level", "runs"),
    [pytest.param("", 0, id="unset"), pytest.param("9", 0, id="below"), pytest.param("10", 1, id="at")],
)
def test_level(agent: Agent, box: Box, level: str, runs: int) -> None:
    """A hook with a level is run from that OCF_CHECK_LEVEL on; below it the unit's state alone counts."""
    variables = {"OCF_CHECK_LEVEL": level} if level else {}
    hook = box.marking("ran", 42)
    result = agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_level="10", variables=variables)
    assert (result.code, len(box.marks("ran"))) == ((42, 1) if runs else (0, 0))


class TestOrder:
    def test_gated(self, agent: Agent, box: Box) -> None:
        """With gated, the hook is not even started while the unit is down; it is while it runs."""
        hook = box.marking("ran", 42)
        down, up = box.service(), box.started()
        assert agent("monitor", unit=down, monitor_hook=hook, monitor_hook_order="gated").code == 7
        assert box.marks("ran") == []
        assert agent("monitor", unit=up, monitor_hook=hook, monitor_hook_order="gated").code == 42
        assert len(box.marks("ran")) == 1

    def test_concurrent(self, agent: Agent, box: Box) -> None:
        """Without it the hook is started with systemctl, also while the unit is down."""
        path = box.in_front_of_systemctl("sleep 0.5")
        hook = box.marking("ran", 42)
        result = agent("monitor", unit=box.service(), monitor_hook=hook, variables={"PATH": path})
        assert (result.code, len(box.marks("ran"))) == (7, 1)
