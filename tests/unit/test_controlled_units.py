"""rehearse and debug on a node of a cluster: what they refuse, and what they advise."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest

from ocf_systemd.commands import cluster as messages
from ocf_systemd.commands import debug, rehearse
from ocf_systemd.commands.cluster import describe
from ocf_systemd.commands.program import NotRunError
from ocf_systemd.core.cluster import Resource
from ocf_systemd.host import cluster

MANAGED = Resource("web", "ocf:pacemaker:systemd", "web.service", {}, nodes=("node1",))
LEFT_ALONE = Resource("web", "systemd:web", "web.service", {}, nodes=("node1",), is_managed=False)


def install(monkeypatch: pytest.MonkeyPatch, resource: Resource, state: str) -> None:
    """Let a cluster have a resource, and its unit a state on this host; there is no terminal."""
    monkeypatch.setattr(cluster, "resources_of", lambda *_: (resource,))
    monkeypatch.setattr(
        cluster, "_output", lambda *command: "node2\n" if command[0] == "crm_node" else f"ActiveState={state}\n"
    )
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)


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
            debug._confirm_if_controlled(action, "web")  # noqa: SLF001

    def test_debug_stop(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """A stop of what is down starts nothing."""
        install(monkeypatch, LEFT_ALONE, state)
        debug._confirm_if_controlled("stop", "web")  # noqa: SLF001

    def test_advice(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """In maintenance, the service would run on there: only a stop is advised."""
        install(monkeypatch, MANAGED, state)
        with pytest.raises(NotRunError, match="pcs resource disable web") as rehearsed:
            rehearse._uncontrolled_resources("web.service")  # noqa: SLF001
        with pytest.raises(NotRunError, match="pcs resource disable web") as debugged:
            debug._confirm_if_controlled("start", "web")  # noqa: SLF001
        assert "maintenance" not in f"{rehearsed.value} {debugged.value}"


@pytest.mark.parametrize("state", ["active", "activating", "deactivating"])
class TestActiveHere:
    def test_left_alone(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """What runs here is not started a second time."""
        install(monkeypatch, LEFT_ALONE, state)
        assert rehearse._uncontrolled_resources("web.service") == ((LEFT_ALONE,), "")  # noqa: SLF001
        debug._confirm_if_controlled("start", "web")  # noqa: SLF001

    def test_advice(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """Maintenance makes it safe."""
        install(monkeypatch, MANAGED, state)
        with pytest.raises(NotRunError, match="pcs resource meta web maintenance=true") as error:
            rehearse._uncontrolled_resources("web.service")  # noqa: SLF001
        lines = str(error.value).splitlines()
        assert "what depends on it" in lines[lines.index("  pcs resource disable web --wait") - 1]

    def test_no_terminal(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """What --yes does is a rehearsal or the action, not only a stop."""
        install(monkeypatch, MANAGED, state)
        with pytest.raises(click.UsageError, match="--yes to rehearse"):
            rehearse._is_confirmed("web.service", ["it runs"])  # noqa: SLF001
        with pytest.raises(NotRunError, match="--yes to run cycle"):
            debug._confirm_if_controlled("cycle", "web")  # noqa: SLF001


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
            debug._confirm_if_controlled("start", "web")  # noqa: SLF001
        assert "two nodes" not in str(error.value)

    def test_an_unknown_unit(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """A deleted resource that Pacemaker leaves alone, and whose unit is unknown, is not about this unit."""
        orphan = replace(LEFT_ALONE, agent="ocf:pacemaker:systemd", unit="", is_orphan=True)
        install(monkeypatch, orphan, state)
        assert rehearse._uncontrolled_resources("web.service") == ((orphan,), "")  # noqa: SLF001
        debug._confirm_if_controlled("start", "web")  # noqa: SLF001

    def test_on_another_node_too(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        """A start would run a second copy."""
        install(monkeypatch, replace(LEFT_ALONE, nodes=("node1", "node2")), state)
        with pytest.raises(NotRunError, match="two nodes"):
            rehearse._uncontrolled_resources("web.service")  # noqa: SLF001


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
            debug._confirm_if_controlled(action, "web")  # noqa: SLF001


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
