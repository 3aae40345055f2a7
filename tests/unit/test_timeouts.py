"""The times of an operation and of a command."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameters import (
    Operation,
)
from ocf_systemd.core.timeouts import (
    ADVERTISED_TIMEOUT_S,
    ending_times_s,
    escalation_after_s,
    least_stop_timeout_s,
    least_timeout_s,
)


class TestTimesOfAStop:
    @pytest.mark.parametrize(
        ("budget_s", "after_s"),
        [
            pytest.param(0.0, 0.0, id="none"),
            pytest.param(0.75, 0.5625, id="timeout 1 s: a quarter"),
            pytest.param(4.0, 3.0, id="4 s: a quarter"),
            pytest.param(18.0, 13.5, id="timeout 20 s: a quarter"),
            pytest.param(20.0, 15.0, id="20 s: both"),
            pytest.param(95.0, 90.0, id="timeout 100 s: 5 s"),
            pytest.param(105.0, 100.0, id="the advertised timeout, 110 s: 5 s"),
            pytest.param(3595.0, 3590.0, id="timeout 1 h: 5 s"),
        ],
    )
    def test_a_stop_escalates_in_its_last_part(self, budget_s: float, after_s: float) -> None:
        """5 s before the agent deadline; of less than 20 s a quarter before."""
        assert escalation_after_s(budget_s) == pytest.approx(after_s)

    def test_systemds_own_limit_comes_first_under_the_advertised_timeout(self) -> None:
        """TimeoutStopSec is 90 s by default: the agent's SIGKILL comes later."""
        assert escalation_after_s(Operation(ADVERTISED_TIMEOUT_S[Action.STOP]).deadline(0.0)) > 90.0
        assert least_stop_timeout_s(90.0) <= ADVERTISED_TIMEOUT_S[Action.STOP]

    @given(st.floats(0.0, 1e5))
    def test_the_escalation_lies_within_the_budget(self, budget_s: float) -> None:
        """There is always time left to see what came of it."""
        after_s = escalation_after_s(budget_s)
        assert max(budget_s - 5.0, 0.0) <= after_s <= budget_s
        assert after_s >= budget_s * 0.75

    @given(st.floats(0.001, 1e4))
    def test_the_least_timeout_is_the_least(self, agent_deadline_s: float) -> None:
        """The agent has that much time of its own under it, and would not under a second less."""

        def deadline_s(timeout_s: int) -> float:
            return timeout_s - Operation(timeout_s).reserve_s

        least = least_timeout_s(agent_deadline_s)
        assert deadline_s(least) >= agent_deadline_s
        assert all(deadline_s(timeout_s) < agent_deadline_s for timeout_s in range(max(least - 20, 0), least))

    @given(st.floats(0.001, 1e4))
    def test_the_least_timeout_of_a_stop_is_the_least(self, stop_time_s: float) -> None:
        """It sends SIGKILL no sooner than after that much, and would sooner under a second less."""

        def kill_s(timeout_s: int) -> float:
            return escalation_after_s(Operation(timeout_s).deadline(0.0))

        least = least_stop_timeout_s(stop_time_s)
        assert kill_s(least) >= stop_time_s
        assert all(kill_s(timeout_s) < stop_time_s for timeout_s in range(max(least - 20, 0), least))
        assert least >= least_timeout_s(stop_time_s)


class TestEndingTimes:
    @pytest.mark.parametrize(
        ("time_s", "grace_s", "reap_s"),
        [
            pytest.param(-1.0, 0.0, 0.0, id="over"),
            pytest.param(0.0, 0.0, 0.0, id="none"),
            pytest.param(1.0, 0.2, 0.02, id="1 s"),
            pytest.param(5.0, 1.0, 0.1, id="5 s: the most of both"),
            pytest.param(100.0, 1.0, 0.1, id="100 s"),
        ],
    )
    def test_what_is_kept_for_the_end(self, time_s: float, grace_s: float, reap_s: float) -> None:
        """A fifth of a command's time for SIGTERM's grace, a fiftieth after SIGKILL; a second and a tenth at most."""
        assert ending_times_s(time_s) == pytest.approx((grace_s, reap_s))

    @given(st.floats(-10.0, 1e5))
    def test_they_leave_time_for_the_command(self, time_s: float) -> None:
        """Of whatever time there is, a command has three quarters to itself at least."""
        grace_s, reap_s = ending_times_s(time_s)
        assert grace_s >= 0
        assert reap_s >= 0
        assert time_s <= 0 or grace_s + reap_s <= time_s / 4
