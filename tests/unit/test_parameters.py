"""The table of parameters, and what an environment gives: defaults, good and bad values, the deadline."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.core.hook_protocol import HookProtocol
from ocf_systemd.core.parameter_table import PREFIX, TABLE, Parameter
from ocf_systemd.core.parameter_values import boolean, unit_name, whole_number
from ocf_systemd.core.parameters import (
    Operation,
    ParameterError,
    Parameters,
    read_leniently,
    read_operation,
    read_parameters,
)
from tests.unit.builders import is_one_line, parameters

NAMES = [row.name for row in TABLE]


def problems(unit: str | None = "nginx", **values: str) -> tuple[str, ...]:
    """Return what is wrong with an environment."""
    given = {**({} if unit is None else {"unit": unit}), **values}
    environment = {PREFIX + name: value for name, value in given.items()}
    with pytest.raises(ParameterError) as raised:
        read_parameters(environment)
    _, found = read_leniently(environment)
    assert str(raised.value) == "; ".join(found)
    return found


def problems_of(environment: dict[str, str]) -> tuple[str, ...]:
    """Return what is wrong with an environment, if anything is."""
    _, found = read_leniently(environment)
    return found


class TestDefaults:
    def test_a_unit_is_all_it_takes(self) -> None:
        """Everything but the unit has the default that the table of the design gives."""
        assert read_parameters({"OCF_RESKEY_unit": "nginx"}) == Parameters(
            unit="nginx.service",
            monitor_hook=None,
            monitor_hook_args=(),
            monitor_hook_protocol=HookProtocol.OCF,
            monitor_hook_timeout_s=None,
            monitor_hook_retries=0,
            monitor_hook_level=0,
            monitor_hook_user=None,
            monitor_hook_order="concurrent",
            poll_interval_s=1.0,
            start_poll_limit=0,
            stop_poll_limit=0,
            stop_verify=False,
            stop_escalate=True,
            order_at_shutdown=True,
        )

    def test_an_empty_value_is_one_that_is_not_set(self) -> None:
        """Pacemaker passes empty values on; they mean the default."""
        empty = {PREFIX + name: "" for name in NAMES}
        assert read_parameters({**empty, "OCF_RESKEY_unit": "nginx"}) == parameters("nginx")

    def test_the_unit_is_required(self) -> None:
        """A missing or empty unit is reported as not set."""
        assert problems(unit=None) == ("unit is not set, expected systemd unit",)
        assert problems(unit="") == ("unit is not set, expected systemd unit",)

    def test_every_row_has_a_field_and_every_field_a_row(self) -> None:
        """The table and the parsed parameters do not drift apart."""
        renamed = {"gated": "monitor_hook_order"}
        names = [renamed.get(field, field) for field in Parameters.__match_args__]
        assert [name if name in NAMES else name.removesuffix("_s") for name in names] == NAMES

    def test_only_the_unit_is_required_and_not_reloadable(self) -> None:
        """Every parameter but the unit can change while the resource runs."""
        assert [row.name for row in TABLE if row.required] == ["unit"]
        assert [row.name for row in TABLE if not row.reloadable] == ["unit"]

    @pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in TABLE if row.default])
    def test_every_default_is_a_good_value(self, row: Parameter) -> None:
        """What metadata shows as a default could be set as well."""
        assert parameters("nginx", **{row.name: row.default}) == parameters("nginx")


GOOD: list[tuple[str, str, str, object]] = [
    ("monitor_hook", "/opt/hooks/smtp", "monitor_hook", "/opt/hooks/smtp"),
    ("monitor_hook", "/opt/a hook; $(x)", "monitor_hook", "/opt/a hook; $(x)"),
    ("monitor_hook_args", "-H 'a b' \"c d\" e\\ f", "monitor_hook_args", ("-H", "a b", "c d", "e f")),
    ("monitor_hook_args", "$(id) `id` * ~", "monitor_hook_args", ("$(id)", "`id`", "*", "~")),
    ("monitor_hook_protocol", "nagios", "monitor_hook_protocol", HookProtocol.NAGIOS),
    ("monitor_hook_protocol", "plain", "monitor_hook_protocol", HookProtocol.PLAIN),
    ("monitor_hook_protocol", "lsb", "monitor_hook_protocol", HookProtocol.LSB),
    ("monitor_hook_timeout", "500ms", "monitor_hook_timeout_s", 0.5),
    ("monitor_hook_timeout", "1.5s", "monitor_hook_timeout_s", 1.5),
    ("monitor_hook_retries", "3", "monitor_hook_retries", 3),
    ("monitor_hook_level", "20", "monitor_hook_level", 20),
    ("monitor_hook_user", "nobody", "monitor_hook_user", "nobody"),
    ("monitor_hook_user", "65534", "monitor_hook_user", "65534"),
    ("monitor_hook_user", "_apt", "monitor_hook_user", "_apt"),
    ("monitor_hook_user", "EXAMPLE\\user.name$", "monitor_hook_user", "EXAMPLE\\user.name$"),
    ("monitor_hook_order", "gated", "gated", True),
    ("monitor_hook_order", "concurrent", "gated", False),
    ("poll_interval", "2min", "poll_interval_s", 120.0),
    ("start_poll_limit", "5", "start_poll_limit", 5),
    ("stop_poll_limit", "999999999", "stop_poll_limit", 999_999_999),
    ("stop_escalate", "no", "stop_escalate", False),
    ("order_at_shutdown", "false", "order_at_shutdown", False),
]

BAD: list[tuple[str, str, str]] = [
    ("monitor_hook", "hooks/smtp", "monitor_hook='hooks/smtp' is not an absolute path"),
    ("monitor_hook", "~/smtp", "monitor_hook='~/smtp' is not an absolute path"),
    ("monitor_hook_args", "'a", "monitor_hook_args cannot be split into arguments: No closing quotation"),
    ("monitor_hook_protocol", "OCF", "monitor_hook_protocol='OCF' is not one of ocf, nagios, plain, lsb"),
    ("monitor_hook_timeout", "0", "monitor_hook_timeout='0' must be greater than zero"),
    (
        "monitor_hook_timeout",
        "soon",
        "monitor_hook_timeout='soon' is not a duration, expected one such as 20, 20s, 1.5s, 500ms or 2min",
    ),
    ("monitor_hook_retries", "-1", "monitor_hook_retries='-1' must be a non-negative integer"),
    ("monitor_hook_level", "1.5", "monitor_hook_level='1.5' must be a non-negative integer"),
    ("monitor_hook_user", "--help", "monitor_hook_user='--help' is not a user name or number"),
    ("monitor_hook_user", "a/b", "monitor_hook_user='a/b' is not a user name or number"),
    ("monitor_hook_order", "first", "monitor_hook_order='first' is not one of concurrent, gated"),
    (
        "poll_interval",
        "-1s",
        "poll_interval='-1s' is not a duration, expected one such as 20, 20s, 1.5s, 500ms or 2min",
    ),
    ("poll_interval", "25h", "poll_interval='25h' is longer than a day"),
    ("start_poll_limit", "many", "start_poll_limit='many' must be a non-negative integer"),
    ("stop_poll_limit", "1e3", "stop_poll_limit='1e3' must be a non-negative integer"),
    ("stop_verify", "perhaps", "stop_verify='perhaps' is neither yes nor no"),
    ("stop_escalate", "2", "stop_escalate='2' is neither yes nor no"),
    ("order_at_shutdown", "yes no", "order_at_shutdown='yes no' is neither yes nor no"),
]


class TestValues:
    @pytest.mark.parametrize(
        ("name", "text", "field", "value"), [pytest.param(*row, id=f"{row[0]}={row[1]}") for row in GOOD]
    )
    def test_good_values(self, name: str, text: str, field: str, value: object) -> None:
        """A good value comes out as what the agent works with."""
        assert getattr(parameters("nginx", **{name: text}), field) == value

    @pytest.mark.parametrize(("name", "text", "problem"), [pytest.param(*row, id=f"{row[0]}={row[1]}") for row in BAD])
    def test_bad_values(self, name: str, text: str, problem: str) -> None:
        """The problem has the name, the value and what was expected."""
        assert problems(**{name: text}) == (problem,)

    @pytest.mark.parametrize(
        ("name", "text", "field", "value"), [pytest.param(*row, id=f"{row[0]}={row[1]}") for row in GOOD]
    )
    @pytest.mark.parametrize(
        "surrounded",
        [
            pytest.param(" {}", id="a blank before"),
            pytest.param("{} ", id="a blank after"),
            pytest.param("\t \n{}\r\n ", id="several kinds"),
        ],
    )
    def test_blanks_around_a_value_are_removed(
        self, name: str, text: str, field: str, value: object, surrounded: str
    ) -> None:
        """As a configuration tool or a copied line leaves them; blanks within a value stay."""
        assert getattr(parameters(surrounded.format("nginx"), **{name: surrounded.format(text)}), field) == value
        assert parameters(surrounded.format("nginx")).unit == "nginx.service"

    @pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in NAMES if name != "unit"])
    def test_a_value_of_blanks_is_one_that_is_not_set(self, name: str) -> None:
        """It means the default, as an empty one does; a unit of blanks is not set."""
        assert parameters("nginx", **{name: " \t "}) == parameters("nginx")
        assert problems(unit=" \t ") == ("unit is not set, expected systemd unit",)

    def test_every_parameter_has_a_bad_value_in_the_table(self) -> None:
        """No parameter takes just anything."""
        assert {name for name, _, _ in BAD} == set(NAMES) - {"unit"}

    def test_all_problems_are_reported_at_once(self) -> None:
        """One round fixes them: every wrong value is in the message, in the order of the table."""
        reported = problems(None, **{name: text for name, text, _ in BAD})
        assert [problem.split("=")[0].split(" ")[0] for problem in reported] == NAMES

    @pytest.mark.parametrize(
        ("values", "problem"),
        [
            pytest.param({}, "stop_verify=yes needs a monitor_hook", id="no hook"),
            pytest.param(
                {"monitor_hook": "/h", "monitor_hook_protocol": "nagios"},
                "stop_verify=yes needs monitor_hook_protocol=ocf or lsb: no other can report not running",
                id="nagios",
            ),
            pytest.param(
                {"monitor_hook": "/h", "monitor_hook_protocol": "plain"},
                "stop_verify=yes needs monitor_hook_protocol=ocf or lsb: no other can report not running",
                id="plain",
            ),
        ],
    )
    def test_stop_verify_needs_a_hook_that_can_return_7(self, values: dict[str, str], problem: str) -> None:
        """A stop that could never succeed is refused before it begins."""
        assert problems(stop_verify="yes", **values) == (problem,)
        for protocol in ("ocf", "lsb"):
            given = parameters("nginx", stop_verify="yes", monitor_hook="/h", monitor_hook_protocol=protocol)
            assert given.stop_verify

    @pytest.mark.parametrize(
        ("word", "value"),
        [pytest.param(word, True, id=word) for word in ("yes", "true", "on", "1", "y", "YES", "True", "On", "Y")]
        + [pytest.param(word, False, id=word) for word in ("no", "false", "off", "0", "n", "NO", "False", "N")],
    )
    def test_booleans_are_pacemakers(self, word: str, *, value: bool) -> None:
        """The values are those that ocf-shellfuncs and Pacemaker accept, in either case."""
        assert boolean(word) is value

    @pytest.mark.parametrize(
        "text", [pytest.param(text, id=repr(text)) for text in ("", "-1", "+1", "1 ", "٣", "1_0", "0x1", "1" * 10)]
    )
    def test_what_is_no_whole_number(self, text: str) -> None:
        """Digits, and not too many of them."""
        with pytest.raises(ValueError, match="must be a non-negative integer"):
            whole_number(text)


class TestReadLeniently:
    @pytest.mark.parametrize(("name", "text", "problem"), [pytest.param(*row, id=f"{row[0]}={row[1]}") for row in BAD])
    def test_a_wrong_value_is_replaced_by_its_default(self, name: str, text: str, problem: str) -> None:
        """The other parameters are kept, and the problem is reported: probes and stops continue."""
        others = {"monitor_hook": "/h", "monitor_hook_retries": "2", "poll_interval": "3s", "stop_escalate": "no"}
        others.pop(name, None)
        environment = {PREFIX + key: value for key, value in {"unit": "nginx", **others}.items()}
        assert read_leniently({**environment, PREFIX + name: text}) == (read_parameters(environment), (problem,))

    def test_right_values_are_what_read_parameters_gives(self) -> None:
        """Without a wrong value there is no problem and no difference."""
        environment = {"OCF_RESKEY_unit": "nginx", "OCF_RESKEY_monitor_hook": "/h", "OCF_RESKEY_stop_verify": "yes"}
        assert read_leniently(environment) == (read_parameters(environment), ())

    @pytest.mark.parametrize(
        ("unit", "problem"),
        [
            pytest.param("", "unit is not set, expected systemd unit", id="none"),
            pytest.param("a/b", "unit='a/b' has characters that a unit name cannot have", id="one that cannot be"),
            pytest.param("foo@", "unit='foo@' is a template", id="a template"),
        ],
    )
    def test_a_unit_has_no_default(self, unit: str, problem: str) -> None:
        """A unit that systemd cannot have is the empty string: nothing is guessed."""
        parameters_, problems_ = read_leniently({"OCF_RESKEY_unit": unit})
        assert parameters_.unit == ""
        assert [reported[: len(problem)] for reported in problems_] == [problem]

    @pytest.mark.parametrize(
        "values",
        [
            pytest.param({}, id="no hook"),
            pytest.param({"monitor_hook": "hooks/h"}, id="a wrong hook"),
            pytest.param({"monitor_hook": "/h", "monitor_hook_protocol": "plain"}, id="plain"),
            pytest.param({"monitor_hook": "/h", "monitor_hook_protocol": "nagios"}, id="nagios"),
        ],
    )
    def test_a_stop_that_could_not_be_verified_is_not(self, values: dict[str, str]) -> None:
        """stop_verify that could never succeed is off: such a stop would fence the node."""
        given = {"unit": "nginx", "stop_verify": "yes", **values}
        read, problems_ = read_leniently({PREFIX + name: value for name, value in given.items()})
        assert not read.stop_verify
        assert problems_[-1].startswith("stop_verify=yes needs ")

    @given(st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=40).map(os.fsdecode)))
    def test_fuzz(self, values: dict[str, str]) -> None:
        """Any bytes in any parameter result in parameters, which are right where no problem is reported."""
        environment = {PREFIX + name: value for name, value in values.items()}
        read, reported = read_leniently(environment)
        assert reported == problems_of(environment)
        assert reported or read == read_parameters(environment)
        assert read.unit or any(problem.startswith("unit") for problem in reported)


class TestUnitName:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            pytest.param("nginx", "nginx.service", id="bare"),
            pytest.param("nginx.service", "nginx.service", id="service"),
            pytest.param("cups.socket", "cups.socket", id="socket"),
            pytest.param("srv-data.mount", "srv-data.mount", id="mount"),
            pytest.param("logrotate.timer", "logrotate.timer", id="timer"),
            pytest.param("spool.path", "spool.path", id="path"),
            pytest.param("app.target", "app.target", id="target"),
            pytest.param("postfix@-", "postfix@-.service", id="instance of a dash"),
            pytest.param("getty@tty1.service", "getty@tty1.service", id="instance"),
            pytest.param("a@b@c", "a@b@c.service", id="instance with an @"),
            pytest.param("a@b@", "a@b@.service", id="instance that ends in an @"),
            pytest.param("php8.2-fpm", "php8.2-fpm.service", id="a dot that is no suffix"),
            pytest.param("my.unit", "my.unit.service", id="a suffix that is none"),
            pytest.param("dev-disk\\x2dby.mount", "dev-disk\\x2dby.mount", id="escaped"),
            pytest.param("a:b_c-d.e", "a:b_c-d.e.service", id="all characters"),
            pytest.param("service", "service.service", id="called service"),
            pytest.param("a" * 247, "a" * 247 + ".service", id="255 characters with the suffix"),
            pytest.param("a" * 249 + ".mount", "a" * 249 + ".mount", id="255 characters"),
        ],
    )
    def test_good_names(self, text: str, name: str) -> None:
        """Systemd's own rules, and .service where no unit suffix stands."""
        assert unit_name(text) == name

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            pytest.param(text, "characters", id=repr(text))
            for text in (
                "a;b",
                "$(reboot)",
                "`reboot`",
                "-H x",
                "../x",
                "/etc/passwd",
                "a\nb",
                "nginx\n.service",
                "*",
                "ngin?",
                "[a]",
                "a b",
                "a\tb",
                "a'b",
                'a"b',
                "a|b",
                "a&b",
                "a<b",
                "a%b",
                "a=b",
                "a,b",
                "a\x00b",
                "a\x1b[31m",
                "ünit",
                "a\udcff",
                "٣",
                "{a,b}",
                "~",
                "!",
                "#",
            )
        ]
        + [
            pytest.param("--help", "starts with '-'", id="option"),
            pytest.param("-nginx", "starts with '-'", id="leading dash"),
            pytest.param("-.mount", "starts with '-'", id="the root's mount"),
            pytest.param("@", "starts with '@'", id="only an @"),
            pytest.param("@a.service", "starts with '@'", id="leading @"),
            pytest.param(".", "starts with '.'", id="dot"),
            pytest.param("..", "starts with '.'", id="two dots"),
            pytest.param(".hidden", "starts with '.'", id="leading dot"),
            pytest.param(".service", "starts with '.'", id="only a suffix"),
            pytest.param("foo@", "is a template", id="template"),
            pytest.param("foo@.service", "is a template", id="template with its suffix"),
            pytest.param("foo@.timer", "is a template", id="timer's template"),
            pytest.param("session-1.scope", "is a scope unit", id="scope"),
            pytest.param("system.slice", "is a slice unit", id="slice"),
            pytest.param("dev-sda.device", "is a device unit", id="device"),
            pytest.param("dev-sda2.swap", "is a swap unit", id="swap"),
            pytest.param("proc.automount", "is a automount unit", id="automount"),
            pytest.param("a" * 248, "longer than 255", id="256 characters with the suffix"),
            pytest.param("a" * 250 + ".mount", "longer than 255", id="256 characters"),
            pytest.param("a" * 300, "longer than 255", id="300 characters"),
            pytest.param("a" * 131_072, "longer than 255", id="128 KiB"),
        ],
    )
    def test_bad_names(self, text: str, problem: str) -> None:
        """What systemd would not take, or would take for something else, is refused before anything is spawned."""
        (reported,) = problems(unit=text)
        assert reported.startswith("unit='")
        assert problem in reported
        assert is_one_line(reported)
        assert len(reported) < 250

    @given(st.text(max_size=300))
    def test_what_passes_is_safe(self, text: str) -> None:
        """Whatever passes holds nothing but the allowed characters, has a suffix, and is no option."""
        try:
            name = unit_name(text)
        except ValueError:
            return
        assert name.isascii()
        assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@")
        assert not name.startswith(("-", "."))
        assert name.endswith((".service", ".socket", ".mount", ".timer", ".path", ".target"))
        assert len(name) <= 255
        assert unit_name(name) == name


