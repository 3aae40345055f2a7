"""What the agent is called with: timeouts, long and odd values, environments, hostile names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.core.parameter_table import TABLE
from tests.system.agent import as_variables

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
    @pytest.mark.fault(
        "The parameter `unit` is not a valid name, such as `-H x` or `$(…)`.",
        "A start returns 6, and starts neither `systemctl` nor the hook.",
    )
    @pytest.mark.parametrize("name", NO_NAMES)
    def test_nothing_is_run(self, agent: Agent, box: Box, name: str) -> None:
        """An invalid unit name is 6, before a hook or systemctl is run."""
        path = box.in_front_of_systemctl("echo ran >>/run/test/systemctl")
        result = agent("start", unit=name, monitor_hook=box.marking("hook"), variables={"PATH": path})
        assert result.code == 6
        assert re.match(r"unit(=| is not set)", result.reason)
        assert (box.marks("systemctl"), box.marks("hook"), box.marks("harm")) == ([], [], [])

    def test_a_right_one_is_run(self, agent: Agent, box: Box) -> None:
        """The same with a right name runs both: what the other test looks for would be there."""
        path = box.in_front_of_systemctl("echo ran >>/run/test/systemctl")
        unit, hook = box.started(), box.marking("hook")
        assert agent("monitor", unit=unit, monitor_hook=hook, variables={"PATH": path}).code == 0
        # The server queries PID 1 itself.
        assert (box.marks("systemctl"), box.marks("hook")) == ([] if agent.is_resident else ["ran"], ["ran "])

    @pytest.mark.fault(
        "The parameter `unit` is not a valid name, such as `-H x` or `$(…)`.",
        "Every action except probe and stop returns 6.",
    )
    @pytest.mark.parametrize("action", ["start", "monitor", "reload", "reload-agent", "validate-all"])
    def test_every_action(self, agent: Agent, action: str) -> None:
        """No action takes such a name."""
        assert agent(action, unit="-H x").code == 6

    @pytest.mark.fault(
        "The parameter `unit` is not a valid name, or is not set.",
        "A probe returns 7, and a stop returns 0. Both log a warning, and start neither `systemctl` nor the hook.",
    )
    @pytest.mark.parametrize("name", NO_NAMES)
    def test_probe_and_stop(self, agent: Agent, box: Box, name: str) -> None:
        """Nothing of that name can run: a 6 from these would have Pacemaker fence the node for a typing error."""
        path = box.in_front_of_systemctl("echo ran >>/run/test/systemctl")
        hook, variables = box.marking("hook"), {"PATH": path, "HA_LOGFACILITY": ""}
        for action, code in (("monitor", 7), ("stop", 0)):
            result = agent(action, unit=name, monitor_hook=hook, interval_s=0, variables=variables)
            assert result.code == code
            assert re.search(r"WARNING: unit(=| is not set).*: treated as not running", result.stderr)
        assert (box.marks("systemctl"), box.marks("hook"), box.marks("harm")) == ([], [], [])


# A wrong value of every parameter but the unit.
WRONG = {
    "monitor_hook": "hooks/smtp",
    "monitor_hook_args": "'unbalanced",
    "monitor_hook_protocol": "snmp",
    "monitor_hook_timeout": "soon",
    "monitor_hook_retries": "-1",
    "monitor_hook_level": "high",
    "monitor_hook_user": "a/b",
    "monitor_hook_order": "later",
    "poll_interval": "abc",
    "start_poll_limit": "many",
    "stop_poll_limit": "1.5",
    "stop_verify": "maybe",
    "stop_escalate": "2",
    "order_at_shutdown": "perhaps",
}
# How each is reported: arguments may be confidential, so their value is not.
REPORTED = {name: f"{name}='{value}'" for name, value in WRONG.items()} | {
    "monitor_hook_args": "monitor_hook_args cannot be split into arguments"
}
REFUSING = ("start", "monitor", "reload", "reload-agent", "validate-all")


class TestWrongValues:
    def test_every_parameter(self) -> None:
        """The other tests leave none out."""
        assert {"unit", *WRONG} == {parameter.name for parameter in TABLE}

    @pytest.mark.fault(
        "A parameter other than `unit` has a wrong value.",
        "Start, recurring monitor, reload, `reload-agent` and `validate-all` return 6. A probe uses the unit's state, "
        "and a stop uses the defaults; both log a warning.",
    )
    @pytest.mark.parametrize("name", WRONG)
    def test_one(self, agent: Agent, box: Box, name: str) -> None:
        """A typing error is reported, and does not make a probe or a stop fail."""
        unit = box.started()
        given = as_variables({"monitor_hook": box.marking("ran", 7), name: WRONG[name]})
        calls = [agent.begin(action, unit=unit, variables=given) for action in REFUSING]
        results = [call.finish() for call in calls]
        for call, result in zip(calls, results, strict=True):
            agent.audit(call, result)
            assert result.code == 6
            assert result.reason.startswith(REPORTED[name])
        codes = []
        for action in ("monitor", "stop", "monitor"):
            result = agent(action, unit=unit, interval_s=0, variables={"HA_LOGFACILITY": "", **given})
            codes.append(result.code)
            assert f"WARNING: {REPORTED[name]}" in result.stderr
        assert codes == [0, 0, 7]
        assert box.marks("ran") == []

    @pytest.mark.fault(
        "Several parameters have wrong values.",
        "The results are the same as for one wrong value. The reason and the log name all wrong values.",
    )
    def test_all(self, agent: Agent, box: Box) -> None:
        """One round is enough to find them all."""
        unit = box.started()
        result = agent("start", unit=unit, variables=as_variables(WRONG))
        assert result.code == 6
        assert all(problem in result.reason for problem in REPORTED.values())
        results = [
            agent(action, unit=unit, interval_s=0, variables={"HA_LOGFACILITY": "", **as_variables(WRONG)})
            for action in ("monitor", "stop")
        ]
        assert [result.code for result in results] == [0, 0]
        assert all(f"WARNING: {problem}" in result.stderr for result in results for problem in REPORTED.values())

    @pytest.mark.fault(
        "`stop_verify=yes` is set, but there is no hook, or the hook's protocol (`nagios` or `plain`) has no code for "
        "*not running*.",
        "A start returns 6. A probe and a stop return 0.",
    )
    @pytest.mark.parametrize("protocol", ["", "nagios", "plain"])
    def test_together(self, agent: Agent, box: Box, protocol: str) -> None:
        """Values that are right by themselves may be wrong together."""
        unit, hook = box.started(), box.hook("exit 0") if protocol else ""
        given = as_variables({"stop_verify": "yes", "monitor_hook": hook, "monitor_hook_protocol": protocol})
        assert agent("start", unit=unit, variables=given).code == 6
        codes = [agent(action, unit=unit, interval_s=0, variables=given).code for action in ("monitor", "stop")]
        assert codes == [0, 0]

    @pytest.mark.fault(
        "`stop_escalate` has a wrong value, and the unit ignores SIGTERM.",
        "The stop sends SIGKILL, as by default, and returns 0.",
    )
    def test_default_counts(self, agent: Agent, box: Box) -> None:
        """The default is what stands in for a wrong value, and it works."""
        unit = box.stubborn("TimeoutStopSec=infinity")
        box.sh('systemctl start -- "$1"', unit)
        assert agent("stop", unit=unit, stop_escalate="perhaps", poll_interval="x", timeout_s=4).code == 0

    @pytest.mark.fault("A value has blanks around it.", "The agent removes the blanks.")
    def test_blanks(self, agent: Agent, box: Box) -> None:
        """Blanks and line ends around a value are not part of it."""
        unit, hook = box.started(), box.hook("exit 190")
        given = {"unit": f" {unit}\n", "monitor_hook": f"\t{hook} ", "poll_interval": " 1.5s ", "stop_verify": " no "}
        codes = [agent(action, variables=as_variables(given)).code for action in ("monitor", "start")]
        assert codes == [190, 0]


@pytest.mark.fault(
    "The timeout is empty, 0, `20s`, negative, huge, a word, or 1 ms.",
    "The agent assumes the default, or the nearest possible value. With 1 ms the monitor returns 1 at once.",
)
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
    """An invalid timeout is replaced by the default; one that leaves no time is a quick failure."""
    variables = {"OCF_RESKEY_CRM_meta_timeout": timeout}
    result = agent("monitor", unit=box.started(), monitor_hook=box.hook("exit 0"), variables=variables)
    assert result.code == code


@pytest.mark.fault("There is no timeout.", "The agent assumes 20 s.")
def test_no_timeout(agent: Agent, box: Box) -> None:
    """Without a timeout the unit is queried as usual."""
    assert agent.run("monitor", environment={"OCF_RESKEY_unit": box.started()}).code == 0


class TestEnvironment:
    @pytest.mark.fault(
        "The environment is empty.",
        "A start returns 6 with a reason, a probe returns 7 and a stop returns 0. There is no traceback.",
    )
    @pytest.mark.parametrize(("action", "code"), [("start", 6), ("monitor", 7), ("stop", 0)])
    def test_empty(self, agent: Agent, action: str, code: int) -> None:
        """Without any environment there is no unit: nothing can be started, and nothing runs; no traceback."""
        result = agent.run(action, environment={})
        assert result.code == code
        assert "unit is not set" in result.stderr
        assert len(result.reasons) == (code == 6)
        assert "Traceback" not in result.stderr

    @pytest.mark.fault("`PATH` is not set.", "This has no effect.")
    def test_no_path(self, agent: Agent, box: Box) -> None:
        """Without a PATH systemctl and hook are found where systems have them."""
        hook = box.hook("exec ls /")
        environment = {"OCF_RESKEY_unit": box.started(), "OCF_RESKEY_monitor_hook": hook}
        assert agent.run("monitor", environment=environment).code == 0

    @pytest.mark.fault(
        "The locale is C or unknown, and the name of a hook is not ASCII.",
        "The agent runs the hook, and the reason has its name.",
    )
    @pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "xx_XX.nonsense"])
    def test_locale(self, agent: Agent, box: Box, locale: str) -> None:
        """The agent runs a hook and shows its message in any locale."""
        hook = box.hook("echo Grüße >&2; exit 42", "hök")
        result = agent("monitor", unit=box.started(), monitor_hook=hook, variables={"LC_ALL": locale})
        assert result.code == 42
        assert result.reason == "hook hök: Grüße (exit 42)"

    @pytest.mark.fault(
        "`monitor_hook_args` has a value of 128 KiB.", "The hook gets the value like any other argument."
    )
    def test_long_value(self, agent: Agent, box: Box) -> None:
        """A value as long as the kernel passes on is an argument like any other."""
        unit, hook = box.started(), box.hook('[ "${#1}" -gt 100000 ]')
        result = agent("monitor", unit=unit, monitor_hook=hook, monitor_hook_args="x" * (128 * 1024 - 100))
        assert result.code == 0

    @pytest.mark.fault("A parameter has a wrong value of 128 KiB.", "The monitor returns 5 or 6 with a short reason.")
    @pytest.mark.parametrize("name", ["unit", "monitor_hook", "monitor_hook_timeout", "monitor_hook_user"])
    def test_long_wrong_value(self, agent: Agent, name: str) -> None:
        """A long value that is wrong is 6, or 5 where it names what is not there, and does not fill the log."""
        variables = {"OCF_RESKEY_unit": "fine", f"OCF_RESKEY_{name}": "x" * (128 * 1024 - 100)}
        result = agent("monitor", variables=variables)
        assert result.code in {5, 6}
        assert len(result.stderr) < 2000

    @pytest.mark.fault("A value contains the byte 0xff.", "The hook gets the byte unchanged.")
    def test_bytes_that_are_no_text(self, agent: Agent, box: Box) -> None:
        """A byte that is no UTF-8 reaches the hook as it is."""
        unit, hook = box.started(), box.hook("""[ "$(printf '\\377')" = "$1" ]""")
        assert agent("monitor", unit=unit, monitor_hook=hook, monitor_hook_args="\udcff").code == 0

    @pytest.mark.fault(
        "A value contains the byte 0xff, which makes the value wrong.",
        "The monitor returns 5 or 6 with a reason, without a traceback.",
    )
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
        """A byte that is not UTF-8 is reported where it is wrong, without a traceback."""
        values = {"unit": box.started(), "monitor_hook": box.hook("exit 0"), name: "/no/\udcff"}
        variables = {f"OCF_RESKEY_{each}": value for each, value in values.items()}
        assert agent("monitor", variables=variables).code in codes
