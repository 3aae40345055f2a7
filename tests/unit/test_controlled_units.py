"""rehearse and debug on a node of a cluster: what they refuse, and what they advise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import click
import pytest
from click.testing import CliRunner

from ocf_systemd.commands import cluster as messages
from ocf_systemd.commands import debug, rehearse, whole_program
from ocf_systemd.commands.cluster import describe
from ocf_systemd.commands.program import NotRunError
from ocf_systemd.commands.resource import Target
from ocf_systemd.core.cluster import Cluster, Resource
from ocf_systemd.debug import session
from ocf_systemd.host import cluster, systemctl

if TYPE_CHECKING:
    from ocf_systemd.debug.session import Call


class Runner(Protocol):
    def __call__(self, resource: Resource, *arguments: str) -> tuple[Call, str]: ...


MANAGED = Resource("web", "ocf:pacemaker:systemd", "web.service", {}, nodes=("node1",))
LEFT_ALONE = Resource("web", "systemd:web", "web.service", {}, nodes=("node1",), is_managed=False)


def install(monkeypatch: pytest.MonkeyPatch, resource: Resource, state: str) -> None:
    """Let a cluster have a resource, and its unit a state on this host; there is no terminal."""
    monkeypatch.setattr(cluster, "resources_of", lambda *_: (resource,))
    monkeypatch.setattr(
        cluster, "_output", lambda *command: "node2\n" if command[0] == "crm_node" else f"ActiveState={state}\n"
    )
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)


def confirm_debug(action: str) -> None:
    """Ask for confirmation, as debug does."""
    resources = debug._resources(Target({"unit": "web"}), needs_all=True)  # noqa: SLF001
    debug._confirm_if_controlled(action, "web", *resources)  # noqa: SLF001


@pytest.mark.parametrize("state", ["inactive", "failed"])
class TestActiveElsewhere:
    def test_rehearse(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """A rehearsal does not start a second copy of a service that another node runs."""
        install(monkeypatch, LEFT_ALONE, state)
        with pytest.raises(NotRunError, match="unmanaged and active on node1"):
            rehearse._uncontrolled_resources("web.service")  # noqa: SLF001

    @pytest.mark.parametrize("action", ["start", "cycle"])
    def test_debug(self, monkeypatch: pytest.MonkeyPatch, state: str, action: str) -> None:
        """A start needs confirmation."""
        install(monkeypatch, LEFT_ALONE, state)
        with pytest.raises(NotRunError, match="unmanaged and active on node1"):
            confirm_debug(action)

    def test_debug_stop(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """A stop of what is down starts nothing."""
        install(monkeypatch, LEFT_ALONE, state)
        confirm_debug("stop")

    def test_advice(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """In maintenance, the service would run on there: only a stop is advised."""
        install(monkeypatch, MANAGED, state)
        with pytest.raises(NotRunError, match="pcs resource disable web") as rehearsed:
            rehearse._uncontrolled_resources("web.service")  # noqa: SLF001
        with pytest.raises(NotRunError, match="pcs resource disable web") as debugged:
            confirm_debug("start")
        assert "maintenance" not in f"{rehearsed.value} {debugged.value}"


@pytest.mark.parametrize("state", ["active", "activating", "deactivating"])
class TestActiveHere:
    def test_left_alone(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """What runs here is not started a second time."""
        install(monkeypatch, LEFT_ALONE, state)
        assert rehearse._uncontrolled_resources("web.service") == ((LEFT_ALONE,), "")  # noqa: SLF001
        confirm_debug("start")

    def test_advice(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """Maintenance makes it safe."""
        install(monkeypatch, MANAGED, state)
        with pytest.raises(NotRunError, match="pcs resource meta web maintenance=true") as error:
            rehearse._uncontrolled_resources("web.service")  # noqa: SLF001
        lines = str(error.value).splitlines()
        assert "what depends on it" in lines[lines.index("  pcs resource disable web") - 1]

    def test_no_terminal(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """What --yes does is a rehearsal or the action, not only a stop."""
        install(monkeypatch, MANAGED, state)
        with pytest.raises(click.UsageError, match="--yes to rehearse"):
            rehearse._is_confirmed("web.service", ["it runs"])  # noqa: SLF001
        with pytest.raises(NotRunError, match="--yes to run cycle"):
            confirm_debug("cycle")


@pytest.mark.parametrize("state", ["inactive", "failed"])
class TestDownHere:
    """The unit has crashed on this node, the only one where the cluster believes it active."""

    HERE = replace(LEFT_ALONE, nodes=("node2",))

    def test_rehearse(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """It is a concern, but no second copy."""
        install(monkeypatch, self.HERE, state)
        resources, message = rehearse._uncontrolled_resources("web.service")  # noqa: SLF001
        assert resources == (self.HERE,)
        assert message.startswith("web.service is down, although")

    def test_debug(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """A start needs confirmation, with what is so."""
        install(monkeypatch, self.HERE, state)
        with pytest.raises(NotRunError, match="down, although the cluster believes it active here") as error:
            confirm_debug("start")
        assert "two nodes" not in str(error.value)

    def test_an_unknown_unit(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """A deleted resource that Pacemaker leaves alone, and whose unit is unknown, is not about this unit."""
        orphan = replace(LEFT_ALONE, agent="ocf:pacemaker:systemd", unit="", is_orphan=True)
        install(monkeypatch, orphan, state)
        assert rehearse._uncontrolled_resources("web.service") == ((orphan,), "")  # noqa: SLF001
        confirm_debug("start")

    def test_on_another_node_too(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """A start would run a second copy."""
        install(monkeypatch, replace(LEFT_ALONE, nodes=("node1", "node2")), state)
        with pytest.raises(NotRunError, match="two nodes"):
            rehearse._uncontrolled_resources("web.service")  # noqa: SLF001


OTHER_PARAMETERS = replace(MANAGED, parameters={"unit": "web", "poll_interval": "2s", "stop_verify": "maybe"})


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Return a function that runs debug on node2 of a cluster; it returns what would run, and standard error."""

    def debugged(resource: Resource, *arguments: str) -> tuple[Call, str]:
        calls: list[Call] = []

        def run_call(call: Call, _: object) -> int:
            calls.append(call)
            return 0

        install(monkeypatch, resource, "inactive")
        monkeypatch.setattr(cluster, "query_cluster", lambda: Cluster({}, (resource,)))
        monkeypatch.setattr(debug, "our_agents", lambda: frozenset({"ocf:pacemaker:systemd"}))
        monkeypatch.setattr(session, "run_call", run_call)
        monkeypatch.setattr(systemctl, "is_booted", lambda: True)
        monkeypatch.setattr("os.geteuid", lambda: 0)
        result = CliRunner().invoke(whole_program(), ["debug", *arguments])
        assert result.exit_code == 0, result.output
        return calls[0], result.output

    return debugged