class TestHostileEnvironment:
    @pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in NAMES])
    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(os.fsdecode(b"\xff\xfe"), id="bytes that are no UTF-8"),
            pytest.param("x" * 131_072, id="128 KiB"),
            pytest.param("9" * 131_072, id="128 KiB of digits"),
            pytest.param("\x1b[31m\n\r\u202e", id="control characters"),
            pytest.param("ocf-exit-reason:all is well", id="a forged reason"),
            pytest.param("'" * 99, id="quotes"),
            pytest.param("%s%n{0}[red]", id="formats"),
        ],
    )
    def test_the_answer_is_a_problem_or_parameters(self, name: str, value: str) -> None:
        """No value raises anything but a parameter error, and its message is one short line."""
        reported = problems_of({"OCF_RESKEY_unit": "nginx", PREFIX + name: value})
        assert is_one_line("; ".join(reported))
        assert len("; ".join(reported)) < 300

    def test_a_long_value_is_cut(self) -> None:
        """60 characters of a wrong value are enough to know it by."""
        (reported,) = problems(stop_verify="x" * 500)
        assert reported == f"stop_verify='{'x' * 60}…' is neither yes nor no"

    @given(st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=80).map(os.fsdecode)))
    def test_fuzz(self, values: dict[str, str]) -> None:
        """Any bytes in any parameter: parameters or one printable line that names every culprit."""
        reported = problems_of({PREFIX + name: value for name, value in values.items()})
        assert is_one_line("; ".join(reported))
        assert all(problem.split("=")[0].split(" ")[0] in NAMES for problem in reported)


