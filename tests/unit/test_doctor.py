"""How doctor parses output and files, reads the files of units, and reports results; its command line."""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest
from click.testing import CliRunner
from rich.console import Console

from ocf_systemd.commands import whole_program
from ocf_systemd.core.check_result import CheckResult, Status
from ocf_systemd.core.metadata import metadata_xml
from ocf_systemd.core.observations import ActiveState, LoadState
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.parameters import Parameters, read_parameters
from ocf_systemd.core.unit_properties import parse_units
from ocf_systemd.display.checks import summary
from ocf_systemd.doctor import collect, environment, parse, rich_view, unit_files
from ocf_systemd.doctor.checks import CHECKS, run_checks
from ocf_systemd.doctor.facts import (
    FOREVER_S,
    Agent,
    Edge,
    Facts,
    Host,
    RelatedUnit,
    Service,
    StartLimit,
    Unit,
)
from ocf_systemd.doctor.report import json_report, text_report, unseen_lines
from ocf_systemd.host import cluster as host_cluster
from ocf_systemd.host import systemctl
from ocf_systemd.host.drop_in import drop_in_path
from tests.unit.test_cluster import attributes, configured, primitive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ODD = "a[red]b[/red] \x1b[2J:smile:"
ESCAPES = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")

SHOWN = rb"""Type=forking
PIDFile=/run/web.pid
GuessMainPID=no
TimeoutStartUSec=1min 30s
TimeoutStopUSec=infinity
ExecStart={ path=/bin/true ; argv[]=/bin/true ; ignore_errors=no ; start_time=[n/a] ; pid=0 ; status=0/0 }
ExecStop={ path=/bin/kill ; argv[]=/bin/kill -TERM $MAINPID ; ignore_errors=no ; start_time=[n/a] ; pid=0 }
ExecStop={ path=/bin/sleep ; argv[]=/bin/sleep 1 ; flags= ; start_time=[n/a] ; pid=0 }
Id=web.service
Names=web.service "srv\\x2d.service"
WantedBy=multi-user.target
TriggeredBy=web.socket
LoadState=loaded
ActiveState=active
UnitFileState=enabled
StartLimitBurst=5
StartLimitIntervalUSec=10s
StartLimitAction=reboot
FailureAction=none

Id=no.service
LoadState=not-found
ActiveState=dancing
"""


def parameters(**given: str) -> Parameters:
    return read_parameters({f"OCF_RESKEY_{name}": value for name, value in {"unit": "web", **given}.items()})


