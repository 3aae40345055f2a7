"""The checks of doctor for the cluster on this host: for each, facts with a problem and facts without."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.core.check_result import CheckResult, Status
from ocf_systemd.core.cluster import Cluster, ConfiguredOperation, Resource, configured_operations
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.operations import Operations
from ocf_systemd.doctor import checks, cluster_checks
from ocf_systemd.doctor.checks import run_checks
from ocf_systemd.doctor.facts import Execution
from ocf_systemd.doctor.fixes import update
from tests.unit.test_doctor_checks import BY_NAME, NAME, known, serving
from tests.unit.test_doctor_findings import LSB

if TYPE_CHECKING:
    from ocf_systemd.doctor.facts import Facts

START = ConfiguredOperation("start", "0s", "90s")
MONITOR = ConfiguredOperation("monitor", "10s", "30s")
WEB = Resource("web", "ocf:pacemaker:systemd", NAME, {"unit": "web"}, (START, MONITOR))
CLONED = replace(WEB, is_globally_unique=True, clone="web-clone")
NAGOIS = replace(WEB, parameters={"unit": "web", "monitor_hook": "/h", "monitor_hook_protocol": "nagois"})
POWER = Resource("power", "stonith:fence_ipmilan", "", {})


def managed(*resources: Resource, devices: tuple[Resource, ...] = (POWER,), **properties: str) -> Facts:
    """Return facts of a unit that these resources of a cluster manage."""
    named = {name.replace("_", "-"): value for name, value in properties.items()}
    return replace(known(), cluster=Cluster(named, (*devices, *resources)), resources=resources)


def monitored(*operations: ConfiguredOperation) -> Facts:
    return managed(replace(WEB, operations=operations))


def unreachable() -> Facts:
    return replace(known(), why_no_cluster="crm_mon does not answer within 5 s")


ROWS: dict[str, tuple[list[tuple[str, Facts]], list[tuple[str, Facts]]]] = {
    "cluster": (
        [("no answer", unreachable())],
        [("without the unit", managed()), ("with it", managed(WEB))],
    ),
    "fencing": (
        [
            ("disabled", managed(stonith_enabled="False")),
            ("disabled, Pacemaker 3", managed(fencing_enabled="off")),
            ("no device", managed(devices=())),
            ("a disabled device", managed(devices=(replace(POWER, is_disabled=True),))),
            ("no watchdog", managed(devices=(), stonith_watchdog_timeout="0s")),
            ("no watchdog, in ms", managed(devices=(), fencing_watchdog_timeout="0ms")),
            ("no watchdog, in min", managed(devices=(), stonith_watchdog_timeout="0min")),
        ],
        [
            ("by default", managed()),
            ("enabled", managed(stonith_enabled="true")),
            ("not a boolean", managed(stonith_enabled="x")),
            ("by watchdog", managed(devices=(), stonith_watchdog_timeout="10s")),
            ("by watchdog, in ms", managed(devices=(), stonith_watchdog_timeout="10000ms")),
            ("by watchdog, in min", managed(devices=(), stonith_watchdog_timeout="1min")),
            ("by watchdog, of twice its time", managed(devices=(), fencing_watchdog_timeout="-1")),
        ],
    ),
    "quorum": (
        [("ignored", managed(no_quorum_policy="ignore"))],
        [("by default", managed()), ("freeze", managed(no_quorum_policy="freeze"))],
    ),
    "parameters": (
        [
            ("not a choice", managed(NAGOIS)),
            ("not together", managed(replace(WEB, parameters={"unit": "web", "stop_verify": "yes"}))),
        ],
        [
            ("valid", managed(replace(WEB, parameters={"unit": "web", "monitor_hook": "/h", "other": "x"}))),
            ("of another class", managed(replace(WEB, agent="systemd:web"))),
        ],
    ),
    "one-resource": (
        [("two", managed(WEB, replace(WEB, id="web2"))), ("of another class", managed(WEB, replace(WEB, agent="x")))],
        [("one", managed(WEB))],
    ),
    "unique-clone": (
        [("globally unique", managed(CLONED))],
        [("no clone", managed(WEB)), ("anonymous", managed(replace(CLONED, is_globally_unique=False)))],
    ),
    "monitor": (
        [
            ("none", monitored(START)),
            ("not recurring", monitored(ConfiguredOperation("monitor", "0", "20s"))),
            ("not a time", monitored(ConfiguredOperation("monitor", "often", "20s"))),
            ("no interval", monitored(ConfiguredOperation("monitor", None, "20s"))),
            ("no timeout", monitored(ConfiguredOperation("monitor", "10s", None))),
        ],
        [
            ("with interval and timeout", managed(WEB)),
            ("unmanaged, with --monitor", managed(replace(WEB, operations=(START,), is_managed=False))),
        ],
    ),
}
PROBLEMS = [pytest.param(name, facts, id=f"{name}: {row}") for name, rows in ROWS.items() for row, facts in rows[0]]
PASSING = [pytest.param(name, facts, id=f"{name}: {row}") for name, rows in ROWS.items() for row, facts in rows[1]]
SEVERITIES = [
    pytest.param("cluster", unreachable(), Status.WARNING, id="cluster"),
    pytest.param("fencing", managed(stonith_enabled="no"), Status.WARNING, id="fencing"),
    pytest.param("fencing", managed(devices=()), Status.ERROR, id="no device"),
    pytest.param("quorum", managed(no_quorum_policy="ignore"), Status.WARNING, id="quorum"),
    pytest.param("quorum", managed(no_quorum_policy="ignore", stonith_enabled="0"), Status.ERROR, id="unfenced"),
    pytest.param("one-resource", managed(WEB, WEB), Status.ERROR, id="one-resource"),
    pytest.param("parameters", managed(NAGOIS), Status.ERROR, id="parameters"),
    pytest.param("unique-clone", managed(CLONED), Status.ERROR, id="unique-clone"),
    pytest.param("monitor", monitored(), Status.ERROR, id="no monitor"),
    pytest.param("monitor", monitored(replace(MONITOR, timeout=None)), Status.WARNING, id="no timeout"),
]


def test_every_check_is_tested_with_and_without_a_problem() -> None:
    """No check is in the table without facts for both."""
    assert list(ROWS) == [check.name for check in cluster_checks.CHECKS]
    assert all(problems and passing for problems, passing in ROWS.values())


@pytest.mark.parametrize(("name", "facts"), PROBLEMS)
def test_problem(name: str, facts: Facts) -> None:
    """The result states what is wrong, why that matters, and how to fix it or what to decide."""
    result = BY_NAME[name].run(facts)
    assert result.is_problem
    assert result.what
    assert not result.what.endswith(".")
    assert result.why.endswith(".")
    assert ("Decide " in result.why) == (not result.fix)
    assert result.fix or result.status is Status.WARNING


@pytest.mark.parametrize(("name", "facts"), PASSING)
def test_passes(name: str, facts: Facts) -> None:
    """The result describes the configuration in a few words."""
    result = BY_NAME[name].run(facts)
    assert result.status is Status.OK
    assert 0 < len(result.what) < 80


@pytest.mark.parametrize(("name", "facts", "status"), SEVERITIES)
def test_severity(name: str, facts: Facts, status: Status) -> None:
    """An error makes the service fail, run twice or unmonitored; a warning may."""
    assert BY_NAME[name].run(facts).status is status


def test_no_cluster() -> None:
    """Where no cluster runs, all are skipped."""
    results = [check.run(known()) for check in cluster_checks.CHECKS]
    assert {(result.status, result.what) for result in results} == {(Status.SKIPPED, "no cluster runs on this host")}


def test_a_cluster_that_does_not_answer() -> None:
    """One problem has the reason; the other checks are skipped for it."""
    first, *others = (check.run(unreachable()) for check in cluster_checks.CHECKS)
    assert first.what == "crm_mon does not answer within 5 s"
    assert {(result.status, result.what) for result in others} == {(Status.SKIPPED, "the cluster cannot be queried")}


def test_a_user_who_may_not_query() -> None:
    """The fix is to repeat the command as root."""
    facts = replace(unreachable(), as_root="sudo ocf-systemd doctor web")
    assert BY_NAME["cluster"].run(facts).fix == ("sudo ocf-systemd doctor web",)


NO_HOOK = [
    pytest.param(known(), "no-hook", id="no-hook"),
    pytest.param(known(serving(type="simple")), "readiness", id="readiness"),
    pytest.param(known(serving(type="forking")), "main-process", id="main-process"),
    pytest.param(known(serving(type="notify", remain_after_exit=True)), "stays-active", id="stays-active"),
    pytest.param(known(LSB), "lsb-script", id="lsb-script"),
]


@pytest.mark.parametrize(("facts", "name"), NO_HOOK)
def test_unknown_hook(facts: Facts, name: str) -> None:
    """A check that misses a hook is skipped if the resource is unknown, or its hook is wrong; others are not."""
    assert results(facts)[name].is_problem
    unknown = results(replace(facts, why_no_cluster="cibadmin failed"))
    assert (unknown[name].status, unknown[name].what) == (Status.SKIPPED, "the cluster cannot be queried")
    assert {unknown[each].what for each in ("no-hook", "hook")} == {"the cluster cannot be queried"}
    wrong = replace(WEB, parameters={"unit": "web", "monitor_hook": "smtp"})
    found = results(replace(facts, cluster=Cluster({}, (POWER, wrong)), resources=(wrong,)))
    assert (found[name].status, found[name].what) == (Status.SKIPPED, "`parameters` reports the cause")
    assert found["parameters"].is_problem


def stopped(facts: Facts) -> Facts:
    """Return the facts while Pacemaker does not run here."""
    assert facts.cluster
    resources = tuple(replace(each, file="/cib.xml") for each in facts.resources)
    return replace(facts, cluster=replace(facts.cluster, file="/cib.xml"), resources=resources)


@pytest.mark.parametrize(("name", "status"), [("cluster", Status.OK), ("unique-clone", Status.SKIPPED)])
@pytest.mark.parametrize("resources", [(), (CLONED,)], ids=["no resource", "a resource"])
def test_stopped_names_the_file(name: str, status: Status, resources: tuple[Resource, ...]) -> None:
    """The report names the file that was read; what needs the running cluster is skipped."""
    result = BY_NAME[name].run(stopped(managed(*resources)))
    assert result.status is status
    assert "/cib.xml" in result.what


@pytest.mark.parametrize("name", ["fencing", "quorum", "one-resource", "monitor"])
def test_stopped_finds(name: str) -> None:
    """What the CIB on the disk has is checked as that of a running cluster is."""
    for _, facts in (row for rows in ROWS[name] for row in rows):
        assert BY_NAME[name].run(stopped(facts)) == BY_NAME[name].run(facts)


@pytest.mark.parametrize("has_quorum", [True, False])
def test_fix_without_quorum(*, has_quorum: bool) -> None:
    """The command that stops all resources while there is no quorum comes after a comment that says so."""
    facts = managed(no_quorum_policy="ignore")
    assert facts.cluster
    fix = BY_NAME["quorum"].run(replace(facts, cluster=replace(facts.cluster, has_quorum=has_quorum))).fix
    assert fix[-1].startswith("pcs property set no-quorum-policy=stop")
    assert [line.startswith("#") and "stops all resources" in line for line in fix[:-1]] == [True, False][
        : len(fix) - 1
    ]
    assert (len(fix) > 1) is not has_quorum


@pytest.mark.parametrize("name", ["one-resource", "unique-clone", "monitor"])
def test_no_resource(name: str) -> None:
    """A unit without a resource has no configuration to check."""
    assert BY_NAME[name].run(managed()).status is Status.SKIPPED


def test_two_resources() -> None:
    """The finding says which timeouts are checked. crmsh deletes a resource only after it has stopped."""
    result = BY_NAME["one-resource"].run(managed(WEB, replace(WEB, id="web2")))
    assert "the advertised" in result.why
    assert "crm --wait resource stop RESOURCE && crm configure delete RESOURCE" in result.fix[-1]


def times(*operations: ConfiguredOperation, level: int = 0) -> Operations:
    resource = replace(WEB, operations=operations, default_timeouts={"stop": "50s", "reload": "soon"})
    return configured_operations(resource, level)


class TestConfiguredOperations:
    def test_times(self) -> None:
        """What is not configured has the default of the operations, or Pacemaker's, as has what is not a time."""
        found = times(START, replace(MONITOR, timeout="soon"))
        assert found.configured == {"start": 90.0, "stop": 50.0, "monitor": 20.0, "reload": 20.0, "interval": 10.0}
        assert found.timeout_s(Action.STOP) == 50.0

    def test_chosen(self) -> None:
        """A time is chosen if it is neither Pacemaker's default nor the advertised one, which pcs copies."""
        assert times(START).chosen == {"start": 90.0, "stop": 50.0}
        assert times(ConfiguredOperation("start", "0", "100s"), ConfiguredOperation("stop", "0", "20")).chosen == {}
        assert times(replace(START, timeout="100s")).timeout_s(Action.START) == 100.0

    def test_several_monitors(self) -> None:
        """The shortest times of the recurring monitors count that run the hook; a probe does not."""
        probe, often = ConfiguredOperation("monitor", "0", "5s"), ConfiguredOperation("monitor", "10s", "30s", "odd")
        rarely = ConfiguredOperation("monitor", "1min", "25s", "10")

        def monitor(level: int, *operations: ConfiguredOperation) -> tuple[float, float]:
            found = times(*operations, level=level)
            return found.timeout_s(Action.MONITOR), found.interval_s

        assert monitor(0, probe, often, rarely) == (25.0, 10.0)
        assert monitor(10, probe, often, rarely) == (25.0, 60.0)
        assert monitor(20, probe, often) == (30.0, 10.0)
        assert monitor(0, probe) == (5.0, 10.0)


