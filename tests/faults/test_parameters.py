"""What the agent is called with: timeouts, long and odd values, environments, hostile names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

NO_NAMES = [
    pytest.param("", id="unset"),
    pytest.param("a;touch /run/test/harm", id="semicolon"),
    pytest.param("$(touch /run/test/harm)", id="substitution"),
    pytest.param("`touch /run/test/harm`", id="backticks"),
    pytest.param("-H x", id="option"),
    pytest.param("--help", id="long-option"),
    pytest.param("../x", id="parent"),
    pytest.param("/etc/passwd", id="path"),
    pytest.param("a\nb", id="newline"),
    pytest.param("a\n", id="newline-at-end"),
    pytest.param("a b", id="blank"),
    pytest.param("*", id="glob"),
    pytest.param("ssh*", id="glob-at-end"),
    pytest.param("a[bc]", id="class"),
    pytest.param("x" * 300, id="long"),
    pytest.param("x" * 248, id="long-with-suffix"),
    pytest.param("foo@", id="template"),
    pytest.param("foo@.service", id="template-with-suffix"),
    pytest.param("@bar", id="only-instance"),
    pytest.param(".service", id="only-suffix"),
    pytest.param("a.slice", id="other-type"),
    pytest.param("a\udcff", id="no-utf-8"),
    pytest.param("ä", id="no-ascii"),
]


class TestUnitNames:
    @pytest.mark.fault("hostile unit names", "6 before anything is spawned")
    @pytest.mark.parametrize("name", NO_NAMES)
    def test_nothing_is_run(self, agent: Agent, box: Box, name: str) -> None:
        """A name that is none is 6, before a hook or systemctl is run."""
        path = box.in_front_of_systemctl("echo ran >>/run/test/systemctl")
        answer = agent("start", unit=name, monitor_hook=box.marking("hook"), variables={"PATH": path})
        assert answer.code == 6
        assert re.match(r"unit(=| is not set)", answer.reason)
        assert (box.marks("systemctl"), box.marks("hook"), box.marks("harm")) == ([], [], [])

    def test_a_right_one_is_run(self, agent: Agent, box: Box) -> None:
        """The same with a right name runs both: what the other test looks for would be there."""
        path = box.in_front_of_systemctl("echo ran >>/run/test/systemctl")
        unit, hook = box.started(), box.marking("hook")
        assert agent("monitor", unit=unit, monitor_hook=hook, variables={"PATH": path}).code == 0
        # The server asks PID 1 itself.
        assert (box.marks("systemctl"), box.marks("hook")) == ([] if agent.is_resident else ["ran"], ["ran "])

    @pytest.mark.fault("hostile unit names", "6 from every action")
    @pytest.mark.parametrize("action", ["start", "stop", "monitor", "reload", "reload-agent", "validate-all"])
    def test_every_action(self, agent: Agent, action: str) -> None:
        """No action takes such a name."""
        assert agent(action, unit="-H x").code == 6


@pytest.mark.fault("timeout missing, 0, 1, 20s, negative, huge, text", "default, clamp or quick failure; no traceback")
@pytest.mark.parametrize(
    ("timeout", "code"),
    [
        pytest.param("", 0, id="empty"),
        pytest.param("0", 0, id="zero"),
        pytest.param("20s", 0, id="with-unit"),
        pytest.param("-5", 0, id="negative"),
        pytest.param("soon", 0, id="word"),
        pytest.param("9" * 40, 0, id="huge"),
        pytest.param("1", 1, id="one-millisecond"),
    ],
)
def test_timeout(agent: Agent, box: Box, timeout: str, code: int) -> None:
    """A timeout that says nothing is taken for the default; one that leaves no time is a quick failure."""
    variables = {"OCF_RESKEY_CRM_meta_timeout": timeout}
    answer = agent("monitor", unit=box.started(), monitor_hook=box.hook("exit 0"), variables=variables)
    assert answer.code == code


@pytest.mark.fault("timeout missing", "20 s")
def test_no_timeout(agent: Agent, box: Box) -> None:
    """Without a timeout the unit is asked as ever."""
    assert agent.run("monitor", environment={"OCF_RESKEY_unit": box.started()}).code == 0


class TestEnvironment:
    @pytest.mark.fault("empty environment", "6 with a reason, no traceback")
    def test_empty(self, agent: Agent) -> None:
        """Without any environment there is no unit: 6 with a reason, and no traceback."""
        answer = agent.run("monitor", environment={})
        assert answer.code == 6
        assert "unit is not set" in answer.reason
        assert "Traceback" not in answer.stderr

    @pytest.mark.fault("no PATH", "no effect")
    def test_no_path(self, agent: Agent, box: Box) -> None:
        """Without a PATH systemctl and hook are found where systems have them."""
        hook = box.hook("exec ls /")
        environment = {"OCF_RESKEY_unit": box.started(), "OCF_RESKEY_monitor_hook": hook}
        assert agent.run("monitor", environment=environment).code == 0

    @pytest.mark.fault("LC_ALL=C, and a hook whose name is no ASCII", "run like any other, and named in the reason")
    @pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "xx_XX.nonsense"])
    def test_locale(self, agent: Agent, box: Box, locale: str) -> None:
        """No locale keeps the agent from a hook, nor from what the hook says."""
        hook = box.hook("echo Grüße >&2; exit 42", "hök")
        answer = agent("monitor", unit=box.started(), monitor_hook=hook, variables={"LC_ALL": locale})
        assert answer.code == 42
        assert answer.reason.startswith(f"hook {hook} exited with 42")
        assert answer.reason.endswith(": Grüße")

    @pytest.mark.fault("128 KiB parameter", "an argument like any other")
    def test_long_value(self, agent: Agent, box: Box) -> None:
        """A value as long as the kernel passes on is an argument like any other."""
        unit, hook = box.started(), box.hook('[ "${#1}" -gt 100000 ]')
        answer = agent("monitor", unit=unit, monitor_hook=hook, monitor_hook_args="x" * (128 * 1024 - 100))
        assert answer.code == 0

    @pytest.mark.fault("128 KiB parameter", "told as wrong in a short reason, where it is")
    @pytest.mark.parametrize("name", ["unit", "monitor_hook", "monitor_hook_timeout", "monitor_hook_user"])
    def test_long_wrong_value(self, agent: Agent, name: str) -> None:
        """A long value that is wrong is 6, or 5 where it names what is not there, and does not fill the log."""
        variables = {"OCF_RESKEY_unit": "fine", f"OCF_RESKEY_{name}": "x" * (128 * 1024 - 100)}
        answer = agent("monitor", variables=variables)
        assert answer.code in {5, 6}
        assert len(answer.stderr) < 2000

    @pytest.mark.fault("byte 0xff in a value", "passed on as it is")
    def test_bytes_that_are_no_text(self, agent: Agent, box: Box) -> None:
        """A byte that is no UTF-8 reaches the hook as it is."""
        unit, hook = box.started(), box.hook("""[ "$(printf '\\377')" = "$1" ]""")
        assert agent("monitor", unit=unit, monitor_hook=hook, monitor_hook_args="\udcff").code == 0

    @pytest.mark.fault("byte 0xff in a value", "an answer with a reason, no traceback, where it means nothing")
    @pytest.mark.parametrize(
        ("name", "codes"),
        [
            ("unit", {6}),
            ("monitor_hook", {5}),
            ("monitor_hook_timeout", {6}),
            ("monitor_hook_user", {5, 6}),
            ("monitor_hook_protocol", {6}),
        ],
    )
    def test_bytes_that_mean_nothing(self, agent: Agent, box: Box, name: str, codes: set[int]) -> None:
        """A byte that is no UTF-8 is told where it is wrong, and nothing breaks over it."""
        values = {"unit": box.started(), "monitor_hook": box.hook("exit 0"), name: "/no/\udcff"}
        variables = {f"OCF_RESKEY_{each}": value for each, value in values.items()}
        assert agent("monitor", variables=variables).code in codes
