"""Text from outside is shown as one line without control characters."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        """No text can change the direction of the text next to it."""
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
        blocks = ("".join(characters[begin : begin + 256]) for begin in range(0, len(characters), 256))
        changed = (block for block in blocks if printable(f"a{block}b") != f"a{block}b")
        taken = {each for block in changed for each in block if printable(f"a{each}b") != f"a{each}b"}
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
