"""Durations as parameters have them, and time spans as systemctl prints them."""

from __future__ import annotations

import math

import pytest

from ocf_systemd.core.durations import duration_s, timespan_s


class TestDuration:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            pytest.param("20", 20.0, id="bare: seconds"),
            pytest.param("20s", 20.0, id="s"),
            pytest.param("20sec", 20.0, id="sec"),
            pytest.param("500ms", 0.5, id="ms"),
            pytest.param("500msec", 0.5, id="msec"),
            pytest.param("500us", 0.0005, id="us"),
            pytest.param("500usec", 0.0005, id="usec"),
            pytest.param("2m", 120.0, id="m"),
            pytest.param("2min", 120.0, id="min"),
            pytest.param("1h", 3600.0, id="h"),
            pytest.param("1hr", 3600.0, id="hr"),
            pytest.param(" 2 MIN ", 120.0, id="spaces and capitals"),
            pytest.param("1.5s", 1.5, id="a fraction"),
            pytest.param("1.5", 1.5, id="a fraction of a second, bare"),
            pytest.param("0.25min", 15.0, id="a fraction of a minute"),
            pytest.param("0.5ms", 0.0005, id="a fraction of a millisecond"),
            pytest.param("86400", 86400.0, id="a day"),
            pytest.param("24h", 86400.0, id="a day in hours"),
            pytest.param("86400000ms", 86400.0, id="a day in milliseconds"),
        ],
    )
    def test_durations_are_pacemakers(self, text: str, seconds: float) -> None:
        """A number, with a fraction or without, and one of crm_get_msec()'s units; a day is the longest."""
        assert duration_s(text) == pytest.approx(seconds)

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(text, id=repr(text))
            for text in (
                "",
                " ",
                "s",
                "1.s",
                ".5s",
                "1.5.5",
                "1,5",
                "0.0s",
                "0.000000000",
                "86400.1",
                "86401",
                "24.01h",
                "25h",
                "1441min",
                "999999999",
                "-1",
                "+1",
                "1d",
                "1 2",
                "0",
                "000ms",
                "1s1",
                "1e3",
                "inf",
                "nan",
                "1\n2",
                "\uff11\uff10",
                "1\u017f",
                "1234567890",
            )
        ],
    )
    def test_what_is_no_duration(self, text: str) -> None:
        """Nothing is guessed, nothing is longer than a day, and no duration is zero."""
        with pytest.raises(ValueError, match=r"is not a duration|must be greater than zero|is longer than a day"):
            duration_s(text)


class TestTimespan:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            pytest.param("0", 0.0, id="0"),
            pytest.param("infinity", math.inf, id="infinity"),
            pytest.param("1min 30s", 90.0, id="two units"),
            pytest.param("2.500000s", 2.5, id="a fraction"),
            pytest.param("500ms", 0.5, id="ms"),
            pytest.param("100us", 1e-4, id="us"),
            pytest.param("1h", 3600.0, id="h"),
            pytest.param("1y 1month 1w 1d", 31557600.0 + 2629800.0 + 604800.0 + 86400.0, id="y, month, w and d"),
        ],
    )
    def test_time_spans_are_systemds(self, text: str, seconds: float) -> None:
        """The units are those that systemctl prints (systemd.time(7))."""
        assert timespan_s(text) == pytest.approx(seconds)

    @pytest.mark.parametrize(
        "text", [pytest.param(text, id=text or "empty") for text in ("", "soon", "5", "1min 30", "1 min", "-1s")]
    )
    def test_what_is_no_time_span(self, text: str) -> None:
        """There is no default for it."""
        assert timespan_s(text) is None