class TestParse:
    def test_units(self) -> None:
        """Blank lines separate the units that `systemctl show` prints."""
        web, no = parse_units(SHOWN)
        assert no["LoadState"] == "not-found"
        assert parse.names_in(web, "Names") == ("web.service", r"srv\x2d.service")
        assert parse.names_in(web, "Requires") == ()
        assert parse.names_in({"Names": '"'}, "Names") == ()
        assert parse.edges(web) == (Edge("WantedBy", "multi-user.target"), Edge("TriggeredBy", "web.socket"))
        assert parse.related_unit(web) == RelatedUnit(
            "web.service",
            "enabled",
            ActiveState.ACTIVE,
            parse.edges(web),
            type="forking",
            relations={"TriggeredBy": ("web.socket",)},
            commands=("/bin/true",),
        )
        assert parse.related_unit(no).is_unusable
        assert parse.start_limit(web) == StartLimit("web.service", 5, 10.0)
        assert parse.failure_actions(web) == ("StartLimitAction=reboot",)

    def test_the_manager(self) -> None:
        """It has no LoadState, so a blank line ends nothing; a line without `=` is ignored."""
        assert parse_units(b"Version=252\n\nodd\nUnitPath=/etc /run\n") == [
            {"Version": "252", "UnitPath": "/etc /run"},
        ]

    def test_values_are_lines(self) -> None:
        """A property on several lines is one value without a line break: it may become part of an exit reason."""
        assert parse_units(b"ExecStop=a\nSubState=x\nExecStop=b\nLoadState=loaded\n") == [
            {"ExecStop": "a b", "SubState": "x", "LoadState": "loaded"}
        ]

    def test_no_unit(self) -> None:
        """No output is one unit without properties."""
        assert parse_units(b"") == parse_units(b"\n\n") == [{}]

    def test_a_blank_line_in_a_command(self) -> None:
        """It does not separate units: ExecStart is printed before LoadState."""
        stdout = b"ExecStart={ argv[]=/bin/sh -c a\n\nb ; flags= }\nLoadState=loaded\n\n"
        assert [unit["LoadState"] for unit in parse_units(stdout)] == ["loaded"]

    def test_a_service(self) -> None:
        """Settings are parsed, and each command with its arguments; one that is not printed has its default."""
        assert parse.service(parse_units(SHOWN)[0]) == Service(
            type="forking",
            pid_file="/run/web.pid",
            guess_main_pid=False,
            exec_start=("/bin/true",),
            exec_stop=("/bin/kill -TERM $MAINPID", "/bin/sleep 1"),
            stop_timeout_s=FOREVER_S,
        )

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("1min 30s", 90.0),
            ("15min", 900.0),
            ("1h", 3600.0),
            ("500ms", 0.5),
            ("250us", 0.00025),
            ("infinity", FOREVER_S),
            ("", 7.0),
        ],
    )
    def test_time_spans(self, text: str, seconds: float) -> None:
        """As systemd prints them (systemd.time(7)); an empty text is the default."""
        assert parse.span_s(text, 7.0) == pytest.approx(seconds)

    @pytest.mark.parametrize(
        ("text", "setting"),
        [
            ("[Service]\nRestart=always\n", "always"),
            ("[Service]\nRestart=always\n Restart = no\n", "no"),
            ("[Service]\n#Restart=always\nRestartSec=1\n", ""),
            ("[Unit]\nRestart=always\n", ""),
        ],
    )
    def test_a_drop_ins_restart(self, text: str, setting: str) -> None:
        """The last one in the section [Service] applies."""
        assert parse.restart_in(text) == setting

    def test_what_is_disabled_too(self) -> None:
        """It is what Also= in the section [Install] names, in each of its lines."""
        assert parse.also_in("[Install]\nAlso=a.socket \\\n  b.socket\nAlso = c.path\n") == (
            *("a.socket", "b.socket", "c.path"),
        )
        assert parse.also_in("[Install]\nWantedBy=a.target\n[Unit]\nAlso=b.socket\n") == ()

    @pytest.mark.parametrize(
        ("script", "bounded", "tool"),
        [
            ("#!/bin/sh\ntimeout 5 curl -sf http://localhost/ || exit 1\n", True, ""),
            ("#!/bin/sh\ncurl -sf http://localhost/\n", False, "curl"),
            ("#!/bin/sh\ncurl -sf \\\n  --max-time 5 http://localhost/\n", True, "curl"),
            ("#!/bin/bash\nexec /usr/bin/curl -m 5 http://localhost/\n", True, "curl"),
            ("#!/bin/sh\nexec timeout 5 /usr/lib/nagios/plugins/check_http\n", True, "check_http"),
            ("#!/bin/sh\npg_isready -q -t 5 || exit 1\n", True, ""),
            ('#!/bin/sh\npg_isready -qt"$seconds" || pg_isready -t "$seconds" || exit 1\n', True, ""),
            ("#!/bin/sh\npg_isready -q -t 0 || exit 1\n", False, ""),  # waits without limit
            ("#!/bin/sh\n# no timeout\nnc -z localhost 80\n", False, ""),
            ("#!/bin/sh\ncurl localhost\nexit 0\n", False, ""),
            ("#!/usr/bin/python3\nsocket.create_connection(address, timeout=5)\n", True, ""),
            ("#!/bin/sh\n", False, ""),
        ],
    )
    def test_a_hooks_text(self, script: str, *, bounded: bool, tool: str) -> None:
        """It shows whether the hook sets a timeout, except in comments, and whether it returns a tool's exit code."""
        read = parse.script("/x/hook", script, parameters())
        assert (read.is_bounded, read.raw_tool) == (bounded, tool)

    def test_a_hooks_arguments(self) -> None:
        """They may set a timeout as well; the exit codes of a binary are known by its name."""
        assert parse.script("/x/prog", None, parameters(monitor_hook_args="-t 5")).is_bounded
        assert parse.script("/x/prog", None, parameters(monitor_hook_args="--timeout=5 x")).is_bounded
        assert not parse.script("/x/prog", None, parameters(monitor_hook_args="x")).is_bounded
        assert parse.script("/x/check_http", None, parameters()).raw_tool == "check_http"
        assert parse.script("/x/prog", None, parameters()).raw_tool == ""

    def test_a_bus_service(self) -> None:
        """An activation file names the unit that it starts, or none."""
        assert parse.bus_service_unit("[D-BUS Service]\nName=a\nSystemdService=web.service\n") == "web.service"
        assert parse.bus_service_unit("[D-BUS Service]\nName=a\nExec=/bin/x\n") == ""