def results(facts: Facts) -> dict[str, CheckResult]:
    return {result.name: result for result in run_checks(facts)}


class TestFixes:
    SLOW = serving(start_timeout_s=300.0)
    SHORT = Operations(configured={"start": 60.0})

    def test_names_the_resource(self) -> None:
        """A fix names the resource and the timeout that it has; `# or` and other commands are as they were."""
        facts = replace(managed(WEB), unit=self.SLOW, operations=self.SHORT)
        first, *others = results(facts)["start-timeout"].fix
        assert first == "pcs resource update web op start timeout=310s   # now 60s; crm configure edit web"
        assert tuple(others) == results(replace(facts, resources=()))["start-timeout"].fix[1:]

    def test_keeps_the_options_of_an_operation(self) -> None:
        """Those that the command does not name would be reset; of several monitors pcs replaces the first."""
        start = replace(START, options={"on-fail": "block", "OCF_CHECK_LEVEL": "a b"})
        facts = replace(managed(replace(WEB, operations=(start,))), unit=self.SLOW, operations=self.SHORT)
        assert results(facts)["start-timeout"].fix[0] == (
            "pcs resource update web op start timeout=310s on-fail=block OCF_CHECK_LEVEL='a b'   "
            "# now 60s; crm configure edit web"
        )
        again = replace(facts, resources=(replace(WEB, operations=(start, start)),))
        assert results(again)["start-timeout"].fix[0] == (
            "# for one of the 2: pcs resource op delete ID; pcs resource op add web start timeout=310s …   "
            "# now 60s; crm configure edit web"
        )
        (fix,) = results(monitored(replace(MONITOR, timeout=None, options={"on-fail": "fence"})))["monitor"].fix
        command = "pcs resource update web op monitor interval=10s timeout=20s on-fail=fence"
        assert fix == f"{command}   # or longer; crm configure edit web"

    @pytest.mark.parametrize(
        ("nodes", "status"),
        [
            pytest.param(("n2",), Status.WARNING, id="active elsewhere"),
            pytest.param((), Status.ERROR, id="active nowhere"),
        ],
    )
    def test_mounted_elsewhere(self, nodes: tuple[str, ...], status: Status) -> None:
        """What a start needs may be on storage that the cluster has mounted on the node of the service."""
        unit = replace(serving(), execution=Execution(missing_files=("EnvironmentFile=/srv/web/env",)))
        facts = replace(managed(replace(WEB, nodes=nodes)), unit=unit)
        result = results(facts)["files"]
        assert result.status is status
        assert ("The service runs on n2" in result.why) == bool(nodes)

    @pytest.mark.parametrize(
        ("operations", "command"),
        [
            pytest.param((), "pcs resource update web op monitor interval=10s timeout=20s", id="none"),
            pytest.param(
                (replace(MONITOR, interval="0s", options={"on-fail": "block"}),),
                "pcs resource op add web monitor interval=10s timeout=20s --force",
                id="a probe's",
            ),
            pytest.param(
                (replace(MONITOR, is_used=False, options={"role": "Stopped"}),),
                "pcs resource op add web monitor interval=10s timeout=20s --force",
                id="for the role Stopped",
            ),
            pytest.param(
                (replace(MONITOR, is_used=False, options={"enabled": "false"}),),
                "pcs resource manage web --monitor",
                id="disabled",
            ),
        ],
    )
    def test_no_monitor(self, operations: tuple[ConfiguredOperation, ...], command: str) -> None:
        """The command keeps the operations that there are."""
        (fix,) = results(monitored(*operations))["monitor"].fix
        assert fix == f"{command}   # crm configure edit web"

    def test_keeps_operations_that_are_not_used(self) -> None:
        """A disabled monitor is one of several, of which pcs would replace the first."""
        disabled = replace(MONITOR, is_used=False, options={"enabled": "false"})
        (fix,) = results(monitored(disabled, replace(MONITOR, interval="60s", timeout=None)))["monitor"].fix
        assert fix.startswith("# for one of the 2: pcs resource op delete ID; pcs resource op add web monitor ")

    def test_without_a_timeout(self) -> None:
        """A fix of a parameter names the resource alone."""
        fix = results(replace(managed(WEB), unit=serving(type="oneshot", remain_after_exit=True)))
        lines = [line for result in fix.values() for line in result.fix if "pcs resource update" in line]
        assert lines
        assert all(line.startswith("pcs resource update web ") and "now" not in line for line in lines)

    @pytest.mark.parametrize(
        ("options", "what", "command"),
        [
            pytest.param(
                {"monitor_hook_protocol": "nagois"},
                "monitor_hook_protocol='nagois' is not one of ",
                "monitor_hook_protocol=nagios   # or ocf, plain, lsb; "
                "crm resource param web set monitor_hook_protocol nagios",
                id="similar",
            ),
            pytest.param(
                {"poll_interval": "x"},
                "poll_interval='x' is not a duration",
                "poll_interval=VALUE   # crm resource param web set poll_interval VALUE",
                id="no choices",
            ),
            pytest.param(
                {"stop_verify": "yes"},
                "stop_verify=yes needs a monitor_hook",
                "stop_verify=no   # or yes; crm resource param web set stop_verify no",
                id="not together",
            ),
        ],
    )
    def test_wrong_parameter(self, options: dict[str, str], what: str, command: str) -> None:
        """Each wrong value is named with the resource, and corrected before the failure is cleaned up."""
        result = results(managed(replace(WEB, parameters={"unit": "web", **options})))["parameters"]
        assert result.what.startswith(what)
        assert result.what.endswith("(resource web)")
        update_it, clean_up = result.fix
        assert update_it == f"pcs resource update web {command}"
        assert clean_up == "pcs resource cleanup web   # crm resource cleanup web"

    def test_for_crm(self) -> None:
        """The comment of a command for pcs has that for crm, with or without a resource."""
        settings = "monitor_hook=/h monitor_hook_args='a b'"
        param = "crm resource param web set monitor_hook"
        result = CheckResult("x", Status.ERROR, "x", "x.", (update(settings), update("op stop timeout=9s")))
        assert checks._with_resource(result, managed(WEB)).fix == (  # noqa: SLF001
            f"pcs resource update web {settings}   # {param} /h; {param}_args 'a b'",
            "pcs resource update web op stop timeout=9s   # crm configure edit web",
        )
        assert checks._with_resource(result, known()).fix[1] == (  # noqa: SLF001
            "pcs resource update RESOURCE op stop timeout=9s   # crm configure edit RESOURCE"
        )
        (monitor,) = results(monitored())["monitor"].fix
        assert monitor.endswith("   # crm configure edit web")

    @pytest.mark.parametrize(
        "resources",
        [
            pytest.param((), id="none"),
            pytest.param((WEB, replace(WEB, id="web2")), id="two"),
            pytest.param((replace(WEB, agent="systemd:web"),), id="another class"),
        ],
    )
    def test_no_such_resource(self, resources: tuple[Resource, ...]) -> None:
        """Where it is not known which resource of an OCF agent it is, a placeholder remains."""
        facts = replace(managed(*resources), unit=self.SLOW, operations=self.SHORT)
        assert results(facts)["start-timeout"].fix[0].startswith("pcs resource update RESOURCE op start")
