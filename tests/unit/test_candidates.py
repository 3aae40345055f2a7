"""Completion: the candidates, and what the shells get."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.commands import whole_program
from ocf_systemd.commands.candidates import assignments, hooks, paths, unit_files, values
from ocf_systemd.commands.completion import print_completions
from ocf_systemd.core.hook_protocol import HookProtocol
from ocf_systemd.core.parameter_table import MONITOR_HOOK_USER, TABLE, Parameter
from tests.unit.builders import run_python

if TYPE_CHECKING:
    from pathlib import Path

    from click.shell_completion import CompletionItem

PROGRAM = "from ocf_systemd.commands import main; main()"
PROTOCOLS = [*map(str, HookProtocol)]
COMMANDS = ["completion", "debug", "install", "sandbox", "serve", "uninstall"]


def texts(candidates: list[CompletionItem[str]]) -> list[str]:
    return [each.value for each in candidates]


class TestParameters:
    @pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in TABLE])
    def test_choices_are_what_is_parsed(self, row: Parameter) -> None:
        """A parameter accepts each value that it offers, and its default, which is one of them."""
        for value in (*row.choices, *filter(None, [row.default])):
            row.parse(value)
        assert not row.choices or row.default in row.choices

    @pytest.mark.parametrize(
        ("incomplete", "expected"),
        [
            pytest.param("monitor_hook_pr", ["monitor_hook_protocol="], id="a name"),
            pytest.param("monitor_hook_protocol=", [f"monitor_hook_protocol={each}" for each in PROTOCOLS], id="enum"),
            pytest.param("monitor_hook_order=g", ["monitor_hook_order=gated"], id="part of a value"),
            pytest.param("stop_verify=", ["stop_verify=yes", "stop_verify=no"], id="boolean"),
            pytest.param("poll_interval=", ["poll_interval=1s"], id="default"),
            pytest.param("monitor_hook_args=", [], id="free text"),
            pytest.param("monitor_hook=", ["monitor_hook=/"], id="path"),
            pytest.param("speed=", [], id="unknown parameter"),
            pytest.param("speed", [], id="part of an unknown name"),
        ],
    )
    def test_assignments(self, incomplete: str, expected: list[str]) -> None:
        """First come the names, each with an equals sign, then the values of the parameter."""
        assert texts(assignments(incomplete)) == expected

    def test_all_names(self) -> None:
        """All parameters are offered with their descriptions."""
        found = [(each.value, each.help) for each in assignments("")]
        assert found == [(f"{row.name}=", row.shortdesc) for row in TABLE]

    def test_users(self) -> None:
        """The users of this host are offered for hooks."""
        assert texts(values(MONITOR_HOOK_USER, "nobod")) == ["nobody"]


class TestFiles:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        (tmp_path / "sub").mkdir()
        for name, mode in {"script": 0o755, "data": 0o644, ".hidden": 0o755, "line\nbreak": 0o755}.items():
            (tmp_path / name).touch()
            (tmp_path / name).chmod(mode)
        return tmp_path

    def test_hooks(self, tree: Path) -> None:
        """Executables and directories are offered; hidden ones after a dot, names with control characters never."""
        assert texts(hooks(f"{tree}/")) == [f"{tree}/script", f"{tree}/sub/"]
        assert texts(hooks(f"{tree}/.")) == [f"{tree}/.hidden"]
        assert texts(hooks("")) == ["/"]

    def test_paths(self, tree: Path) -> None:
        """Files are offered, or directories only."""
        assert texts(paths(f"{tree}/d")) == [f"{tree}/data"]
        assert texts(paths(f"{tree}/", directories=True)) == [f"{tree}/sub/"]
        assert paths(f"{tree}/missing/") == []

    def test_units(self, tmp_path: Path) -> None:
        """Unit files and links to instances are offered; for a template also `NAME@` and its default instance."""
        wants = tmp_path / "multi-user.target.wants"
        wants.mkdir()
        (wants / "tunnel@home.service").symlink_to("/usr/lib/systemd/system/tunnel@.service")
        (tmp_path / "tunnel@.service").write_text("[Install]\nDefaultInstance=work\n")
        (tmp_path / "plain@.timer").write_text("[Timer]\n")
        (tmp_path / "unreadable@.service").symlink_to("missing")
        for name in (r"dev-a\x2db.mount", "x.slice", "README", "x.service.d"):
            (tmp_path / name).touch()
        found = set(unit_files([tmp_path, tmp_path / "missing"]))
        instances = {"tunnel@", "tunnel@home.service", "tunnel@work.service"}
        assert found == instances | {"plain@", "unreadable@", r"dev-a\x2db.mount"}


class Shell:
    """A shell that requests completions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, shell: str, *arguments: str, word: str | None = None) -> list[str]:
        before, last = (arguments, word) if word is not None else (arguments[:-1], arguments[-1])
        self.monkeypatch.setenv("_OCF_SYSTEMD_LINE", "\n".join(before))
        self.monkeypatch.setenv("_OCF_SYSTEMD_WORD", last)
        assert print_completions(shell) == 0
        out, err = self.capsys.readouterr()
        assert err == ""
        return [line for line in out.splitlines() if line]


