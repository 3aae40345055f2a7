"""Facts: texts made safe to show, a command's last words, names of signals, groups of states."""

from __future__ import annotations

import os
import unicodedata
from signal import SIGKILL, SIGSEGV, Signals

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.core.observations import (
    DOWN_STATES,
    RUNNING_STATES,
    ActiveState,
    Exited,
    LoadState,
    Process,
    Signalled,
    TimedOut,
    UnitDetails,
    UnitState,
    signal_name,
)
from ocf_systemd.core.ocf import ExitCode, code_name, defused
from ocf_systemd.core.records import replace
from ocf_systemd.core.text import printable, printed_lines
from tests.unit.builders import BIDI_CONTROLS, is_one_line, is_xml_character


class TestPrintable:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            pytest.param("plain", "plain", id="plain"),
            pytest.param("", "", id="empty"),
            pytest.param("  a  b \t", "a  b", id="spaces at the ends"),
            pytest.param("a\tb", "a b", id="a tab"),
            pytest.param("a\r\nb\n", "ab", id="line ends"),
            pytest.param("a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i", "abcdefghi", id="all line ends of str"),
            pytest.param("\x1b[1;31mred\x1b[0m", "red", id="CSI: colours"),
            pytest.param("\x1b[2J\x1b[Hx", "x", id="CSI: clear and home"),
            pytest.param("\x1b[?25lx", "x", id="CSI: private"),
            pytest.param("\x9b31mred", "red", id="CSI of C1"),
            pytest.param("\x1b]0;title\x07x", "x", id="OSC that ends in BEL"),
            pytest.param("\x1b]8;;http://a\x1b\\x\x1b]8;;\x1b\\", "x", id="OSC that ends in ST: a link"),
            pytest.param("\x1b]0;no end", "]0;no end", id="OSC without an end"),
            pytest.param("\x1b", "", id="ESC alone"),
            pytest.param("\x1b\x1b[31m[31m", "[31m", id="ESC before ESC"),
            pytest.param("\x1b[\x1b[31m31mx", "[31mx", id="a sequence within a sequence"),
            pytest.param("a\0b\x07\x08c\x7fd", "abcd", id="NUL, BEL, BS, DEL"),
            pytest.param("a\x80\x90\x9fb", "ab", id="C1"),
            pytest.param("Grüße, 世界 🎉", "Grüße, 世界 🎉", id="UTF-8"),
            pytest.param("[red]:smile:%s{0}", "[red]:smile:%s{0}", id="markup is text"),
            pytest.param("a\ufffeb\uffffc", "abc", id="what XML 1.0 does not allow"),
            pytest.param("a\ufffdb\U0010ffffc", "a\ufffdb\U0010ffffc", id="what it allows"),
        ],
    )
    def test_text(self, text: str, shown: str) -> None:
        """What could move a cursor or break a line goes; the rest stays as it is, from text and from bytes."""
        assert printable(text) == shown
        assert printable(text.encode()) == shown

    @pytest.mark.parametrize(
        ("raw", "shown"),
        [
            pytest.param(b"caf\xe9", "caf\\xe9", id="Latin-1"),
            pytest.param(b"\xff\xfe", "\\xff\\xfe", id="no UTF-8 at all"),
            pytest.param(b"\xc3", "\\xc3", id="cut in two"),
            pytest.param(b"\xed\xa0\x80", "\\xed\\xa0\\x80", id="an encoded surrogate"),
            pytest.param(b"\x9b31m", "\\x9b31m", id="a bare C1 byte"),
        ],
    )
    def test_bytes_that_are_no_utf8(self, raw: bytes, shown: str) -> None:
        r"""They show as `\xff`, as their surrogates in a string from the environment do."""
        assert printable(raw) == shown
        assert printable(os.fsdecode(raw)) == shown

    @pytest.mark.parametrize("character", [pytest.param(each, id=f"U+{ord(each):04X}") for each in BIDI_CONTROLS])
    def test_bidi_controls_go(self, character: str) -> None:
        """No text can turn the direction of what stands beside it."""
        assert printable(f"a{character}b") == "ab"

    @given(st.binary(max_size=200))
    def test_of_any_bytes(self, raw: bytes) -> None:
        """One line without control characters, and printing it again changes nothing."""
        shown = printable(raw)
        assert is_one_line(shown)
        assert len(shown.splitlines()) <= 1
        assert printable(shown) == shown
        assert printable(os.fsdecode(raw)) == shown

    @given(st.text(st.characters(codec=None), max_size=200))
    def test_of_any_text(self, text: str) -> None:
        """All of Unicode, surrogates included: one line of what XML 1.0 allows, which UTF-8 can encode."""
        shown = printable(text)
        assert shown.encode().decode() == shown
        assert is_one_line(shown)
        assert all(map(is_xml_character, shown))
        assert printable(shown) == shown

    @given(st.text(st.sampled_from("\x1b\x9b\x07[]\\;?0am\t \n\x85\u2028\u202ex"), max_size=30))
    def test_of_anything_like_a_sequence(self, text: str) -> None:
        """However sequences are nested, none is left."""
        shown = printable(text)
        assert is_one_line(shown)
        assert printable(shown) == shown

    def test_nothing_else_is_taken_away(self) -> None:
        """Of all of Unicode, only control characters, separators, bidi controls and what no XML may have go."""
        characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
        taken = {each for each in characters if printable(f"a{each}b") != f"a{each}b"}
        assert taken == {
            each
            for each in characters
            if unicodedata.category(each) in {"Cc", "Zl", "Zp"} or each in BIDI_CONTROLS or not is_xml_character(each)
        }


