"""The proposal of a rehearsal: timeouts, and commands that are quoted for the shell and for crm."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.core.operations import Operations
from ocf_systemd.core.parameter_table import PREFIX
from ocf_systemd.core.parameters import Operation, read_parameters
from ocf_systemd.core.timeouts import escalation_after_s, least_stop_timeout_s, least_timeout_s
from ocf_systemd.doctor.facts import Agent, Host, Service, Unit
from ocf_systemd.doctor.facts import Facts as DoctorFacts
from ocf_systemd.doctor.service_checks import CHECKS
from ocf_systemd.rehearse.facts import Measured, UnitFacts
from ocf_systemd.rehearse.proposal import Proposal, crm_quoted, propose, resource_name
from tests.unit.builders import UNIT

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULTS = UnitFacts(start_timeout_s=90.0, stop_timeout_s=90.0)
ENDLESS = UnitFacts()
QUICK = Measured(start_s=0.2, stop_s=0.1, monitor_s=0.05)
HOOK = {"monitor_hook": "/h/smtp"}
VALUES = [
    pytest.param("plain", id="plain"),
    pytest.param("http://127.0.0.1/a?b=c&d 5", id="url"),
    pytest.param("127.0.0.1 25 5", id="blanks"),
    pytest.param("it's", id="apostrophe"),
    pytest.param("it's two", id="apostrophe-and-blank"),
    pytest.param('say "x" y', id="quotes-and-blank"),
    pytest.param("""all 'of' "them" at once""", id="both-quotes"),
    pytest.param(r"a\b", id="backslash"),
    pytest.param(r"a\\b c", id="backslashes-and-blank"),
    pytest.param("$(x) `y` $z #w; !", id="shell"),
    pytest.param("é ü", id="beyond-ascii"),
]
UNSUPPORTED_BY_CRM = [
    pytest.param(r"a\"b", id="backslash-before-quote"),
    pytest.param("a\\", id="backslash-at-the-end"),
    pytest.param("a\tb", id="tab"),
    pytest.param("a\nb", id="line-break"),
]


def proposed(
    options: Mapping[str, str] | None = None,
    facts: UnitFacts = DEFAULTS,
    measured: Measured = QUICK,
    check_level: int = 0,
) -> Proposal:
    given = {"unit": "postfix@-", **(options or {})}
    parameters = read_parameters({PREFIX + name: value for name, value in given.items()})
    return propose(given, parameters, check_level, facts, measured)


class TestTimeouts:
    @pytest.mark.parametrize(
        ("facts", "measured", "options", "start_s", "stop_s"),
        [
            pytest.param(DEFAULTS, QUICK, {}, 100, 105, id="systemds-own-90-s"),
            pytest.param(DEFAULTS, QUICK, {"stop_escalate": "no"}, 100, 95, id="no-escalation"),
            pytest.param(
                UnitFacts(start_timeout_s=90.0, stop_timeout_s=90.0, stop_commands=1),
                *(QUICK, {"stop_escalate": "no"}, 100, 185),
                id="no-escalation-and-a-command",
            ),
            pytest.param(UnitFacts(start_timeout_s=5.0, stop_timeout_s=5.0), QUICK, {}, 15, 10, id="short"),
            pytest.param(UnitFacts(start_timeout_s=600.0, stop_timeout_s=600.0), QUICK, {}, 610, 615, id="database"),
            pytest.param(ENDLESS, QUICK, {}, 100, 110, id="no-timeouts-quick"),
            pytest.param(ENDLESS, Measured(start_s=60.0, stop_s=60.0), {}, 185, 190, id="no-timeouts-slow"),
            pytest.param(DEFAULTS, Measured(start_s=80.0, stop_s=50.0), {}, 250, 160, id="nearly-too-slow"),
            pytest.param(DEFAULTS, Measured(start_s=10.0, ready_s=8.0), {}, 120, 105, id="waits-for-its-hook"),
            pytest.param(DEFAULTS, Measured(), {}, 100, 105, id="nothing-seen"),
        ],
    )
    def test_start_and_stop(
        self, facts: UnitFacts, measured: Measured, options: Mapping[str, str], start_s: int, stop_s: int
    ) -> None:
        """Start is above TimeoutStartSec and the wait for the hook by 5 s; stop sends SIGKILL after TimeoutStopSec."""
        proposal = proposed(options, facts, measured)
        assert (proposal.start_s, proposal.stop_s) == (start_s, stop_s)

    @given(st.floats(0.1, 3600.0), st.floats(0.0, 1200.0))
    def test_a_stop_is_never_killed_before_systemd_would(self, limit_s: float, took_s: float) -> None:
        """SIGKILL comes a second after TimeoutStopSec, after three times what was measured, and at most 5 s later.

        Without escalation the agent waits that long at least.
        """
        facts, measured = UnitFacts(start_timeout_s=90.0, stop_timeout_s=limit_s), Measured(stop_s=took_s)
        needed_s = max(limit_s + 1, took_s * 3)
        timeout_s = proposed({}, facts, measured).stop_s
        assert escalation_after_s(Operation(timeout_s).deadline(0.0)) >= needed_s
        assert timeout_s - least_stop_timeout_s(needed_s) < 5
        needed_s = max(limit_s, took_s * 3)
        waits_s = proposed({"stop_escalate": "no"}, facts, measured).stop_s
        assert Operation(waits_s).deadline(0.0) >= needed_s
        assert waits_s - least_timeout_s(needed_s) < 5

    @given(st.floats(1.1, 299.0), st.integers(0, 3), st.booleans())
    def test_doctor_proposes_the_same(self, limit_s: float, commands: int, escalates: bool) -> None:  # noqa: FBT001
        """From the unit's own limits alone, doctor and rehearse propose the same timeouts."""
        options = {"stop_escalate": "yes" if escalates else "no"}
        facts = UnitFacts(start_timeout_s=limit_s, stop_timeout_s=limit_s, stop_commands=commands)
        proposal = proposed(options, facts, Measured())
        service = Service(start_timeout_s=limit_s, stop_timeout_s=limit_s, exec_stop=("/x",) * commands)
        parameters = read_parameters({f"{PREFIX}{name}": value for name, value in {"unit": UNIT, **options}.items()})
        checked = DoctorFacts(
            given=UNIT,
            operations=Operations({"start": 1.0, "stop": 1.0}),
            agent=Agent("", ""),
            host=Host("", "", ""),
            parameters=parameters,
            unit=Unit(id=UNIT, service=service),
        )
        results = {check.name: check.run(checked) for check in CHECKS}
        assert f"op start timeout={proposal.start_s}s" in " ".join(results["start-timeout"].fix)
        assert f"op stop timeout={proposal.stop_s}s" in " ".join(results["stop-timeout"].fix)

    @pytest.mark.parametrize(
        ("measured", "options", "monitor_s", "interval_s"),
        [
            pytest.param(QUICK, {}, 20, 10, id="no-hook"),
            pytest.param(Measured(hook_s=0.1, hang_s=5.02), HOOK, 20, 10, id="hook"),
            pytest.param(Measured(hook_s=0.1, hang_s=14.3), HOOK, 30, 10, id="patient-hook"),
            pytest.param(Measured(monitor_s=9.0, hook_s=9.0, hang_s=9.0), HOOK, 35, 90, id="slow-hook"),
            pytest.param(Measured(hook_s=0.1, hang_s=3.1), HOOK | {"monitor_hook_timeout": "15s"}, 30, 10, id="limit"),
            pytest.param(
                Measured(hook_s=0.1),
                HOOK | {"monitor_hook_timeout": "5s", "monitor_hook_retries": "2"},
                30,
                10,
                id="limit-and-retries",
            ),
            pytest.param(Measured(hook_s=0.1, hang_s=9.0, hook_was_ended=True), HOOK, 20, 10, id="no-limit"),
        ],
    )
    def test_monitor(self, measured: Measured, options: Mapping[str, str], monitor_s: int, interval_s: int) -> None:
        """Monitor has twice what a hang may take; the hook takes at most a tenth of the interval."""
        proposal = proposed(options, measured=measured)
        assert (proposal.monitor_s, proposal.interval_s) == (monitor_s, interval_s)

    @pytest.mark.parametrize(
        ("hook_s", "limit"), [pytest.param(0.1, "5s", id="quick"), pytest.param(2.5, "8s", id="slow")]
    )
    def test_a_limit_for_a_hook_that_has_none(self, hook_s: float, limit: str) -> None:
        """A hook that never ends during a hang gets a limit, which is what a hang may take."""
        measured = Measured(hook_s=hook_s, hang_s=9.0, hook_was_ended=True)
        proposal = proposed(HOOK, measured=measured)
        assert f"monitor_hook_timeout={limit}" in proposal.pcs
        assert f"monitor_hook_timeout={limit}" in proposal.crm

    def test_reasons(self) -> None:
        """Each time has its reason."""
        proposal = proposed(HOOK, measured=Measured(start_s=1.0, ready_s=0.5, hook_s=0.02, hang_s=5.02))
        assert proposal.why == {
            "start": "longer than TimeoutStartSec=90s, and than 3 times what was measured",
            "stop": "longer than TimeoutStopSec=90s, and than 3 times what was measured",
            "monitor": "well above the 6 s that a hang may take",
            "interval": "the hook takes 0.02 s, a hang is detected in 16 s",
        }
        assert proposed(facts=ENDLESS).why == {
            "start": "no TimeoutStartSec: longer than 3 times what was measured, at least 100 s",
            "stop": "no TimeoutStopSec: longer than 3 times what was measured, at least 110 s",
            "monitor": "no hook",
            "interval": "no hook",
        }
        measured = "and than 3 times what was measured"
        assert proposed({"stop_escalate": "no"}).why["stop"] == f"longer than TimeoutStopSec=90s, {measured}"
        commands = UnitFacts(start_timeout_s=90.0, stop_timeout_s=90.0, stop_commands=1)
        why = proposed({"stop_escalate": "no"}, commands).why["stop"]
        assert why == f"longer than 2 times TimeoutStopSec=90s, {measured}"


