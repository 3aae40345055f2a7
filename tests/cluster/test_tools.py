"""The tools that people and distributions hold an agent against, typed as they are typed, on a node of the cluster."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
from lxml import etree

from ocf_systemd.core.parameter_table import PREFIX, TABLE
from ocf_systemd.core.parameters import read_parameters
from ocf_systemd.rehearse.facts import Measured, UnitFacts
from ocf_systemd.rehearse.proposal import Proposal, propose
from tests.cluster.pacemaker import AGENT
from tests.versions import RELEASE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from ocf_systemd.sandbox import Sandbox
    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster

DUMMY = "ocf:heartbeat:Dummy"  # what the distribution's own agents print is the measure
AGENT_FILE = "/usr/lib/ocf/resource.d/pacemaker/systemd"
TRACES = "/var/lib/heartbeat/trace_ra/systemd"
NAMES = [row.name for row in TABLE]
TESTER_TIMEOUT_S = 120.0
OK, REFUSED, NOT_CONFIGURED, NOT_RUNNING = 0, 1, 6, 7
PACKAGES = {
    "ocf-tester": "resource-agents",
    "xmllint": "libxml2-utils",
    "pcs": "pcs",
    "crm": "crmsh",
    "crm_resource": "pacemaker-cli-utils",
}
MEANING = r"(?:: |\n    Description: )\S"  # of a parameter: pcs before 0.12, and since then
BAD_VALUES = [
    pytest.param(["unit=a b"], "unit='a b' has characters that a unit name cannot have", id="no unit's name"),
    pytest.param(["unit=plain", "poll_interval=soon"], "poll_interval='soon' is not a duration", id="no duration"),
    pytest.param(
        ["unit=plain", "monitor_hook_protocol=http", "poll_interval=soon"],
        "monitor_hook_protocol='http' is not one of ocf, nagios, plain, lsb; poll_interval='soon' is not a duration",
        id="two at once",
    ),
]


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    for tool, package in PACKAGES.items():
        if shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            pytest.fail(f"{tool} is missing: install the Debian package {package}")


@pytest.fixture
def node(cluster: Cluster) -> Iterator[Node]:
    """Return a node, with the service `plain`; no trace files are left on it."""
    cluster.service("plain")
    yield cluster.nodes[0]
    cluster.nodes[0].run("rm", "-rf", str(PurePosixPath(TRACES).parent))


def typed(node: Node, *arguments: str, timeout_s: float = 60) -> CompletedProcess[str]:
    """Run a command line on a node."""
    return node.sandbox.run(arguments, timeout_s=timeout_s)


def output_of(done: CompletedProcess[str]) -> str:
    """Return all that a tool printed, on both streams, as it stands in a terminal."""
    return f"{done.stdout}{done.stderr}"


def ocf_tester(sandbox: Sandbox, *arguments: str, agent: str = AGENT_FILE) -> CompletedProcess[str]:
    """Run ocf-tester, which must report that all passed, without an error line."""
    done = sandbox.run(["ocf-tester", "-n", "tested", *arguments, agent], timeout_s=TESTER_TIMEOUT_S)
    assert done.returncode == OK, output_of(done)
    lines = done.stdout.splitlines()
    assert lines[-1] == f"{agent} passed all tests", output_of(done)
    starred = [line for line in lines if line.startswith("*")]
    assert all(re.fullmatch(r"\* Your agent does not support .* \(optional\)", line) for line in starred), output_of(
        done
    )
    return done


def traces(node: Node) -> dict[str, str]:
    """Return what each traced action has in its files."""
    found: dict[str, str] = {}
    for name in node.run("ls", TRACES).splitlines():
        matched = re.fullmatch(r"tested\.([a-z-]+)\.\d{4}-\d\d-\d\d\.\d\d:\d\d:\d\d", name)
        assert matched, name
        found[matched[1]] = found.get(matched[1], "") + node.run("cat", f"{TRACES}/{name}")
    return found


def outcome(action: str, code: int, agent: str, reason: str = "") -> str:
    """Return the line in which both pcs and crm_resource report the result of an action of the resource `web`."""
    return f"Operation {action} for web ({agent}) returned {result(code, reason)}"


def result(code: int, reason: str = "") -> str:
    """Return how Pacemaker writes the result of an action."""
    return f"{code} ({RELEASE.results[code]}{reason and f': {reason}'})"


class TestOcfTester:
    def test_plain_unit(self, node: Node) -> None:
        """A unit without a hook passes, without errors on standard error, as user nobody or root."""
        assert ocf_tester(node.sandbox, "-o", "unit=plain").stderr == ""
        assert node.show("plain", "ActiveState") == "inactive"

    def test_postfix_with_its_hook(self, cluster: Cluster, node: Node) -> None:
        """Real postfix passes with the SMTP hook that comes with the agent."""
        hook = cluster.example_hook("smtp")
        arguments = (f"unit={RELEASE.postfix}", f"monitor_hook={hook}", "monitor_hook_args=127.0.0.1 25 5")
        given = [word for argument in arguments for word in ("-o", argument)]
        assert ocf_tester(node.sandbox, *given).stderr == ""
        assert node.show(RELEASE.postfix, "ActiveState") == "inactive"

    def test_unreadable_by_nobody(self, node: Node) -> None:
        """The check as user nobody can fail: with an unreadable agent file it does."""
        node.run("chmod", "0700", AGENT_FILE)
        try:
            done = typed(node, "ocf-tester", "-n", "tested", "-o", "unit=plain", AGENT_FILE, timeout_s=TESTER_TIMEOUT_S)
        finally:
            node.run("chmod", "0755", AGENT_FILE)
        assert "Your agent has too restrictive permissions" in done.stdout
        assert done.returncode == 1

    def test_trace(self, node: Node) -> None:
        """With -X each action leaves a trace of what was observed and decided."""
        done = ocf_tester(node.sandbox, "-X", "-o", "unit=plain")
        found = traces(node)
        assert found.keys() == {"validate-all", "monitor", "start", "stop", "reload"}
        for expected in ("+ ", "OCF_RESKEY_unit=plain", "ActiveState=inactive", "ActiveState=active"):
            assert expected in found["start"]
        assert re.search(r"running systemctl .* start -- plain\.service$", found["start"], re.MULTILINE)
        for line in ("observed: plain.service is loaded, active (running)", "start: OCF_SUCCESS"):
            assert re.search(rf"^\+ \d\d:\d\d:\d\d\.\d{{3}}: {re.escape(line)}$", found["start"], re.MULTILINE)
        assert "plain.service inactive" in found["monitor"]
        assert "+ " not in done.stderr

    def test_trace_lies_beside_those_of_others(self, node: Node) -> None:
        """The files stand where ocf-shellfuncs puts those of an agent that is a shell script, named alike."""
        ocf_tester(node.sandbox, "-X", "-o", "unit=plain")
        ocf_tester(node.sandbox, "-X", agent="/usr/lib/ocf/resource.d/heartbeat/Dummy")
        listed = node.sh(f"cd {TRACES}/..; ls systemd/tested.start.* Dummy/tested.start.*")
        when = r"\d{4}-\d\d-\d\d\.\d\d:\d\d:\d\d"
        assert {re.sub(when, "WHEN", line) for line in listed.splitlines()} == {
            "systemd/tested.start.WHEN",
            "Dummy/tested.start.WHEN",
        }

    @pytest.mark.parametrize(
        ("flags", "has_debug_lines"), [pytest.param([], False, id="without"), pytest.param(["-d"], True, id="with -d")]
    )
    def test_debug(self, node: Node, flags: list[str], *, has_debug_lines: bool) -> None:
        """With -d the log has DEBUG lines, of a good monitor too, and has none without; -v lets it through."""
        done = ocf_tester(node.sandbox, "-v", *flags, "-o", "unit=plain")
        assert ("DEBUG: monitor: OCF_SUCCESS" in done.stderr) is has_debug_lines
        assert ("DEBUG: " in done.stderr) is has_debug_lines
        assert ("DEBUG: drop-in " in done.stderr) is has_debug_lines


class TestDescriptions:
    def test_pcs_describe(self, node: Node) -> None:
        """`pcs resource describe` has all parameters, in order, each with its meaning, and the advised timeouts."""
        ours = node.run("pcs", "resource", "describe", AGENT)
        assert ours.startswith(f"{AGENT} - systemd unit with a health hook\n")
        assert re.findall(rf"^  (\w+)(?: \(.*\))?{MEANING}", ours, re.MULTILINE) == NAMES
        assert re.findall(rf"^  (\w+) \(required\){MEANING}", ours, re.MULTILINE) == ["unit"]
        assert re.search(r"^  start:\n    interval=0s\s+timeout=100s$", ours, re.MULTILINE)
        assert re.search(r"^  monitor:\n    interval=10s\s+timeout=20s$", ours, re.MULTILINE)
        headings = re.compile(r"^\w.*:$", re.MULTILINE)
        assert headings.findall(ours) == headings.findall(node.run("pcs", "resource", "describe", DUMMY))

    def test_crm_ra_info(self, node: Node) -> None:
        """`crm ra info` has all parameters, with what they are in short, and their defaults."""
        ours = node.run("crm", "ra", "info", AGENT)
        title = RELEASE.crm_ra_title.format(shortdesc="systemd unit with a health hook", agent=AGENT)
        assert ours.startswith(f"{title}\n")
        names = re.findall(r"^(\w+)\*? \((?:string|integer|boolean).*?\): \S", ours, re.MULTILINE)
        assert names == [NAMES[0], *RELEASE.crm_ra_order(NAMES[1:])]
        assert "\nunit* (string): systemd unit\n" in ours
        assert "\npoll_interval (string, [1s]): " in ours
        assert re.search(r"^    stop +timeout=110s$", ours, re.MULTILINE)
        headings = re.compile(r"^(?:## )?[A-Z].*:$", re.MULTILINE)
        assert len(headings.findall(ours)) > 1
        assert headings.findall(ours) == headings.findall(node.run("crm", "ra", "info", DUMMY))

    def test_show_metadata(self, node: Node) -> None:
        """`crm_resource --show-metadata` prints the agent's own metadata, with all that Dummy's has."""
        documents = {
            agent: etree.fromstring(node.run("crm_resource", "--show-metadata", agent).encode())
            for agent in (AGENT, DUMMY)
        }
        ours = documents[AGENT]
        assert [each.get("name") for each in ours.iterfind("parameters/parameter")] == NAMES
        assert {each.tag for each in documents[DUMMY].iter("*")} <= {each.tag for each in ours.iter("*")}
        migrates = {"migrate_to", "migrate_from"}
        theirs = {each.get("name") for each in documents[DUMMY].iterfind("actions/action")} - migrates
        assert theirs <= {each.get("name") for each in ours.iterfind("actions/action")}

    def test_listed(self, node: Node) -> None:
        """`pcs resource list` finds the agent among all others."""
        assert f"{AGENT} - systemd unit with a health hook" in node.run("pcs", "resource", "list", "pacemaker")


class TestValidation:
    def test_pcs_create(self, cluster: Cluster, node: Node) -> None:
        """`pcs resource create … --agent-validation` accepts good values without output, and the service runs."""
        hook = cluster.hook("well", "exit 0")
        options = (
            "resource",
            "create",
            "web",
            AGENT,
            "unit=plain",
            f"monitor_hook={hook}",
            "monitor_hook_args=-a 'b c'",
        )
        done = typed(node, "pcs", *options, "--agent-validation")
        assert (done.returncode, output_of(done)) == (OK, "")
        cluster.wait_until_runs("web")

    @pytest.mark.parametrize(("values", "reason"), BAD_VALUES)
    def test_pcs_refuses(self, cluster: Cluster, node: Node, values: list[str], reason: str) -> None:
        """A wrong value is refused with our reason, all wrong ones at once, and nothing is created."""
        done = typed(node, "pcs", "resource", "create", "web", AGENT, *values, "--agent-validation")
        assert done.returncode == REFUSED
        assert done.stderr.startswith("Error: Validation result from agent (use --force to override):\n")
        assert re.search(rf"^  ocf-exit-reason:{re.escape(reason)}", done.stderr, re.MULTILINE)
        assert "web" not in cluster.status().resources

    def test_refused_like_dummys(self, node: Node) -> None:
        """Pcs reports our error as it does Dummy's."""
        frames = []
        for agent, value in ((AGENT, "unit=a b"), (DUMMY, "state=/none/x")):
            done = typed(node, "pcs", "resource", "create", "web", agent, value, "--agent-validation")
            lines = done.stderr.splitlines()
            frames.append((done.returncode, lines[0], lines[2].partition(":")[0], lines[3:]))
        assert frames[0] == frames[1]

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            pytest.param([], "required resource option 'unit' is missing", id="no unit"),
            pytest.param(["unit=plain", "hook=/x"], "invalid resource option 'hook'", id="no such parameter"),
        ],
    )
    def test_pcs_knows_the_parameters(self, node: Node, values: list[str], expected: str) -> None:
        """Pcs refuses values that the metadata exclude."""
        done = typed(node, "pcs", "resource", "create", "web", AGENT, *values)
        assert done.returncode == REFUSED
        assert f"Error: {expected}" in done.stderr

    def test_crm_resource_validate(self, node: Node) -> None:
        """`crm_resource --validate` of good values reports ok, for an agent alone and for a resource."""
        command = ("crm_resource", "--validate", "--class=ocf", "--provider=pacemaker", "--agent=systemd")
        assert f"Operation validate ({AGENT}) returned {result(OK)}" in node.run(*command, "--option=unit=plain")
        node.run("pcs", "resource", "create", "web", AGENT, "unit=plain", "--disabled")
        expected = outcome("validate", OK, AGENT)
        assert node.run("crm_resource", "--validate", "--resource=web").strip() == expected

    @pytest.mark.parametrize(("values", "reason"), BAD_VALUES)
    def test_crm_resource_validate_refuses(self, node: Node, values: list[str], reason: str) -> None:
        """`crm_resource --validate` of wrong values exits with 6 and has our reason in its own sentence."""
        command = ("crm_resource", "--validate", "--class=ocf", "--provider=pacemaker", "--agent=systemd")
        done = typed(node, *command, *(f"--option={value}" for value in values))
        assert done.returncode == NOT_CONFIGURED
        expected = result(NOT_CONFIGURED, reason).removesuffix(")")
        assert f"Operation validate ({AGENT}) returned {expected}" in done.stdout

    def test_crm_ra_validate(self, node: Node) -> None:
        """`crm ra validate` of good values succeeds without an error."""
        done = typed(node, "crm", "ra", "validate", AGENT, "unit=plain")
        assert done.returncode == OK
        assert "ERROR" not in output_of(done)

    @pytest.mark.parametrize(("values", "reason"), BAD_VALUES)
    def test_crm_ra_validate_refuses(self, node: Node, values: list[str], reason: str) -> None:
        """`crm ra validate` of wrong values fails as that of Dummy does, with our reason."""
        done = typed(node, "crm", "ra", "validate", AGENT, *values)
        assert f"ocf-exit-reason:{reason}" in done.stdout
        assert done.returncode == typed(node, "crm", "ra", "validate", DUMMY, "state=/none/x").returncode == REFUSED


