"""rehearse and debug on a node of a cluster: what they refuse, and what they advise."""

from __future__ import annotations

import click
import pytest

from ocf_systemd.commands import debug, rehearse
from ocf_systemd.commands.program import NotRunError
from ocf_systemd.core.cluster import Resource
from ocf_systemd.host import cluster

MANAGED = Resource("web", "ocf:pacemaker:systemd", "web.service", {}, nodes=("node1",))
LEFT_ALONE = Resource("web", "systemd:web", "web.service", {}, nodes=("node1",), is_managed=False)


def install(monkeypatch: pytest.MonkeyPatch, resource: Resource, state: str) -> None:
    """Let a cluster have a resource, and its unit a state on this host; there is no terminal."""
    monkeypatch.setattr(cluster, "resources_of", lambda _: (resource,))
    monkeypatch.setattr(cluster, "_output", lambda *_: f"ActiveState={state}\n")
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
        assert rehearse._uncontrolled_resources("web.service") == (LEFT_ALONE,)  # noqa: SLF001
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
