"""What lines of the log are in the journal: native entries with the fields that journalctl searches."""

from __future__ import annotations

import re
import socket
import sys
import syslog
from pathlib import Path
from signal import SIGTERM
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ocf_systemd
from ocf_systemd.agent import log
from ocf_systemd.agent.events import (
    ActionEnded,
    ActionStarted,
    CommandEnded,
    CommandStarted,
    Escalated,
    Interrupted,
    Notice,
    Observed,
    Purpose,
    StillWaiting,
    UnitObserved,
    WarningNotice,
)
from ocf_systemd.agent.journal import MessageId, Subject, encode_entry, fields_of, message_id
from ocf_systemd.agent.log import LogReporter, log_reporter
from ocf_systemd.core.observations import (
    ActiveState,
    Exited,
    HookMissing,
    LoadState,
    NotStarted,
    Observation,
    UnitDetails,
    UnitState,
)
from ocf_systemd.core.ocf import Action, ActionResult
from ocf_systemd.host.processes import Command
from tests.docs.commands import ROOT
from tests.unit.builders import HOOK, UNIT, exited, run_python

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocf_systemd.agent.events import Event

CATALOG = Path(ocf_systemd.__file__).parent / "share/systemd/catalog/ocf-systemd.catalog"
COMMON = {"OCF_RESOURCE", "OCF_ACTION", "OBJECT_SYSTEMD_UNIT"}
SMTP = CommandStarted(Purpose.HOOK, Command((HOOK,), {}))
SHOW = CommandStarted(Purpose.SYSTEMD, Command(("systemctl", "show"), {}))


def decode(entry: bytes) -> dict[str, str]:
    """Return the fields of an entry, read as journald reads it."""
    fields = {}
    while entry:
        line, _, rest = entry.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value.decode()
        entry = rest
    return fields


@given(st.dictionaries(st.from_regex("[A-Z][A-Z_]{0,20}", fullmatch=True), st.text()))
def test_an_entry_can_be_read_again(fields: dict[str, str]) -> None:
    """Whatever a value holds, line breaks and equals signs as well."""
    expected = {name: text.encode(errors="backslashreplace").decode() for name, text in fields.items()}
    assert decode(encode_entry(fields)) == expected


