"""Characters in a reason: within the bytes that Pacemaker keeps, and within what XML allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

KEPT = 128  # bytes, by Pacemaker before 3.0.2


class TestHook:
    @pytest.mark.fault(
        "A hook reports its failure with `ocf_exit_reason`.", "The reason contains the hook's text, without the prefix."
    )
    @pytest.mark.parametrize("noise", ["", "echo and more >&2"], ids=["last", "before other lines"])
    def test_exit_reason_of_its_own(self, agent: Agent, box: Box, noise: str) -> None:
        """A hook that was written as an agent is has its reason passed on."""
        hook = box.hook(f"echo 'ocf-exit-reason:queue is stuck' >&2; {noise}\nexit 1")
        result = agent("monitor", unit=box.started(), monitor_hook=hook)
        assert result.reasons == ["hook hook: queue is stuck (exit 1)"]

    @pytest.mark.fault(
        "A character of a reason would begin before byte 128 and end after it.",
        "The agent moves the whole character behind byte 128, so that the CIB stays valid.",
    )
    @pytest.mark.parametrize("character", ["é", "€", "😀"])
    @pytest.mark.parametrize("shift", range(4))
    def test_character_across_the_limit(self, agent: Agent, box: Box, character: str, shift: int) -> None:
        """The first 128 bytes are valid UTF-8, wherever the characters of a message fall; none is lost."""
        message = "x" * shift + character * 60
        result = agent("monitor", unit=box.started(), monitor_hook=box.hook(f"echo '{message}' >&2; exit 1"))
        kept = result.reason.encode()[:KEPT].decode()
        assert kept.startswith(f"hook hook: {message[:20]}")
        assert result.reason.count(character) == 60

    @pytest.mark.fault(
        "A hook's message contains characters that XML 1.0 does not allow.", "The reason omits these characters."
    )
    def test_characters_that_xml_forbids(self, agent: Agent, box: Box) -> None:
        """U+FFFE and U+FFFF make Pacemaker's result unreadable."""
        hook = box.hook("printf 'a\\357\\277\\276b\\357\\277\\277c\\001d\\n' >&2; exit 1")
        assert agent("monitor", unit=box.started(), monitor_hook=hook).reason == "hook hook: abcd (exit 1)"
