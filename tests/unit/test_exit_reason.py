"""A result as Pacemaker reads it: a reason's line that no CIB, no XML parser and no older Pacemaker stumbles over."""

from __future__ import annotations

from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree

from ocf_systemd.core.exit_reason import REASON_MAX, agent_name, cause_of, reason_line, result_of_bug
from ocf_systemd.core.hook_protocol import HookProtocol
from ocf_systemd.core.judgement import judge_hook
from ocf_systemd.core.observations import Exited, HookAttempted
from ocf_systemd.core.ocf import REASON_PREFIX, ActionResult, ExitCode
from ocf_systemd.core.text import printable
from tests.unit.builders import is_one_line, is_xml_character

# All of Unicode, surrogates included; what lies at the borders more often than chance would have it.
ODD = "\ud800\udbff\udc00\udcff\udfff\ufffd\ufffe\uffff\U00010000\U0001fffe\U0010ffff\x00\x08\t\n\x0b\r\x1b\x85\u2028 "
REASONS = st.text(st.one_of(st.characters(), st.sampled_from(ODD)), max_size=400)
# Where characters of one to four bytes lie across byte 128, or end there.
LONG = st.builds(
    lambda count, text: "x" * count + text,
    st.integers(120, 130),
    st.text(st.sampled_from("aé世🎉\ud800\uffff "), max_size=12),
)


def body_of(reason: str, environment: dict[str, str] | None = None) -> bytes:
    """Return the line of a reason, without its prefix and its end."""
    line = reason_line(ActionResult(1, reason), environment or {})
    assert line.startswith(REASON_PREFIX.encode())
    assert line.endswith(b"\n")
    return line.removeprefix(REASON_PREFIX.encode())[:-1]


