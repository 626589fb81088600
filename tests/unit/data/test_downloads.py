"""Downloads that break off: told as the network's fault, to be tried again."""

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import huggingface_hub
import pytest

from common.base.errors import EXIT_MACHINE, UserError
from common.data.downloads import fetch_url, hub_snapshot

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
ABORT = struct.pack("ii", 1, 0)  # closing resets the connection


@pytest.fixture(params=[b"", HEAD, HEAD + b"x" * 10, b"HTTP/1.1 2"], ids=["nothing", "head", "part", "half a line"])
def broken(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a server that resets each connection after some bytes."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(request.param)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/file"
        thread.join()


def test_a_connection_that_is_reset_is_tried_again(broken: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a download failed") as caught:
        fetch_url(broken, tmp_path / "file", None)
    assert (caught.value.where, caught.value.code) == (broken, EXIT_MACHINE)


def test_a_full_disk_is_not_the_networks_fault(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(HEAD + b"x" * 1000)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(OSError, match="No space left"):
            fetch_url(f"http://127.0.0.1:{server.getsockname()[1]}/file", Path("/dev/full"), None)
        thread.join()


@pytest.mark.parametrize("error", [httpx2.ReadError("reset"), httpx2.ConnectTimeout("late"), OSError("unreachable")])
def test_what_the_hubs_library_lets_through_is_the_network(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(UserError, match="the hub cannot be reached") as caught:
        hub_snapshot("owner/name", "a" * 40, tmp_path, "model", ["*"])
    assert caught.value.code == EXIT_MACHINE
