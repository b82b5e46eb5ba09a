"""Names on the hub, without the hub: the listing and the downloads are played by a stand-in or the cache."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

huggingface_hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub comes with the core install")
from huggingface_hub import constants, errors  # noqa: E402

from minibert.checkpoint import CONFIG_FILES, TOKENIZER_FILES, WEIGHT_FILES, CheckpointError, resolve  # noqa: E402

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = CONFIG_FILES + WEIGHT_FILES


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and a hub that must not be asked unless a test says so."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


class Hub:
    """A stand-in for the hub with one repository, `files`: name -> content. Remembers what was downloaded."""

    def __init__(self, cache: Path, files: dict[str, str], error: Exception | None) -> None:
        self.cache, self.files, self.error = cache, files, error
        self.downloaded: list[tuple[str, str | None]] = []

    def model_info(self, name: str, **options: Any) -> Any:
        assert options["timeout"] <= 10
        if self.error is not None:
            raise self.error
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=file) for file in self.files])

    def download(self, name: str, file: str, *, revision: str | None = None, **_: Any) -> str:
        self.downloaded.append((file, revision))
        return str(put(self.cache, name, {file: self.files[file]}) / file)


def put(cache: Path, name: str, files: dict[str, str]) -> Path:
    """Files in the cache as huggingface_hub keeps them."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True, exist_ok=True)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for file, content in files.items():
        (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / file).write_text(content)
    return snapshot


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Hub]]:
    def make(files: dict[str, str] | None = None, error: Exception | None = None) -> Hub:
        made = Hub(cache, files or {}, error)
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: made)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", made.download)
        return made

    return make


def test_a_folder_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(tmp_path) == tmp_path
    assert resolve(str(tmp_path)) == tmp_path
    monkeypatch.chdir(tmp_path.parent)
    assert resolve(tmp_path.name) == Path(tmp_path.name)
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert resolve(f"~/{tmp_path.name}") == tmp_path


@pytest.mark.parametrize("name", ["./nowhere", "../nowhere", "/nowhere/model", "a/b/c", "~/nowhere-at-all", "nowhere/"])
def test_a_path_that_is_not_there(name: str) -> None:
    """Names that can only be paths are not looked for on the hub."""
    with pytest.raises(CheckpointError, match="there is no folder"):
        resolve(name)
    with pytest.raises(CheckpointError, match="there is no folder"):
        resolve(Path("surely/nowhere"))


@pytest.mark.parametrize("name", ["n" * 5000, "~nobody-of-that-name/model"])
def test_what_the_system_refuses_as_a_path(name: str) -> None:
    with pytest.raises(CheckpointError, match="is no usable path"):
        resolve(name)


def test_no_name_at_all() -> None:
    with pytest.raises(CheckpointError, match="is empty; expected a folder or a hub name"):
        resolve("")


def test_a_file_instead_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match="is a file; expected the folder"):
        resolve(tmp_path / "model.safetensors")


EVERYTHING = {
    name: "{}"
    for name in (*MODEL, *TOKENIZER_FILES, "tf_model.h5", "flax_model.msgpack", "README.md", "model.onnx")
    if not name.endswith("index.json")
}


def test_only_what_is_needed_is_fetched_and_safetensors_first(hub: Callable[..., Hub]) -> None:
    there = hub(EVERYTHING)
    folder = resolve("owner/model", files=MODEL)
    assert {name for name, _ in there.downloaded} == {"config.json", "model.safetensors"}
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    resolve("owner/model", files=TOKENIZER_FILES)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["config.json", "model.safetensors", *TOKENIZER_FILES]
    )


def test_the_bin_only_when_there_is_nothing_better(hub: Callable[..., Hub]) -> None:
    there = hub({"config.json": "{}", "pytorch_model.bin": "", "tf_model.h5": ""})
    resolve("owner/model", files=MODEL)
    assert {name for name, _ in there.downloaded} == {"config.json", "pytorch_model.bin"}


def test_an_index_brings_its_shards(hub: Callable[..., Hub]) -> None:
    index = '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'
    shards = {f"model-0000{i}-of-00002.safetensors": "" for i in (1, 2)}
    there = hub({"config.json": "{}", "model.safetensors.index.json": index, **shards, "pytorch_model.bin": ""})
    resolve("owner/model", files=MODEL)
    assert {name for name, _ in there.downloaded} == {"config.json", "model.safetensors.index.json", *shards}