class TestItsResource:
    @pytest.mark.parametrize("action", ["monitor", "validate-all"])
    @pytest.mark.parametrize(
        ("resource", "arguments", "is_noted"),
        [
            pytest.param(OTHER_PARAMETERS, ("web",), True, id="others"),
            pytest.param(OTHER_PARAMETERS, ("web", "--json"), False, id="JSON"),
            pytest.param(OTHER_PARAMETERS, ("--resource", "web"), False, id="those of the resource"),
            pytest.param(replace(MANAGED, parameters={"unit": "web"}), ("web.service",), False, id="none"),
            pytest.param(
                replace(MANAGED, parameters={"unit": "web", "poll_interval": "2s"}),
                ("web", "-o", "poll_interval=2000ms"),
                False,
                id="the same",
            ),
            pytest.param(LEFT_ALONE, ("web", "-o", "poll_interval=2s"), False, id="class systemd"),
        ],
    )
    def test_other_parameters(
        self, run: Runner, action: str, resource: Resource, arguments: tuple[str, ...], *, is_noted: bool
    ) -> None:
        """A note names the resource of the unit if its parameters are not those of the command line."""
        _, output = run(resource, action, *arguments)
        assert (f"to use them: ocf-systemd debug {action} --resource web\n" in output) is is_noted
        assert bool(output) is is_noted

    def test_a_cluster_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An error of the query, or a name that is none, means no resource."""

        def fail(*_: object) -> None:
            raise cluster.ClusterError("cibadmin failed")

        assert debug._resources(Target({"unit": "a;b"}), needs_all=True) == ((), "")  # noqa: SLF001
        monkeypatch.setattr(cluster, "resources_of", fail)
        assert debug._resources(Target({"unit": "web"}), needs_all=True) == ((), "cibadmin failed")  # noqa: SLF001
        with pytest.raises(NotRunError, match=r"cibadmin failed\. It may control web"):
            confirm_debug("stop")

    @pytest.mark.parametrize("action", ["start", "stop", "cycle", "reload", "monitor"])
    def test_one_query(self, run: Runner, monkeypatch: pytest.MonkeyPatch, action: str) -> None:
        """The note and the confirmation use the same query of the cluster."""
        queries: list[str] = []
        resource = replace(OTHER_PARAMETERS, is_managed=False, nodes=())

        def query(unit: str, *_: object) -> tuple[Resource, ...]:
            queries.append(unit)
            return (resource,)

        run(resource, action, "web", "--json", "--yes")
        monkeypatch.setattr(cluster, "resources_of", query)
        result = CliRunner().invoke(whole_program(), ["debug", action, "web"])
        assert "to use them" in result.output
        assert queries == ["web.service"]

    @pytest.mark.parametrize("given", [("web",), ("--resource", "web")], ids=["unit", "resource"])
    @pytest.mark.parametrize(
        ("nodes", "why"),
        [
            pytest.param(("node1",), "the cluster runs web on node1: here, 7 is the", id="another node"),
            pytest.param((), "the cluster does not run web now: 7 is the", id="nowhere"),
            pytest.param(("node2",), "", id="here"),
            pytest.param(("node1", "node2"), "", id="here too"),
        ],
    )
    def test_expected_down(self, run: Runner, given: tuple[str, ...], nodes: tuple[str, ...], why: str) -> None:
        """Where the cluster does not run the resource, a monitor has the reason why 7 is expected."""
        resource = replace(MANAGED, parameters={"unit": "web"}, nodes=nodes)
        call, _ = run(resource, "monitor", *given)
        assert call.expected_down.startswith(why)
        assert bool(call.expected_down) is bool(why)
        assert run(resource, "monitor", "--json", *given)[0].expected_down == ""

    def test_unknown_state(self, run: Runner) -> None:
        """While Pacemaker is stopped, nothing is known."""
        call, _ = run(replace(MANAGED, parameters={"unit": "web"}, nodes=(), file="cib.xml"), "monitor", "web")
        assert call.expected_down == ""


def test_advice_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands that make Pacemaker leave the unit alone stand before the prompt."""
    install(monkeypatch, MANAGED, "active")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    shown: list[str] = []

    def confirm(prompt: str, *, err: bool) -> bool:
        shown.append(capsys.readouterr().err)
        return err and "stop" not in prompt

    monkeypatch.setattr(click, "confirm", confirm)
    with pytest.raises(NotRunError, match="nothing was changed"):
        confirm_debug("stop")
    assert "Pacemaker" in shown[0]
    assert "\n  pcs resource meta web maintenance=true\n" in shown[0]


