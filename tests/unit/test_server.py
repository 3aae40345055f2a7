"""Requests to the resident server, and the log of those that it declines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.client import SERVED
from ocf_systemd.core.ocf import Action
from ocf_systemd.server.server import ClientRequest
from tests.unit.builders import executable, run_python

if TYPE_CHECKING:
    from pathlib import Path


def body(action: str, directory: object = "/", umask: str = "26", *variables: bytes) -> bytes:
    """Return a request as an agent sends it, after its version."""
    return b"\0".join([action.encode(), b"systemd", umask.encode(), str(directory).encode(), *variables])


# In a process of its own: a server raises its limit on open files, and reaps all children.
SERVER = """
import socket, sys
import anyio
from ocf_systemd.client import GREETING, VERSION, encode_frame
from ocf_systemd.server.dbus import SystemManager
from ocf_systemd.server.server import Server

address, *requests = sys.argv[1:]

async def main():
    log = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        server = Server(listener, SystemManager("/no/such/socket"), lambda state: None, log.append)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.run, 0)
            for request in requests:
                async with await anyio.connect_unix(address) as client:
                    body = VERSION + b"\\0" + request.encode().replace(b" ", b"\\0")
                    await client.send(len(body).to_bytes(4, "big") + body)
                    received = b""
                    try:
                        while chunk := await client.receive():
                            received += chunk
                    except anyio.EndOfStream:
                        pass
                print(received.removeprefix(encode_frame(GREETING, VERSION)).hex() or "declined")
            tasks.cancel_scope.cancel()
    print(*log, sep="\\n")

anyio.run(main)
"""


class TestDeclined:
    @staticmethod
    def lines(directory: Path, *requests: str) -> list[str]:
        """Return what becomes of each request, then the lines of the server's log."""
        done = run_python(SERVER, str(directory / "socket"), *requests)
        assert done.stderr == ""
        return done.stdout.splitlines()

    def test_the_reason_is_logged_once_for_each_resource(self, tmp_path: Path) -> None:
        """The log names action, resource and reason; the next request with the same reason adds no line."""
        tmp_path.chmod(0o755)
        hook = executable(tmp_path / "hook", "#!/bin/sh\n", 0o757)  # writable by others than root
        first, second = (
            f"monitor systemd 26 / OCF_RESOURCE_INSTANCE={name} OCF_RESKEY_unit=x OCF_RESKEY_monitor_hook={hook}"
            for name in "ab"
        )
        *results, log_a, log_b = self.lines(tmp_path, first, first, second, first)
        assert results == ["declined"] * 4
        assert log_a.startswith("monitor of a is declined: the hook ")
        assert log_b == log_a.replace(" of a ", " of b ")

    def test_a_directory_that_the_server_does_not_have(self, tmp_path: Path) -> None:
        """The client runs the action where it is."""
        assert self.lines(tmp_path, "monitor systemd 26 /no/such/directory OCF_RESOURCE_INSTANCE=a") == [
            "declined",
            "monitor of a is declined: the server has no such working directory",
        ]

    def test_what_is_not_parsed_is_not_logged(self, tmp_path: Path) -> None:
        """No agent has sent it, and there is no resource to name."""
        assert self.lines(tmp_path, "start systemd 26 /", "monitor") == ["declined", "declined", ""]


class TestClientRequest:
    @pytest.mark.parametrize("action", [pytest.param(action, id=action) for action in SERVED])
    def test_a_request(self, tmp_path: Path, action: str) -> None:
        """A request has action, name, umask, directory, and every variable, with any bytes."""
        request = ClientRequest.parse(body(action, tmp_path, "26", b"A=b=c", b"B\xff=", b"C=\n"))
        assert request == ClientRequest(
            Action(action), "systemd", 0o026, str(tmp_path), {"A": "b=c", "B\udcff": "", "C": "\n"}
        )

    @pytest.mark.parametrize(
        "action",
        [pytest.param(action, id=action) for action in Action if action not in SERVED]
        + [pytest.param("promote", id="promote"), pytest.param("", id="none"), pytest.param("monitor ", id="a blank")],
    )
    def test_what_changes_something_is_not_performed(self, action: str) -> None:
        """A server that was frozen would perform it after its client has gone."""
        assert ClientRequest.parse(body(action)) is None

    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"monitor", id="an action alone"),
            pytest.param(b"monitor\0systemd\0" + b"26", id="no directory"),
            pytest.param(body("monitor", umask="9"), id="no umask"),
        ],
    )
    def test_what_is_no_request(self, request_: bytes) -> None:
        """A request that no agent sends is not parsed."""
        assert ClientRequest.parse(request_) is None

    def test_what_may_not_respond(self, tmp_path: Path) -> None:
        """Nothing is accessed where that could block: neither the client's directory, nor its log, nor its PATH."""
        (tmp_path / "link").symlink_to("mount/directory")
        avoided = frozenset({f"{tmp_path}/mount"})

        def why(directory: object, *variables: str) -> str:
            request = ClientRequest.parse(body("monitor", directory, "26", *map(str.encode, variables)))
            assert request
            return request.why_declined(avoided)

        for path in (tmp_path / each for each in ("mount", "mount/directory", "link", "link/below")):
            for given_ in (
                (path,),
                ("/", f"HA_LOGFILE={path}"),
                ("/", f"HA_DEBUGLOG={path}"),
                ("/", f"PATH=/bin:{path}"),
            ):
                assert "may not respond" in why(*given_)
        assert why(tmp_path, f"HA_DEBUGLOG={tmp_path}/log", "PATH=/bin") == ""

    @given(st.binary(max_size=200))
    def test_any_bytes(self, request_: bytes) -> None:
        """They are never a request for an action that changes something."""
        for each in (request_, b"monitor\0systemd\x0026\0/\0" + request_):
            request = ClientRequest.parse(each)
            assert request is None or request.action in SERVED
