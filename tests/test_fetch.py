"""`sopi models --get`, from a web server of this machine that speaks https."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sopilib import Config, Model, checkpoint
from sopilib.cli import fetch, main


class Shelf(BaseHTTPRequestHandler):
    """Hands out what `files` has, and leads `/elsewhere...` to an address without https."""

    files: dict[str, bytes] = {}

    def do_GET(self) -> None:
        if self.path.startswith("/elsewhere"):
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/mine.safetensors")
            self.end_headers()
            return
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/mine.safetensors")
            self.end_headers()
            return
        content = self.files.get(self.path)
        self.send_response(404 if content is None else 200)
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    made = Model.random(Config(frame_sizes=[4, 16], dim=16, mlp_dim=16))
    made.about["licence"] = "CC0-1.0\x1b[31m: take it"
    path = tmp_path_factory.mktemp("model") / "mine.safetensors"
    checkpoint.save(made, path)
    return path.read_bytes()


@pytest.fixture
def shelf(model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The server's address; models are fetched into tmp_path/models."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("SOPI_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("no_proxy", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    Shelf.files = {
        "/mine.safetensors": model,
        "/junk.safetensors": b"junk" * 99,
    }
    with ThreadingHTTPServer(("127.0.0.1", 0), Shelf) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://localhost:{server.server_address[1]}"
        server.shutdown()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def kept(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "models").rglob("*") if path.is_file()]


def test_a_model_of_the_right_hash_is_kept_and_said_what_it_is(
    shelf: str, model: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("/mine.safetensors", "/moved/other.safetensors"):
        assert main(["models", "--get", f"{shelf}{path}#sha256={digest(model)}"]) == 0
    said = capsys.readouterr().out
    assert "licence: CC0-1.0?[31m: take it" in said, "no control character of a file reaches the terminal"
    assert [path.read_bytes() for path in kept(tmp_path)] == [model, model]
    assert main(["models"]) == 0
    assert "mine " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("{shelf}/mine.safetensors#sha256=" + 64 * "0", "it is another file"),
        ("{shelf}/mine.safetensors", "not kept; if that hash is right"),
        ("{shelf}/mine.safetensors#md5=1", "expected sha256="),
        ("{shelf}/mine.ckpt#sha256={hash}", "NAME.safetensors"),
        ("{shelf}/nothing.safetensors#sha256={hash}", "Not Found"),
        ("{shelf}/elsewhere/mine.safetensors#sha256={hash}", "begins with https://"),
        ("http://localhost/mine.safetensors#sha256={hash}", "begins with https://"),
        ("file:///etc/mine.safetensors#sha256={hash}", "begins with https://"),
        ("{shelf}/junk.safetensors#sha256={junk}", "junk.safetensors"),
    ],
)
def test_what_is_not_as_it_should_be_is_not_kept(
    address: str, why: str, shelf: str, model: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = address.format(shelf=shelf, hash=digest(model), junk=digest(b"junk" * 99))
    assert main(["models", "--get", full]) == 1
    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1
    assert kept(tmp_path) == []


def test_a_file_that_is_there_is_never_replaced_nor_one_that_is_too_large_fetched(
    shelf: str, model: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "LARGEST", 1000)
    assert main(["models", "--get", f"{shelf}/mine.safetensors#sha256={digest(model)}"]) == 1
    assert "which no model has" in capsys.readouterr().err
    mine = tmp_path / "models" / "mine" / "mine.safetensors"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert main(["models", "--get", f"{shelf}/mine.safetensors#sha256={digest(model)}"]) == 1
    assert "there is such a file already" in capsys.readouterr().err
    assert mine.read_text() == "mine"


def test_a_name_has_no_way_out_of_the_folder() -> None:
    assert fetch._name("https://x/..%2F..%2Fbad name%00.safetensors") == "bad-name"
    assert fetch._name("https://x/a/.hidden.safetensors?key=1") == "hidden"