class TestShells:
    @pytest.fixture
    def complete(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
        whole_program()
        return Shell(monkeypatch, capsys)

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            pytest.param("ocf-systemd ins", ["install"], id="command"),
            pytest.param("/opt/x/bin/ocf-systemd completion ", ["bash", "zsh", "fish"], id="choice"),
            pytest.param("ocf-systemd debug cyc", ["cycle"], id="action"),
            pytest.param("ocf-systemd debug --m", ["--monitor-hook"], id="option"),
            pytest.param("ocf-systemd debug -o stop_verify=", ["stop_verify=yes", "stop_verify=no"], id="value"),
            pytest.param("ocf-systemd debug --monitor-hook=/et", ["--monitor-hook=/etc/"], id="joined value"),
            pytest.param("ocf-systemd install --ocf-root /us", ["/usr/"], id="directory"),
            pytest.param("ocf-systemd sandbox run --copy /us", ["/usr/"], id="copy"),
            pytest.param("ocf-systemd sandbox run /us", ["/usr/"], id="command in a sandbox"),
            pytest.param("ocf-systemd sandbox run -- ocf-systemd deb", ["debug"], id="ocf-systemd in a sandbox"),
            pytest.param("ocf-systemd debug --op st", ["start=", "stop="], id="operation"),
            pytest.param("ocf-systemd monitor ", [], id="after an action"),
            pytest.param("ocf-systemd frobnicate --x ", [], id="unknown command"),
        ],
    )
    def test_whole_arguments(self, complete: Shell, line: str, expected: list[str]) -> None:
        """Zsh and fish pass a list of arguments, and get whole arguments."""
        assert [each.partition("\t")[0] for each in complete("zsh", *line.split(" "))] == expected

    @pytest.mark.parametrize(
        "before",
        [
            pytest.param(("debug", "monitor"), id="argument of debug"),
            pytest.param(("doctor",), id="argument of doctor"),
            pytest.param(("doctor", "-o", "poll_interval=1s"), id="argument after an option"),
            pytest.param(("rehearse",), id="argument of rehearse"),
            pytest.param(("doctor", "--unit"), id="option"),
        ],
    )
    def test_units(self, complete: Shell, tmp_path: Path, before: tuple[str, ...]) -> None:
        """A unit is completed as an argument, as it is as an option."""
        (tmp_path / "a-unit-of-a-test.service").touch()
        complete.monkeypatch.setattr("ocf_systemd.commands.candidates._UNIT_DIRECTORIES", (tmp_path,))
        found = complete("fish", "ocf-systemd", *before, "a-unit-of")
        assert [each.partition("\t")[0] for each in found] == ["a-unit-of-a-test.service"]

    def test_descriptions(self, complete: Shell) -> None:
        """A description follows on the line of its candidate."""
        assert complete("fish", "ocf-systemd", "debug", "-o", "stop_v") == ["stop_verify=\tstop waits for the hook too"]

    @pytest.mark.parametrize(
        ("line", "word", "expected"),
        [
            pytest.param("ocf-systemd debug -o stop_verify=", "", ["yes", "no"], id="after the equals sign"),
            pytest.param("ocf-systemd debug -o stop_verify=y", "y", ["yes"], id="part of a value"),
            pytest.param("ocf-systemd  debug\t-o stop_v", "stop_v", ["stop_verify="], id="spaces and tabs"),
            pytest.param("ocf-systemd debug --monitor-hook=/et", "/et", ["/etc/"], id="joined value"),
            pytest.param("ocf-systemd debug -o 'stop_verify=y", "stop_verify=y", ["stop_verify=yes"], id="quoted"),
            pytest.param("ocf-systemd debug -o 'stop_verify'=y", "y", ["yes"], id="quoted in part"),
            pytest.param('ocf-systemd debug --unit "a b" -o poll_interval=', "", ["1s"], id="a space in a word"),
            pytest.param("ocf-systemd debug --unit '' cyc", "cyc", ["cycle"], id="an empty word"),
        ],
    )
    def test_bash(self, complete: Shell, line: str, word: str, expected: list[str]) -> None:
        """Bash passes the line and the last word as it splits it; it gets replacements for that word."""
        assert complete("bash", line, word=word) == expected

    @pytest.mark.parametrize(
        ("typed", "word", "escaped"),
        [
            pytest.param("od", "od", [r"odd\ \$name/"], id="bare"),
            pytest.param(r"odd\ ", r"odd\ ", [r"odd\ \$name/"], id="escaped"),
            pytest.param('"od', "od", [r"odd \$name/"], id="in double quotes"),
            pytest.param("'od", "od", ["odd $name/"], id="in single quotes"),
        ],
    )
    def test_quoting_for_bash(self, complete: Shell, tmp_path: Path, typed: str, word: str, escaped: list[str]) -> None:
        """Special characters are escaped as the open quote, if any, needs it."""
        (tmp_path / "odd $name").mkdir()
        complete.monkeypatch.chdir(tmp_path)
        assert complete("bash", f"ocf-systemd install --ocf-root {typed}", word=word) == escaped

    @pytest.mark.parametrize(
        ("quote", "escaped"),
        [
            pytest.param("", r"a\'\"\!\`b\'", id="bare"),
            pytest.param("'", "a'\\''\"!`b'\\'''", id="in single quotes"),
            pytest.param('"', 'a\'\\""\\!"\\`b\'', id="in double quotes"),
        ],
    )
    def test_quotes_for_bash(self, complete: Shell, tmp_path: Path, quote: str, escaped: str) -> None:
        """A quote in a name does not end the open one; readline closes it, except after a name that ends with one."""
        hook = tmp_path / "a'\"!`b'"
        hook.touch()
        hook.chmod(0o755)
        line = f"ocf-systemd debug --monitor-hook {quote}{tmp_path}/a"
        assert complete("bash", line, word=f"{tmp_path}/a") == [f"{tmp_path}/{escaped}"]

    def test_names_that_no_terminal_shows(self, complete: Shell, tmp_path: Path) -> None:
        """A unit whose name has control characters is not offered."""
        (tmp_path / "x\x1b[2J.service").touch()
        complete.monkeypatch.setattr("ocf_systemd.commands.candidates._UNIT_DIRECTORIES", (tmp_path,))
        assert complete("fish", "ocf-systemd", "debug", "--unit", "x\x1b") == []

    def test_errors(self, complete: Shell) -> None:
        """An error prints nothing."""
        complete.monkeypatch.delenv("_OCF_SYSTEMD_LINE", raising=False)
        assert print_completions("zsh") == 1
        assert complete.capsys.readouterr() == ("", "")