def link(path: Path, target: str = "/usr/lib/systemd/system/web.service") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def file(path: Path, text: str = "[Service]\n") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


class TestUnitFiles:
    def test_links(self, tmp_path: Path) -> None:
        """The first link in the search path applies; a link to /dev/null masks later ones."""
        etc, run, lib = (tmp_path / name for name in ("etc", "run", "lib"))
        link(etc / "a.target.wants" / "web.service")
        link(lib / "a.target.wants" / "web.service")
        link(etc / "b.target.wants" / "web.service", "/dev/null")
        link(lib / "b.target.wants" / "web.service")
        link(run / "c.service.requires" / "web.service")
        link(run / "c.service.d" / "web.service")
        link(lib / "a.target.wants" / "db.service")
        found = unit_files.starting_links([str(etc), str(run), str(lib), str(tmp_path / "none")])
        assert [edge.by for edge in found["db.service"]] == ["a.target"]
        assert [(edge.relation, edge.by, edge.link) for edge in found["web.service"]] == [
            ("WantedBy", "a.target", str(etc / "a.target.wants" / "web.service")),
            ("RequiredBy", "c.service", str(run / "c.service.requires" / "web.service")),
        ]

    def test_a_dependency_in_a_file(self, tmp_path: Path) -> None:
        """It is in the file of the unit or of its template, or in a drop-in, under any of the names."""
        file(tmp_path / "a.target", "[Unit]\nWants=b.service \\\n  web.service\n")
        file(tmp_path / "b.target.d" / "x.conf", "[Unit]\nRequires=www.service\n")
        file(tmp_path / "c@.service", "[Unit]\nBindsTo=web.service\n")
        file(tmp_path / "d.target", "[Unit]\nAfter=web.service\n[Install]\nWants=web.service\n")
        for by in ("a.target", "b.target", "c@1.service"):
            assert unit_files.starts([str(tmp_path)], by, ["web.service", "www.service"])
        for by in ("d.target", "e.target"):
            assert not unit_files.starts([str(tmp_path)], by, ["web.service", "www.service"])

    def test_units_that_start_another(self, tmp_path: Path) -> None:
        """They need not be loaded; a name in another setting is no start."""
        file(tmp_path / "etc" / "a.service", "[Unit]\nRequires=web.socket\n")
        file(tmp_path / "lib" / "a.service", "[Unit]\nRequires=web.socket\n")
        file(tmp_path / "lib" / "b.service", "[Unit]\nAfter=web.socket\nWants=no.web.socket\n")
        file(tmp_path / "lib" / "sockets.target", "[Unit]\nWants=web.socket\n")
        path = [str(tmp_path / "etc"), str(tmp_path / "lib")]
        assert unit_files.units_that_start(path, ["web.socket", "x.service"]) == {
            "web.socket": ("a.service", "sockets.target"),
            "x.service": (),
        }

    def test_what_is_no_file_is_not_read(self, tmp_path: Path) -> None:
        """A named pipe in the place of a unit file, a drop-in or a hook does not make doctor wait."""
        os.mkfifo(tmp_path / "web.service")
        assert unit_files.read_text(str(tmp_path / "web.service")) is None
        assert unit_files.read_text("/dev/zero") is None
        assert unit_files.units_that_start([str(tmp_path)], ["a.socket"]) == {"a.socket": ()}

    def test_links_of_the_administrator(self) -> None:
        """`systemctl disable` removes these, and no others."""
        assert unit_files.is_from_administrator("/etc/systemd/system/multi-user.target.wants/web.service")
        assert unit_files.is_from_administrator("/run/systemd/system/multi-user.target.wants/web.service")
        assert not unit_files.is_from_administrator("/run/systemd/generator/multi-user.target.wants/web.service")
        assert not unit_files.is_from_administrator("/lib/systemd/system/multi-user.target.wants/web.service")

    def test_instances(self, tmp_path: Path) -> None:
        """Links start instances of a template."""
        link(tmp_path / "a.target.wants" / "web@1.service")
        link(tmp_path / "a.target.wants" / "other.service")
        assert unit_files.linked_instances([str(tmp_path)], "web@") == ("web@1.service",)

    def test_a_hidden_drop_in(self, tmp_path: Path) -> None:
        """A file of the same name in an earlier directory hides the agent's drop-in, and so does a dangling link."""
        etc, run = tmp_path / "etc", tmp_path / "run"
        ours = run / "web.service.d" / "zz-ocf-systemd.conf"
        path = [str(etc), str(run)]
        file(ours)
        assert unit_files.hiding_drop_in(path, ["web.service"], ours) == ""
        link(etc / "web.service.d" / "zz-ocf-systemd.conf", "/dev/null")
        assert unit_files.hiding_drop_in(path, ["web.service"], ours) == str(
            etc / "web.service.d" / "zz-ocf-systemd.conf"
        )
        assert unit_files.hiding_drop_in([str(etc)], ["web.service"], ours) == ""

    def test_later_restarts(self, tmp_path: Path) -> None:
        """The last one that sorts after the agent's applies; `override.conf` of `systemctl edit` sorts before it."""
        ours = drop_in_path("web.service")
        early = file(tmp_path / "override.conf", "[Service]\nRestart=always\n")
        late = file(tmp_path / "zzz-after-the-agents.conf", "[Service]\nRestart=on-failure\n")
        last = file(tmp_path / "zzz-cluster.conf", "[Service]\nRestart=no\n")
        assert unit_files.later_restarts([early], ours) == ()
        assert unit_files.later_restarts([early, late], ours) == (late,)
        assert unit_files.later_restarts([early, late, last, str(tmp_path / "zzz.conf")], ours) == ()

    def test_unread_drop_ins(self, tmp_path: Path) -> None:
        """These are the drop-ins that systemd has not loaded, unless they are empty."""
        read = file(tmp_path / "web.service.d" / "a.conf")
        unread = file(tmp_path / "web.service.d" / "b.conf")
        file(tmp_path / "web.service.d" / "c.conf", "")
        file(tmp_path / "web.service.d" / "d.txt")
        assert unit_files.unread_drop_ins([str(tmp_path)], ["web.service"], [read]) == (unread,)

    def test_similar_executable(self, tmp_path: Path) -> None:
        """Only for a path that does not exist, and only an executable file of the same directory."""
        hook = tmp_path / "nginx"
        hook.touch(0o755)
        (tmp_path / "ngnx").touch(0o644)
        (tmp_path / "nginxx").mkdir()
        assert unit_files.similar_executable(str(tmp_path / "ngnix")) == str(hook)
        assert unit_files.similar_executable(str(tmp_path / "smtp")) == ""
        assert unit_files.similar_executable(str(hook)) == ""
        assert unit_files.similar_executable(str(tmp_path / "none/nginx")) == ""

    def test_texts(self, tmp_path: Path) -> None:
        """A binary is no text, nor is a file that cannot be read."""
        (tmp_path / "program").write_bytes(b"\x7fELF\0")
        assert unit_files.read_text(str(tmp_path / "program")) is None
        assert unit_files.read_text(str(tmp_path)) is None
        assert unit_files.read_text(file(tmp_path / "text", "x")) == "x"


