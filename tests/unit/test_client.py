"""The client of the resident server, in this process, with a server in a thread."""

from __future__ import annotations

import os
import posix
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.client import (
    ANSWER,
    GREETING,
    PULSE,
    SIGNALS,
    VERSION,
    SignalForwarder,
    encode_frame,
    request_action,
    server_timeouts_s,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MONITOR = ["/usr/lib/ocf/resource.d/pacemaker/systemd", "monitor"]
GREETING_FRAME = encode_frame(GREETING, VERSION)


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "socket")


@contextmanager
def served(address: str, serve: Callable[[socket.socket, bytes], None]) -> Iterator[None]:
    """Serve one client: read its request, call `serve`, close the connection."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()

        def accept_one() -> None:
            with listener.accept()[0] as connection:
                size = int.from_bytes(connection.recv(4, socket.MSG_WAITALL), "big")
                serve(connection, connection.recv(size, socket.MSG_WAITALL))

        thread = threading.Thread(target=accept_one)
        thread.start()
        yield
        thread.join(10)


def send(*frames: bytes) -> Callable[[socket.socket, bytes], None]:
    return lambda connection, _: connection.sendall(b"".join(frames))


class TestRequest:
    def test_fields(self, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Version, action, name, umask, directory, and every variable unchanged, in that order."""
        monkeypatch.setattr(posix, "environ", {b"A": b"b=c", b"B\xff": b"", b"OCF_RESKEY_CRM_meta_timeout": b"5000"})
        monkeypatch.chdir(tmp_path)
        before = os.umask(0o027)
        requests: list[bytes] = []

        def serve(connection: socket.socket, request: bytes) -> None:
            requests.append(request)
            connection.sendall(GREETING_FRAME + encode_frame(ANSWER, b"\0"))

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
    def test_actions_that_are_not_served(self, address: str, arguments: list[str]) -> None:
        """No request is sent: a frozen server could run a start after a later stop."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen()
            listener.settimeout(0)
            assert request_action(arguments, address) is None
            with pytest.raises(BlockingIOError):
                listener.accept()

    @pytest.mark.parametrize("action", ["monitor", "validate-all"])
    def test_served_actions(self, address: str, action: str) -> None:
        """The server runs actions that change nothing."""
        with served(address, send(GREETING_FRAME, encode_frame(ANSWER, b"\x07"))):
            assert request_action(["systemd", action], address) == 7

    @pytest.mark.parametrize("name", ["OCF_TRACE_RA", "OCF_RESKEY_trace_ra"])
    def test_a_trace(self, address: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """A traced action runs in this process, which writes the trace."""
        monkeypatch.setattr(posix, "environ", {name.encode(): b"0"})
        assert request_action(MONITOR, address) is None


class TestAnswer:
    def test_code_and_standard_error(self, address: str, capfd: pytest.CaptureFixture[str]) -> None:
        """Both are passed on unchanged, after any number of pulses and in any number of pieces."""
        text = encode_frame(PULSE) * 3 + encode_frame(ANSWER, b"\x09" + b"one\ntwo\n")

        def serve(connection: socket.socket, _: bytes) -> None:
            for byte in GREETING_FRAME + text:
                connection.sendall(bytes((byte,)))

        with served(address, serve):
            assert request_action(MONITOR, address) == 9
        assert capfd.readouterr() == ("", "one\ntwo\n")

    @pytest.mark.parametrize(
        "frames",
        [
            pytest.param([], id="nothing"),
            pytest.param([encode_frame(GREETING, b"0")], id="another version"),
            pytest.param([GREETING_FRAME], id="greeting only"),
            pytest.param([GREETING_FRAME, encode_frame(ANSWER, b"\0")[:-1]], id="part of a frame"),
            pytest.param([b"\xff" * 20], id="no frames"),
        ],
    )
    def test_no_answer(self, address: str, capfd: pytest.CaptureFixture[str], frames: list[bytes]) -> None:
        """This process must run the action itself, and nothing has been written."""
        with served(address, send(*frames)):
            assert request_action(MONITOR, address) is None
        assert capfd.readouterr() == ("", "")

    def test_no_server(self, address: str) -> None:
        """Without a socket this process must run the action itself."""
        assert request_action(MONITOR, address) is None


class TestSignals:
    def test_forwarded(self, address: str, capfd: pytest.CaptureFixture[str]) -> None:
        """The server gets the signal and reports the result; afterwards the former handlers are back."""
        before = [signal.getsignal(number) for number in SIGNALS]

        def serve(connection: socket.socket, _: bytes) -> None:
            connection.sendall(GREETING_FRAME)
            os.kill(os.getpid(), signal.SIGTERM)
            connection.sendall(encode_frame(ANSWER, b"\x01interrupted by %d\n" % connection.recv(1)[0]))

        with served(address, serve):
            assert request_action(MONITOR, address) == 1
        assert capfd.readouterr().err == "interrupted by 15\n"
        assert [signal.getsignal(number) for number in SIGNALS] == before

    def test_forwarded_after_the_request(self) -> None:
        """A signal during the request is kept until its end: otherwise it would become a part of it."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.settimeout(0)
            signals = SignalForwarder(ours)
            signals.handle(1, None)
            with pytest.raises(BlockingIOError):
                theirs.recv(1)
            signals.forward()
            signals.handle(15, None)
            assert theirs.recv(10) == b"\x01\x0f"

    def test_server_disconnects(self, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The signal then ends this process."""
        sent: list[tuple[int, int]] = []

        def serve(connection: socket.socket, _: bytes) -> None:
            connection.sendall(GREETING_FRAME)
            os.kill(os.getpid(), signal.SIGHUP)
            connection.recv(1)

        with served(address, serve):
            monkeypatch.setattr(posix, "kill", lambda pid, number: sent.append((pid, number)))
            assert request_action(MONITOR, address) is None
        assert sent == [(os.getpid(), signal.SIGHUP)]
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("timeout", "greeting_s", "pulse_s"),
    [
        pytest.param(b"20000", 1.0, 3.0, id="as advertised"),
        pytest.param(b"8000", 0.4, 2.0, id="short"),
        pytest.param(b"1000", 0.25, 1.0, id="very short"),
        pytest.param(b"9" * 99, 1.0, 3.0, id="too large"),
        pytest.param(b"x", 1.0, 3.0, id="not a number"),
    ],
)
def test_server_timeouts(monkeypatch: pytest.MonkeyPatch, timeout: bytes, greeting_s: float, pulse_s: float) -> None:
    """The times to wait for the server depend on the timeout, within bounds."""
    monkeypatch.setattr(posix, "environ", {b"OCF_RESKEY_CRM_meta_timeout": timeout})
    assert server_timeouts_s() == (greeting_s, pulse_s)
