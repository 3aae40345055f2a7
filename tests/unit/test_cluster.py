"""The cluster's configuration and state, from what Pacemaker's tools print; `clusters/` has the output of real ones.

The output of crm_mon 3.0.0 is for the CIBs of Pacemaker 2.1.5.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Protocol

import pytest

from ocf_systemd.core.cluster import Cluster, ConfiguredOperation, Resource, parse_cluster, parse_stopped
from ocf_systemd.host import cluster as host_cluster
from ocf_systemd.host.cluster import ClusterError, MayNotQueryError, query_cluster, resources_of, runs_cluster
from tests.unit.builders import executable

if TYPE_CHECKING:

    class Tools(Protocol):
        def __call__(self, **scripts: str) -> None: ...


CLUSTERS = Path(__file__).with_name("clusters")
VERSIONS = [pytest.param(version, id=version) for version in ("2.1.5", "3.0.0")]
OURS = "ocf:pacemaker:systemd"

EVERYWHERE = "active on node1, node2, node3"
STATES = {
    "managed": {
        "mail": ("managed and active on node1", True),
        "web": ("disabled and not active", False),
        "a": ("managed and active on node2", True),
        "b": ("managed and active on node2", True),
        "cl": (f"managed and {EVERYWHERE}", True),
    },
    # The primitive and the clone are unmanaged, the group is in maintenance.
    "unmanaged": {
        "mail": ("unmanaged and active on node1", False),
        "web": ("disabled and not active", False),
        "a": ("in maintenance and active on node2", False),
        "b": ("in maintenance and active on node2", False),
        "cl": (f"unmanaged and {EVERYWHERE}", False),
    },
    "maintenance": {
        "mail": ("in maintenance and active on node1", False),
        "web": ("in maintenance and not active", False),
        "a": ("in maintenance and active on node2", False),
        "b": ("in maintenance and active on node2", False),
        "cl": (f"in maintenance and {EVERYWHERE}", False),
    },
    "node-maintenance": {
        "mail": ("in maintenance and active on node1", False),
        "web": ("disabled and not active", False),
        "a": ("in maintenance and active on node2", False),
        "b": ("in maintenance and active on node2", False),
        "cl": (f"in maintenance and {EVERYWHERE}", False),
    },
}


def real(name: str, version: str = "2.1.5") -> Cluster:
    paths = (CLUSTERS / f"{name}.cib.xml", CLUSTERS / f"{name}.crm_mon-{version}.xml")
    return parse_cluster(*(path.read_text(encoding="utf-8") for path in paths))


def configured(resources: str, *, reported: str = "", nodes: str = "", others: str = "") -> Cluster:
    """Return a cluster with these sections of the CIB, and what crm_mon reports."""
    cib = f"<cib><configuration><resources>{resources}</resources>{others}</configuration></cib>"
    mon = f"<pacemaker-result><nodes>{nodes}</nodes><resources>{reported}</resources></pacemaker-result>"
    return parse_cluster(cib, mon)


def primitive(
    content: str = "", name: str = "web", attrib: str = 'class="ocf" provider="pacemaker" type="systemd"'
) -> str:
    return f'<primitive id="{name}" {attrib}>{content}</primitive>'


def attributes(kind: str, name: str, **pairs: str) -> str:
    inside = "".join(f'<nvpair id="{name}-{key}" name="{key}" value="{value}"/>' for key, value in pairs.items())
    return f'<{kind} id="{name}">{inside}</{kind}>'


def with_rule(attributes: str, conditions: str, score: int | str = 0) -> str:
    """Return a set of attributes with a rule."""
    return attributes.replace(">", f' score="{score}"><rule id="r" score="0">{conditions}</rule>', 1)


UNIT = attributes("instance_attributes", "i", unit="web")
OPERATIONS = (
    '<operations><op id="o-m" name="monitor" interval="10s"/><op id="o-n" name="monitor" interval="60s"/>'
    '<op id="o-s" name="stop" interval="0"/></operations>'
)
USED = primitive('<operations id="used"><op id="u" name="start" interval="0"/></operations>', "used-by")
LATER = '<date_expression id="later" operation="gt" start="2999-01-01"/>'
UNMANAGED = '<resource id="web" managed="false"/>'


def only(cluster: Cluster) -> Resource:
    assert len(cluster.resources) == 1
    return cluster.resources[0]


class TestReal:
    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in STATES])
    def test_states(self, name: str, version: str) -> None:
        """Primitives, a group and a clone have the state that they inherit, and what Pacemaker may do with it."""
        states = {
            each.id: (str(each).partition(" is ")[2], each.is_controlled) for each in real(name, version).resources
        }
        assert states == STATES[name]

    def test_configuration(self) -> None:
        """The agent, the full name of the unit, the parameters and the operations are those in the CIB."""
        mail, web, _, old, _ = real("managed").resources
        assert (mail.agent, mail.unit, mail.parameters) == (OURS, "mail.service", {"unit": "mail"})
        assert mail.operations == (
            ConfiguredOperation("monitor", "10s", "20s"),
            ConfiguredOperation("reload", "0s", "20s"),
            ConfiguredOperation("reload-agent", "0s", "20s"),
            ConfiguredOperation("start", "0s", "100s"),
            ConfiguredOperation("stop", "0s", "110s"),
        )
        assert web.unit == "web.service"
        assert (old.agent, old.unit) == ("systemd:b", "b.service")
        assert old.operations[0] == ConfiguredOperation("monitor", "30s", None)

    def test_properties(self) -> None:
        """The properties are those in the CIB, as text."""
        properties = real("maintenance").properties
        assert (properties["stonith-enabled"], properties["maintenance-mode"]) == ("false", "true")


class TestConfiguration:
    def test_template(self) -> None:
        """Agent, attributes and operations come from the template, unless the primitive has its own."""
        template = (
            '<template id="t" class="ocf" provider="own" type="unit">'
            f"{attributes('instance_attributes', 't-i', unit='other', poll_interval='2s')}"
            f"{attributes('meta_attributes', 't-m', maintenance='true')}"
            '<operations><op id="1" name="monitor" interval="10s" timeout="20s"/>'
            '<op id="2" name="stop" interval="0" timeout="1min"/></operations></template>'
        )
        operations = '<operations><op id="3" name="monitor" interval="10s" timeout="40s"/></operations>'
        web = only(configured(template + primitive(UNIT + operations, attrib='template="t"'), reported=UNMANAGED))
        assert (web.agent, web.unit, web.is_in_maintenance) == ("ocf:own:unit", "web.service", True)
        assert web.parameters == {"unit": "web", "poll_interval": "2s"}
        assert {(each.name, each.timeout) for each in web.operations} == {("monitor", "40s"), ("stop", "1min")}

    def test_the_nearest_counts(self) -> None:
        """A resource's own meta attribute precedes its group's, the group's the clone's, that the default."""
        maintained = attributes("meta_attributes", "c-m", maintenance="true")
        own = attributes("meta_attributes", "w-m", maintenance="false")
        default = f"<rsc_defaults>{attributes('meta_attributes', 'd', maintenance='true')}</rsc_defaults>"
        nested = '<clone id="c"><group id="g">{}</group>{}</clone>'
        unset, cleared = nested.format(primitive(UNIT), maintained), nested.format(primitive(UNIT + own), maintained)
        assert only(configured(unset, reported=UNMANAGED)).is_in_maintenance
        assert not only(configured(cleared, reported=UNMANAGED)).is_in_maintenance
        assert only(configured(primitive(UNIT), others=default, reported=UNMANAGED)).is_in_maintenance
        assert not only(configured(primitive(UNIT + own), others=default, reported=UNMANAGED)).is_in_maintenance

    def test_maintenance_by_a_rule(self) -> None:
        """Attributes with a rule may not apply now: a resource that crm_mon reports as managed is controlled."""
        ruled = '<meta_attributes id="m"><rule id="r" score="0"/><nvpair id="n" name="maintenance" value="true"/>'
        managed = '<resource id="web" managed="true"/>'
        assert only(configured(primitive(f"{UNIT}{ruled}</meta_attributes>"), reported=managed)).is_controlled

    def test_a_value_that_is_no_boolean(self) -> None:
        """It does not put the resource into maintenance."""
        wrong = attributes("meta_attributes", "m", maintenance="perhaps")
        assert not only(configured(primitive(UNIT + wrong), reported=UNMANAGED)).is_in_maintenance

    def test_defaults_of_operations(self) -> None:
        """Without a timeout of its own an operation has the default; it may be a meta attribute."""
        default = f"<op_defaults>{attributes('meta_attributes', 'd', timeout='33s')}</op_defaults>"
        meta = attributes("meta_attributes", "o-m", timeout="44s")
        operations = (
            f'<operations><op id="1" name="start"/><op id="2" name="stop" interval="0">{meta}</op></operations>'
        )
        web = only(configured(primitive(UNIT + operations), others=default))
        assert web.operations == (ConfiguredOperation("start", None, "33s"), ConfiguredOperation("stop", "0", "44s"))

    def test_references(self) -> None:
        """A set of attributes, a pair or the operations of another resource may be used by their ids."""
        operations = '<operations id="ops"><op id="1" name="stop" interval="0" timeout="9s"/></operations>'
        first = primitive(attributes("instance_attributes", "shared", unit="web") + operations, "first")
        second = primitive('<instance_attributes id-ref="shared"/><operations id-ref="ops"/>', "second")
        third = primitive('<instance_attributes id="x"><nvpair id-ref="shared-unit"/></instance_attributes>', "third")
        found = configured(first + second + third).resources
        assert [each.unit for each in found] == ["web.service"] * 3
        assert [len(each.operations) for each in found] == [1, 1, 0]

    def test_rules(self) -> None:
        """Attributes with a rule about the time may not apply: those without one precede them."""
        ruled = attributes("instance_attributes", "r", unit="night", poll_interval="5s")
        web = only(configured(primitive(with_rule(ruled, LATER) + UNIT)))
        assert web.parameters == {"unit": "web", "poll_interval": "5s"}

    def test_default_with_a_rule(self) -> None:
        """A default of operations applies to the resources and operations that its rule names, by score."""
        defaults = attributes("meta_attributes", "d", timeout="30s")
        defaults += with_rule(attributes("meta_attributes", "m", timeout="31s"), '<op_expression name="monitor"/>', 5)
        every = '<op_expression name="monitor" interval="60"/><rsc_expression class="ocf" type="systemd"/>'
        defaults += with_rule(attributes("meta_attributes", "e", timeout="32s"), every, "INFINITY")
        other = '<rule boolean-op="or"><rsc_expression type="Dummy"/><op_expression name="migrate_to"/></rule>'
        defaults += with_rule(attributes("meta_attributes", "o", timeout="33s"), other, "+INFINITY")
        defaults += with_rule(attributes("meta_attributes", "l", timeout="34s"), LATER, "INFINITY")
        web = only(configured(primitive(UNIT + OPERATIONS), others=f"<op_defaults>{defaults}</op_defaults>"))
        assert [each.timeout for each in web.operations] == ["31s", "32s", "30s"]
        assert web.default_timeouts == {"start": "30s", "stop": "30s", "monitor": "31s", "reload": "30s"}

    def test_any_condition(self) -> None:
        """Of a rule with `or` one condition suffices; without a match it depends on what is not known here."""
        timeout = attributes("meta_attributes", "m", timeout="9s", enabled="false")

        def default(conditions: str) -> dict[str, str]:
            ruled = with_rule(timeout, f'<rule boolean-op="or">{conditions}</rule>')
            return dict(
                only(configured(primitive(UNIT), others=f"<op_defaults>{ruled}</op_defaults>")).default_timeouts
            )

        assert default(f'{LATER}<op_expression name="stop"/>')["stop"] == "9s"
        assert default('<op_expression name="stop"/><op_expression name="start"/>').keys() == {"start", "stop"}

    def test_default_of_resources_with_a_rule(self) -> None:
        """A default that is for another kind of resource does not apply."""

        def is_in_maintenance(kind: str) -> bool:
            default = with_rule(
                attributes("meta_attributes", "d", maintenance="true"), f'<rsc_expression type="{kind}"/>'
            )
            others = f"<rsc_defaults>{default}</rsc_defaults>"
            return only(configured(primitive(UNIT), others=others, reported=UNMANAGED)).is_in_maintenance

        assert is_in_maintenance("systemd")
        assert not is_in_maintenance("Dummy")

    def test_scores(self) -> None:
        """Of several sets of attributes that with the highest score comes first."""
        sets = attributes("meta_attributes", "a", maintenance="false")
        sets += attributes("meta_attributes", "b", maintenance="true").replace('id="b"', 'id="b" score="1"')
        odd = sets.replace('score="1"', 'score="high"')
        assert only(configured(primitive(UNIT + sets), reported=UNMANAGED)).is_in_maintenance
        assert not only(configured(primitive(UNIT + odd), reported=UNMANAGED)).is_in_maintenance

    def test_operations_of_a_template(self) -> None:
        """A primitive's own monitor replaces those of its template, whatever their intervals, disabled or not.

        Operations of another resource that it uses replace all of the template's.
        """
        template = f'<template id="t" class="ocf" provider="p" type="unit">{OPERATIONS}</template>'
        own = '<operations><op id="o" name="monitor" interval="30s" enabled="{}"/></operations>'
        used = '<operations id-ref="used"/>'

        def names(operations: str) -> list[tuple[str, str | None]]:
            web = configured(template + primitive(UNIT + operations, attrib='template="t"') + USED).resources[0]
            return [(each.name, each.interval) for each in web.operations if each.is_used]

        assert names("") == [("monitor", "10s"), ("monitor", "60s"), ("stop", "0")]
        assert names(own.format("true")) == [("monitor", "30s"), ("stop", "0")]
        assert names(own.format("false")) == [("stop", "0")]
        assert names(used) == [("start", "0")]

    def test_disabled_operations(self) -> None:
        """A disabled operation is none, nor is a monitor on nodes where the resource must be stopped."""
        operations = (
            '<operations><op id="1" name="monitor" interval="10s" enabled="false"/>'
            '<op id="2" name="monitor" interval="20s" role="Stopped"/>'
            f'<op id="3" name="monitor" interval="30s">{attributes("meta_attributes", "m", enabled="off")}</op>'
            '<op id="4" name="monitor" interval="40s" role="Started"/></operations>'
        )
        assert [each.interval for each in only(configured(primitive(UNIT + operations))).monitors] == ["40s"]

    def test_options_of_an_operation(self) -> None:
        """All that a command must name that changes the operation: attributes of each kind, but no id and no times."""
        content = attributes("meta_attributes", "m", a="block") + attributes("instance_attributes", "i", x="1")
        operations = (
            f'<operations><op id="1" name="stop" interval="0" timeout="9s" role="a">{content}</op></operations>'
        )
        (stop,) = only(configured(primitive(UNIT + operations))).operations
        assert stop.options == {"role": "a", "a": "block", "x": "1"}

    def test_a_group_in_a_clone(self) -> None:
        """Its members have operations of their own, and are instances of the clone."""
        group = f'<group id="g">{primitive(UNIT + OPERATIONS)}</group>'
        web = only(configured(f'<clone id="c">{group}</clone>'))
        assert (web.clone, [each.interval for each in web.monitors]) == ("c", ["10s", "60s"])

    def test_a_pair_by_another_name(self) -> None:
        """A reference to a pair may give it another name."""
        alias = '<instance_attributes id="x"><nvpair id-ref="i-unit" name="monitor_hook"/></instance_attributes>'
        assert configured(primitive(UNIT) + primitive(alias, "b")).resources[1].parameters == {"monitor_hook": "web"}

    @pytest.mark.parametrize(
        ("attrib", "content", "unit"),
        [
            pytest.param('class="systemd" type="postfix@-"', "", "postfix@-.service", id="systemd"),
            pytest.param('class="systemd" type="a.timer"', "", "a.timer", id="timer"),
            pytest.param('class="service" type="cron"', "", "cron.service", id="service"),
            pytest.param('class="lsb" type="cron"', "", "cron.service", id="lsb"),
            pytest.param('class="ocf" provider="own" type="unit"', UNIT, "web.service", id="another agent"),
        ],
    )
    def test_what_manages_a_unit(self, attrib: str, content: str, unit: str) -> None:
        """Resources of the classes that are named after a unit, and of any agent with a parameter `unit`."""
        assert only(configured(primitive(content, attrib=attrib))).unit == unit

    def test_a_unit_that_cannot_be(self) -> None:
        """A resource with a wrong name of a unit manages none, but is a resource of its agent."""
        web = only(configured(primitive(attributes("instance_attributes", "i", unit="a b"))))
        assert (web.agent, web.unit) == (OURS, "")

    @pytest.mark.parametrize(
        "resources",
        [
            pytest.param(primitive(attrib='class="ocf" provider="heartbeat" type="Dummy"'), id="no unit"),
            pytest.param(f'<bundle id="b">{primitive(UNIT)}</bundle>', id="in a bundle"),
            pytest.param("", id="none"),
        ],
    )
    def test_what_does_not(self, resources: str) -> None:
        """A resource without a unit of this host manages none."""
        assert [each.unit for each in configured(resources).resources if each.unit] == []

    def test_globally_unique(self) -> None:
        """A clone may run several instances on a node, if crm_mon reports it so: defaults differ by version."""
        clone, reported = f'<clone id="c">{primitive(UNIT)}</clone>', '<clone id="c" unique="{}"/>'
        assert only(configured(clone, reported=reported.format("true"))).is_globally_unique
        assert not only(configured(clone, reported=reported.format("false"))).is_globally_unique
        assert not only(configured(clone)).is_globally_unique

    def test_properties_of_two_sets(self) -> None:
        """Pacemaker's own set of properties precedes others."""
        sets = attributes("cluster_property_set", "x", a="1", b="2")
        sets += attributes("cluster_property_set", "cib-bootstrap-options", a="3")
        assert configured("", others=f"<crm_config>{sets}</crm_config>").properties == {"a": "3", "b": "2"}

    def test_no_resources(self) -> None:
        """A CIB without a section of resources has none."""
        assert parse_cluster("<cib><configuration/></cib>", "<pacemaker-result/>").resources == ()

    @pytest.mark.parametrize(
        "documents", [pytest.param(("<cib", "<x/>"), id="CIB"), pytest.param(("<cib/>", ""), id="mon")]
    )
    def test_no_xml(self, documents: tuple[str, str]) -> None:
        """What is not XML is an error."""
        with pytest.raises(ValueError, match="line 1"):
            parse_cluster(*documents)


