"""The real hub client against a small server on this machine that answers as the hub does.

The client reads its environment once, so each question is asked in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors.index.json": b'{"weight_map": {"a": "model-00001-of-00002.safetensors", '
    b'"b": "model-00002-of-00002.safetensors"}}',
    "model-00001-of-00002.safetensors": b"first",
    "model-00002-of-00002.safetensors": b"second" * 1000,
    "pytorch_model.bin": b"not wanted",
    "tf_model.h5": b"not wanted",
    "vocab.txt": b"[PAD]\n",
}


class _Hub(BaseHTTPRequestHandler):
    """Enough of the hub's interface for one public repository, `owner/model`, and one gated one, `owner/gated`."""

    protocol_version = "HTTP/1.1"

    def __init__(self, log: list[str], *args: object) -> None:
        self.log = log
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        """Not on the terminal."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.split("?")[0].strip("/")
        self.log.append(f"{self.command} {path}")
        if "owner/gated" in path:
            self._send(403, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to it is restricted."}, body)
        elif "owner/model" not in path:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, body)
        elif "no-such-revision" in path:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}, body)
        elif path.startswith("api/"):
            listing = {"id": "owner/model", "sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES]}
            self._send(200, json.dumps(listing).encode(), {"Content-Type": "application/json"}, body)
        else:
            content = FILES[path.split("/")[-1]]
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
            self._send(200, content, headers, body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


class Asker:
    """Runs `resolve` in a process whose hub is the server, with a cache of its own."""

    def __init__(self, endpoint: str, home: Path, log: list[str]) -> None:
        self.endpoint, self.home, self.log = endpoint, home, log

    def __call__(self, call: str, **environment: str) -> str:
        """What `call` returns, or the error that it raises, as text."""
        code = (
            "from minibert.checkpoint import *\n"
            f"try: print({call})\n"
            "except CheckpointError as error: print('error:', error)"
        )
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        settings = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(self.home), "NO_PROXY": "*", **environment}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**kept, **settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        return done.stdout.strip()

    def downloaded(self) -> set[str]:
        """Files that were fetched since the last time."""
        names = {line.split("/")[-1] for line in self.log if line.startswith("GET ") and "/resolve/" in line}
        self.log.clear()
        return names


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Asker]:
    log: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, log))
    Thread(target=server.serve_forever, daemon=True).start()
    yield Asker(f"http://127.0.0.1:{server.server_address[1]}", tmp_path / "home", log)
    server.shutdown()
    server.server_close()


def test_fetching_once_and_then_offline(ask: Asker) -> None:
    folder = Path(ask("resolve('owner/model')"))
    wanted = {"config.json", "model.safetensors.index.json", *(n for n in FILES if n.startswith("model-"))}
    assert ask.downloaded() == wanted
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {name: FILES[name] for name in wanted}
    assert folder.name == COMMIT
    assert ask.home in folder.parents
    assert ask("resolve('owner/model')") == str(folder)
    assert ask.downloaded() == set()
    assert ask("resolve('owner/model')", HF_HUB_OFFLINE="1") == str(folder)
    assert ask.log == []
    assert ask("resolve('owner/model', files=TOKENIZER_FILES)") == str(folder)
    assert ask.downloaded() == {"vocab.txt"}


def test_what_the_hub_refuses(ask: Asker) -> None:
    assert "neither a folder here nor a repository on the hub that you may read" in ask("resolve('owner/none')")
    assert "open only to people who accepted its terms" in ask("resolve('owner/gated')")
    said = ask("resolve('owner/model', revision='no-such-revision')")
    assert said.startswith("error: 'owner/model' at revision 'no-such-revision' does not exist on the hub")
    assert "has none of model.onnx; it has config.json" in ask("resolve('owner/model', files=['model.onnx'])")


def test_a_hub_that_does_not_answer(ask: Asker) -> None:
    """Nobody listens on this port: told at once, without the client's half minute of trying again."""
    said = ask("resolve('owner/model')", HF_ENDPOINT="http://127.0.0.1:9")
    assert said.startswith("error: 'owner/model' is not a folder here, and the hub could not be reached (Connect")
    assert "\n" not in said