class TestStopped:
    """Pacemaker is stopped here: the resource is that of the CIB on the disk."""

    FILE = "/var/lib/pacemaker/cib/cib.xml"
    RESOURCE = replace(MANAGED, nodes=(), file=FILE)

    def test_rehearse(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is refused: the message names the file, why nothing else is known, and what to do."""
        install(monkeypatch, self.RESOURCE, "inactive")
        with pytest.raises(NotRunError, match=f"{self.FILE}; its state on other nodes is unknown") as error:
            rehearse._uncontrolled_resources("web.service")  # noqa: SLF001
        assert "pcs cluster start" in str(error.value)
        assert f"mv --no-clobber {self.FILE}" in str(error.value)
        assert "disable" not in str(error.value)

    @pytest.mark.parametrize("action", ["start", "stop", "reload", "cycle"])
    def test_debug(self, monkeypatch: pytest.MonkeyPatch, action: str) -> None:
        """What changes something needs confirmation."""
        install(monkeypatch, self.RESOURCE, "inactive")
        with pytest.raises(NotRunError, match=f"may control web.service.*{self.FILE}"):
            confirm_debug(action)


def test_an_orphan(monkeypatch: pytest.MonkeyPatch) -> None:
    """No command can change a deleted resource: it is advised to wait."""
    install(monkeypatch, replace(MANAGED, is_orphan=True), "active")
    with pytest.raises(NotRunError, match="deleted from the configuration, managed and active on node1") as error:
        rehearse._uncontrolled_resources("web.service")  # noqa: SLF001
    assert "pcs resource" not in str(error.value)
    assert "crm_resource --wait" in str(error.value)


@pytest.mark.parametrize(
    ("resource", "verb"),
    [
        pytest.param(MANAGED, "controls", id="ours"),
        pytest.param(replace(MANAGED, agent="systemd:web"), "controls", id="systemd"),
        pytest.param(replace(MANAGED, agent="ocf:own:unit"), "may control", id="another agent"),
        pytest.param(replace(MANAGED, unit="", is_orphan=True), "may control", id="unknown unit"),
    ],
)
def test_certainty(monkeypatch: pytest.MonkeyPatch, resource: Resource, verb: str) -> None:
    """What a parameter `unit` of another agent means is unknown, as is the unit of a deleted resource."""
    monkeypatch.setattr(messages, "our_agents", lambda: frozenset({"ocf:pacemaker:systemd"}))
    assert describe("web.service", [resource]).startswith(f"Pacemaker {verb} web.service: ")