def test_all_files_come_from_one_commit(hub: Callable[..., Hub]) -> None:
    """The first is asked for by the branch (so that the cache learns where it points), the others by its commit."""
    there = hub(EVERYTHING)
    resolve("owner/model", files=MODEL, revision="main")
    assert there.downloaded[0] == ("config.json", "main")
    assert {revision for _, revision in there.downloaded[1:]} == {COMMIT}


def test_a_repository_without_anything_of_use(hub: Callable[..., Hub]) -> None:
    hub({"README.md": "", "model.gguf": ""})
    with pytest.raises(
        CheckpointError, match=r"'owner/model' on the hub has none of config\.json; it has README\.md, model\.gguf"
    ):
        resolve("owner/model", files=CONFIG_FILES)


def _http(kind: type[Exception], status: int) -> Exception:
    """One of the client's errors, made without its HTTP library, which changes between versions."""
    error = kind.__new__(kind)
    Exception.__init__(error, f"{status} Client Error\n\nfor url: https://huggingface.co/...")
    error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
    return error


FAILURES = [
    (_http(errors.RepositoryNotFoundError, 404), "neither a folder here nor a repository on the hub .*hf auth login"),
    (_http(errors.GatedRepoError, 403), "open only to people who accepted its terms"),
    (_http(errors.RevisionNotFoundError, 404), "does not exist on the hub, though the repository does"),
    (_http(errors.HfHubHTTPError, 401), "was refused by the hub .401."),
    (_http(errors.HfHubHTTPError, 503), "hub could not be reached .*503"),
    (
        ConnectionError("Name or service\nnot known"),
        "hub could not be reached .ConnectionError: Name or service not known",
    ),
    (errors.HFValidationError("Repo id must ..."), "nor a possible hub name"),
    (_http(errors.HfHubHTTPError, 403), "was refused by the hub .403.; check your login .* or pass token="),
    (_http(errors.HfHubHTTPError, 407), "was refused by the hub .407.; the proxy wants a login"),
    (_http(errors.HfHubHTTPError, 429), "was refused by the hub .429.; too many requests: wait"),
    (_http(errors.HfHubHTTPError, 500), "the server has a fault: try again later"),
    (ConnectionError("CERTIFICATE_VERIFY_FAILED"), "its TLS certificate is not trusted here: set SSL_CERT_FILE"),
    (ConnectionError("Cannot connect to proxy."), "check the proxy .HTTPS_PROXY, NO_PROXY."),
    (TimeoutError("The read operation timed out"), "did not answer in time: check the network and try again"),
    (OSError(28, "No space left on device", "/cache/x"), "could not be stored in the hub's cache: .*; make room"),
    (errors.EntryNotFoundError.__new__(errors.EntryNotFoundError), "is missing, though the repository lists it"),
]


@pytest.mark.parametrize(
    ("error", "message"), FAILURES, ids=[type(error).__name__ + str(i) for i, (error, _) in enumerate(FAILURES)]
)
def test_every_failure_is_one_clear_line(hub: Callable[..., Hub], error: Exception, message: str) -> None:
    hub(error=error)
    with pytest.raises(CheckpointError, match=message) as caught:
        resolve("owner/model", files=MODEL, revision="v2")
    assert "'owner/model'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["config.json", "tf_model.h5"], r"no weights .*found config\.json, tf_model\.h5; .*TensorFlow"),
        (["README.md", "inner/config.json", "inner/model.safetensors"], "no weights .*pass subfolder='inner'"),
        (["inner/config.json"], "no weights that minibert reads: expected .*, found no files at all"),
    ],
)
def test_a_repository_without_weights(hub: Callable[..., Hub], files: list[str], message: str) -> None:
    there = hub(dict.fromkeys(files, "{}"))
    with pytest.raises(CheckpointError, match=message):
        resolve("owner/model", files=MODEL)
    assert there.downloaded == []


def test_a_subfolder_of_a_repository(hub: Callable[..., Hub], cache: Path) -> None:
    index = '{"weight_map": {"a": "model-00001-of-00001.safetensors"}}'
    inner = {"config.json": "{}", "model.safetensors.index.json": index, "model-00001-of-00001.safetensors": ""}
    there = hub({"config.json": "{}", "model.safetensors": "", **{f"a/b/{name}": text for name, text in inner.items()}})
    folder = resolve("owner/model", files=MODEL, subfolder="a/b", force_download=True)
    assert there.downloaded == [
        ("a/b/config.json", None),
        ("a/b/model.safetensors.index.json", COMMIT),
        ("a/b/model-00001-of-00001.safetensors", COMMIT),
    ]
    assert {path.name for path in folder.iterdir()} == set(inner)
    assert resolve("owner/model", files=MODEL, subfolder="a/b/", local_files_only=True) == folder
    with pytest.raises(CheckpointError, match=r"\(subfolder 'c'\) on the hub: there is no such subfolder"):
        resolve("owner/model", files=MODEL, subfolder="c")
    with pytest.raises(CheckpointError, match="nor in the hub's cache"):
        resolve("owner/model", files=MODEL, subfolder="c", local_files_only=True)
    with pytest.raises(CheckpointError, match="nothing may be downloaded"):
        resolve("owner/model", files=MODEL, local_files_only=True, force_download=True)


