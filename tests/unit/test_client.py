"""The agent's side of the resident server, in this process, with a server of the test's own."""

from __future__ import annotations

import os
import posix
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.client import ANSWER, GREETING, PULSE, SIGNALS, VERSION, Signals, frame, patience, request_action

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MONITOR = ["/usr/lib/ocf/resource.d/pacemaker/systemd", "monitor"]
GREETED = frame(GREETING, VERSION)


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "socket")


@contextmanager
def served(address: str, serve: Callable[[socket.socket, bytes], None]) -> Iterator[None]:
    """Have one caller served: its request is read, and the connection closed in the end."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()

        def be_the_server() -> None:
            with listener.accept()[0] as connection:
                size = int.from_bytes(connection.recv(4, socket.MSG_WAITALL), "big")
                serve(connection, connection.recv(size, socket.MSG_WAITALL))

        thread = threading.Thread(target=be_the_server)
        thread.start()
        yield
        thread.join(10)


def says(*frames: bytes) -> Callable[[socket.socket, bytes], None]:
    return lambda connection, _: connection.sendall(b"".join(frames))


class TestRequest:
    def test_what_it_says(self, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Version, action, name, umask, directory, and every variable as it is, in that order."""
        monkeypatch.setattr(posix, "environ", {b"A": b"b=c", b"B\xff": b"", b"OCF_RESKEY_CRM_meta_timeout": b"5000"})
        monkeypatch.chdir(tmp_path)
        before = os.umask(0o027)
        requests: list[bytes] = []

        def serve(connection: socket.socket, request: bytes) -> None:
            requests.append(request)
            connection.sendall(GREETED + frame(ANSWER, b"\0"))

        with served(address, serve):
            assert request_action(MONITOR, address) == 0
        assert os.umask(before) == 0o027
        assert requests[0].split(b"\0") == [
            *(VERSION, b"monitor", b"systemd", b"27", bytes(tmp_path)),
            *(b"A=b=c", b"B\xff=", b"OCF_RESKEY_CRM_meta_timeout=5000"),
        ]

    @pytest.mark.parametrize(
        "arguments",
        [
            *([], ["systemd"], ["systemd", "meta-data"], ["systemd", "promote"], ["systemd", ""], ["systemd", "mon"]),
            *(["systemd", action] for action in ("start", "stop", "reload", "reload-agent")),
        ],
        ids=" ".join,
    )
    def test_what_is_not_served(self, address: str, arguments: list[str]) -> None:
        """Nobody is asked, above all not for what changes something: a frozen server would do it after a later stop."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen()
            listener.settimeout(0)
            assert request_action(arguments, address) is None
            with pytest.raises(BlockingIOError):
                listener.accept()

    @pytest.mark.parametrize("action", ["monitor", "validate-all"])
    def test_what_is_served(self, address: str, action: str) -> None:
        """What changes nothing."""
        with served(address, says(GREETED, frame(ANSWER, b"\x07"))):
            assert request_action(["systemd", action], address) == 7

    @pytest.mark.parametrize("name", ["OCF_TRACE_RA", "OCF_RESKEY_trace_ra"])
    def test_a_trace(self, address: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """It is written by the process that is traced."""
        monkeypatch.setattr(posix, "environ", {name.encode(): b"0"})
        assert request_action(MONITOR, address) is None


class TestAnswer:
    def test_code_and_standard_error(self, address: str, capfd: pytest.CaptureFixture[str]) -> None:
        """Passed on to the letter, whatever pulses come before, in however many pieces."""
        text = frame(PULSE) * 3 + frame(ANSWER, b"\x09" + b"one\ntwo\n")

        def serve(connection: socket.socket, _: bytes) -> None:
            for byte in GREETED + text:
                connection.sendall(bytes((byte,)))

        with served(address, serve):
            assert request_action(MONITOR, address) == 9
        assert capfd.readouterr() == ("", "one\ntwo\n")

    @pytest.mark.parametrize(
        "said",
        [
            pytest.param([], id="nothing"),
            pytest.param([frame(GREETING, b"0")], id="another version"),
            pytest.param([GREETED], id="a greeting alone"),
            pytest.param([GREETED, frame(ANSWER, b"\0")[:-1]], id="half an answer"),
            pytest.param([b"\xff" * 20], id="rubbish"),
        ],
    )
    def test_none(self, address: str, capfd: pytest.CaptureFixture[str], said: list[bytes]) -> None:
        """The action is this process's own then, and nothing has been written."""
        with served(address, says(*said)):
            assert request_action(MONITOR, address) is None
        assert capfd.readouterr() == ("", "")

    def test_nobody_there(self, address: str) -> None:
        """As without a server."""
        assert request_action(MONITOR, address) is None


class TestSignals:
    def test_is_passed_on(self, address: str, capfd: pytest.CaptureFixture[str]) -> None:
        """The server is told of it, and says what came of it; who handled it before does so again."""
        before = [signal.getsignal(number) for number in SIGNALS]

        def serve(connection: socket.socket, _: bytes) -> None:
            connection.sendall(GREETED)
            os.kill(os.getpid(), signal.SIGTERM)
            connection.sendall(frame(ANSWER, b"\x01interrupted by %d\n" % connection.recv(1)[0]))

        with served(address, serve):
            assert request_action(MONITOR, address) == 1
        assert capfd.readouterr().err == "interrupted by 15\n"
        assert [signal.getsignal(number) for number in SIGNALS] == before

    def test_is_told_once_the_request_is_out(self) -> None:
        """In the midst of that it would be taken for a part of it."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.settimeout(0)
            signals = Signals(ours)
            signals.receive(1, None)
            with pytest.raises(BlockingIOError):
                theirs.recv(1)
            signals.forward()
            signals.receive(15, None)
            assert theirs.recv(10) == b"\x01\x0f"

    def test_with_nobody_to_end_it_in_good_order(self, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process ends by it."""
        sent: list[tuple[int, int]] = []

        def serve(connection: socket.socket, _: bytes) -> None:
            connection.sendall(GREETED)
            os.kill(os.getpid(), signal.SIGHUP)
            connection.recv(1)

        with served(address, serve):
            monkeypatch.setattr(posix, "kill", lambda pid, number: sent.append((pid, number)))
            assert request_action(MONITOR, address) is None
        assert sent == [(os.getpid(), signal.SIGHUP)]
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("timeout", "greeted_s", "silent_s"),
    [
        pytest.param(b"20000", 1.0, 3.0, id="as advertised"),
        pytest.param(b"8000", 0.4, 2.0, id="short"),
        pytest.param(b"1000", 0.25, 1.0, id="very short"),
        pytest.param(b"9" * 99, 1.0, 3.0, id="beyond reason"),
        pytest.param(b"x", 1.0, 3.0, id="no number"),
    ],
)
def test_patience(monkeypatch: pytest.MonkeyPatch, timeout: bytes, greeted_s: float, silent_s: float) -> None:
    """How long is waited for a server goes by the timeout, within bounds."""
    monkeypatch.setattr(posix, "environ", {b"OCF_RESKEY_CRM_meta_timeout": timeout})
    assert patience() == (greeted_s, silent_s)
