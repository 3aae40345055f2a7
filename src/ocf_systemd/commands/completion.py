"""`ocf-systemd completion`, and the completions that its scripts request; the scripts are below `share`."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import CompletionItem, ShellComplete

import ocf_systemd
from ocf_systemd.agent.entry import PROGRAM
from ocf_systemd.commands.program import SuggestingChoice, program
from ocf_systemd.core.text import printable

# The variables in which the shell that _OCF_SYSTEMD_COMPLETE names passes its command line and the word at the cursor.
_LINE, _WORD = "_OCF_SYSTEMD_LINE", "_OCF_SYSTEMD_WORD"
_SCRIPTS = {
    "bash": "bash-completion/completions/ocf-systemd",
    "zsh": "zsh/site-functions/_ocf-systemd",
    "fish": "fish/vendor_completions.d/ocf-systemd.fish",
}
# The characters that must be escaped for bash: outside of quotes, and inside of double quotes.
_SPECIAL = frozenset(" \t!\"#$&'()*;<>?[\\]^`{|}~")
_SPECIAL_IN_DOUBLE_QUOTES = frozenset('"$\\`')


@program.command()
@click.argument("shell", type=SuggestingChoice(list(_SCRIPTS)))
def completion(shell: str) -> int:
    """Print the completion script for a shell.

    The script completes commands, options, units, hooks, parameters and their values. After `ocf-systemd install`, new
    shells find the script. Without `install`, load the script in the start-up file of the shell:

    \b
    Examples:
      eval "$(ocf-systemd completion bash)"   # in ~/.bashrc
      eval "$(ocf-systemd completion zsh)"    # in ~/.zshrc, after compinit
      ocf-systemd completion fish | source    # in ~/.config/fish/config.fish
    """
    script = Path(ocf_systemd.__file__).parent / "share" / _SCRIPTS[shell]
    click.echo(script.read_text(encoding="utf-8"), nl=False)
    return 0


def print_completions(shell: str) -> int:
    """Print the completions of the word at a shell's cursor; return 0, or 1 after an error."""
    with suppress(Exception):  # no error may disturb a prompt
        shell_class = _Bash if shell == "bash" else _Shell
        if completions := shell_class(program, {}, PROGRAM, "").complete():
            click.echo(completions)
        return 0
    return 1


class _Shell(ShellComplete):
    """A shell that quotes and unquotes words itself: zsh and fish.

    The shell passes the words before the cursor, one per line, and the word at the cursor in another variable. It gets
    lines that each have a value and a description.
    """

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words between the program's name and the cursor, and the word at the cursor."""
        return os.environ[_LINE].split("\n")[1:], os.environ[_WORD]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return the completions; each replaces the whole word at the cursor, `--OPTION=` included."""
        if args and not args[0].startswith("-") and args[0] not in program.commands:
            return []
        option, equals, _ = incomplete.partition("=")
        items = super().get_completions(args, incomplete)
        prefix = option + equals if incomplete.startswith("--") and equals else ""
        words = [CompletionItem(f"{prefix}{item.value}", item.type, item.help) for item in items]
        # A value with a line break or another control character is left out: a shell would not read it as one word.
        return [each for item in words for each in _list_files(item) if each.value.isprintable()]

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return a value and its description, separated by a tab."""
        return f"{item.value}\t{printable(' '.join((item.help or '').split()))}"


def _list_files(item: CompletionItem[str]) -> list[CompletionItem[str]]:
    """Return the item or, if its type makes the shell list files, the matching files: shells list them differently."""
    from ocf_systemd.commands.candidates import paths

    if item.type not in {"file", "dir"}:
        return [item]
    return paths(item.value, directories=item.type == "dir")


class _Bash(_Shell):
    """bash, which leaves the quoting to the program, and splits words also at the characters of COMP_WORDBREAKS."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Split the line by bash's quoting rules; return the words before the cursor, and the word at the cursor."""
        _, *words, (incomplete, self._quote, self._start) = _split(os.environ[_LINE])
        word = os.environ[_WORD]
        raw = os.environ[_LINE][self._start :]
        # bash replaces only the part of the word after its last break: a completion must not repeat the part before.
        kept = raw.removesuffix(word) if raw.endswith(word) else ""
        *_, (self._kept, _, _) = _split(kept)
        return [word for word, _, _ in words], incomplete

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return the text that replaces the part of the word after its last break (COMP_WORDBREAKS)."""
        text = "".join(_escaped(each, self._quote) for each in item.value[len(self._kept) :])
        # readline does not add the closing quote to a text that already ends with that character.
        return text + self._quote if self._quote and text.endswith(self._quote) else text


def _escaped(character: str, quote: str) -> str:
    """Return a character as bash takes it literally: inside `quote` or, if `quote` is empty, outside of quotes."""
    if quote == "'":
        return "'\\''" if character == "'" else character
    if quote and character == "!":  # a backslash prevents history expansion only outside of quotes
        return '"\\!"'
    return f"\\{character}" if character in (_SPECIAL_IN_DOUBLE_QUOTES if quote else _SPECIAL) else character


def _split(line: str) -> list[tuple[str, str, int]]:
    """Split an unfinished line by bash's quoting rules; return each word, the quote that it leaves open, and its index.

    The last word is the one at the end of the line; it is empty if the line ends with a space.
    """
    words, word, quote, start, escaped = [], "", "", 0, False
    for index, each in enumerate(line):
        if escaped:
            word, escaped = word + each, False
        elif each == "\\" and quote != "'":
            escaped = True
        elif quote:
            word, quote = (word, "") if each == quote else (word + each, quote)
        elif each in "\"'":
            quote = each
        elif each in " \t\n":
            if index > start:
                words.append((word, quote, start))
            word, start = "", index + 1
        else:
            word += each
    return [*words, (word, quote, start)]
