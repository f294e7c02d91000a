"""Finding bases in the package, in folders and in the local hub cache, and downloading them. No torch.

Only `plan_fetch` and `fetch` use the network; they are called only when a user asks for it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tav.bases.embedded import EMBEDDED, embedded_folder
from tav.bases.weight_files import STEMS, choose_download
from tav.errors import BaseModelError

_WHAT_A_BASE_IS = (
    "a base is a diffusers Stable Diffusion folder (unet, vae, text_encoder, tokenizer, scheduler) or org/name"
)
_HUB_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,47}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}(?<![.-])")
_SMALL_FILES = (
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "scheduler/scheduler_config.json",
    "tokenizer/tokenizer.json",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json",
    "tokenizer/special_tokens_map.json",
    "tokenizer/added_tokens.json",
    "tav.json",
    "lexicon.json",
)


@dataclass(frozen=True)
class CachedBase:
    """A base in the local hub cache; `size` in bytes on disk, over all its versions."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True)
class FetchPlan:
    """What fetching `name` downloads: files (name, bytes), and the licence that the repository declares."""

    name: str
    files: tuple[tuple[str, int], ...]
    licence: str

    @property
    def total(self) -> int:
        return sum(size for _, size in self.files)


def resolve(name_or_path: str, start: Path = Path()) -> Path:
    """The absolute folder of a base: the embedded one by its name, an existing folder, else one in the hub cache.

    A relative path is relative to `start`; `./storybook` is a folder that has the embedded base's name. Raises
    BaseModelError if there is no such base. Never downloads.
    """
    if name_or_path == EMBEDDED:
        return embedded_folder()
    folder = start / _expanded(name_or_path)
    if folder.is_dir():
        return folder.resolve()
    if not _is_hub_name(name_or_path):
        raise BaseModelError(f"no folder {folder}", _WHAT_A_BASE_IS)
    found = _in_cache(name_or_path)
    if found is None:
        raise BaseModelError(
            f"base {name_or_path} is not on this machine",
            f"`tav bases fetch {name_or_path}` downloads it (shows size and licence and asks first)",
        )
    return found.resolve()


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # ~name of a user who does not exist
        return Path(path)


def _is_hub_name(name: str) -> bool:
    return _HUB_NAME.fullmatch(name) is not None and "--" not in name and ".." not in name


def _in_cache(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    # A fetched base has only some files, which the client would call incomplete; the preflight checks it instead.
    try:
        return Path(snapshot_download(name, local_files_only=True, allow_patterns=["unet/config.json"]))
    except (LocalEntryNotFoundError, FileNotFoundError):
        return None


def cached_bases() -> list[CachedBase]:
    """The repositories with a UNet in the local hub cache, by name; an absent or broken cache holds none."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except (CacheNotFound, OSError, ValueError):
        return []
    bases = [CachedBase(repo.repo_id, path, repo.size_on_disk) for repo in repos if (path := _unet_snapshot(repo))]
    return sorted(bases, key=lambda base: base.name)


def _unet_snapshot(repo: Any) -> Path | None:
    """The snapshot that `resolve` would give, if it holds a UNet."""
    current = repo.refs.get("main")
    if repo.repo_type != "model" or current is None:
        return None
    snapshot = Path(current.snapshot_path)
    return snapshot if (snapshot / "unet" / "config.json").is_file() else None


def plan_fetch(name: str) -> FetchPlan:
    """The files that fetching `name` would download; the hub is asked.

    Raises BaseModelError if the hub does not answer, or has no such base.
    """
    from huggingface_hub import HfApi

    if not _is_hub_name(name):
        raise BaseModelError(f"`{name}` is not the name of a hub repository", "names look like org/name")
    with _hub_errors(name):
        info = HfApi().model_info(name, files_metadata=True, timeout=30)
    sizes = {file.rfilename: int(file.size or 0) for file in info.siblings or []}
    chosen = _needed(name, sizes)
    return FetchPlan(name, tuple((file, sizes[file]) for file in chosen), _licence(info))


def fetch(plan: FetchPlan) -> Path:
    """Download the files of `plan` into the local hub cache and return the folder; cached files are kept.

    The hub client draws its progress bars on stderr. Raises BaseModelError.
    """
    from huggingface_hub import snapshot_download

    with _hub_errors(plan.name):
        return Path(snapshot_download(plan.name, allow_patterns=[name for name, _ in plan.files])).resolve()


def _needed(name: str, available: dict[str, int]) -> list[str]:
    chosen = [file for file in _SMALL_FILES if file in available]
    lacking = [f"{part}/config.json" for part in STEMS if f"{part}/config.json" not in available]
    for part in STEMS:
        weights = choose_download(available, part)
        lacking += [] if weights else [f"{part} weights"]
        chosen += weights
    if lacking:
        raise BaseModelError(f"{name} is not a diffusers base: it has no {', '.join(lacking)}", _WHAT_A_BASE_IS)
    return chosen


def _licence(info: Any) -> str:
    card = info.card_data
    for name in ("license_name", "license"):
        if card is not None and card.get(name):
            return str(card.get(name))
    tags = [tag.removeprefix("license:") for tag in info.tags or [] if tag.startswith("license:")]
    return tags[0] if tags else "not declared"


@contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    """Turn any error of the hub client into a BaseModelError."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise BaseModelError(
            f"{name} is gated", f"accept its licence at https://huggingface.co/{name}, then log in with `hf auth login`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise BaseModelError(
            f"the hub has no public base {name}", "check the spelling; private ones need a login"
        ) from None
    except errors.OfflineModeIsEnabled:
        raise BaseModelError(f"cannot fetch {name}: offline mode is on", "unset HF_HUB_OFFLINE") from None
    # The errors of the client's HTTP library are not documented.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BaseModelError(f"cannot fetch {name}: {reason}", "check the network connection and try again") from None
