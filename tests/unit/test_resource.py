"""What debug, doctor and rehearse act on, a unit or a resource of the cluster; what they propose and warn of."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from click.testing import CliRunner

from ocf_systemd.commands import candidates, whole_program
from ocf_systemd.commands.program import command_as_root
from ocf_systemd.core.durations import duration_s
from ocf_systemd.core.named_resource import find_resource, operations_of, options_of
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.parameter_table import TABLE, Parameter
from ocf_systemd.core.parameter_values import optional_duration_s
from ocf_systemd.core.plausibility import PLAUSIBLE_S, far_off, ineffective_hook_timeout
from ocf_systemd.core.suggestions import did_you_mean, similar_units, similar_values
from ocf_systemd.debug import session
from ocf_systemd.host import cluster as host_cluster
from ocf_systemd.host import systemctl
from ocf_systemd.host.cluster import ClusterError, MayNotQueryError
from tests.unit.test_cluster import OURS, attributes, configured, primitive, real

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocf_systemd.core.cluster import Cluster, Resource
    from ocf_systemd.debug.session import Call

    class Debugged(Protocol):
        def __call__(self, *arguments: str) -> Call: ...


OPERATIONS = (
    '<operations><op id="o-m" name="monitor" interval="30s" timeout="25s"><instance_attributes id="o-l">'
    '<nvpair id="o-l-l" name="OCF_CHECK_LEVEL" value="10"/></instance_attributes></op>'
    '<op id="o-s" name="start" interval="0" timeout="15min"/></operations>'
)
OPTIONS = {"unit": "web", "monitor_hook": "/h/web", "monitor_hook_level": "10", "poll_interval": "2s"}
WEB = primitive(attributes("instance_attributes", "i", **OPTIONS, unknown="1") + OPERATIONS)
DB = 'class="ocf" provider="heartbeat" type="x"'
FOREIGN = primitive(attributes("instance_attributes", "f", unit="db"), "db", DB)
IN_GROUP = f'<clone id="all"><group id="g">{primitive("", "one")}{primitive("", "two")}</group></clone>'


def only(content: str) -> Resource:
    (resource,) = configured(content).resources
    return resource


class TestFindResource:
    @pytest.mark.parametrize(
        ("name", "found"),
        [
            pytest.param("mail", "mail", id="primitive"),
            pytest.param("a", "a", id="member of a group"),
            pytest.param("cl", "cl", id="primitive of a clone"),
            pytest.param("cl-clone", "cl", id="clone"),
            pytest.param("cl:0", "cl", id="instance"),
            pytest.param("cl:12", "cl", id="another instance"),
            pytest.param("b", "b", id="a unit of the class systemd"),
        ],
    )
    def test_found(self, name: str, found: str) -> None:
        """A resource is found by its own name, its clone's and that of an instance."""
        assert find_resource(real("managed"), name, {OURS}).id == found

    @pytest.mark.parametrize(
        ("cluster", "name", "error"),
        [
            pytest.param(real("managed"), "mial", "no resource 'mial'. Did you mean 'mail'? Resources", id="misspelt"),
            pytest.param(real("managed"), "cl-clon", "Did you mean 'cl-clone'?", id="misspelt clone"),
            pytest.param(real("managed"), "x", "Resources of this agent: mail (mail.service), web (", id="unknown"),
            pytest.param(real("managed"), "g", "no resource 'g'", id="group"),
            pytest.param(real("managed"), "cl:x", "no resource 'cl:x'", id="no instance"),
            pytest.param(configured(""), "x", "Resources of this agent: none", id="no resources"),
            pytest.param(configured(FOREIGN), "db", "db is of ocf:heartbeat:x, which is another", id="another"),
            pytest.param(configured(primitive()), "web", "resource web has no parameter unit", id="no unit"),
            pytest.param(configured(IN_GROUP), "all", "expected one of one, two", id="clone of a group"),
        ],
    )
    def test_not_found(self, cluster: Cluster, name: str, error: str) -> None:
        """The error has the resources of this agent, and the one that was probably meant."""
        with pytest.raises(LookupError, match=re.escape(error)):
            find_resource(cluster, name, {OURS})

    def test_other_provider(self) -> None:
        """An agent of ours is recognised under any name that it is installed under."""
        assert find_resource(configured(FOREIGN), "db", {OURS, "ocf:heartbeat:x"}).id == "db"

    def test_options(self) -> None:
        """All parameters of this agent are taken, with the operations as Pacemaker runs them."""
        resource = only(WEB)
        assert options_of(resource) == OPTIONS
        operations = operations_of(resource, OPTIONS)
        assert [operations.timeout_s(action) for action in (Action.START, Action.MONITOR)] == [900.0, 25.0]
        assert operations.interval_s == 30.0

    def test_a_unit(self) -> None:
        """A resource of the class systemd has a unit and operations, and no parameters."""
        resource = find_resource(real("managed"), "b", set())
        assert options_of(resource) == {"unit": "b.service"}
        assert operations_of(resource, {}).interval_s == 30.0