class TestProgram:
    def test_requests_of_a_shell(self) -> None:
        """With the variable the program prints completions, all commands among them, and does nothing else."""
        request = {"PATH": os.defpath, "_OCF_SYSTEMD_COMPLETE": "fish", "_OCF_SYSTEMD_WORD": ""}
        done = run_python(PROGRAM, "uninstall", env=request | {"_OCF_SYSTEMD_LINE": "ocf-systemd"})
        assert (done.returncode, done.stderr) == (0, "")
        candidates = [line.partition("\t")[0] for line in done.stdout.splitlines()]
        assert set(COMMANDS) <= set(candidates)

    def test_the_agent_ignores_them(self) -> None:
        """The agent file performs its action, whatever is in the environment."""
        environment = {"_OCF_SYSTEMD_COMPLETE": "bash", "_OCF_SYSTEMD_LINE": "ocf-systemd "}
        done = run_python("from ocf_systemd.agent.entry import main; main()", "meta-data", env=environment)
        assert done.stdout.startswith("<?xml")

    @pytest.mark.parametrize("shell", [pytest.param("bash"), pytest.param("zsh"), pytest.param("fish")])
    def test_script(self, shell: str) -> None:
        """`completion` prints a script that calls the program."""
        done = run_python(PROGRAM, "completion", shell)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"_OCF_SYSTEMD_COMPLETE={shell} " in done.stdout
