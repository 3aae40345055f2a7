"""What a shell is told at a TAB, and what it is never told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.commands import whole_program
from ocf_systemd.commands.candidates import Candidate, assignments, hooks, paths, unit_files, values
from ocf_systemd.commands.completion import answer
from ocf_systemd.core.judgement import HookProtocol
from ocf_systemd.core.parameter_table import MONITOR_HOOK_USER, TABLE, Parameter
from tests.unit.builders import run_python

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "from ocf_systemd.commands import main; main()"
PROTOCOLS = [*map(str, HookProtocol)]
COMMANDS = ["completion", "debug", "install", "sandbox", "serve", "uninstall"]


def texts(candidates: list[Candidate]) -> list[str]:
    return [each.text for each in candidates]


class TestParameters:
    @pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in TABLE])
    def test_choices_are_what_is_parsed(self, row: Parameter) -> None:
        """Each value that the table offers is one that it takes, as is the default; the default is among them."""
        for value in (*row.choices, *filter(None, [row.default])):
            row.parse(value)
        assert not row.choices or row.default in row.choices

    @pytest.mark.parametrize(
        ("incomplete", "told"),
        [
            pytest.param("monitor_hook_pr", ["monitor_hook_protocol="], id="a name"),
            pytest.param("monitor_hook_protocol=", [f"monitor_hook_protocol={each}" for each in PROTOCOLS], id="enum"),
            pytest.param("monitor_hook_order=g", ["monitor_hook_order=gated"], id="begun"),
            pytest.param("stop_verify=", ["stop_verify=yes", "stop_verify=no"], id="boolean"),
            pytest.param("poll_interval=", ["poll_interval=1s"], id="default"),
            pytest.param("monitor_hook_args=", [], id="free text"),
            pytest.param("monitor_hook=", ["monitor_hook=/"], id="path"),
            pytest.param("speed=", [], id="no parameter"),
            pytest.param("speed", [], id="no name of one"),
        ],
    )
    def test_assignments(self, incomplete: str, told: list[str]) -> None:
        """Names first, each with its equals sign; then that parameter's values."""
        assert texts(assignments(incomplete)) == told

    def test_names_are_the_table_s(self) -> None:
        """All of them, each with what it is."""
        assert assignments("") == [Candidate(f"{row.name}=", row.shortdesc) for row in TABLE]

    def test_users(self) -> None:
        """A hook's user is one of this host's."""
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
        """Executables and directories; nothing hidden until a dot is typed, nothing that would break a line."""
        assert texts(hooks(f"{tree}/")) == [f"{tree}/script", f"{tree}/sub/"]
        assert texts(hooks(f"{tree}/.")) == [f"{tree}/.hidden"]
        assert texts(hooks("")) == ["/"]

    def test_paths(self, tree: Path) -> None:
        """Any file, or directories alone."""
        assert texts(paths(f"{tree}/d")) == [f"{tree}/data"]
        assert texts(paths(f"{tree}/", directories=True)) == [f"{tree}/sub/"]
        assert paths(f"{tree}/missing/") == []

    def test_units(self, tmp_path: Path) -> None:
        """Files and the links that enable instances; of a template its beginning and its default instance."""
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