ODD_VALUES = ("it's two", """all 'of' "them" at once""", r"a\b c", "$(x) `y` $z #w; !", "http://127.0.0.1/a?b=c&d 5")


class TestProposal:
    @pytest.mark.parametrize("tool", ["pcs", "crm"])
    def test_pasted(self, cluster: Cluster, node: Node, tool: str) -> None:
        """What a rehearsal proposes, pasted at the prompt, has the service run; each value arrives as it was given."""
        hook = cluster.hook("well", "exit 0")
        for value in ODD_VALUES:
            given = {"unit": "plain", "monitor_hook": hook, "monitor_hook_args": shlex.quote(value)}
            proposal = proposed(given)
            node.sh(proposal.pcs if tool == "pcs" else proposal.crm)
            resource = etree.fromstring(node.run("cibadmin", "--query", "--scope=resources").encode())[0]
            assert resource.get("id") == "plain"
            pairs = resource.iterfind("instance_attributes/nvpair")
            assert {pair.get("name"): pair.get("value") for pair in pairs} == given
            timeouts = {each.get("name"): each.get("timeout") for each in resource.iterfind("operations/op")}
            seconds = {"start": proposal.start_s, "stop": proposal.stop_s, "monitor": proposal.monitor_s}
            assert {name: timeouts[name] for name in seconds} == {name: f"{each}s" for name, each in seconds.items()}
            cluster.wait_until_runs("plain")
            cluster.configure([])
            cluster.settle()