class TestOperation:
    @pytest.mark.parametrize(
        ("text", "timeout_s"),
        [
            pytest.param("1", 0.001, id="1 ms"),
            pytest.param("1000", 1.0, id="1 s"),
            pytest.param("20000", 20.0, id="20 s"),
            pytest.param("0020000", 20.0, id="leading zeros"),
            pytest.param("99999999999999999999", 2_147_483.647, id="huge"),
            pytest.param("9" * 131_072, 2_147_483.647, id="128 KiB of digits"),
        ],
    )
    def test_a_timeout_is_milliseconds(self, text: str, timeout_s: float) -> None:
        """Pacemaker gives milliseconds; what no int of its holds is clamped."""
        operation = read_operation({"OCF_RESKEY_CRM_meta_timeout": text})
        assert operation.timeout_s == pytest.approx(timeout_s)
        assert operation.warnings == ()

    @pytest.mark.parametrize(
        ("environment", "warning"),
        [
            pytest.param({}, "no timeout is set: assuming 20 s", id="missing"),
            pytest.param({"OCF_RESKEY_CRM_meta_timeout": ""}, "no timeout is set: assuming 20 s", id="empty"),
        ]
        + [
            pytest.param(
                {"OCF_RESKEY_CRM_meta_timeout": text},
                f"CRM_meta_timeout='{text}' is not a number of milliseconds: assuming 20 s",
                id=text,
            )
            for text in ("0", "000", "20s", "-1", "+5", "1.5", "soon", "1 000", "٣")
        ],
    )
    def test_a_timeout_that_is_none_is_20_seconds_and_a_warning(
        self, environment: dict[str, str], warning: str
    ) -> None:
        """Missing, zero, with a unit, negative, text: the default, with a warning."""
        assert read_operation(environment) == Operation(20.0, warnings=(warning,))

    @pytest.mark.parametrize(
        ("timeout_s", "reserve_s"),
        [
            pytest.param(0.001, 0.0005, id="1 ms: half"),
            pytest.param(0.4, 0.2, id="0.4 s: half"),
            pytest.param(1.0, 0.25, id="1 s: at least 0.25 s"),
            pytest.param(2.5, 0.25, id="2.5 s"),
            pytest.param(10.0, 1.0, id="10 s: 10 %"),
            pytest.param(20.0, 2.0, id="20 s: 10 %"),
            pytest.param(50.0, 5.0, id="50 s"),
            pytest.param(100.0, 5.0, id="100 s: at most 5 s"),
            pytest.param(3600.0, 5.0, id="1 h"),
        ],
    )
    def test_the_deadline_comes_earlier_by_a_reserve(self, timeout_s: float, reserve_s: float) -> None:
        """10 % of the timeout, at least 0.25 s, at most 5 s; of a very short one half."""
        operation = Operation(timeout_s)
        assert operation.reserve_s == pytest.approx(reserve_s)
        assert operation.deadline(1000.0) == pytest.approx(1000.0 + timeout_s - reserve_s)

    @given(st.integers(1, 2**31 - 1))
    def test_the_deadline_always_lies_within_the_timeout(self, timeout_ms: int) -> None:
        """After the start, before Pacemaker's end."""
        operation = read_operation({"OCF_RESKEY_CRM_meta_timeout": str(timeout_ms)})
        assert 0 < operation.deadline(0.0) < operation.timeout_s

    @pytest.mark.parametrize(
        ("interval", "is_recurring"),
        [
            pytest.param(None, False, id="missing"),
            pytest.param("", False, id="empty"),
            pytest.param("0", False, id="0"),
            pytest.param("000", False, id="000"),
            pytest.param("10000", True, id="10 s"),
            pytest.param("1", True, id="1 ms"),
            pytest.param("x", False, id="text"),
            pytest.param("-5", False, id="negative"),
        ],
    )
    def test_a_monitor_without_an_interval_is_a_probe(self, interval: str | None, *, is_recurring: bool) -> None:
        """An interval of 0, or none that can be read: a probe."""
        environment = {} if interval is None else {"OCF_RESKEY_CRM_meta_interval": interval}
        assert read_operation(environment).is_recurring is is_recurring

    @pytest.mark.parametrize(
        ("role", "is_probe"),
        [
            pytest.param(None, False, id="missing"),
            pytest.param("", False, id="empty"),
            pytest.param("Started", False, id="Started"),
            pytest.param("Stopped", True, id="Stopped"),
            pytest.param("Promoted", False, id="Promoted"),
            pytest.param("stopped", False, id="no role of Pacemaker's"),
        ],
    )
    def test_a_monitor_with_role_stopped_is_a_probe(self, role: str | None, *, is_probe: bool) -> None:
        """It recurs on the nodes where the resource does not run, and checks what a probe checks."""
        environment = {"OCF_RESKEY_CRM_meta_interval": "10000"}
        operation = read_operation(environment | ({} if role is None else {"OCF_RESKEY_CRM_meta_role": role}))
        assert operation.is_recurring
        assert (operation.expects_stopped, operation.is_probe) == (is_probe, is_probe)
        assert read_operation({}).is_probe

    @pytest.mark.parametrize(
        ("text", "level", "warnings"),
        [
            pytest.param(None, 0, (), id="missing"),
            pytest.param("", 0, (), id="empty"),
            pytest.param("0", 0, (), id="0"),
            pytest.param("10", 10, (), id="10"),
            pytest.param("deep", 0, ("OCF_CHECK_LEVEL='deep' must be a non-negative integer: assuming 0",), id="text"),
            pytest.param("-1", 0, ("OCF_CHECK_LEVEL='-1' must be a non-negative integer: assuming 0",), id="negative"),
        ],
    )
    def test_check_level(self, text: str | None, level: int, warnings: tuple[str, ...]) -> None:
        """A level that cannot be read is 0, with a warning."""
        environment = {"OCF_RESKEY_CRM_meta_timeout": "20000"}
        operation = read_operation(environment | ({} if text is None else {"OCF_CHECK_LEVEL": text}))
        assert (operation.check_level, operation.warnings) == (level, warnings)

    @given(
        st.dictionaries(
            st.sampled_from(
                [
                    "OCF_RESKEY_CRM_meta_timeout",
                    "OCF_RESKEY_CRM_meta_interval",
                    "OCF_RESKEY_CRM_meta_role",
                    "OCF_CHECK_LEVEL",
                    "OCF_RESKEY_x",
                ]
            ),
            st.binary(max_size=40).map(os.fsdecode),
        )
    )
    def test_fuzz(self, environment: dict[str, str]) -> None:
        """Any bytes: an operation with a deadline, and warnings of one line each."""
        operation = read_operation(environment)
        assert operation.timeout_s > operation.reserve_s > 0
        assert all(map(is_one_line, operation.warnings))
