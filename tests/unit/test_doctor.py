"""What doctor reads out of others' words, what it finds on disk, and how it shows what it makes of that."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from rich.console import Console

from ocf_systemd.commands import whole_program
from ocf_systemd.core.metadata import metadata_xml
from ocf_systemd.core.observations import ActiveState
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.parameters import Parameters, read_parameters
from ocf_systemd.doctor import json_view, parse, rich_view, text_view, unit_files
from ocf_systemd.doctor.checks import CHECKS, Diagnosis, diagnose
from ocf_systemd.doctor.facts import (
    FOREVER_S,
    Agent,
    Edge,
    Facts,
    Host,
    Relative,
    Service,
    StartLimit,
    Unit,
)
from ocf_systemd.host.drop_in import drop_in_path

if TYPE_CHECKING:
    from collections.abc import Sequence
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


class TestReadings:
    def test_units(self) -> None:
        """What systemctl shows of several units is told apart by the blank lines between them."""
        web, no = parse.parse_units(SHOWN)
        assert parse.value(no, "LoadState") == "not-found"
        assert parse.words(web, "Names") == ("web.service", r"srv\x2d.service")
        assert parse.words(web, "Requires") == ()
        assert parse.words({"Names": ('"',)}, "Names") == ()
        assert parse.edges(web) == (Edge("WantedBy", "multi-user.target"), Edge("TriggeredBy", "web.socket"))
        assert parse.relative(web) == Relative("web.service", "enabled", ActiveState.ACTIVE, parse.edges(web))
        assert parse.start_limit(web) == StartLimit("web.service", 5, 10.0)
        assert parse.emergencies(web) == ("StartLimitAction=reboot",)

    def test_the_manager(self) -> None:
        """It has no LoadState, and is one; a line without a property is none."""
        assert parse.parse_units(b"Version=252\n\nodd\nUnitPath=/etc /run\n") == (
            {"Version": ("252",), "UnitPath": ("/etc /run",)},
        )

    def test_a_service(self) -> None:
        """Its settings are read, each command with its arguments; what is not told is as by default."""
        assert parse.service(parse.parse_units(SHOWN)[0]) == Service(
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
        """As systemd writes them (systemd.time(7)); nothing: what is said otherwise."""
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
        """The last one in its section counts."""
        assert parse.restart_in(text) == setting

    @pytest.mark.parametrize(
        ("script", "bounded", "tool"),
        [
            ("#!/bin/sh\ntimeout 5 curl -sf http://localhost/ || exit 1\n", True, ""),
            ("#!/bin/sh\ncurl -sf http://localhost/\n", False, "curl"),
            ("#!/bin/sh\ncurl -sf \\\n  --max-time 5 http://localhost/\n", True, "curl"),
            ("#!/bin/bash\nexec /usr/bin/curl -m 5 http://localhost/\n", True, "curl"),
            ("#!/bin/sh\nexec timeout 5 /usr/lib/nagios/plugins/check_http\n", True, "check_http"),
            ("#!/bin/sh\n# no timeout\nnc -z localhost 80\n", False, ""),
            ("#!/bin/sh\ncurl localhost\nexit 0\n", False, ""),
            ("#!/usr/bin/python3\nsocket.create_connection(address, timeout=5)\n", True, ""),
            ("#!/bin/sh\n", False, ""),
        ],
    )
    def test_a_hooks_text(self, script: str, *, bounded: bool, tool: str) -> None:
        """It tells whether it bounds its time, comments aside, and whether a tool's exit code gets out."""
        read = parse.script("/x/hook", script, parameters())
        assert (read.is_bounded, read.raw_tool) == (bounded, tool)

    def test_a_hooks_arguments(self) -> None:
        """They may bound it too; of a program the name tells that its codes are raw."""
        assert parse.script("/x/prog", None, parameters(monitor_hook_args="-t 5")).is_bounded
        assert parse.script("/x/prog", None, parameters(monitor_hook_args="--timeout=5 x")).is_bounded
        assert not parse.script("/x/prog", None, parameters(monitor_hook_args="x")).is_bounded
        assert parse.script("/x/check_http", None, parameters()).raw_tool == "check_http"
        assert parse.script("/x/prog", None, parameters()).raw_tool == ""

    def test_a_bus_service(self) -> None:
        """An activation file names the unit that it has started, or none."""
        assert parse.bus_service_unit("[D-BUS Service]\nName=a\nSystemdService=web.service\n") == "web.service"
        assert parse.bus_service_unit("[D-BUS Service]\nName=a\nExec=/bin/x\n") == ""