def proposed(given: dict[str, str]) -> Proposal:
    """Return what a rehearsal proposes for a service that is quick."""
    parameters = read_parameters({PREFIX + name: value for name, value in given.items()})
    quick = Measured(start_s=0.2, stop_s=0.1, monitor_s=0.05, hook_s=0.01)
    return propose(given, parameters, 0, UnitFacts(start_timeout_s=90.0, stop_timeout_s=90.0), quick)


PCS = {action: ("pcs", "resource", f"debug-{action}", "web") for action in ("start", "monitor", "stop")}
CRM_RESOURCE = {
    action: ("crm_resource", f"--force-{option}", "--resource=web")
    for action, option in (("start", "start"), ("monitor", "check"), ("stop", "stop"))
}
STEPS = [("start", OK), ("monitor", OK), ("stop", OK), ("monitor", NOT_RUNNING)]
FORCED = {"start": "force-start", "monitor": "force-check", "stop": "force-stop"}
BY_HAND = [pytest.param(PCS, id="pcs resource debug"), pytest.param(CRM_RESOURCE, id="crm_resource force")]


@pytest.mark.parametrize("tool", BY_HAND)
class TestByHand:
    @pytest.fixture(autouse=True)
    def stop(self, node: Node) -> Iterator[None]:
        """Stop what was started past the cluster, which knows nothing of it."""
        yield
        typed(node, *CRM_RESOURCE["stop"])

    def test_cycle(self, cluster: Cluster, node: Node, tool: dict[str, tuple[str, ...]]) -> None:
        """Manual start, check and stop are reported as for Dummy, and act on the unit."""
        for agent, parameters in ((AGENT, ["unit=plain"]), (DUMMY, [])):
            cluster.pcs("resource", "create", "web", agent, *parameters, "--disabled")
            cluster.settle()
            for action, code in STEPS:
                done = typed(node, *tool[action])
                assert done.returncode == code, output_of(done)
                assert outcome(FORCED[action], code, agent) in done.stdout.splitlines()
                if agent == AGENT:
                    runs = (action, code) in {("start", OK), ("monitor", OK)}
                    assert node.show("plain", "ActiveState") == ("active" if runs else "inactive")
            cluster.pcs("resource", "delete", "web")

    def test_failed_start(self, cluster: Cluster, node: Node, tool: dict[str, tuple[str, ...]]) -> None:
        """A start that fails exits with the agent's code and has its reason in the very line of the result."""
        # The pause is for journald: of a process that is gone it no longer learns which run of the unit it belonged to.
        cluster.service("unlicensed", "Type=oneshot", "ExecStart=sh -c 'echo no licence found; sleep 0.5; exit 3'")
        cluster.pcs("resource", "create", "web", AGENT, "unit=unlicensed", "--disabled")
        cluster.settle()
        done = typed(node, *tool["start"])
        reason = "unlicensed.service failed: exit-code, status 3: no licence found"
        assert done.returncode == 1
        assert outcome("force-start", 1, AGENT, reason) in done.stdout.splitlines()

    def test_failing_hook(self, cluster: Cluster, node: Node, tool: dict[str, tuple[str, ...]]) -> None:
        """A check of a service whose hook fails shows the hook, its code and its message."""
        hook = cluster.hook("ill", "[ -e /run/test/well ] || { echo queue is stuck; exit 1; }")
        cluster.pcs("resource", "create", "web", AGENT, "unit=plain", f"monitor_hook={hook}", "--disabled")
        cluster.settle()
        node.sandbox.write("/run/test/well", "")
        assert typed(node, *tool["start"]).returncode == OK
        node.run("rm", "/run/test/well")
        done = typed(node, *tool["monitor"])
        assert done.returncode == 1
        assert outcome("force-check", 1, AGENT, "hook ill: queue is stuck (exit 1)") in done.stdout.splitlines()