class TestPrintedLines:
    @pytest.mark.parametrize(
        ("stream", "lines"),
        [
            pytest.param(b"", [], id="nothing"),
            pytest.param(b"one\ntwo\n", ["one", "two"], id="lines"),
            pytest.param(b"one\n\n \t\n\x1b[0m\ntwo", ["one", "two"], id="empty lines"),
            pytest.param(b"\x1b[31mred\x1b[0m\r\n\xff\n", ["red", "\\xff"], id="made printable"),
        ],
    )
    def test_lines_that_hold_something(self, stream: bytes, lines: list[str]) -> None:
        """Each line that holds anything printable, made so."""
        assert printed_lines(stream) == lines


class TestLastLine:
    @pytest.mark.parametrize(
        ("stdout", "stderr", "line"),
        [
            pytest.param(b"", b"", "", id="nothing"),
            pytest.param(b"out\n", b"", "out", id="stdout alone"),
            pytest.param(b"out\n", b"one\ntwo\n", "two", id="stderr first"),
            pytest.param(b"out\n", b"\n \x1b[0m\n\t\n", "out", id="stderr without anything printable"),
            pytest.param(b"", b"two\n\n\x07\n", "two", id="empty lines at the end"),
            pytest.param(b"", b"one\r\ntwo\r\n", "two", id="CR LF"),
            pytest.param(b"", b"50%\r100%\r", "100%", id="a progress bar"),
            pytest.param(b"", b"no line end", "no line end", id="no line end"),
            pytest.param(b"", b"\xff\n", "\\xff", id="no UTF-8"),
        ],
    )
    def test_the_last_line_with_anything_in_it(self, stdout: bytes, stderr: bytes, line: str) -> None:
        """Of stderr, or else of stdout, whatever the command's end was."""
        for outcome in (Exited(0.1, stdout, stderr), Signalled(0.1, stdout, stderr), TimedOut(0.1, stdout, stderr)):
            assert outcome.last_line == line


@pytest.mark.parametrize(
    ("number", "name"),
    [
        pytest.param(SIGSEGV, "SIGSEGV", id="SEGV"),
        pytest.param(SIGKILL, "SIGKILL", id="KILL"),
        pytest.param(42, "SIG42", id="no name"),
        pytest.param(0, "SIG0", id="none"),
    ],
)
def test_signal_names(number: int, name: str) -> None:
    """A signal's name, or its number where it has none."""
    assert signal_name(number) == Signalled(0.1, signal=number).signal_name == name


def test_every_signal_of_this_host_has_a_name() -> None:
    """No number stands in a reason where a name is known."""
    assert all(Signalled(0.1, signal=each).signal_name == each.name for each in Signals)


@pytest.mark.parametrize(
    ("active", "is_running", "is_down"),
    [
        pytest.param(ActiveState.ACTIVE, True, False, id="active"),
        pytest.param(ActiveState.RELOADING, True, False, id="reloading"),
        pytest.param(ActiveState.REFRESHING, True, False, id="refreshing"),
        pytest.param(ActiveState.INACTIVE, False, True, id="inactive"),
        pytest.param(ActiveState.FAILED, False, True, id="failed"),
        pytest.param(ActiveState.ACTIVATING, False, False, id="activating"),
        pytest.param(ActiveState.DEACTIVATING, False, False, id="deactivating"),
        pytest.param(ActiveState.MAINTENANCE, False, False, id="maintenance"),
        pytest.param(ActiveState.UNRECOGNISED, False, False, id="unrecognised"),
    ],
)
def test_groups_of_states(active: ActiveState, *, is_running: bool, is_down: bool) -> None:
    """A state is running, down, or on its way; an unknown one is on its way."""
    unit = UnitState("a.service", LoadState.LOADED, active)
    assert (unit.is_running, unit.is_down) == (is_running, is_down)
    assert (active in RUNNING_STATES, active in DOWN_STATES) == (is_running, is_down)