class Asker:
    """A shell, asking."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, shell: str, *words: str, word: str | None = None) -> list[str]:
        before, last = (words, word) if word is not None else (words[:-1], words[-1])
        self.monkeypatch.setenv("_OCF_SYSTEMD_LINE", "\n".join(before))
        self.monkeypatch.setenv("_OCF_SYSTEMD_WORD", last)
        assert answer(shell) == 0
        out, err = self.capsys.readouterr()
        assert err == ""
        return [line for line in out.splitlines() if line]


class TestAnswers:
    @pytest.fixture
    def ask(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asker:
        whole_program()
        return Asker(monkeypatch, capsys)

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            pytest.param("ocf-systemd ins", ["install"], id="command"),
            pytest.param("/opt/x/bin/ocf-systemd completion ", ["bash", "zsh", "fish"], id="choice"),
            pytest.param("ocf-systemd debug cyc", ["cycle"], id="action"),
            pytest.param("ocf-systemd debug --m", ["--monitor-hook"], id="option"),
            pytest.param("ocf-systemd debug -o stop_verify=", ["stop_verify=yes", "stop_verify=no"], id="value"),
            pytest.param("ocf-systemd debug --monitor-hook=/et", ["--monitor-hook=/etc/"], id="joined"),
            pytest.param("ocf-systemd install --ocf-root /us", ["/usr/"], id="directory"),
            pytest.param("ocf-systemd sandbox run --copy /us", ["/usr/"], id="copy"),
            pytest.param("ocf-systemd sandbox run /us", ["/usr/"], id="any command in a sandbox"),
            pytest.param("ocf-systemd sandbox run -- ocf-systemd deb", ["debug"], id="ours in a sandbox"),
            pytest.param("ocf-systemd monitor ", [], id="nothing"),
            pytest.param("ocf-systemd frobnicate --x ", [], id="no command"),
        ],
    )
    def test_words(self, ask: Asker, line: str, told: list[str]) -> None:
        """The others say which words there are, and get whole ones back."""
        assert [each.partition("\t")[0] for each in ask("zsh", *line.split(" "))] == told

    def test_descriptions(self, ask: Asker) -> None:
        """They come on the same line."""
        assert ask("fish", "ocf-systemd", "debug", "-o", "stop_v") == ["stop_verify=\tstop waits for the hook too"]

    @pytest.mark.parametrize(
        ("line", "word", "told"),
        [
            pytest.param("ocf-systemd debug -o stop_verify=", "", ["yes", "no"], id="after the equals sign"),
            pytest.param("ocf-systemd debug -o stop_verify=y", "y", ["yes"], id="after it, begun"),
            pytest.param("ocf-systemd  debug\t-o stop_v", "stop_v", ["stop_verify="], id="blanks"),
            pytest.param("ocf-systemd debug --monitor-hook=/et", "/et", ["/etc/"], id="joined"),
            pytest.param("ocf-systemd debug -o 'stop_verify=y", "stop_verify=y", ["stop_verify=yes"], id="quoted"),
            pytest.param("ocf-systemd debug -o 'stop_verify'=y", "y", ["yes"], id="quoted in part"),
            pytest.param('ocf-systemd debug --unit "a b" -o poll_interval=', "", ["1s"], id="a blank in a word"),
            pytest.param("ocf-systemd debug --unit '' cyc", "cyc", ["cycle"], id="an empty word"),
        ],
    )
    def test_bash(self, ask: Asker, line: str, word: str, told: list[str]) -> None:
        """It gives the line, and what it takes for the word; it gets what goes in that word's place."""
        assert ask("bash", line, word=word) == told

    @pytest.mark.parametrize(
        ("typed", "word", "told"),
        [
            pytest.param("od", "od", [r"odd\ \$name/"], id="bare"),
            pytest.param(r"odd\ ", r"odd\ ", [r"odd\ \$name/"], id="escaped"),
            pytest.param('"od', "od", ["odd $name/"], id="in quotes"),
        ],
    )
    def test_bash_is_given_quotes(self, ask: Asker, tmp_path: Path, typed: str, word: str, told: list[str]) -> None:
        """What bash would not take as it is, is escaped."""
        (tmp_path / "odd $name").mkdir()
        ask.monkeypatch.chdir(tmp_path)
        assert ask("bash", f"ocf-systemd install --ocf-root {typed}", word=word) == told

    def test_no_question(self, ask: Asker) -> None:
        """Whatever goes wrong, not a word is said."""
        ask.monkeypatch.delenv("_OCF_SYSTEMD_LINE", raising=False)
        assert answer("zsh") == 1
        assert ask.capsys.readouterr() == ("", "")


class TestProgram:
    def test_it_answers(self) -> None:
        """The program answers when the variable is there, and does nothing else; all commands are known."""
        asked = {"PATH": os.defpath, "_OCF_SYSTEMD_COMPLETE": "fish", "_OCF_SYSTEMD_WORD": ""}
        done = run_python(PROGRAM, "uninstall", env=asked | {"_OCF_SYSTEMD_LINE": "ocf-systemd"})
        assert (done.returncode, done.stderr) == (0, "")
        told = [line.partition("\t")[0] for line in done.stdout.splitlines()]
        assert set(COMMANDS) <= set(told)

    def test_the_agent_does_not(self) -> None:
        """What Pacemaker calls performs its action, whatever stands in its environment."""
        environment = {"_OCF_SYSTEMD_COMPLETE": "bash", "_OCF_SYSTEMD_LINE": "ocf-systemd "}
        done = run_python("from ocf_systemd.agent.entry import main; main()", "meta-data", env=environment)
        assert done.stdout.startswith("<?xml")

    @pytest.mark.parametrize("shell", [pytest.param("bash"), pytest.param("zsh"), pytest.param("fish")])
    def test_script(self, shell: str) -> None:
        """`completion` prints a script that calls the program."""
        done = run_python(PROGRAM, "completion", shell)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"_OCF_SYSTEMD_COMPLETE={shell} " in done.stdout