class TestKinds:
    @pytest.mark.parametrize(
        ("subject", "kind"),
        [
            pytest.param(ActionEnded(Action.MONITOR, ActionResult(1, "x")), MessageId.FAILED, id="1"),
            pytest.param(ActionEnded(Action.MONITOR, ActionResult(42, "x")), MessageId.FAILED, id="a hook's own code"),
            pytest.param(ActionEnded(Action.START, ActionResult(1, "x")), MessageId.FAILED, id="start"),
            pytest.param(ActionEnded(Action.MONITOR, ActionResult(7, "x")), MessageId.NOT_RUNNING, id="7"),
            pytest.param(ActionEnded(Action.MONITOR, ActionResult(190, "x")), MessageId.DEGRADED, id="190"),
            pytest.param(ActionEnded(Action.MONITOR, ActionResult(5, "x")), MessageId.HARD_ERROR, id="5"),
            pytest.param(ActionEnded(Action.START, ActionResult(6, "x")), MessageId.HARD_ERROR, id="6"),
            pytest.param(ActionEnded(Action.START, ActionResult(3, "x")), MessageId.HARD_ERROR, id="3"),
            pytest.param(ActionEnded(Action.MONITOR, ActionResult(3, "x")), MessageId.FAILED, id="monitor, 3"),
            pytest.param(
                ActionEnded(Action.VALIDATE_ALL, ActionResult(5, "x")), MessageId.FAILED, id="validate-all, 5"
            ),
            pytest.param(ActionEnded(Action.STOP, ActionResult(1, "x")), MessageId.STOP_FAILED, id="stop"),
            pytest.param(ActionEnded(Action.STOP, ActionResult(4, "x")), MessageId.STOP_FAILED, id="stop, 4"),
            pytest.param(ActionEnded(Action.STOP, ActionResult(0)), MessageId.PROGRESS, id="success"),
            pytest.param(ActionEnded(Action.MONITOR, ActionResult(7)), MessageId.PROGRESS, id="a probe's 7"),
            pytest.param(StillWaiting("x", 1.0, 2.0), MessageId.WAITING, id="waiting"),
            pytest.param(WarningNotice("x"), MessageId.WARNING, id="warning"),
            pytest.param(Escalated(UNIT), MessageId.ESCALATED, id="SIGKILL"),
            pytest.param(Interrupted(Action.STOP, SIGTERM), MessageId.INTERRUPTED, id="interrupted"),
            pytest.param(Notice("x"), MessageId.DROP_IN, id="drop-in"),
            pytest.param(exited(1), MessageId.HOOK_OUTPUT, id="hook"),
            pytest.param(HookMissing(HOOK, "gone"), MessageId.HOOK_OUTPUT, id="missing hook"),
            pytest.param(SHOW, MessageId.PROGRESS, id="command"),
        ],
    )
    def test_each_line_has_its_kind(self, subject: Subject, kind: MessageId) -> None:
        """The MESSAGE_ID tells what kind of line it is."""
        assert message_id(subject) is kind

    @pytest.mark.parametrize(
        ("subject", "fields"),
        [
            pytest.param(ActionEnded(Action.START, ActionResult(190)), {"OCF_EXIT_CODE": "190"}, id="result"),
            pytest.param(SMTP, {"HOOK": HOOK}, id="hook begins"),
            pytest.param(CommandEnded(SMTP, Exited(0.25)), {"HOOK": HOOK, "DURATION_USEC": "250000"}, id="hook ends"),
            pytest.param(CommandEnded(SMTP, None), {"HOOK": HOOK}, id="hook cancelled"),
            pytest.param(CommandEnded(SHOW, Exited(1.5)), {"DURATION_USEC": "1500000"}, id="command"),
            pytest.param(CommandEnded(SHOW, NotStarted(2, "gone")), {}, id="not started"),
            pytest.param(exited(1), {"HOOK": HOOK, "DURATION_USEC": "100000"}, id="hook's outcome"),
            pytest.param(HookMissing(HOOK, "gone"), {"HOOK": HOOK}, id="missing hook"),
            pytest.param(Notice("x"), {}, id="drop-in"),
        ],
    )
    def test_the_fields_of_a_subject(self, subject: Subject, fields: dict[str, str]) -> None:
        """Hook, exit code and duration are fields of the lines that are about them."""
        assert fields_of(subject) == fields