def facts_of(unit: Unit, given: str = "web") -> Facts:
    return Facts(
        given=given,
        operations=Operations(),
        agent=Agent("/agent", "ocf:pacemaker:systemd", version="1.0"),
        host=Host("252.1", "2.1.5", "1.0"),
        parameters=parameters(),
        unit=unit,
    )


POOR = facts_of(Unit(id="web.service", needs_daemon_reload=True, service=Service(type="simple", kill_mode="none")))
GOOD = replace(
    facts_of(Unit(id="web.service", service=Service())), parameters=parameters(monitor_hook="/usr/local/lib/hooks/web")
)


def rich_report(facts: Facts, results: Sequence[CheckResult], width: int = 80) -> str:
    stream = io.StringIO()
    rich_view.show(facts, results, Console(file=stream, width=width, color_system=None, highlight=False))
    return stream.getvalue()


class TestReports:
    def test_no_spinner_in_a_pipe(self) -> None:
        """With FORCE_COLOR in a pipe, nothing is printed while facts are collected."""
        stream = io.StringIO()
        with rich_view.waiting(Console(file=stream, force_terminal=True)):
            pass
        assert stream.getvalue() == ""

    @pytest.mark.parametrize("width", [40, 80, 120])
    def test_terminal(self, width: int) -> None:
        """The most severe problems are last; lines fit, except for commands, which are never wrapped."""
        results = run_checks(POOR)
        lines = rich_report(POOR, results, width).splitlines()
        commands = {f"    {line}" for result in results for line in result.fix}
        assert all(len(line) <= width for line in lines if line not in commands)
        assert commands <= set(lines)
        assert any(line.startswith("✓ masked") for line in lines)
        marked = [line.split()[:2] for line in lines if line.startswith(("!", "✗"))]
        assert marked == [["!", "daemon-reload"], ["!", "readiness"], ["✗", "kill-mode"]]
        assert lines[-1] == summary(results)

    def test_text(self) -> None:
        """Piped, no sentence and no command is broken into lines; checks that do not apply are left out."""
        results = run_checks(POOR)
        lines = list(text_report(POOR, results))
        assert lines[0] == "doctor web.service   start 100s, stop 110s, monitor 20s every 10s"
        assert "ok       masked            not masked" in lines
        assert "error    kill-mode         KillMode=none leaves processes running after a stop" in lines
        assert "         fix   systemctl daemon-reload" in lines
        assert not any(line.startswith("skipped") for line in lines)
        for problem in filter(lambda result: result.is_problem, results):
            assert all(any(text in line for line in lines) for text in (problem.what, problem.why, *problem.fix))
        assert lines[-1].startswith("3 problems found, ")

    def test_no_problems(self) -> None:
        """The summary reports that."""
        results = run_checks(GOOD)
        assert list(text_report(GOOD, results))[-1].startswith("no problems found, ")
        assert "✗" not in rich_report(GOOD, results)

    def test_json(self) -> None:
        """The document has every check, by its name, those that do not apply as skipped."""
        document = json.loads(json_report(POOR, run_checks(POOR)))
        assert document.keys() == {"version", "unit", "given", "monitor_hook", "operations", "checks"}
        assert (document["version"], document["unit"], document["given"]) == (1, "web.service", "web")
        assert document["monitor_hook"] is None
        assert document["operations"] == {"start": 100.0, "stop": 110.0, "monitor": 20.0, "interval": 10.0}
        by_name = {check["name"]: check for check in document["checks"]}
        assert list(by_name) == [check.name for check in CHECKS]
        assert all(check.keys() == {"name", "status", "what", "why", "fix"} for check in document["checks"])
        assert by_name["masked"]["status"] == Status.OK
        assert by_name["hook-speed"]["status"] == Status.SKIPPED
        assert by_name["kill-mode"]["status"] == Status.ERROR
        assert by_name["daemon-reload"]["status"] == Status.WARNING
        assert by_name["daemon-reload"]["fix"] == ["systemctl daemon-reload"]

    def test_control_characters_and_markup(self) -> None:
        """A path with control characters or with markup of rich is printed as it is, without the former."""
        facts = facts_of(Unit(id="web.service", path=ODD, needs_daemon_reload=True, unread=(ODD,)), given=ODD)
        results = run_checks(facts)
        for text in (rich_report(facts, results, 120), "\n".join(text_report(facts, results))):
            assert not ESCAPES.search(text)
            assert "a[red]b[/red] :smile:" in text


