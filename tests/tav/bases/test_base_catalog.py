"""Finding bases on this machine, and fetching one from a hub: a small real server on 127.0.0.1, the real client."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tav.bases import cached_bases, inspect_base, resolve
from tav.errors import BaseModelError

COMMIT = "c0ffee" + "0" * 34


def in_cache(cache: Path, name: str, base: Path) -> Path:
    """Lay `base` out as the hub client would for `name`; the snapshot's folder."""
    repo = cache / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / COMMIT
    shutil.copytree(base, snapshot)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    return snapshot


@pytest.fixture
def hub_cache(home_guard: Path) -> Iterator[Path]:
    cache = Path(os.environ["HF_HOME"]) / "hub"
    assert cache.is_relative_to(home_guard)
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir()
    yield cache
    shutil.rmtree(cache)


def refusal(name: str) -> BaseModelError:
    with pytest.raises(BaseModelError) as caught:
        resolve(name)
    return caught.value


def test_a_folder_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "org" / "name"
    folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("org/name", "./org/name", str(folder), "~/org/name", "link"):
        assert resolve(name) == folder.resolve()


@pytest.mark.parametrize(
    "name", ["./a/b", "../b", "/a/b", "~/b", "~nobody-here/b", "a", "a/b/c", "", "a/b c", "a/..", "a/"]
)
def test_what_looks_like_a_path_is_no_hub_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if not name:
        assert resolve(name) == tmp_path.resolve()
        return
    error = refusal(name)
    assert error.message.startswith("no folder")
    assert "unet" in error.hint


@pytest.mark.usefixtures("hub_cache")
def test_a_hub_name_that_is_not_here() -> None:
    error = refusal("org/name")
    assert error.message == "base org/name is not on this machine"
    assert "tav bases fetch org/name" in error.hint


def test_a_cached_base(hub_cache: Path, tiny_base: Path) -> None:
    snapshot = in_cache(hub_cache, "org/tiny", tiny_base)
    in_cache(hub_cache, "org/words", tiny_base / "text_encoder")
    assert resolve("org/tiny") == snapshot.resolve()
    (base,) = cached_bases()
    assert (base.name, base.path) == ("org/tiny", snapshot)
    assert base.size > sum(path.stat().st_size for path in (tiny_base / "unet").iterdir())