def element(attrib: str = "", *nodes: str, name: str = "web", managed: str = "true") -> str:
    inside = "".join(f'<node name="{node}"/>' for node in nodes)
    return f'<resource id="{name}" managed="{managed}" blocked="false" {attrib}>{inside}</resource>'


class TestControl:
    @pytest.mark.parametrize(
        ("reported", "state", "is_controlled"),
        [
            pytest.param(element("", "n1"), "managed and active on n1", True, id="managed"),
            pytest.param(element(), "managed and not active", True, id="not active"),
            pytest.param("", "managed and not active", True, id="just configured"),
            pytest.param(element('target_role="Stopped"'), "disabled and not active", False, id="disabled"),
            pytest.param(element('target_role="stopped"', "n1"), "disabled and active on n1", True, id="stopping"),
            pytest.param(element('target_role="Started"'), "managed and not active", True, id="enabled"),
            pytest.param(element("", "n1", managed="false"), "unmanaged and active on n1", False, id="unmanaged"),
            pytest.param(
                element("", "n1", managed="false").replace('blocked="false"', 'blocked="true"'),
                "blocked after a failure and active on n1",
                True,
                id="blocked",
            ),
            pytest.param(
                element("", "n2", name="web:0") + element("", "n1", name="web:1", managed="false"),
                "managed and active on n1, n2",
                True,
                id="instances",
            ),
        ],
    )
    def test_state(self, reported: str, state: str, *, is_controlled: bool) -> None:
        """Pacemaker leaves alone what is unmanaged, and what is disabled and has stopped; in doubt it does not."""
        web = only(configured(primitive(UNIT), reported=reported))
        assert (str(web), web.is_controlled) == (f"resource web ({OURS}) is {state}", is_controlled)

    def test_node_in_maintenance(self) -> None:
        """A resource is in maintenance if all nodes are on which it is active."""
        nodes = '<node name="n1" maintenance="true"/><node name="n2" maintenance="false"/>'

        def on(*names: str) -> bool:
            reported = element("", *names, managed="false")
            return only(configured(primitive(UNIT), reported=reported, nodes=nodes)).is_in_maintenance

        assert (on("n1"), on("n1", "n2"), on()) == (True, False, False)

    def test_managing(self) -> None:
        """Names of units are compared by their primary names."""
        other = primitive(name="old", attrib='class="systemd" type="alias"')
        cluster = configured(primitive(UNIT) + other)

        def names(unit: str, ids: dict[str, str]) -> list[str]:
            return [each.id for each in cluster.managing(unit, ids)]

        assert names("web.service", {}) == ["web"]
        assert names("web.service", {"alias.service": "web.service"}) == ["web", "old"]
        assert names("alias.service", {"alias.service": "web.service"}) == ["web", "old"]
        assert names("free.service", {}) == []