SLEEP, LS = Process(812, 10, "sleep"), Process(813, 11, "ls", is_uninterruptible=True)


class TestProcessesOfAUnit:
    @pytest.mark.parametrize(
        ("kill_mode", "remaining", "spared"),
        [
            pytest.param("control-group", (SLEEP, LS), (), id="control-group"),
            pytest.param("mixed", (SLEEP, LS), (), id="mixed"),
            pytest.param("process", (SLEEP,), (LS,), id="process"),
            pytest.param("none", (SLEEP,), (LS,), id="none"),
            pytest.param("of-a-later-systemd", (SLEEP,), (LS,), id="unknown"),
            pytest.param(None, (SLEEP, LS), (), id="not known"),
        ],
    )
    @pytest.mark.parametrize("active", [pytest.param(state, id=state) for state in ActiveState])
    def test_which_must_not_outlive_it(
        self,
        active: ActiveState,
        kill_mode: str | None,
        remaining: tuple[Process, ...],
        spared: tuple[Process, ...],
    ) -> None:
        """The main process never; the others unless KillMode= spares them. While one is there, nothing is down."""
        details = None if kill_mode is None else UnitDetails("a.service", kill_mode=kill_mode)
        unit = UnitState("a.service", LoadState.LOADED, active, details=details, main_process=SLEEP, processes=(LS,))
        assert (unit.remaining, unit.spared) == (remaining, spared)
        assert unit.is_inactive == (active in DOWN_STATES)
        assert not unit.is_down

    def test_none_that_remain(self) -> None:
        """What KillMode= spares does not keep a unit from being down, and neither does nothing."""
        details = UnitDetails("a.service", kill_mode="process")
        unit = UnitState("a.service", LoadState.LOADED, ActiveState.INACTIVE, details=details)
        assert unit.is_down
        assert replace(unit, processes=(LS,)).is_down
        assert not replace(unit, main_process=LS).is_down

    def test_its_primary_name(self) -> None:
        """By it the journal and the control group know a unit; without details the name that was asked for."""
        unit = UnitState("mysql.service", LoadState.LOADED, ActiveState.ACTIVE)
        assert unit.id == "mysql.service"
        assert replace(unit, details=UnitDetails("mariadb.service")).id == "mariadb.service"

    def test_how_a_process_is_called(self) -> None:
        """By its name and pid, as in a log."""
        assert str(SLEEP) == "sleep[812]"


@pytest.mark.parametrize(
    ("code", "name"),
    [pytest.param(code, f"OCF_{code.name}", id=code.name) for code in ExitCode]
    + [pytest.param(42, "exit code 42", id="42"), pytest.param(255, "exit code 255", id="255")],
)
def test_code_names(code: int, name: str) -> None:
    """OCF's names, and the number for what has none."""
    assert code_name(code) == name


@pytest.mark.parametrize(
    ("code", "number"),
    [
        pytest.param("SUCCESS", 0, id="success"),
        pytest.param("ERR_GENERIC", 1, id="generic"),
        pytest.param("ERR_ARGS", 2, id="args"),
        pytest.param("ERR_UNIMPLEMENTED", 3, id="unimplemented"),
        pytest.param("ERR_PERM", 4, id="perm"),
        pytest.param("ERR_INSTALLED", 5, id="installed"),
        pytest.param("ERR_CONFIGURED", 6, id="configured"),
        pytest.param("NOT_RUNNING", 7, id="not running"),
        pytest.param("DEGRADED", 190, id="degraded"),
    ],
)
def test_the_exit_codes_are_ocfs(code: str, number: int) -> None:
    """The numbers that Pacemaker knows."""
    assert ExitCode[code] == number


@pytest.mark.parametrize(
    ("text", "prefix", "safe"),
    [
        pytest.param("all is well", "ocf-exit-reason:", "all is well", id="nothing to do"),
        pytest.param("a ocf-exit-reason:fine", "ocf-exit-reason:", "a [...]fine", id="within a line"),
        pytest.param("REASON=x REASON=y", "REASON=", "[...]x [...]y", id="another prefix, twice"),
    ],
)
def test_no_text_passes_for_a_reason(text: str, prefix: str, safe: str) -> None:
    """Pacemaker looks for the last prefix, wherever that stands: no text of others has one."""
    assert defused(text, prefix) == safe


@given(st.text(st.sampled_from("ocf-exit-reason:"), max_size=60))
def test_no_prefix_is_left(text: str) -> None:
    """Taking one away does not make another."""
    assert "ocf-exit-reason:" not in defused(f"ocf-exit-ocf-exit-reason:reason:{text}")