class Sockets:
    """A journald and a syslog daemon that keep what they get."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (directory / "journal").mkdir()
        self.journal = self._listen(directory / "journal/socket")
        self.syslog = self._listen(directory / "journal/dev-log")
        self.dev_log = directory / "log"
        self.dev_log.symlink_to(directory / "journal/dev-log")
        monkeypatch.setattr(log, "_JOURNAL", str(directory / "journal"))
        monkeypatch.setattr(log, "_SYSLOG_SOCKET", str(self.dev_log))

    def _listen(self, path: Path) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        listener.bind(str(path))
        return listener

    def close(self) -> None:
        for listener in (self.journal, self.syslog):
            listener.close()


def received(listener: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(listener.recv(2**20))
        except BlockingIOError:
            return found


@pytest.fixture
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sockets]:
    made = Sockets(tmp_path, monkeypatch)
    yield made
    made.close()


ENVIRONMENT = {"HA_LOGFACILITY": "daemon", "OCF_RESOURCE_INSTANCE": "mail", "OCF_RESKEY_unit": "alias"}
UNSENT = f"<{syslog.LOG_DAEMON | syslog.LOG_WARNING}>systemd(mail)[7]: WARNING: odd"


def reporter(**variables: str) -> LogReporter:
    return log_reporter(ENVIRONMENT | variables, "systemd", action=Action.MONITOR, pid=7)


IMPORTING = """
import sys
from ocf_systemd.agent import log
from ocf_systemd.agent.events import ActionEnded
from ocf_systemd.core.ocf import Action, ActionResult
log._is_journald, log._send = lambda: True, lambda path, entries: len(entries)
log.LogReporter("x", facility=24).report(ActionEnded(Action.MONITOR, ActionResult({code}, "odd")))
print("ocf_systemd.agent.journal" in sys.modules)
"""


class TestDestination:
    def test_a_failed_monitor(self, sockets: Sockets) -> None:
        """Its lines go to journald alone, with the unit's own name, and the fields of syslog's message."""
        unit = UnitState("alias.service", LoadState.LOADED, ActiveState.ACTIVE, details=UnitDetails(UNIT))
        writer = reporter()
        writer.report(ActionStarted(Action.MONITOR, "alias.service", 18.0, 20.0))
        writer.report(UnitObserved(unit))
        writer.report(Observed(Observation(unit, (exited(1, b"one\ntwo\n"),))))
        writer.report(ActionEnded(Action.MONITOR, ActionResult(1, "hook smtp: two (exit 1)")))
        output, result = map(decode, received(sockets.journal))
        common = {
            "SYSLOG_IDENTIFIER": "systemd(mail)",
            "SYSLOG_PID": "7",
            "SYSLOG_FACILITY": "3",
            "OBJECT_SYSTEMD_UNIT": UNIT,
            "OCF_RESOURCE": "mail",
            "OCF_ACTION": "monitor",
        }
        assert output == common | {
            "MESSAGE": f"WARNING: {HOOK}: one",
            "MESSAGE_ID": MessageId.HOOK_OUTPUT,
            "PRIORITY": "4",
            "HOOK": HOOK,
            "DURATION_USEC": "100000",
        }
        assert int(result.pop("DURATION_USEC")) >= 0
        assert result == common | {
            "HOOK": HOOK,
            "MESSAGE": f"ERROR: hook {HOOK}: two (exit 1)",
            "MESSAGE_ID": MessageId.FAILED,
            "PRIORITY": "3",
            "OCF_EXIT_CODE": "1",
        }
        assert received(sockets.syslog) == []

    def test_before_the_action_has_begun(self, sockets: Sockets) -> None:
        """A wrong value is about the unit that the parameter names; a wrong unit is in no field."""
        reporter().report(WarningNotice("odd"))
        reporter(OCF_RESKEY_unit="a;b").report(WarningNotice("odd"))
        first, second = map(decode, received(sockets.journal))
        assert (first["OBJECT_SYSTEMD_UNIT"], first["OCF_ACTION"]) == ("alias.service", "monitor")
        assert "OBJECT_SYSTEMD_UNIT" not in second

    def test_an_interruption(self, sockets: Sockets) -> None:
        """There is one line, and its kind is the interruption."""
        writer = reporter()
        writer.report(Interrupted(Action.MONITOR, SIGTERM))
        writer.report(ActionEnded(Action.MONITOR, ActionResult(1, "monitor of x was interrupted by SIGTERM")))
        (entry,) = map(decode, received(sockets.journal))
        assert entry["MESSAGE_ID"] == MessageId.INTERRUPTED

    def test_another_syslog_daemon(self, sockets: Sockets) -> None:
        """Where /dev/log is not journald's socket, it gets the lines as before."""
        sockets.dev_log.unlink()
        sockets.syslog.close()
        sockets.syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sockets.syslog.bind(str(sockets.dev_log))
        reporter().report(WarningNotice("odd"))
        assert received(sockets.syslog) == [UNSENT.encode()]
        assert received(sockets.journal) == []

    def test_a_journal_that_does_not_accept_entries(self, sockets: Sockets) -> None:
        """The lines go to /dev/log."""
        sockets.journal.close()
        reporter().report(WarningNotice("odd"))
        assert received(sockets.syslog) == [UNSENT.encode()]

    def test_a_package_that_is_being_replaced(self, sockets: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
        """The lines go to /dev/log if the entries cannot be made."""
        monkeypatch.setitem(sys.modules, "ocf_systemd.agent.journal", None)
        monkeypatch.delattr("ocf_systemd.agent.journal")
        reporter().report(WarningNotice("odd"))
        assert received(sockets.syslog) == [UNSENT.encode()]

    @pytest.mark.parametrize(("code", "imported"), [pytest.param(0, "False", id="0"), pytest.param(1, "True", id="1")])
    def test_import(self, code: int, imported: str) -> None:
        """A monitor that succeeds logs nothing, and does not pay for this module."""
        done = run_python(IMPORTING.format(code=code))
        assert (done.stdout, done.stderr) == (f"{imported}\n", "")

    def test_no_facility(self, sockets: Sockets) -> None:
        """Without HA_LOGFACILITY neither gets a line."""
        reporter(HA_LOGFACILITY="none", HA_LOGFILE="/dev/null").report(WarningNotice("odd"))
        assert received(sockets.journal) + received(sockets.syslog) == []


EVENTS: tuple[Event, ...] = (
    *(ActionEnded(Action.MONITOR, ActionResult(code, "x")) for code in (1, 5, 7, 190)),
    ActionEnded(Action.STOP, ActionResult(1, "x")),
    ActionEnded(Action.STOP, ActionResult(0)),
    StillWaiting("x", 1.0, 2.0),
    WarningNotice("x"),
    Escalated(UNIT),
    Notice("x"),
    SHOW,
)


class TestCatalog:
    ENTRY = re.compile(
        r"^-- ([0-9a-f]{32})\nSubject: [^\n]+\nDefined-By: ocf-systemd\nDocumentation: [^\n]+\n\n(.+?)(?=\n\n-- |\Z)",
        re.MULTILINE | re.DOTALL,
    )

    def test_it_has_each_kind_once(self) -> None:
        """Each MESSAGE_ID has its entry, in the order of the table."""
        found = [match[1] for match in self.ENTRY.finditer(CATALOG.read_text(encoding="utf-8"))]
        assert found == list(MessageId)
        assert CATALOG.read_text(encoding="utf-8").count("\n-- ") == len(found)

    def test_its_fields_are_on_the_line(self) -> None:
        """An entry refers only to fields that its lines have, and is no wider than a terminal."""
        own = {
            MessageId.FAILED: {"OCF_EXIT_CODE"},
            MessageId.HARD_ERROR: {"OCF_EXIT_CODE"},
            MessageId.HOOK_OUTPUT: {"HOOK"},
        }
        for match in self.ENTRY.finditer(CATALOG.read_text(encoding="utf-8")):
            allowed: set[str] = COMMON | own.get(MessageId(match[1]), set())
            assert set(re.findall("@([A-Z_]+)@", match[0])) <= allowed
            assert max(map(len, match[0].splitlines())) <= 80

    def test_its_commands_have_the_parameters(self) -> None:
        """Each command of this program takes all parameters from the resource."""
        commands = re.findall("^ +ocf-systemd (.+)$", CATALOG.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(commands) > 5
        assert {each.partition(" --")[2] for each in commands} == {"resource @OCF_RESOURCE@"}

    def test_the_page_has_the_same_kinds(self) -> None:
        """The table in docs/log.md has each MESSAGE_ID once, with the level of its lines."""
        page = (ROOT / "docs/log.md").read_text(encoding="utf-8")
        levels = {
            kind: level
            for level, kind in re.findall(r"^\| .+ \| `([A-Z]+)` \| .+ \| ([0-9a-f]{32}) \|$", page, re.MULTILINE)
        }
        assert sorted(levels) == sorted(MessageId)
        for event in EVENTS:
            ((level, _), *_) = log.messages(event)
            assert levels[message_id(event)] == level.name

    def test_it_tells_what_to_do(self) -> None:
        """Each kind that has a problem has a remedy."""
        without = {MessageId.INTERRUPTED, MessageId.DROP_IN, MessageId.PROGRESS}
        for match in self.ENTRY.finditer(CATALOG.read_text(encoding="utf-8")):
            assert ("To do: " in match[2]) != (MessageId(match[1]) in without)