def link(path: Path, target: str = "/usr/lib/systemd/system/web.service") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def file(path: Path, text: str = "[Service]\n") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


class TestDisk:
    def test_links(self, tmp_path: Path) -> None:
        """What comes first in the search path counts; a link to /dev/null masks what comes later."""
        etc, run, lib = (tmp_path / name for name in ("etc", "run", "lib"))
        link(etc / "a.target.wants" / "web.service")
        link(lib / "a.target.wants" / "web.service")
        link(etc / "b.target.wants" / "web.service", "/dev/null")
        link(lib / "b.target.wants" / "web.service")
        link(run / "c.service.requires" / "web.service")
        link(run / "c.service.d" / "web.service")
        found = unit_files.starting_links([str(etc), str(run), str(lib), str(tmp_path / "none")], ["web.service"])
        assert [(edge.relation, edge.by, edge.link) for edge in found] == [
            ("WantedBy", "a.target", str(etc / "a.target.wants" / "web.service")),
            ("RequiredBy", "c.service", str(run / "c.service.requires" / "web.service")),
        ]

    def test_whose_links(self) -> None:
        """`systemctl disable` removes those of the administrator."""
        assert unit_files.is_administrators("/etc/systemd/system/multi-user.target.wants/web.service")
        assert unit_files.is_administrators("/run/systemd/system/multi-user.target.wants/web.service")
        assert not unit_files.is_administrators("/run/systemd/generator/multi-user.target.wants/web.service")
        assert not unit_files.is_administrators("/lib/systemd/system/multi-user.target.wants/web.service")

    def test_instances(self, tmp_path: Path) -> None:
        """Links name instances of a template."""
        link(tmp_path / "a.target.wants" / "web@1.service")
        link(tmp_path / "a.target.wants" / "other.service")
        assert unit_files.linked_instances([str(tmp_path)], "web@") == ("web@1.service",)

    def test_a_shadow(self, tmp_path: Path) -> None:
        """A file of the same name hides the agent's drop-in where it comes first, a dangling link too."""
        etc, run = tmp_path / "etc", tmp_path / "run"
        ours = run / "web.service.d" / "zz-ocf-systemd.conf"
        path = [str(etc), str(run)]
        file(ours)
        assert unit_files.shadowing_drop_in(path, ["web.service"], ours) == ""
        link(etc / "web.service.d" / "zz-ocf-systemd.conf", "/dev/null")
        assert unit_files.shadowing_drop_in(path, ["web.service"], ours) == str(
            etc / "web.service.d" / "zz-ocf-systemd.conf"
        )
        assert unit_files.shadowing_drop_in([str(etc)], ["web.service"], ours) == ""

    def test_later_restarts(self, tmp_path: Path) -> None:
        """The last of those that sort after the agent's counts; `override.conf` of `systemctl edit` sorts before it."""
        ours = drop_in_path("web.service")
        early = file(tmp_path / "override.conf", "[Service]\nRestart=always\n")
        late = file(tmp_path / "zzz-after-the-agents.conf", "[Service]\nRestart=on-failure\n")
        last = file(tmp_path / "zzz-cluster.conf", "[Service]\nRestart=no\n")
        assert unit_files.later_restarts([early], ours) == ()
        assert unit_files.later_restarts([early, late], ours) == (late,)
        assert unit_files.later_restarts([early, late, last, str(tmp_path / "zzz.conf")], ours) == ()

    def test_unread_drop_ins(self, tmp_path: Path) -> None:
        """Those that systemd does not have, unless they are empty."""
        read = file(tmp_path / "web.service.d" / "a.conf")
        unread = file(tmp_path / "web.service.d" / "b.conf")
        file(tmp_path / "web.service.d" / "c.conf", "")
        file(tmp_path / "web.service.d" / "d.txt")
        assert unit_files.unread_drop_ins([str(tmp_path)], ["web.service"], [read]) == (unread,)

    def test_texts(self, tmp_path: Path) -> None:
        """A program is none, nor is what cannot be read."""
        (tmp_path / "program").write_bytes(b"\x7fELF\0")
        assert unit_files.read_text(str(tmp_path / "program")) is None
        assert unit_files.read_text(str(tmp_path)) is None
        assert unit_files.read_text(file(tmp_path / "text", "x")) == "x"


