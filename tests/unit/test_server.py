"""What the resident server takes for a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.client import SERVED
from ocf_systemd.core.ocf import Action
from ocf_systemd.server.server import ClientRequest

if TYPE_CHECKING:
    from pathlib import Path


def body(action: str, directory: object = "/", umask: str = "26", *variables: bytes) -> bytes:
    """Return a request as an agent sends it, after its version."""
    return b"\0".join([action.encode(), b"systemd", umask.encode(), str(directory).encode(), *variables])


class TestClientRequest:
    @pytest.mark.parametrize("action", [pytest.param(action, id=action) for action in SERVED])
    def test_a_request(self, tmp_path: Path, action: str) -> None:
        """Action, name, umask, directory, and every variable, whatever bytes it holds."""
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
        """Whoever sends it: it would be carried out after its caller has gone, if the server was frozen meanwhile."""
        assert ClientRequest.parse(body(action)) is None

    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"monitor", id="an action alone"),
            pytest.param(b"monitor\0systemd\0" + b"26", id="no directory"),
            pytest.param(body("monitor", umask="9"), id="no umask"),
            pytest.param(body("monitor", "/no/such/directory"), id="a directory that is out of reach"),
        ],
    )
    def test_what_is_no_request(self, request_: bytes) -> None:
        """No agent would send that."""
        assert ClientRequest.parse(request_) is None

    @given(st.binary(max_size=200))
    def test_any_bytes(self, request_: bytes) -> None:
        """A request or none, and never one that changes something."""
        for each in (request_, b"monitor\0systemd\x0026\0/\0" + request_):
            request = ClientRequest.parse(each)
            assert request is None or request.action in SERVED