class TestUnseen:
    def test_skipped_for_lack_of_privilege(self) -> None:
        """The checks that were skipped since only root can make them are listed once for each reason."""
        skipped = {
            "hook-speed": "the hook was not run: only root can run it",
            "hook-answer": "the hook was not run: only root can run it",
            "fencing": "the cluster cannot be queried",
            "template": "the unit has no template",
        }
        results = [CheckResult(name, Status.SKIPPED, what) for name, what in skipped.items()]
        _, *lines = unseen_lines([*results, CheckResult("name", Status.OK, "the hook was not run")])
        assert lines == [
            "skipped, since the hook was not run: only root can run it: hook-speed, hook-answer",
            "skipped, since the cluster cannot be queried: fencing",
        ]


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(whole_program(), ["doctor", *arguments])
    return result.exit_code, result.output


@pytest.fixture
def wrong_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a cluster have the resource `web` with a wrong protocol of its hook."""
    options = {"unit": "web", "monitor_hook": "/h/web", "monitor_hook_protocol": "nagois"}
    cluster = configured(primitive(attributes("instance_attributes", "i", **options)))

    def collect_without_host(known: Facts, given: Mapping[str, str]) -> Facts:
        facts = replace(known, unit=Unit(id="web.service"), cluster=cluster)
        return anyio.run(environment.with_resources, facts, given)

    monkeypatch.setattr(systemctl, "is_booted", lambda: True)
    monkeypatch.setattr(host_cluster, "query_cluster", lambda: cluster)
    monkeypatch.setattr(environment, "managing", lambda *_: cluster.resources)
    monkeypatch.setattr(collect, "collect", collect_without_host)
    monkeypatch.setattr("os.geteuid", lambda: 0)


class TestCommand:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ([], "Missing argument 'UNIT'"),
            (
                ["--unit", "web", "--op", "promote=1s"],
                "'promote=1s' is not NAME=TIME with one of the names start,",
            ),
            (["--unit", "web", "--op", "start"], "'start' is not NAME=TIME"),
            (["--unit", "web", "--op", "start="], "'' is not a duration"),
            (["--unit", "web", "--op", "stop=soon"], "'soon' is not a duration"),
            (["--unit", "web", "-o", "hook=x"], "unknown parameter 'hook'"),
            (["--unit", "web", "-o", "poll_interval=x"], "poll_interval='x' is not a duration"),
            (["--unit", "web", "--monitor-hook", "smtp"], "monitor_hook='smtp' is not an absolute path"),
            (["--unit", "a b", "-o", "stop_verify=yes"], "stop_verify=yes needs a monitor_hook"),
            (["--what"], "No such option"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_called_wrongly(self, arguments: Sequence[str], expected: str) -> None:
        """The error is printed, and the exit code is 2."""
        code, output = call(*arguments)
        assert code == 2
        assert expected in re.sub(r"\s+", " ", output)

    @pytest.mark.usefixtures("wrong_value")
    def test_wrong_value_of_the_resource(self) -> None:
        """It is an error of a check, for the resource and for its unit; the other values stay in force."""
        for arguments in (("--resource", "web"), ("web",)):
            done = CliRunner().invoke(whole_program(), ["doctor", *arguments, "--json"], standalone_mode=False)
            report = json.loads(done.output)
            (wrong,) = [check for check in report["checks"] if check["name"] == "parameters"]
            assert (done.return_value, wrong["status"], "'nagois'" in wrong["what"]) == (1, "error", True)
            assert report["monitor_hook"] == "/h/web"

    @pytest.mark.usefixtures("wrong_value")
    def test_wrong_value_besides(self) -> None:
        """One on the command line is a usage error, also if it is the same."""
        for value in ("nagois", "lbs"):
            code, output = call("--resource", "web", "-o", f"monitor_hook_protocol={value}")
            assert (code, f"'{value}' is not one of" in output) == (2, True)
        assert call("--resource", "web", "-o", "monitor_hook_protocol=lsb")[0] == 0

    @pytest.mark.parametrize(("state", "is_proposed"), [(LoadState.LOADED, True), (LoadState.NOT_FOUND, False)])
    def test_root_finds_more(self, monkeypatch: pytest.MonkeyPatch, state: LoadState, *, is_proposed: bool) -> None:
        """The command for root is proposed, unless the unit is not found."""
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        monkeypatch.setattr(systemctl, "is_booted", lambda: True)
        unit = Unit(id="web.service", load_state=state)
        monkeypatch.setattr(collect, "collect", lambda known, _: replace(known, unit=unit))
        assert ("To check all of it: sudo " in call("web")[1]) == is_proposed

    def test_help_fits_a_screen(self) -> None:
        """It has examples, and fits a terminal of 80 columns."""
        code, output = call("--help")
        assert code == 0
        lines = output.splitlines()
        assert len(lines) <= 30
        assert all(len(line) <= 80 for line in lines)
        assert "ocf-systemd doctor nginx" in output

    def test_operations_are_those_of_the_metadata(self) -> None:
        """Times that are not chosen are those that the metadata advertises."""
        known = Operations({"stop": 60.0})
        xml = metadata_xml("systemd")
        assert f'name="start" timeout="{known.timeout_s(Action.START):g}s"' in xml
        assert f'name="monitor" timeout="{known.timeout_s(Action.MONITOR):g}s" interval="{known.interval_s:g}s"' in xml
        assert (known.timeout_s(Action.STOP), known.chosen) == (60.0, {"stop": 60.0})
