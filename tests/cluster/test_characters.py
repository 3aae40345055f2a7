"""No character in a reason makes the CIB unreadable or a failure disappear."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.cluster.configuration import Primitive
from tests.cluster.history import parse_history
from tests.cluster.status import parse_status

if TYPE_CHECKING:
    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster

KEPT = 128  # bytes of a reason that Pacemaker before 3.0.2 keeps
WIDE = {2: "é", 3: "€", 4: "😀"}  # by bytes in UTF-8
LONG = {f"wide{size}-{offset}": "x" * offset + each * KEPT for size, each in WIDE.items() for offset in range(size)}
MARKUP = {"markup": """]]> <![CDATA[ --> &amp; & &#0; &bogus; </failure><x y='1'> "'`"""}
# Characters that XML 1.0 does not allow, or that control a terminal, between two strings, which must both be shown.
FORBIDDEN = {
    "fffe": "one\ufffetwo",
    "ffff": "one\ufffftwo",
    "controls": f"one{''.join(map(chr, range(1, 10)))}\x0b\x0c\x0e\x1f\x7f\x80\x85\x9ftwo",
    "others": "one\ufffd\U0001fffe\U0001ffff\u2028\u202etwo",
    "bytes": "one\udce9\udcff\udced\udca0\udc80two",  # Latin-1, and a surrogate: no UTF-8
}
MESSAGES = LONG | MARKUP | FORBIDDEN
UNIT_WORDS = {f"start{offset}": "x" * offset + WIDE[3] * KEPT for offset in range(2)}
HOOK = """\
rm "/run/test/say/$OCF_RESOURCE_INSTANCE" 2>/dev/null || exit 0
cat "/run/test/words/$OCF_RESOURCE_INSTANCE"
exit 1"""
SHOWN_BY = (
    ("pcs", "status"),
    ("pcs", "status", "--full"),
    ("crm_mon", "-1"),
    ("crm_mon", "-1", "--inactive", "--failcounts", "--operations"),
)


def create(cluster: Cluster) -> None:
    """Have a resource for each message of a hook, and for each of a unit that fails to start."""
    hook = cluster.hook("speaks", HOOK)
    cluster.service("speaks@")
    cluster.service("start@", "Type=oneshot", "ExecStart=sh -c 'cat /run/test/words/%i; sleep 0.3; exit 3'")
    for name, text in (MESSAGES | UNIT_WORDS).items():
        cluster.write(f"/run/test/words/{name}", f"{text}\n")
    hooked = {name: {"unit": f"speaks@{name}", "monitor_hook": hook} for name in MESSAGES}
    failing = {name: {"unit": f"start@{name}"} for name in UNIT_WORDS}
    cluster.configure(Primitive(name, given, monitor_interval_s=10) for name, given in (hooked | failing).items())


def expected() -> dict[str, str]:
    """Return how the reasons begin whose messages have no forbidden characters."""
    spoken = {name: f"hook speaks: {text} (exit 1)" for name, text in (LONG | MARKUP).items()}
    spoken |= {name: f"start@{name}.service failed: exit-code, status 3: {text}" for name, text in UNIT_WORDS.items()}
    return {name: reason.encode()[:KEPT].decode(errors="ignore") for name, reason in spoken.items()}


def exact(text: str) -> bytes:
    """Return the bytes that a command printed; the sandbox decodes with surrogateescape."""
    return text.encode(errors="surrogateescape")


def shown(node: Node) -> tuple[str, ...]:
    """Return what the tools print on a node, the XML first. Raises UnicodeDecodeError."""
    return tuple(exact(node.run(*command)).decode() for command in (("crm_mon", "--output-as=xml"), *SHOWN_BY))


class TestCharacters:
    @pytest.mark.fault(
        "Reasons have a character across byte 128, characters that XML does not allow, markup, or bytes that are not "
        "UTF-8.",
        "The CIB is valid XML in UTF-8. On every node pcs and crm_mon work, and show each failure with its reason.",
    )
    def test_everywhere(self, cluster: Cluster) -> None:
        """Whatever hooks and failing units print, the CIB and the tools work on every node, and show each reason."""
        create(cluster)
        cluster.wait_until(lambda now: all(map(now.runs_on, MESSAGES)), 90, "all are started")
        cluster.settle()
        for node in cluster.nodes:
            node.sh('mkdir -p /run/test/say; cd /run/test/say; touch -- "$@"', *MESSAGES)
        cluster.wait_until(lambda now: all(map(now.fail_count, MESSAGES)), 60, "every monitor has failed")
        cluster.settle()
        kept = exact(cluster.nodes[0].run("cibadmin", "--query"))
        kept.decode()
        reasons = {result.resource: result.reason for result in parse_history(kept) if result.reason}
        assert reasons.keys() == MESSAGES.keys() | UNIT_WORDS.keys()
        begun = expected()
        assert {name: reasons[name][: len(begun[name])] for name in begun} == begun
        assert [name for name in FORBIDDEN if not re.match("hook speaks: one.*two", reasons[name])] == []
        with ThreadPoolExecutor() as pool:
            for xml, *texts in pool.map(shown, cluster.nodes):
                assert {each.resource: each.reason for each in parse_status(xml).failures} == reasons
                assert [(name, text) for name in reasons for text in texts if reasons[name].strip() not in text] == []