def of(unit: Unit, given: str = "web") -> Diagnosis:
    facts = Facts(
        given=given,
        operations=Operations(),
        agent=Agent("/agent", "ocf:pacemaker:systemd", version="1.0"),
        host=Host("252.1", "2.1.5", "1.0"),
        parameters=parameters(),
        unit=unit,
    )
    return diagnose(facts)


POOR = Unit(id="web.service", needs_daemon_reload=True, service=Service(type="simple", kill_mode="none"))
GOOD = Unit(id="web.service", service=Service())


def drawing(diagnosis: Diagnosis, width: int = 80) -> str:
    stream = io.StringIO()
    rich_view.show(diagnosis, Console(file=stream, width=width, color_system=None, highlight=False))
    return stream.getvalue()


class TestViews:
    def test_nobody_waits_at_a_pipe(self) -> None:
        """Where FORCE_COLOR asks for a picture in a pipe, there is none of the waiting."""
        stream = io.StringIO()
        with rich_view.waiting(Console(file=stream, force_terminal=True)):
            pass
        assert stream.getvalue() == ""

    @pytest.mark.parametrize("width", [40, 80, 120])
    def test_drawn(self, width: int) -> None:
        """A tick for what is well, then what is to be mended; but for commands it fits, and those stay in one piece."""
        diagnosis = of(POOR)
        lines = drawing(diagnosis, width).splitlines()
        commands = {f"    {line}" for _, finding in diagnosis.findings for line in finding.mend}
        assert all(len(line) <= width for line in lines if line not in commands)
        assert commands <= set(lines)
        assert any(line.startswith("✓ masked") for line in lines)
        crosses = [line.split()[1] for line in lines if line.startswith("✗")]
        assert crosses == ["daemon-reload", "readiness", "kill-mode"]
        assert lines[-1] == f"3 things to mend, {len(diagnosis.sound)} checks passed"

    def test_plain(self) -> None:
        """Piped, it is lines of text of 80 characters, but for commands."""
        diagnosis = of(POOR)
        stream = io.StringIO()
        text_view.write(diagnosis, stream)
        lines = stream.getvalue().splitlines()
        assert lines[0] == "doctor web.service   start 100s, stop 110s, monitor 20s every 10s"
        assert "ok    masked          not masked" in lines
        assert "MEND  kill-mode       KillMode=none leaves all processes running after a stop" in lines
        assert "            systemctl daemon-reload" in lines
        commands = [line for _, finding in diagnosis.findings for line in finding.mend]
        assert all(len(line) <= 80 for line in lines if line[12:] not in commands)
        assert lines[-1] == f"3 things to mend, {len(diagnosis.sound)} checks passed"

    def test_nothing_to_mend(self) -> None:
        """Then that is what it says."""
        diagnosis = of(GOOD)
        stream = io.StringIO()
        text_view.write(diagnosis, stream)
        assert stream.getvalue().endswith(f"nothing to mend, {len(diagnosis.results)} checks passed\n")
        assert "✗" not in drawing(diagnosis)

    def test_json(self) -> None:
        """Every check is in the object, by its name; what does not apply is skipped."""
        stream = io.StringIO()
        json_view.write(of(POOR), stream)
        document = json.loads(stream.getvalue())
        assert document.keys() == {*("unit", "given", "monitor_hook", "operations", "clean", "findings", "checks")}
        assert (document["unit"], document["given"], document["clean"]) == ("web.service", "web", False)
        assert document["operations"] == {"start": 100.0, "stop": 110.0, "monitor": 20.0, "interval": 10.0}
        assert document["findings"] == ["daemon-reload", "readiness", "kill-mode"]
        by_name = {check["check"]: check for check in document["checks"]}
        assert list(by_name) == [check.name for check in CHECKS]
        assert by_name["masked"] == {"check": "masked", "status": "ok", "what": "not masked"}
        assert by_name["hook-speed"] == {"check": "hook-speed", "status": "skipped"}
        assert by_name["kill-mode"].keys() == {"check", "status", "what", "why", "mend"}
        assert by_name["daemon-reload"]["mend"] == ["systemctl daemon-reload"]

    def test_what_comes_from_outside_moves_nothing(self) -> None:
        """A path with control characters, or what rich would take for markup, is shown as it is, less the former."""
        diagnosis = of(Unit(id="web.service", path=ODD, needs_daemon_reload=True, unread=(ODD,)), given=ODD)
        stream = io.StringIO()
        text_view.write(diagnosis, stream)
        for text in (drawing(diagnosis, 120), stream.getvalue()):
            assert not ESCAPES.search(text)
            assert "a[red]b[/red] :smile:" in text