def test_an_index_that_names_shards_that_are_not_there(hub: Callable[..., Hub]) -> None:
    index = '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'
    hub({"config.json": "{}", "model.safetensors.index.json": index, "model-00001-of-00002.safetensors": ""})
    with pytest.raises(CheckpointError, match=r"lacks 1 of the 2 shards .*: model-00002-of-00002\.safetensors"):
        resolve("owner/model", files=MODEL)


def test_the_token_reaches_the_hub(hub: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    there, seen = hub(EVERYTHING), []
    monkeypatch.setattr(there, "model_info", lambda *_, **o: seen.append(o["token"]) or Hub.model_info(there, *_, **o))
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda *_, **o: seen.append(o["token"]) or there.download(*_, **o)
    )
    resolve("owner/model", files=CONFIG_FILES, token="hf_x")
    resolve("owner/model", files=CONFIG_FILES, token=False)
    assert seen == ["hf_x", "hf_x", False, False]


def test_what_is_cached_needs_no_network(hub: Callable[..., Hub], cache: Path) -> None:
    snapshot = put(cache, "owner/model", {"config.json": "{}", "model.safetensors": ""})
    hub(error=ConnectionError("down"))
    assert resolve("owner/model", files=MODEL) == snapshot
    with pytest.raises(CheckpointError, match="could not be reached"):
        resolve("owner/model", files=TOKENIZER_FILES)


def test_a_download_that_breaks_off(hub: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    hub(EVERYTHING)

    def broken(*_: Any, **__: Any) -> str:
        raise ConnectionError("reset by peer")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", broken)
    with pytest.raises(CheckpointError, match=r"config\.json of 'owner/model' .*reset by peer"):
        resolve("owner/model", files=MODEL)


@pytest.mark.parametrize("how", ["option", "environment"])
def test_offline(cache: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("the hub was asked in spite of offline mode")

    monkeypatch.setattr(huggingface_hub, "HfApi", asked)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", asked)
    if how == "environment":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    offline = how == "option"
    with pytest.raises(CheckpointError, match=r"neither a folder here nor in the hub's cache.*HF_HUB_OFFLINE"):
        resolve("owner/model", files=MODEL, local_files_only=offline)
    snapshot = put(cache, "owner/model", {"config.json": "{}"})
    with pytest.raises(CheckpointError, match="nor in the hub's cache"):  # a config without weights is not enough
        resolve("owner/model", files=MODEL, local_files_only=offline)
    put(cache, "owner/model", {"pytorch_model.bin": ""})
    assert resolve("owner/model", files=MODEL, local_files_only=offline) == snapshot
    with pytest.raises(CheckpointError, match="nor a possible hub name"):
        resolve("owner model", files=MODEL, local_files_only=offline)


def test_offline_with_a_shard_missing(cache: Path) -> None:
    index = '{"weight_map": {"a": "model-00001-of-00001.safetensors"}}'
    put(cache, "owner/model", {"config.json": "{}", "model.safetensors.index.json": index})
    with pytest.raises(CheckpointError, match=r"shard model-00001-of-00001\.safetensors is not in the cache"):
        resolve("owner/model", files=MODEL, local_files_only=True)


def test_another_cache_folder(tmp_path: Path, cache: Path) -> None:
    snapshot = put(tmp_path / "elsewhere", "owner/model", {"config.json": "{}", "model.safetensors": ""})
    assert resolve("owner/model", files=MODEL, cache_dir=tmp_path / "elsewhere", local_files_only=True) == snapshot


def test_the_environment_s_offline_mode_and_home(tmp_path: Path) -> None:
    """In a process of its own, because huggingface_hub reads its environment once."""
    snapshot = put(tmp_path / "home" / "hub", "owner/model", {"config.json": "{}", "model.safetensors": ""})
    code = "from minibert.checkpoint import resolve; print(resolve('owner/model')); resolve('owner/other')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == str(snapshot)
    assert (
        done.stderr.strip().splitlines()[-1].startswith("minibert.checkpoint.errors.CheckpointError: 'owner/other' is")
    )
