"""`ocf-systemd completion`, and the answers to shells that it is for; the scripts are below `share`."""

import os
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import CompletionItem, ShellComplete

import ocf_systemd
from ocf_systemd.agent.entry import PROGRAM
from ocf_systemd.commands.program import program

# The question of a shell whose name is in _OCF_SYSTEMD_COMPLETE.
_LINE, _WORD = "_OCF_SYSTEMD_LINE", "_OCF_SYSTEMD_WORD"
_SCRIPTS = {
    "bash": "bash-completion/completions/ocf-systemd",
    "zsh": "zsh/site-functions/_ocf-systemd",
    "fish": "fish/vendor_completions.d/ocf-systemd.fish",
}
# In bash, within no quotes; what has none of these stands as it is.
_SPECIAL = frozenset(" \t!\"#$&'()*;<>?[\\]^`{|}~")


@program.command()
@click.argument("shell", type=click.Choice(list(_SCRIPTS)))
def completion(shell: str) -> int:
    """Print the script that completes command lines in SHELL.

    It knows commands, options, units, hooks, parameters and their values. Where the command `install` has been run,
    new shells find it by themselves; elsewhere a shell's start-up file can call it:

    \b
    Examples:
      eval "$(ocf-systemd completion bash)"   # in ~/.bashrc
      eval "$(ocf-systemd completion zsh)"    # in ~/.zshrc, after compinit
      ocf-systemd completion fish | source    # in ~/.config/fish/config.fish
    """
    script = Path(ocf_systemd.__file__).parent / "share" / _SCRIPTS[shell]
    click.echo(script.read_text(encoding="utf-8"), nl=False)
    return 0


def answer(shell: str) -> int:
    """Tell a shell what could stand at its cursor, or nothing; return an exit code."""
    with suppress(Exception):  # of which nothing is to be seen at a prompt
        asked = _Bash if shell == "bash" else _Shell
        if told := asked(program, {}, PROGRAM, "").complete():
            click.echo(told)
        return 0
    return 1


class _Shell(ShellComplete):
    """A shell that quotes and unquotes by itself: it gives a word on each line, and the one at its cursor, apart.

    It gets values and descriptions.
    """

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words between the program's name and the cursor, and the one at the cursor."""
        return os.environ[_LINE].split("\n")[1:], os.environ[_WORD]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return what could stand at the cursor, whole words all of them."""
        option, equals, _ = incomplete.partition("=")
        items = super().get_completions(args, incomplete)
        begun = option + equals if incomplete.startswith("--") and equals else ""
        whole = [CompletionItem(f"{begun}{item.value}", item.type, item.help) for item in items]
        return [each for item in whole for each in _listed(item)]

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return a value and what it is."""
        return f"{item.value}\t{' '.join((item.help or '').split())}"


def _listed(item: CompletionItem[str]) -> list[CompletionItem[str]]:
    """Return the files that are meant, where shells would be left to list them: each does it in another way."""
    from ocf_systemd.commands.candidates import paths

    if item.type not in {"file", "dir"}:
        return [item]
    return [CompletionItem(each.text) for each in paths(item.value, directories=item.type == "dir")]


class _Bash(_Shell):
    """bash, which leaves the quoting to us, and has a word begin where COMP_WORDBREAKS says."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Split the line as bash will."""
        _, *words, (incomplete, self._quote, self._start) = _split(os.environ[_LINE])
        seen = os.environ[_WORD]
        raw = os.environ[_LINE][self._start :]
        # What bash has already let go of stays as it is, however it is quoted: what follows is to be given.
        kept = raw.removesuffix(seen) if raw.endswith(seen) else ""
        *_, (self._kept, _, _) = _split(kept)
        return [word for word, _, _ in words], incomplete

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return what is to stand in place of the word that bash sees."""
        text = item.value[len(self._kept) :]
        return text if self._quote else "".join(f"\\{each}" if each in _SPECIAL else each for each in text)


def _split(line: str) -> list[tuple[str, str, int]]:
    """Split a line by bash's quoting rules, as far as it goes; return each word, a quote left open, and where it began.

    The last word is the one at the line's end; it is empty after a blank.
    """
    words, word, quote, start, escaped = [], "", "", 0, False
    for place, each in enumerate(line):
        if escaped:
            word, escaped = word + each, False
        elif each == "\\" and quote != "'":
            escaped = True
        elif quote:
            word, quote = (word, "") if each == quote else (word + each, quote)
        elif each in "\"'":
            quote = each
        elif each in " \t\n":
            if place > start:
                words.append((word, quote, start))
            word, start = "", place + 1
        else:
            word += each
    return [*words, (word, quote, start)]