@pytest.fixture
def debugged(monkeypatch: pytest.MonkeyPatch) -> Debugged:
    """Return a function that runs debug on a node of a cluster, and returns what it would run."""
    calls: list[Call] = []

    def run_call(call: Call, _: object) -> int:
        calls.append(call)
        return 0

    monkeypatch.setattr(session, "run_call", run_call)
    monkeypatch.setattr(systemctl, "is_booted", lambda: True)
    monkeypatch.setattr(host_cluster, "query_cluster", lambda: configured(WEB))
    monkeypatch.setattr("os.geteuid", lambda: 0)

    def run(*arguments: str) -> Call:
        result = CliRunner().invoke(whole_program(), ["debug", *arguments])
        assert result.exit_code == 0, result.output
        return calls.pop()

    return run


class TestCommandLine:
    @pytest.mark.parametrize(
        "arguments",
        [
            pytest.param(("web",), id="argument"),
            pytest.param(("--unit", "web"), id="option"),
            pytest.param(("-o", "unit=web"), id="parameter"),
            pytest.param(("web", "--unit", "web.service"), id="both, equal"),
        ],
    )
    def test_unit(self, debugged: Debugged, arguments: tuple[str, ...]) -> None:
        """The unit is an argument, an option or a parameter."""
        assert debugged("monitor", *arguments).options["unit"] in {"web", "web.service"}

    def test_metadata_needs_no_unit(self, debugged: Debugged) -> None:
        """The metadata are those of the agent."""
        assert debugged("meta-data").options == {}

    def test_resource(self, debugged: Debugged) -> None:
        """Parameters, times and the monitor's check level are the resource's."""
        call = debugged("monitor", "--resource", "web")
        assert call.options == OPTIONS | {"OCF_CHECK_LEVEL": "10"}
        assert (call.operations.timeout_s(Action.MONITOR), call.operations.interval_s) == (25.0, 30.0)
        assert "OCF_CHECK_LEVEL" not in debugged("validate-all", "--resource", "web").options

    def test_the_command_line_wins(self, debugged: Debugged) -> None:
        """What the command line has replaces what the resource has; the rest stays."""
        call = debugged("monitor", "other", "--resource", "web", "-o", "poll_interval=3s", "--op", "monitor=7s")
        assert call.options == OPTIONS | {"unit": "other", "poll_interval": "3s", "OCF_CHECK_LEVEL": "10"}
        assert (call.operations.timeout_s(Action.MONITOR), call.operations.timeout_s(Action.START)) == (7.0, 900.0)

    def test_another_hook(self, debugged: Debugged) -> None:
        """With another hook, the arguments and the protocol of the resource's own hook do not apply."""
        call = debugged("monitor", "--resource", "web", "--monitor-hook", "/h/x", "-o", "OCF_CHECK_LEVEL=5")
        others = {"monitor_hook": "/h/x", "monitor_hook_level": "10", "OCF_CHECK_LEVEL": "5"}
        assert call.options == {"unit": "web", "poll_interval": "2s"} | others

    @pytest.mark.parametrize("command", [("debug", "monitor"), ("doctor",), ("rehearse",)])
    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            pytest.param(("a", "--unit", "b"), "Different units are given, 'a' and 'b'", id="two units"),
            pytest.param(("a", "-o", "unit=b"), "Different units are given, 'a' and 'b'", id="a parameter too"),
            pytest.param((), "Missing argument 'UNIT'", id="none"),
            pytest.param(("a", "-o", "pol_interval=1s"), "Did you mean 'poll_interval'?", id="parameter"),
            pytest.param(("a", "--op", "strat=1s"), "Did you mean 'start'?", id="operation"),
            pytest.param(("a", "--op", "start=1x"), "'1x' is not a duration", id="time"),
            pytest.param(("a", "--monitr-hook", "/h"), "--monitor-hook", id="option"),
            pytest.param(("--resource", "wbe"), "Did you mean 'web'?", id="resource"),
        ],
    )
    def test_errors(
        self, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], arguments: tuple[str, ...], error: str
    ) -> None:
        """Each command reports them with exit code 2, and proposes a name."""
        monkeypatch.setattr(host_cluster, "query_cluster", lambda: configured(WEB))
        monkeypatch.setattr(systemctl, "is_booted", lambda: True)
        monkeypatch.setattr("os.geteuid", lambda: 0)
        result = CliRunner().invoke(whole_program(), [*command, *arguments])
        assert result.exit_code == 2
        assert error in result.output

    def test_a_suggestion_replaces_the_list(self) -> None:
        """A misspelt parameter has the one that was probably meant; another one has all of them."""
        outputs = [
            CliRunner().invoke(whole_program(), ["debug", "monitor", "a", "-o", wrong]).output
            for wrong in ("pol_interval=1s", "x=1s")
        ]
        assert ["stop_verify" in output for output in outputs] == [False, True]
        assert "unknown parameter 'pol_interval'. Did you mean 'poll_interval'?" in outputs[0]

    def test_a_relative_hook(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """It is a usage error with the absolute path, before anything is run."""
        monkeypatch.chdir(tmp_path)
        result = CliRunner().invoke(whole_program(), ["debug", "validate-all", "a", "--monitor-hook", "hooks/http"])
        assert result.exit_code == 2
        assert f"{tmp_path}/hooks/http" in "".join(result.output.split("\n"))

    @pytest.mark.parametrize("command", [("doctor",), ("rehearse",)])
    def test_values(self, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
        """A value that is none of the choices is an error that proposes one of them."""
        monkeypatch.setattr("os.geteuid", lambda: 0)
        result = CliRunner().invoke(whole_program(), [*command, "a", "-o", "monitor_hook_protocol=nagois"])
        assert (result.exit_code, "Did you mean 'nagios'?" in result.output) == (2, True)

    @pytest.mark.parametrize("command", [("debug", "monitor"), ("doctor",), ("rehearse",)])
    def test_no_cluster(self, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
        """Without a cluster, or with one that does not answer, the error says why and what to do."""
        monkeypatch.setattr(host_cluster, "_CIB", Path("/nonexistent/cib.xml"))
        monkeypatch.setattr(systemctl, "is_booted", lambda: True)
        monkeypatch.setattr("os.geteuid", lambda: 0)

        def fail() -> None:
            raise ClusterError("cibadmin failed")

        for query, why in ((lambda: None, "no cluster runs on this host"), (fail, "cibadmin failed")):
            monkeypatch.setattr(host_cluster, "query_cluster", query)
            result = CliRunner().invoke(whole_program(), [*command, "--resource", "web"])
            assert result.exit_code == 2
            assert why in result.output
            assert "on a node of the cluster" in result.output

    @pytest.mark.parametrize("command", [("debug", "monitor"), ("doctor",)])
    def test_user_who_may_not_query(self, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
        """The error has the command for root, and does not send the user to another host."""

        def fail() -> None:
            raise MayNotQueryError("this user may not query the cluster")

        arguments = [*command, "--resource", "web"]
        monkeypatch.setattr(systemctl, "is_booted", lambda: True)
        monkeypatch.setattr(host_cluster, "query_cluster", fail)
        monkeypatch.setattr("sys.argv", ["/usr/bin/ocf-systemd", *arguments])
        result = CliRunner().invoke(whole_program(), arguments)
        assert result.exit_code == 2
        assert f"may not query the cluster. Run: sudo ocf-systemd {' '.join(arguments)}" in result.output
        assert "on a node of the cluster" not in result.output

    def test_completion_of_resources(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Resources that manage a unit are offered; none if the cluster does not answer in time."""
        monkeypatch.setattr(host_cluster, "configured_resources", lambda _: real("managed").resources)
        assert [each.value for each in candidates.resources("")] == ["mail", "web", "a", "b", "cl"]
        assert [each.value for each in candidates.resources("m")] == ["mail"]

        def fail(_: float) -> None:
            raise TimeoutError

        monkeypatch.setattr(host_cluster, "configured_resources", fail)
        assert candidates.resources("") == []

    def test_completion_of_operations(self) -> None:
        """The names of operations are offered with an equals sign."""
        assert [each.value for each in candidates.operations("st")] == ["start=", "stop="]


class TestSuggestions:
    @pytest.mark.parametrize(
        ("word", "known", "expected"),
        [
            pytest.param("strat", ("start", "stop"), " Did you mean 'start'?", id="swapped"),
            pytest.param("META_DATA", ("meta-data",), " Did you mean 'meta-data'?", id="case and underscore"),
            pytest.param("x", ("start", "stop"), "", id="nothing similar"),
            pytest.param("", ("start",), "", id="empty"),
        ],
    )
    def test_names(self, word: str, known: tuple[str, ...], expected: str) -> None:
        """The most similar name is proposed, if one is similar."""
        assert did_you_mean(word, known) == expected

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            pytest.param({"monitor_hook_protocol": "lbs"}, " Did you mean 'lsb'?", id="one of several"),
            pytest.param({"stop_escalate": "yess"}, " Did you mean 'yes'?", id="boolean"),
            pytest.param({"stop_escalate": "true", "monitor_hook_order": " gated"}, "", id="right values"),
            pytest.param({"stop_escalate": ""}, "", id="unset"),
            pytest.param({"poll_interval": "x"}, "", id="no choices"),
        ],
    )
    def test_values(self, options: Mapping[str, str], expected: str) -> None:
        """For a value that is wrong, the most similar choice is proposed."""
        assert similar_values(options) == expected

    def test_units(self) -> None:
        """Units of the same type are proposed whose names are similar, or contain the name."""
        known = ("nginx.service", "nginx.socket", "nginx@.service", "my-ngnx.service", "sshd.service")
        assert similar_units("ngnx.service", known) == ("nginx.service", "my-ngnx.service")


DURATIONS = [row for row in TABLE if row.parse in {duration_s, optional_duration_s}]


class TestFarOff:
    @pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in DURATIONS])
    def test_every_duration_has_a_range(self, row: Parameter) -> None:
        """The default is in the range, and the agent accepts its bounds."""
        least, longest = PLAUSIBLE_S[row.name]
        assert not row.default or least <= duration_s(row.default) <= longest
        assert (row.parse(f"{least}s"), row.parse(f"{longest}s")) == (least, longest)

    def test_no_other_parameter_has_one(self) -> None:
        """A range is that of a parameter which is a duration."""
        assert set(PLAUSIBLE_S) == {row.name for row in DURATIONS}

    @pytest.mark.parametrize(
        ("options", "times", "expected"),
        [
            pytest.param(
                {"poll_interval": "5000"}, {}, "poll_interval=5000 is 5000 s (83 min); did you mean 5000ms?", id="bare"
            ),
            pytest.param(
                {"monitor_hook_timeout": "5000 s"},
                {},
                "monitor_hook_timeout=5000 s is 5000 s (83 min); did you mean 5000ms?",
                id="seconds",
            ),
            pytest.param({"poll_interval": "2h"}, {}, "poll_interval=2h is 7200 s (2 h)", id="hours"),
            pytest.param({"poll_interval": "5ms"}, {}, "poll_interval=5ms is 0.005 s; did you mean 5s?", id="ms"),
            pytest.param({"poll_interval": "1us"}, {}, "poll_interval=1us is 1e-06 s", id="us"),
            pytest.param(
                {}, {"start": "20000"}, "start timeout=20000 is 20000 s (6 h); did you mean 20000ms?", id="op"
            ),
            pytest.param({}, {"stop": "1800"}, "stop timeout=1800 is 1800 s (30 min)", id="1800"),
            pytest.param({}, {"stop": "2500"}, "stop timeout=2500 is 2500 s (42 min); did you mean 2500ms?", id="2500"),
            pytest.param(
                {}, {"start": "1"}, "start timeout=1 is 1 s, less than the 2 s that the agent needs", id="short"
            ),
            pytest.param(
                {},
                {"stop": "20ms"},
                "stop timeout=20ms is 0.02 s, less than the 2 s that the agent needs; did you mean 20s?",
                id="short, ms",
            ),
            pytest.param({}, {"interval": "10ms"}, "monitor interval=10ms is 0.01 s; did you mean 10s?", id="interval"),
        ],
    )
    def test_far_off(self, options: Mapping[str, str], times: Mapping[str, str], expected: str) -> None:
        """The warning says what was understood and, if another unit is likely, what was meant."""
        chosen = Operations({name: duration_s(text) for name, text in times.items()})
        assert [str(each) for each in far_off(options, chosen, times)] == [expected]

    @pytest.mark.parametrize(
        ("options", "times"),
        [
            pytest.param({"poll_interval": "500ms", "monitor_hook_timeout": "2min"}, {}, id="parameters"),
            pytest.param({"poll_interval": "x", "monitor_hook_timeout": ""}, {}, id="wrong and unset"),
            pytest.param({}, {"start": "15min", "stop": "1800s", "monitor": "2", "interval": "1"}, id="times"),
        ],
    )
    def test_usual(self, options: Mapping[str, str], times: Mapping[str, str]) -> None:
        """Usual times are none, nor are wrong values, which are errors."""
        chosen = Operations({name: duration_s(text) for name, text in times.items()})
        assert far_off(options, chosen, times) == ()

    def test_configured(self) -> None:
        """The times of a resource are checked too."""
        (found,) = far_off({}, Operations({}, {"start": 5000.0, "stop": 110.0}), {})
        assert str(found) == "start timeout=5000s is 5000 s (83 min); did you mean 5000ms?"

    @pytest.mark.parametrize(
        ("timeout", "warns"), [("20s", True), ("1min", True), ("19s", False), ("", False), ("x", False)]
    )
    def test_hook_timeout(self, timeout: str, *, warns: bool) -> None:
        """A hook's timeout that is not below the monitor's has no effect."""
        assert bool(ineffective_hook_timeout({"monitor_hook_timeout": timeout}, Operations())) == warns

    @pytest.mark.usefixtures("debugged")
    def test_debug_warns(self) -> None:
        """Debug warns before it runs the action, which runs nevertheless."""
        wrong = ("-o", "monitor_hook_protocol=nagois", "--json")
        result = CliRunner().invoke(whole_program(), ["debug", "monitor", "web", "-o", "poll_interval=5000", *wrong])
        assert "Did you mean 'nagios'?\n" in result.output
        assert "warning: poll_interval=5000 is 5000 s (83 min); did you mean 5000ms?\n" in result.output
        assert result.exit_code == 0


class TestRoot:
    @pytest.mark.parametrize(
        ("called", "command"),
        [
            pytest.param("/usr/local/bin/ocf-systemd", "sudo ocf-systemd debug stop 'a b'", id="where sudo looks"),
            pytest.param("/opt/x/bin/ocf-systemd", "sudo /opt/x/bin/ocf-systemd debug stop 'a b'", id="elsewhere"),
            pytest.param("/x/__main__.py", f"sudo {sys.executable} -m ocf_systemd debug stop 'a b'", id="as a module"),
        ],
    )
    def test_command(self, monkeypatch: pytest.MonkeyPatch, called: str, command: str) -> None:
        """The command that called the program is proposed for sudo, quoted, with a name that sudo finds."""
        monkeypatch.setattr("sys.argv", [called, "debug", "stop", "a b"])
        assert command_as_root() == command

    @pytest.mark.parametrize("command", [("debug", "start"), ("debug", "cycle"), ("rehearse",)])
    def test_refused(self, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
        """One line says so, before the cluster or systemd is queried."""
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        result = CliRunner().invoke(whole_program(), [*command, "--resource", "web"])
        assert result.exit_code == 2
        assert re.fullmatch(r"Error: this user is not root: .*\. Run: sudo .*\n", result.output)

    def test_writable_place(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Installing into a place of one's own needs no root."""
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        arguments = ["install", "--ocf-root", str(tmp_path / "a/b"), "--no-share"]
        assert CliRunner().invoke(whole_program(), arguments).exit_code == 0
        monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
        result = CliRunner().invoke(whole_program(), ["uninstall", *arguments[1:3]])
        assert result.exit_code == 2
        assert f"only root can write to {tmp_path}/a/b" in result.output