class TestStopped:
    def test_resources(self) -> None:
        """Those of the CIB on the disk, whatever their configured state: it names the file, and is unknown."""
        configured = parse_stopped((CLUSTERS / "managed.cib.xml").read_text(encoding="utf-8"), "/cib.xml")
        assert [each.id for each in configured.resources] == [each.id for each in real("managed").resources]
        assert all(each.is_controlled and "/cib.xml" in str(each) for each in configured.resources)
        assert configured.file == "/cib.xml"

    def test_configured_state(self) -> None:
        """What the CIB has is known."""
        content = attributes("meta_attributes", "m", **{"is-managed": "false", "target-role": "Stopped"})
        cib = f"<cib><configuration><resources>{primitive(content)}</resources></configuration></cib>"
        web = only(parse_stopped(cib, "/cib.xml"))
        assert (web.is_managed, web.is_disabled) == (False, True)


class TestOrphans:
    def test_unit(self) -> None:
        """A deleted resource that is active is known by crm_mon; its unit if its agent is named after it."""
        reported = element('orphaned="true" resource_agent="systemd:old"', "n1", name="a")
        reported += element(f'orphaned="true" resource_agent="{OURS}"', "n2", name="b")
        cluster = configured(primitive(UNIT), reported=reported)
        assert [each.id for each in cluster.resources] == ["web"]
        assert [(each.id, each.unit, each.nodes) for each in cluster.orphans] == [
            ("a", "old.service", ("n1",)),
            ("b", "", ("n2",)),
        ]
        assert all(each.is_controlled for each in cluster.orphans)

    @pytest.mark.parametrize(
        "reported",
        [
            pytest.param(element('orphaned="true" resource_agent="systemd:old"', name="a"), id="stopped"),
            pytest.param(element('orphaned="false" resource_agent="systemd:old"', "n1", name="a"), id="in a bundle"),
            pytest.param(element(f'orphaned="true" resource_agent="{OURS}"', "n1", name="web:3"), id="an instance"),
        ],
    )
    def test_none(self, reported: str) -> None:
        """Neither what has stopped, nor what is configured."""
        assert configured(primitive(UNIT), reported=reported).orphans == ()