def call(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(whole_program(), ["doctor", *words])
    return result.exit_code, result.output


class TestCommand:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ([], "Missing option '--unit'"),
            (
                ["--unit", "web", "--op", "promote=1s"],
                "'promote=1s' is not NAME=TIME with one of the names start,",
            ),
            (["--unit", "web", "--op", "start"], "'start' is not NAME=TIME"),
            (["--unit", "web", "--op", "start="], "'' is not a duration"),
            (["--unit", "web", "--op", "stop=soon"], "'soon' is not a duration"),
            (["--unit", "web", "-o", "hook=x"], "there is no parameter 'hook'"),
            (["--unit", "web", "-o", "poll_interval=x"], "poll_interval='x' is not a duration"),
            (["--unit", "web", "--monitor-hook", "smtp"], "monitor_hook='smtp' is not an absolute path"),
            (["--unit", "a b", "-o", "stop_verify=yes"], "stop_verify=yes needs a monitor_hook"),
            (["--what"], "No such option"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_called_wrongly(self, arguments: Sequence[str], told: str) -> None:
        """It says what is wrong, and exits with 2."""
        code, output = call(*arguments)
        assert code == 2
        assert told in re.sub(r"\s+", " ", output)

    def test_help_fits_a_screen(self) -> None:
        """And shows examples."""
        code, output = call("--help")
        assert code == 0
        lines = output.splitlines()
        assert len(lines) <= 30
        assert all(len(line) <= 80 for line in lines)
        assert "ocf-systemd doctor --unit nginx" in output

    def test_operations_are_those_of_the_metadata(self) -> None:
        """What nobody has chosen is what the agent advertises."""
        known = Operations({"stop": 60.0})
        xml = metadata_xml("systemd")
        assert f'name="start" timeout="{known.timeout_s(Action.START):g}s"' in xml
        assert f'name="monitor" timeout="{known.timeout_s(Action.MONITOR):g}s" interval="{known.interval_s:g}s"' in xml
        assert (known.timeout_s(Action.STOP), known.chosen) == (60.0, {"stop": 60.0})