class TestReasonLine:
    @given(st.one_of(REASONS, LONG))
    @example("x" * 127 + "é")
    @example("x" * 126 + "世")
    @example("x" * 125 + "🎉")
    @example("a\ufffeb\uffffc")
    @example("\udcff\ud83d\ude00")
    def test_it_is_text_that_xml_can_hold(self, reason: str) -> None:
        """Whatever a hook printed: UTF-8, one line, and nothing but characters of XML 1.0."""
        shown = body_of(reason or "-").decode()
        assert is_one_line(shown)
        assert all(map(is_xml_character, shown))

    @given(st.one_of(REASONS, LONG))
    @example("x" * 127 + "é")
    @example("x" * 126 + "世")
    @example("x" * 125 + "🎉" * 20)
    @example("世" * 60)
    @example("x" * 127 + "\uffff" + "é")
    def test_older_pacemakers_cut_between_two_characters(self, reason: str) -> None:
        """The first 128 bytes, which are all that they keep, are UTF-8, and so is the CIB that they stand in.

        Two parsers read them back from an attribute as they were.
        """
        kept = body_of(reason or "-")[:REASON_MAX].decode()
        document = f"<lrm_rsc_op exit-reason={quoteattr(kept)}/>".encode()
        assert ET.fromstring(document).get("exit-reason") == kept  # noqa: S314  # our own text
        assert etree.fromstring(document).get("exit-reason") == kept

    @given(REASONS)
    def test_nothing_is_lost_of_a_reason_that_fits(self, reason: str) -> None:
        """Up to 128 bytes it stands there as it is, without what no line can hold."""
        shown = printable(reason).encode()
        if len(shown) <= REASON_MAX:
            assert body_of(reason or "-") == (shown if reason else b"-")

    @given(st.one_of(REASONS, LONG))
    def test_nothing_is_lost_of_a_longer_one(self, reason: str) -> None:
        """A few blanks before the character that would lie across byte 128, and then the rest."""
        shown, body = printable(reason or "-").encode(), body_of(reason or "-")
        blanks = len(body) - len(shown)
        assert blanks in range(4)
        start = REASON_MAX - blanks
        assert body == shown[:start] + b" " * blanks + shown[start:]
        assert not blanks or shown[start] >= 0xC0  # the first byte of a character of several

    @pytest.mark.parametrize(
        ("reason", "body"),
        [
            pytest.param("all of it", b"all of it", id="short"),
            pytest.param("x" * 128, b"x" * 128, id="128 bytes"),
            pytest.param("x" * 300, b"x" * 300, id="300 bytes"),
            pytest.param("x" * 126 + "é", b"x" * 126 + "é".encode(), id="ends at byte 128"),
            pytest.param("x" * 126 + "éa", b"x" * 126 + "éa".encode(), id="goes on after byte 128"),
            pytest.param("x" * 127 + "é", b"x" * 127 + b" " + "é".encode(), id="two bytes across"),
            pytest.param("x" * 127 + "éa", b"x" * 127 + b" " + "éa".encode(), id="two bytes across, and more"),
            pytest.param("x" * 127 + "世", b"x" * 127 + b" " + "世".encode(), id="three bytes, one before"),
            pytest.param("x" * 126 + "世", b"x" * 126 + b"  " + "世".encode(), id="three bytes, two before"),
            pytest.param("x" * 125 + "🎉", b"x" * 125 + b"   " + "🎉".encode(), id="four bytes, three before"),
            pytest.param("x" * 125 + "é🎉", b"x" * 125 + "é".encode() + b" " + "🎉".encode(), id="two in a row"),
            pytest.param("a\ufffeb", b"ab", id="U+FFFE"),
            pytest.param("a\uffffb", b"ab", id="U+FFFF"),
            pytest.param("a\udcffb", b"a\\xffb", id="a byte that is no UTF-8"),
            pytest.param("a\nb\x1b[31mc", b"abc", id="lines and escapes"),
        ],
    )
    def test_where_it_is_cut(self, reason: str, body: bytes) -> None:
        """A character across byte 128 is moved behind it as a whole."""
        assert body_of(reason) == body

    @pytest.mark.parametrize(
        "result",
        [
            pytest.param(ActionResult(ExitCode.SUCCESS), id="success"),
            pytest.param(ActionResult(ExitCode.SUCCESS, "told all the same"), id="success with a reason"),
            pytest.param(ActionResult(ExitCode.NOT_RUNNING), id="a probe's 7"),
            pytest.param(ActionResult(ExitCode.ERR_GENERIC, ""), id="an empty reason"),
        ],
    )
    def test_what_needs_no_line(self, result: ActionResult) -> None:
        """Success has no reason, and what has none writes no line."""
        assert reason_line(result, {}) == b""

    @given(st.text(st.sampled_from("ocf-exit-reason:é世"), max_size=200))
    def test_no_prefix_within_a_reason(self, text: str) -> None:
        """Pacemaker takes what follows the last prefix: there is one."""
        assert REASON_PREFIX.encode() not in body_of(f"a {REASON_PREFIX}{text}")

    def test_another_prefix(self) -> None:
        """OCF_EXIT_REASON_PREFIX replaces OCF's own, and is the one that a reason must not hold."""
        environment = {"OCF_EXIT_REASON_PREFIX": "why="}
        assert (
            reason_line(ActionResult(1, "a why=b ocf-exit-reason:c"), environment)
            == b"why=a [...]b ocf-exit-reason:c\n"
        )

    @given(st.binary(max_size=300))
    def test_from_what_a_hook_printed_to_the_line(self, printed: bytes) -> None:
        """Any bytes on a hook's standard error end in 128 bytes of UTF-8 that XML can hold."""
        result = judge_hook(HookAttempted("/h/smtp", Exited(0.1, stderr=printed, code=1)), HookProtocol.OCF)
        kept = body_of(result.reason or "")[:REASON_MAX].decode()
        assert kept.startswith("hook smtp: ")
        assert etree.fromstring(f"<a b={quoteattr(kept)}/>".encode()).get("b") == kept


class TestBugs:
    def test_a_bug_is_reported_with_its_cause(self) -> None:
        """1, with the kind of the error and its text; of a group of tasks, of the first within."""
        result = ActionResult(1, "internal error: KeyError: 'x'")
        assert result_of_bug(KeyError("x")) == result
        group = BaseExceptionGroup("tasks", [ExceptionGroup("inner", [KeyError("x"), OSError("y")])])
        assert result_of_bug(group) == result
        assert repr(cause_of(group)) == "KeyError('x')"


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        pytest.param({}, "systemd", id="its file's"),
        pytest.param({"OCF_RESOURCE_TYPE": ""}, "systemd", id="empty"),
        pytest.param({"OCF_RESOURCE_TYPE": "systemd-2"}, "systemd-2", id="Pacemaker's"),
        pytest.param({"OCF_RESOURCE_TYPE": "a\x1b[31mb\n"}, "ab", id="made printable"),
    ],
)
def test_the_agents_name(environment: dict[str, str], name: str) -> None:
    """The name that it is installed under, from Pacemaker's environment; else that of its file."""
    assert agent_name("systemd", environment) == name
