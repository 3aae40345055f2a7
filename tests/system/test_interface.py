"""The interface without a unit: metadata, unknown actions, wrong parameters, imports."""

from __future__ import annotations

import re
import subprocess
import sys
from shutil import copy
from typing import TYPE_CHECKING

import pytest

from tests.system.agent import as_variables

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.agent import Agent
    from tests.system.box import Box
    from tests.system.requirements import Requirements

AGENT = "/usr/lib/ocf/resource.d/pacemaker/systemd"
DTD = "/usr/share/resource-agents/ra-api-1.dtd"
RNG = "/usr/share/pcs/data/ocf-1.1.rng"


@pytest.fixture
def metadata(agent: Agent) -> str:
    result = agent("meta-data")
    assert (result.code, result.stderr) == (0, "")
    return result.stdout


def xmllint(require: Requirements, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [require.package("xmllint", "libxml2-utils"), "--noout", "--nonet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class TestMetadata:
    def test_valid_by_the_dtd(self, metadata: str, tmp_path: Path, require: Requirements) -> None:
        """ocf-tester's DTD and the document's own subset together accept it, and would not accept anything."""
        file = tmp_path / "metadata.xml"
        file.write_text(metadata, encoding="utf-8")
        assert "ra-api-1.dtd" in xmllint(require, "--valid", file).stderr, "the DTD is not loaded from elsewhere"
        copy(require.package(DTD, "resource-agents"), tmp_path)
        valid = xmllint(require, "--valid", file)
        assert (valid.returncode, valid.stderr) == (0, "")
        file.write_text(metadata.replace("</resource-agent>", "<other/></resource-agent>"), encoding="utf-8")
        assert "No declaration for element other" in xmllint(require, "--valid", file).stderr

    def test_valid_for_pcs(self, metadata: str, tmp_path: Path, require: Requirements) -> None:
        """The schema of OCF 1.1 that pcs has accepts it, and would not accept anything."""
        schema = require.package(RNG, "pcs")
        file = tmp_path / "metadata.xml"
        file.write_text(metadata, encoding="utf-8")
        assert xmllint(require, "--relaxng", schema, file).returncode == 0
        file.write_text(metadata.replace('reloadable="1"', 'reloadable="maybe"'), encoding="utf-8")
        assert xmllint(require, "--relaxng", schema, file).returncode != 0

    def test_advertises_reload_agent(self, metadata: str) -> None:
        """It has reload-agent, and parameters that can be reloaded; the unit cannot."""
        assert re.search('<action name="reload-agent" timeout="20s" ?/>', metadata)
        assert re.search('<parameter name="monitor_hook" [^>]*reloadable="1"', metadata)
        assert re.search('<parameter name="unit" [^>]*reloadable="0"', metadata)

    def test_without_environment(self, agent: Agent, metadata: str) -> None:
        """It needs no environment at all."""
        result = agent.run("meta-data", environment={})
        assert (result.code, result.stdout, result.stderr) == (0, metadata, "")

    def test_as_nobody(self, box: Box, metadata: str, require: Requirements) -> None:
        """An unprivileged user gets it too: ocf-tester runs as nobody (by su, which here would open a session)."""
        require.readable_interpreter()
        done = box.sandbox.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", AGENT, "meta-data"])
        assert (done.returncode, done.stdout, done.stderr) == (0, metadata, "")

    def test_with_wrong_parameters(self, agent: Agent, metadata: str) -> None:
        """Wrong parameters do not matter to it."""
        result = agent("meta-data", unit="../x", monitor_hook_timeout="soon")
        assert (result.code, result.stdout) == (0, metadata)

    def test_while_systemd_does_not_answer(self, agent: Agent, box: Box, metadata: str) -> None:
        """A system manager that hangs does not matter to it."""
        with box.freeze():
            result = agent("meta-data", timeout_s=5)
        assert (result.code, result.stdout) == (0, metadata)


class TestWords:
    @pytest.mark.parametrize(
        "arguments",
        [
            pytest.param((), id="none"),
            pytest.param(("",), id="empty"),
            pytest.param(("frobnicate",), id="unknown"),
            pytest.param(("notify",), id="notify"),
            pytest.param(("promote",), id="promote"),
            pytest.param(("demote",), id="demote"),
            pytest.param(("migrate_to",), id="migrate_to"),
            pytest.param(("migrate_from",), id="migrate_from"),
            pytest.param(("status",), id="status"),
            pytest.param(("--help",), id="help-option"),
            pytest.param(("-x",), id="option"),
            pytest.param(("debug",), id="for-people"),
            pytest.param(("--", "monitor-all"), id="dashes"),
        ],
    )
    def test_not_implemented(self, agent: Agent, arguments: tuple[str, ...]) -> None:
        """An unknown action is 3, which is no hard error, and a line that lists the actions."""
        result = agent(*arguments, unit="any")
        assert (result.code, result.stdout) == (3, "")
        assert "expected start, stop, monitor" in result.reason
        assert len(result.stderr.splitlines()) == 1

    @pytest.mark.parametrize(
        "arguments",
        [
            pytest.param(("surplus", "arguments"), id="arguments"),
            pytest.param(("stop",), id="another-action"),
            pytest.param(("--help",), id="help-option"),
            pytest.param(("-x", "--unit=y"), id="options"),
            pytest.param(("--", "stop"), id="dashes"),
        ],
    )
    def test_surplus_arguments(self, agent: Agent, box: Box, arguments: tuple[str, ...]) -> None:
        """All that stands after the action is ignored."""
        unit = box.started()
        assert agent("monitor", *arguments, unit=unit).code == 0
        assert box.state(unit) == "active"


WRONG = [
    pytest.param({"monitor_hook": "hooks/http"}, "monitor_hook", id="hook-relative"),
    pytest.param({"monitor_hook_timeout": "soon"}, "monitor_hook_timeout", id="timeout-word"),
    pytest.param({"monitor_hook_timeout": "-1s"}, "monitor_hook_timeout", id="timeout-negative"),
    pytest.param({"monitor_hook_timeout": "0"}, "monitor_hook_timeout", id="timeout-nothing"),
    pytest.param({"monitor_hook_timeout": "1.5.5s"}, "monitor_hook_timeout", id="timeout-fraction"),
    pytest.param({"monitor_hook_timeout": "1 fortnight"}, "monitor_hook_timeout", id="timeout-unit"),
    pytest.param({"poll_interval": "inf"}, "poll_interval", id="poll-infinite"),
    pytest.param({"monitor_hook_protocol": "http"}, "monitor_hook_protocol", id="protocol"),
    pytest.param({"monitor_hook_protocol": "OCF"}, "monitor_hook_protocol", id="protocol-case"),
    pytest.param({"monitor_hook_order": "later"}, "monitor_hook_order", id="order"),
    pytest.param({"monitor_hook_retries": "-1"}, "monitor_hook_retries", id="retries"),
    pytest.param({"monitor_hook_level": "deep"}, "monitor_hook_level", id="level"),
    pytest.param({"monitor_hook_args": "'open"}, "monitor_hook_args", id="args-open-quote"),
    pytest.param({"monitor_hook_user": "-x"}, "monitor_hook_user", id="user"),
    pytest.param({"start_poll_limit": "many"}, "start_poll_limit", id="limit"),
    pytest.param({"stop_escalate": "perhaps"}, "stop_escalate", id="boolean"),
    pytest.param({"stop_verify": "yes", "monitor_hook": ""}, "stop_verify", id="verify-without-hook"),
    pytest.param({"stop_verify": "yes", "monitor_hook_protocol": "plain"}, "stop_verify", id="verify-plain"),
]


class TestWrongParameters:
    @pytest.mark.parametrize(("parameters", "culprit"), WRONG)
    def test_nothing_is_run(self, agent: Agent, box: Box, parameters: dict[str, str], culprit: str) -> None:
        """A wrong value is 6 with the parameter's name, before a hook or systemctl is run."""
        path = box.in_front_of_systemctl("echo ran >>/run/test/systemctl")
        given = {"unit": "fine", "monitor_hook": box.marking("hook"), **parameters}
        variables = {f"OCF_RESKEY_{name}": value for name, value in given.items()}
        result = agent("start", variables={"PATH": path, **variables})
        assert result.code == 6
        assert re.match(rf"{culprit}(=| is not set| cannot be split)", result.reason)
        assert (box.marks("systemctl"), box.marks("hook"), box.marks("harm")) == ([], [], [])

    def test_right_ones_are_run(self, agent: Agent, box: Box) -> None:
        """The same with right values runs both: what the other tests look for would be there."""
        path = box.in_front_of_systemctl("echo ran >>/run/test/systemctl")
        unit, hook = box.started(), box.marking("hook")
        assert agent("monitor", unit=unit, monitor_hook=hook, variables={"PATH": path}).code == 0
        # The server queries PID 1 itself.
        assert (box.marks("systemctl"), box.marks("hook")) == ([] if agent.is_resident else ["ran"], ["ran "])

    @pytest.mark.parametrize("action", ["start", "monitor", "reload", "reload-agent", "validate-all"])
    def test_all_are_reported_at_once(self, agent: Agent, action: str) -> None:
        """An action reports all wrong parameters in one reason."""
        result = agent(action, unit="*", monitor_hook="x", monitor_hook_timeout="soon", monitor_hook_protocol="y")
        assert result.code == 6
        for name in ("unit='*'", "monitor_hook='x'", "monitor_hook_timeout='soon'", "monitor_hook_protocol='y'"):
            assert name in result.reason

    @pytest.mark.parametrize("action", ["monitor", "stop"])
    def test_all_are_logged(self, agent: Agent, action: str) -> None:
        """A probe and a stop, which go by the unit, log all that is wrong."""
        wrong = {"unit": "*", "monitor_hook": "x", "monitor_hook_timeout": "soon", "monitor_hook_protocol": "y"}
        result = agent(action, interval_s=0, variables={"HA_LOGFACILITY": "", **as_variables(wrong)})
        for name, value in wrong.items():
            assert re.search(rf"WARNING: {name}='{re.escape(value)}'", result.stderr)


COLD_MODULES = {"client", "core", "host", "agent"}
COLD_MODULES |= {
    f"core.{name}" for name in ["records", "ocf", "text", "durations", "timeouts", "observations", "unit_properties"]
}
COLD_MODULES |= {f"core.{name}" for name in ["hook_protocol", "judgement", "parameter_values", "parameter_table"]}
COLD_MODULES |= {f"core.{name}" for name in ("parameters", "exit_reason")}
COLD_MODULES |= {
    f"host.{name}" for name in ["procfs", "signals", "readiness", "cgroups", "leftovers", "processes", "systemctl"]
}
COLD_MODULES |= {f"host.{name}" for name in ("drop_in", "atomic_write", "survivors", "programs", "hooks")}
COLD_MODULES |= {
    f"agent.{name}" for name in ["events", "log", "request", "polling", "observing", "actions", "run", "entry"]
}


class TestImports:
    def test_monitor(self, box: Box) -> None:
        """A monitor by the agent's own process pays for what it uses of this package, and not for rich."""
        with box.without_server():
            names = imported(box, AGENT, "monitor")
        own = {name.removeprefix("ocf_systemd.") for name in names if name.startswith("ocf_systemd.")}
        assert own == COLD_MODULES
        assert not names & {"rich", "xml", "urllib.request", "importlib.metadata", "email", "resource"}

    def test_meta_data(self, box: Box) -> None:
        """The metadata need neither rich nor anyio."""
        assert not imported(box, AGENT, "meta-data") & {"rich", "anyio", "asyncio", "ocf_systemd.debug"}

    @pytest.mark.usefixtures("served_codes")
    def test_a_monitor_that_is_served(self, box: Box) -> None:
        """It takes two modules, and what is built in."""
        found = imported(box, AGENT, "monitor") - imported(box, "/dev/null")
        assert found - set(sys.builtin_module_names) == {"ocf_systemd", "ocf_systemd.client"}


def imported(box: Box, *arguments: str) -> set[str]:
    """Return the modules that a program imports, started as the agent's file is."""
    command = [sys.executable, "-IS", "-X", "importtime", *arguments]
    done = box.sandbox.run(command, env={"OCF_RESKEY_unit": box.started()})
    assert done.returncode == 0
    return set(re.findall(r"^import time:.*\| +(\S+)$", done.stderr, flags=re.MULTILINE))