def test_no_cache_is_an_empty_cache(hub_cache: Path) -> None:
    assert cached_bases() == []
    hub_cache.rmdir()
    assert cached_bases() == []
    hub_cache.write_text("not a folder")
    assert cached_bases() == []
    hub_cache.unlink()
    hub_cache.mkdir()


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's HTTP interface as its client needs for public, gated, missing and damaged repositories."""

    protocol_version = "HTTP/1.1"
    root: Path
    sent: list[str]

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, body: bool) -> None:
        path = self.path.split("?")[0]
        name = "/".join(path.removeprefix("/api/models").strip("/").split("/")[:2])
        if name == "org/gated":
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"}, body)
        elif name == "org/broken":
            self._send(500, b"{}", {}, body)
        elif not (self.root / name).is_dir():
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
        elif path.startswith("/api/"):
            listing = self._tree(name) if f"/{name}/tree/" in path else self._info(name)
            self._send(200, json.dumps(listing).encode(), {"Content-Type": "application/json"}, body)
        else:
            self._file(name, path.split(f"/resolve/{COMMIT}/")[1], body)

    def _file(self, name: str, file: str, body: bool) -> None:
        content = (self.root / name / file).read_bytes()
        if body:
            self.sent.append(file)
        self._send(200, content, {"ETag": f'"{sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}, body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for header, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(header, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _files(self, name: str) -> dict[str, bytes]:
        folder = self.root / name
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }

    def _info(self, name: str) -> dict[str, Any]:
        siblings = [{"rfilename": file, "size": len(content)} for file, content in self._files(name).items()]
        card = {"license": "creativeml-openrail-m"}
        return {"id": name, "sha": COMMIT, "siblings": siblings, "cardData": card, "tags": [], "private": False}

    def _tree(self, name: str) -> list[dict[str, Any]]:
        return [
            {"type": "file", "path": file, "size": len(content), "oid": sha1(content).hexdigest()}
            for file, content in self._files(name).items()
        ]


@pytest.fixture(scope="module")
def hub(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    root = tmp_path_factory.mktemp("hub")
    repository = Path(shutil.copytree(tiny_base, root / "org" / "tiny"))
    full = repository / "unet" / "diffusion_pytorch_model.safetensors"
    half = {name: tensor.half() for name, tensor in load_file(full).items()}
    save_file(half, full.with_name("diffusion_pytorch_model.fp16.safetensors"))
    shutil.copytree(repository / "vae", repository / "safety_checker")
    (repository / "v1-5-pruned.ckpt").write_bytes(b"single file")
    shutil.copytree(tiny_base / "text_encoder", root / "org" / "words")
    handler = type("ThisHub", (Hub,), {"root": root, "sent": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler.sent
    server.shutdown()
    server.server_close()


def client(endpoint: str, home: Path, code: str, offline: str = "0") -> Any:
    """Run `code` in a process whose hub is at `endpoint` and whose hub cache is in `home`; what it puts in `out`."""
    start = "import json, sys\nfrom tav.bases.catalog import *\nfrom tav.errors import BaseModelError\nout = None\n"
    end = "\nprint(json.dumps(out))"
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": offline, "HF_HUB_DISABLE_XET": "1"}
    environment["HF_HUB_DISABLE_TELEMETRY"] = "1"
    done = subprocess.run([sys.executable, "-c", start + code + end], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_fetching(hub: tuple[str, list[str]], tmp_path: Path, tiny_base: Path) -> None:
    endpoint, sent = hub
    plan = "plan = plan_fetch('org/tiny')\nout = [plan.files, plan.total, plan.licence]"
    files, total, licence = client(endpoint, tmp_path, plan)
    names = [name for name, _ in files]
    assert sent == [], "a plan downloads nothing"
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in names
    for unwanted in ("safety_checker", ".ckpt", "unet/diffusion_pytorch_model.safetensors"):
        assert not [name for name in names if unwanted in name]
    assert total == sum(size for _, size in files)
    assert licence == "creativeml-openrail-m"

    fetched = "out = [str(fetch(plan_fetch('org/tiny'))), str(resolve('org/tiny')), [b.name for b in cached_bases()]]"
    folder, resolved, cached = client(endpoint, tmp_path, fetched)
    assert sorted(sent) == sorted(names)
    assert (folder, cached) == (resolved, ["org/tiny"])
    parts = inspect_base(Path(folder))
    assert [path.name for path in parts.unet.weights.files] == ["diffusion_pytorch_model.fp16.safetensors"]
    assert (Path(folder) / "vae" / "config.json").read_bytes() == (tiny_base / "vae" / "config.json").read_bytes()

    sent.clear()
    assert client(endpoint, tmp_path, "out = str(resolve('org/tiny'))", offline="1") == folder
    assert client(endpoint, tmp_path, fetched)[0] == folder
    assert sent == [], "what is there is not downloaded again"


def test_what_cannot_be_fetched(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    code = """
out = []
for name in ("org/gated", "org/nowhere", "org/words", "org/broken", "name"):
    try:
        plan_fetch(name)
    except BaseModelError as error:
        out.append([error.message, error.hint])
"""
    gated, nowhere, words, broken, name = client(hub[0], tmp_path, code)
    assert gated[0] == "org/gated is gated"
    assert "huggingface.co/org/gated" in gated[1]
    assert nowhere[0] == "the hub has no public base org/nowhere"
    assert words[0].startswith("org/words is not a diffusers base: it has no unet/config.json")
    assert broken[0].startswith("cannot fetch org/broken: ")
    assert name[0] == "`name` is not the name of a hub repository"


def test_no_network_and_offline_mode(tmp_path: Path) -> None:
    code = """
out = []
for action in (lambda: plan_fetch("org/tiny"), lambda: fetch(FetchPlan("org/tiny", (("unet/config.json", 1),), "?"))):
    try:
        action()
    except BaseModelError as error:
        out.append([error.message, error.hint])
"""
    for offline in ("0", "1"):
        errors = client("http://127.0.0.1:9", tmp_path, code, offline)
        assert [message.split(":")[0] for message, _ in errors] == ["cannot fetch org/tiny"] * 2
        assert all(hint and "\n" not in message for message, hint in errors)
    assert errors[0][0].endswith("offline mode is on")