@pytest.mark.parametrize(
    ("dc", "expected"),
    [
        pytest.param('<current_dc present="true" with_quorum="true"/>', True, id="quorum"),
        pytest.param('<current_dc present="true" with_quorum="false"/>', False, id="no quorum"),
        pytest.param('<current_dc present="false"/>', False, id="no DC"),
    ],
)
def test_quorum(dc: str, *, expected: bool) -> None:
    """The DC reports whether this partition has quorum."""
    mon = f"<pacemaker-result><summary>{dc}</summary></pacemaker-result>"
    assert parse_cluster("<cib/>", mon).has_quorum is expected


SOCKETS = """\
Num       RefCount Protocol Flags    Type St Inode Path
ffff9d0a40f4d000: 00000002 00000000 00010000 0001 01 23345 /run/systemd/private
ffff9d0a40f4d400: 00000003 00000000 00000000 0001 03 24512
{}
"""


class TestHost:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            pytest.param(f"@cib_rw{'@' * 101}", True, id="abstract"),
            pytest.param(f"@pacemakerd{'@' * 97}", True, id="only pacemakerd"),
            pytest.param("/var/run/cib_ro", True, id="file"),
            pytest.param("/run/notcib_ro", False, id="another"),
            pytest.param("@cib_rw/x", False, id="below"),
            pytest.param("", False, id="none"),
        ],
    )
    def test_runs_cluster(self, tmp_path: Path, path: str, *, expected: bool) -> None:
        """A socket of Pacemaker's daemons is listed, as the kernel lists it."""
        (tmp_path / "unix").write_text(SOCKETS.format(f"ffff9d0a40f4d800: 00000002 0 00010000 0001 01 4711 {path}"))
        assert runs_cluster(tmp_path / "unix") is expected

    def test_no_list_of_sockets(self, tmp_path: Path) -> None:
        """Without a list there is no cluster."""
        assert not runs_cluster(tmp_path / "unix")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """Return what installs the tools of a cluster that seems to run here: each prints a file, or runs a script."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(host_cluster, "runs_cluster", lambda: True)
    monkeypatch.setattr(host_cluster, "_ENVIRONMENT", {"PATH": f"{tmp_path}:/usr/bin:/bin"})

    def install(**scripts: str) -> None:
        printed = {"cibadmin": "managed.cib", "crm_mon": "managed.crm_mon-2.1.5"}
        given = {name: f"cat '{CLUSTERS}/{file}.xml'" for name, file in printed.items()} | scripts
        for name, script in given.items():
            executable(tmp_path / name, f"#!/bin/sh\n{script}\n")

    return install


class TestQuery:
    def test_no_cluster(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where none runs no process is started."""
        monkeypatch.setattr(host_cluster, "runs_cluster", lambda: False)
        monkeypatch.setattr(host_cluster, "_CIB", Path("/nonexistent/cib.xml"))
        monkeypatch.setattr(host_cluster, "_output", lambda *_: pytest.fail("a process was started"))
        assert query_cluster() is None
        assert resources_of("web.service") == ()

    def test_cluster(self, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
        """Both outputs together are the cluster; a shadow configuration of the caller is not used."""
        tools(cibadmin=f"[ -z \"$CIB_shadow\" ] && cat '{CLUSTERS}/managed.cib.xml'")
        monkeypatch.setenv("CIB_shadow", "test")
        assert query_cluster() == real("managed")

    def test_stopped(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Where Pacemaker is stopped, the CIB on the disk has the resources."""
        monkeypatch.setattr(host_cluster, "_primary_names", lambda units: {unit: unit for unit in units})
        monkeypatch.setattr(host_cluster, "runs_cluster", lambda: False)
        monkeypatch.setattr(host_cluster, "_CIB", CLUSTERS / "managed.cib.xml")
        (mail,) = resources_of("mail.service")
        assert (mail.id, mail.file) == ("mail", str(CLUSTERS / "managed.cib.xml"))
        monkeypatch.setattr(host_cluster, "_CIB", tmp_path / "cib.xml")
        (tmp_path / "cib.xml").write_text("<cib", encoding="utf-8")
        with pytest.raises(ClusterError, match=r"cib\.xml cannot be read: it is not XML"):
            query_cluster()
        (tmp_path / "cib.xml").unlink()
        (tmp_path / "cib.xml").mkdir()
        with pytest.raises(ClusterError, match=r"cib\.xml cannot be read: Is a directory"):
            query_cluster()

    def test_orphans(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A deleted resource of an unknown unit counts if its agent is one of those given."""
        by_type = Resource("a", "systemd:web", "web.service", {}, nodes=("n1",), is_orphan=True)
        ours, foreign = (replace(by_type, id=agent, agent=agent, unit="") for agent in (OURS, "ocf:own:unit"))
        monkeypatch.setattr(host_cluster, "query_cluster", lambda: Cluster({}, (), (by_type, ours, foreign)))
        monkeypatch.setattr(host_cluster, "_primary_names", lambda units: {unit: unit for unit in units})
        assert resources_of("web.service", {OURS}) == (by_type, ours)
        assert resources_of("other.service", {OURS}) == (ours,)
        assert resources_of("other.service") == ()

    def test_aliases(self, tools: Tools) -> None:
        """An alias is the unit that systemd reports: of the requested name first, then of those configured."""
        blocks = "".join(rf"Id={name}.service\nLoadState=loaded\n\n" for name in ("b", "mail", "web", "a", "b", "cl"))
        tools(systemctl=f"printf '{blocks}'")
        assert [each.id for each in resources_of("alias.service")] == ["b"]

    @pytest.mark.parametrize(
        ("scripts", "message"),
        [
            pytest.param(
                {"cibadmin": "echo 'Could not connect' >&2; exit 102"},
                "cibadmin failed: Could not connect",
                id="stderr",
            ),
            pytest.param({"crm_mon": "echo 'no cluster'; exit 102"}, "crm_mon failed: no cluster", id="stdout"),
            pytest.param({"crm_mon": "exit 3"}, "crm_mon failed: exit code 3", id="silent"),
            pytest.param({"crm_mon": "echo text"}, "no XML: syntax error", id="no XML"),
            pytest.param({"cibadmin": "exec sleep 60"}, "cibadmin does not answer", id="hangs"),
            pytest.param({"systemctl": "exit 1"}, "systemctl failed: exit code 1", id="systemctl"),
        ],
    )
    def test_no_answer(
        self, tools: Tools, monkeypatch: pytest.MonkeyPatch, scripts: dict[str, str], message: str
    ) -> None:
        """A cluster that cannot be queried is an error with the cause, within a time limit."""
        tools(**scripts)
        if "sleep" in str(scripts):
            monkeypatch.setattr(host_cluster, "_TIMEOUT_S", 0.2)
        with pytest.raises(ClusterError, match=message):
            resources_of("web.service")

    @pytest.mark.parametrize(
        ("group", "groups", "error"),
        [
            pytest.param(7, [7], ClusterError, id="member"),
            pytest.param(7, [8], MayNotQueryError, id="no member"),
            pytest.param(None, [8], MayNotQueryError, id="no such group"),
        ],
    )
    def test_ordinary_user(
        self,
        tools: Tools,
        monkeypatch: pytest.MonkeyPatch,
        group: int | None,
        groups: list[int],
        error: type[ClusterError],
    ) -> None:
        """If the query fails, the reason is that the user is neither root nor a member of the group, if so."""

        def find(_: str) -> SimpleNamespace:
            if group is None:
                raise KeyError
            return SimpleNamespace(gr_gid=group)

        tools(cibadmin="exit 102")
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        monkeypatch.setattr("os.getegid", lambda: 1000)
        monkeypatch.setattr("os.getgroups", lambda: groups)
        monkeypatch.setattr("grp.getgrnam", find)
        with pytest.raises(ClusterError) as raised:
            query_cluster()
        assert type(raised.value) is error

    def test_no_tool(self, tools: Tools, tmp_path: Path) -> None:
        """A tool that is missing is an error."""
        tools()
        (tmp_path / "crm_mon").write_text("", encoding="utf-8")
        (tmp_path / "crm_mon").chmod(0o644)
        with pytest.raises(ClusterError, match="crm_mon cannot be started: Permission denied"):
            query_cluster()