class TestCommands:
    def test_pcs(self) -> None:
        """The command for pcs can be pasted."""
        proposal = proposed(HOOK | {"monitor_hook_args": "127.0.0.1 25 5"})
        assert proposal.pcs == (
            "pcs resource create postfix ocf:pacemaker:systemd \\\n"
            "    unit=postfix@- \\\n"
            "    monitor_hook=/h/smtp \\\n"
            "    monitor_hook_args='127.0.0.1 25 5' \\\n"
            "    op start timeout=100s \\\n"
            "    stop timeout=105s \\\n"
            "    monitor interval=10s timeout=20s \\\n"
            "    --agent-validation"
        )

    def test_crm(self) -> None:
        """The command for crmsh can be pasted."""
        proposal = proposed(HOOK | {"monitor_hook_args": "127.0.0.1 25 5"})
        assert proposal.crm == (
            "crm configure primitive postfix ocf:pacemaker:systemd params \\\n"
            "    unit=postfix@- \\\n"
            "    monitor_hook=/h/smtp \\\n"
            "    monitor_hook_args='127.0.0.1 25 5' \\\n"
            "    op start timeout=100s interval=0 \\\n"
            "    op stop timeout=105s interval=0 \\\n"
            "    op monitor interval=10s timeout=20s"
        )

    def test_check_level(self) -> None:
        """The level belongs to the monitor, and is not a parameter."""
        proposal = proposed(HOOK | {"OCF_CHECK_LEVEL": "10", "CRM_meta_interval": "5000"}, check_level=10)
        for command in (proposal.pcs, proposal.crm):
            assert command.count("OCF_CHECK_LEVEL") == 1
            assert "monitor interval=10s timeout=20s OCF_CHECK_LEVEL=10" in command
            assert "CRM_meta" not in command

    @pytest.mark.parametrize("value", VALUES)
    def test_pcs_gets_the_value(self, value: str) -> None:
        """Pcs gets a value from the shell unchanged, whatever it contains."""
        tokens = shlex.split(proposed(HOOK | {"monitor_hook_args": shlex.quote(value)}).pcs)
        assert f"monitor_hook_args={shlex.quote(value)}" in tokens

    @pytest.mark.parametrize("value", VALUES)
    def test_crm_gets_the_value(self, value: str) -> None:
        """crm, which splits its arguments again, gets a value unchanged, whatever it contains."""
        tokens = shlex.split(f"crm params value={crm_quoted(value)} op")
        assert shlex.split(" ".join(add_quotes(tokens[1:]))) == ["params", f"value={value}", "op"]

    @pytest.mark.parametrize("value", UNSUPPORTED_BY_CRM)
    def test_crm_does_not_support_the_value(self, value: str) -> None:
        """For a value that crmsh does not support there is a comment with the parameter's name, and no command."""
        proposal = proposed({"OCF_unused": value, "monitor_hook": f"/h/{value}"})
        assert proposal.crm.startswith("# crm does not support ")
        assert proposal.crm.endswith(" as in monitor_hook")
        assert f"monitor_hook=/h/{value}" in shlex.split(proposal.pcs)


def add_quotes(tokens: list[str]) -> list[str]:
    """Quote as crmsh 4.4 does before it joins its arguments and splits them (add_quotes() in crmsh/main.py)."""
    quoted = []
    for word in tokens:
        quote = "'" if '"' in word else '"'
        quoted.append(f"{quote}{word}{quote}" if " " in word and quote not in word else word)
    return quoted


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        pytest.param("nginx.service", "nginx", id="plain"),
        pytest.param("postfix@-.service", "postfix", id="instance"),
        pytest.param("web@1.service", "web-1", id="number"),
        pytest.param(r"srv-a\x2db.mount", "srv-a-x2db", id="escaped"),
        pytest.param("389ds.service", "unit-389ds", id="digit"),
        pytest.param("a:b.socket", "a-b", id="colon"),
        pytest.param("::.service", "unit", id="nothing-left"),
    ],
)
def test_name(unit: str, name: str) -> None:
    """A resource has the name of its unit, without characters that an XML id cannot have."""
    assert resource_name(unit) == name
