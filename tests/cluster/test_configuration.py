"""The operations of resources in a CIB, as we read them and as Pacemaker's scheduler does."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from lxml import etree

from ocf_systemd.core.cluster import configured_operations, parse_cluster
from ocf_systemd.core.ocf import Action

if TYPE_CHECKING:
    from pathlib import Path

DUMMY = 'class="ocf" provider="heartbeat" type="Dummy"'
# Each pair of times is its own, so that it shows where it comes from. The node has no results of probes.
CIB = f"""\
<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0" \
have-quorum="1" dc-uuid="1">
  <configuration>
    <crm_config>
      <cluster_property_set id="p"><nvpair id="p-f" name="stonith-enabled" value="false"/></cluster_property_set>
    </crm_config>
    <nodes><node id="1" uname="node1"/></nodes>
    <resources>
      <template id="template" {DUMMY}>
        <operations>
          <op id="t-m" name="monitor" interval="30s" timeout="31s"/>
          <op id="t-s" name="start" interval="0" timeout="32s"/>
        </operations>
      </template>
      <primitive id="bare" {DUMMY}/>
      <primitive id="from-template" template="template"/>
      <primitive id="own-monitor" template="template">
        <operations><op id="o-m" name="monitor" interval="10s" timeout="11s"/></operations>
      </primitive>
      <primitive id="disabled-monitor" template="template">
        <operations><op id="d-m" name="monitor" interval="10s" timeout="11s" enabled="false"/></operations>
      </primitive>
      <primitive id="shared" {DUMMY}>
        <operations id="shared-operations">
          <op id="s-m" name="monitor" interval="12s" timeout="13s"/>
          <op id="s-d" name="monitor" interval="14s" enabled="0"/>
          <op id="s-r" name="monitor" interval="15s" timeout="16s" role="Stopped"/>
        </operations>
      </primitive>
      <primitive id="reference" {DUMMY}><operations id-ref="shared-operations"/></primitive>
      <primitive id="reference-and-template" template="template"><operations id-ref="shared-operations"/></primitive>
      <clone id="clone">
        <group id="group">
          <primitive id="member" {DUMMY}>
            <operations>
              <op id="m-m" name="monitor" interval="60"/>
              <op id="m-s" name="start" interval="0">
                <meta_attributes id="m-s-m"><nvpair id="m-s-t" name="timeout" value="42s"/></meta_attributes>
              </op>
            </operations>
          </primitive>
        </group>
      </clone>
      <primitive id="stateful" class="ocf" provider="pacemaker" type="Stateful">
        <operations>
          <op id="st-m" name="monitor" interval="1min"/>
          <op id="st-n" name="monitor" interval="17s"/>
        </operations>
      </primitive>
    </resources>
    <constraints/>
    <op_defaults>
      <meta_attributes id="default"><nvpair id="default-t" name="timeout" value="51s"/></meta_attributes>
      <meta_attributes id="monitors" score="5">
        <rule id="monitors-r" score="INFINITY"><op_expression id="monitors-o" name="monitor" interval="60s"/></rule>
        <nvpair id="monitors-t" name="timeout" value="52s"/>
      </meta_attributes>
      <meta_attributes id="starts" score="50">
        <rule id="starts-r" score="INFINITY">
          <op_expression id="starts-o" name="start"/>
          <rsc_expression id="starts-e" class="ocf" provider="pacemaker" type="Stateful"/>
        </rule>
        <nvpair id="starts-t" name="timeout" value="53s"/>
      </meta_attributes>
      <meta_attributes id="never" score="INFINITY">
        <rule id="never-r" score="INFINITY" boolean-op="or">
          <op_expression id="never-o" name="migrate_to"/><rsc_expression id="never-e" class="stonith"/>
        </rule>
        <nvpair id="never-t" name="timeout" value="54s"/>
      </meta_attributes>
    </op_defaults>
  </configuration>
  <status>
    <node_state id="1" uname="node1" in_ccm="true" crmd="online" join="member" expected="member">
      <lrm id="1"><lrm_resources/></lrm>
    </node_state>
  </status>
</cib>
"""


@pytest.fixture
def scheduled(tmp_path: Path) -> dict[tuple[str, str, float], float]:
    """Return the timeouts with which the scheduler would run starts and recurring monitors: by name and interval."""
    (tmp_path / "cib.xml").write_text(CIB, encoding="utf-8")
    command = ["crm_simulate", "--xml-file=cib.xml", "--simulate", "--save-graph=graph.xml"]
    writable = {**os.environ, "CIB_shadow_dir": str(tmp_path)}  # where crm_simulate writes its copy of the CIB
    subprocess.run(command, cwd=tmp_path, env=writable, check=True, capture_output=True, timeout=60)
    found = {}
    for operation in etree.parse(tmp_path / "graph.xml").iter("rsc_op"):
        primitive, attributes = operation.find("primitive"), operation.find("attributes")
        if primitive is None or attributes is None:
            continue
        name, interval_s = operation.get("operation", ""), int(attributes.get("CRM_meta_interval", "0")) / 1000
        if name == "start" or interval_s:
            key = (primitive.get("id", "").partition(":")[0], name, interval_s)
            found[key] = int(attributes.get("CRM_meta_timeout", "0")) / 1000
    return found


def test_as_the_scheduler_reads_it(scheduled: dict[tuple[str, str, float], float]) -> None:
    """The timeout of each start, and the intervals of all monitors, the shortest timeout of which counts."""
    resources = {each.id: each for each in parse_cluster(CIB, "<pacemaker-result/>").resources}
    assert len(resources) == 9
    for name, resource in resources.items():
        times = configured_operations(resource, 0)
        assert times.timeout_s(Action.START) == scheduled.pop((name, "start", 0.0)), name
        monitors = {each.interval_s: scheduled.pop((name, "monitor", each.interval_s)) for each in resource.monitors}
        if monitors:
            assert times.interval_s == min(monitors), name
            assert times.timeout_s(Action.MONITOR) == min(monitors.values()), name
    assert scheduled == {}
