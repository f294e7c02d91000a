"""What happens to a workspace and its machine: disks that are full or read-only, moves, links, strange names."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tav.errors import VideoError
from tav.video import write_video
from tavcli.workspace.folder import Workspace

Call = Callable[..., Any]
PAGE = 4096


def refused(said: Any, *words: str) -> None:
    """One line of what is wrong and one of what to do, after whatever was said before."""
    assert said.code == 1, said
    error, hint = said.err.splitlines()[-2:]
    assert error.startswith("error: "), said.err
    assert hint.startswith("  ")
    for word in words:
        assert word in said.err, said.err


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


# --- a full disk


class Disk:
    """A small disk, and how to fill it."""

    def __init__(self, place: Path) -> None:
        self.place, self.much = place, {"files": 10_000, "bytes": 64 * 2**20}

    def leave(self, what: str, number: int) -> None:
        """Leave room for so many more files, or bytes."""
        stat = os.statvfs(self.place)
        taken = {"files": stat.f_files - stat.f_ffree, "bytes": (stat.f_blocks - stat.f_bfree) * stat.f_bsize}
        self._limit(self.much | {what: taken[what] + number})

    def enough(self) -> None:
        self._limit(self.much)

    def _limit(self, to: dict[str, int]) -> None:
        mount("-o", f"remount,size={to['bytes']},nr_inodes={to['files']}", self.place)


def own_home(home: Path) -> None:
    """Make one, where this machine is measured as it was."""
    (home / "cache").mkdir(parents=True)
    with contextlib.suppress(FileNotFoundError):
        shutil.copy(Path(os.environ["TAV_HOME"]) / "cache" / "calibration.json", home / "cache")


@pytest.fixture
def disk(tmp_path: Path, mounted: Call, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """It holds the user's own folder too."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "nr_inodes=10000", "tmpfs") as place:
        own_home(place / "home")
        monkeypatch.setenv("TAV_HOME", str(place / "home"))
        yield Disk(place)


NAMED = {
    ("edit", "files"): {"inputs.json", "steps.jsonl", "state.safetensors", "attention.safetensors", "check.json"}
    | {"cache", "partial.safetensors", "latents.safetensors", "sheet.png", "edit.toml", "made.json", "edit-0002.lock"},
    # What a stage keeps is forecast, and refused before it begins; the sheet is not.
    ("edit", "bytes"): {"sheet.png"},
    ("settings", "files"): {"tav.toml", "inputs.json", "steps.jsonl", "state.safetensors"},
}
COMMANDS = {"edit": ["edit", "a cat is skiing", "a dog is skiing"], "settings": ["tune", "--lr", "1e-5"]}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "what"), NAMED)
def test_a_disk_that_is_full_at_every_write(
    disk: Disk, tav: Call, done: Call, results: Call, settle: Call, initial: Path, name: str, what: str
) -> None:
    """There is room for a little, and for more only when the same thing fails again: so all have their turn."""
    folder = disk.place / "clip"
    shutil.copytree(initial, folder)
    settle(folder, {"invert": {"check": True}})
    whole = Path(shutil.copytree(folder, disk.place / "whole"))
    done(whole, *COMMANDS[name])
    # The measured kernels stay: another choice on a full disk would be another rounding.
    for path in (disk.place / "home" / "cache").iterdir():
        if path.name != "calibration.json":
            path.unlink() if path.is_file() else shutil.rmtree(path)
    room, failed = 0, [""]
    for _ in range(60):
        disk.leave(what, room)
        said = tav(folder, *COMMANDS[name])
        left = [path for path in disk.place.rglob("*") if path.name.startswith(".tmp-")]
        assert left == []
        if said.code == 0:
            break
        refused(said, "space")
        failed.append(said.err.splitlines()[-2])
        room += {"files": 1, "bytes": max(4096, room)}[what] if failed[-1] == failed[-2] else 0
    disk.enough()
    done(folder, *COMMANDS[name])
    assert results(folder) == results(whole)
    assert {line.split(": ")[1].rsplit("/")[-1] for line in failed[1:]} >= NAMED[name, what]


def test_a_disk_that_is_full_when_the_video_is_written(disk: Disk) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
    disk.leave("bytes", 4096)
    with pytest.raises(VideoError, match=r"video\.mp4") as refusal:
        write_video(disk.place / "video.mp4", noise, 12)
    assert refusal.value.hint
    assert [path.name for path in disk.place.iterdir()] == ["home"]


def test_a_cache_of_digests_that_cannot_be_written_stops_nothing(
    done: Call, edited: Path, tmp_path: Path, mounted: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounted(tmp_path / "home", "-t", "tmpfs", "-o", "ro", "tmpfs") as home:
        monkeypatch.setenv("TAV_HOME", str(home))
        assert "nothing to do" in done(edited, "tune").err


def test_a_full_standard_output_is_said(tav_command: list[str], edited: Path) -> None:
    with Path("/dev/full").open("w") as full:
        said = subprocess.run(
            [*tav_command, "ls"], cwd=edited, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert said.returncode == 1
    error, hint = said.stderr.splitlines()
    assert error.endswith(": No space left on device")
    assert hint


# --- a workspace that may only be read


@pytest.fixture
def read_only(tmp_path: Path, edited: Path, copy_of: Call, mounted: Call) -> Iterator[Path]:
    """As root permissions prove nothing: a mount."""
    folder = copy_of(edited)
    shutil.rmtree(folder / ".locks")
    with mounted(tmp_path / "read-only", "--bind", folder) as place:
        mount("-o", "remount,ro,bind", place)
        yield place


READING = {
    "ls": "a cat is skiing",
    "show": "# tuned: fresh",
    "show 1": "a cat is skiing",
    "tune": "nothing to do",
    "invert": "nothing to do",
    "--dry-run tune --steps 9": "would run",
    "--dry-run edit x": "would run",
    "--dry-run clean": "cache",
    "doctor": "workspace",
}


@pytest.mark.parametrize("line", READING)
def test_reading_works_where_nothing_can_be_written(done: Call, read_only: Path, line: str) -> None:
    said = done(read_only, *line.split())
    assert READING[line] in said.out + said.err


def test_what_is_made_already_is_found_where_nothing_can_be_written(done: Call, read_only: Path) -> None:
    assert "nothing to do" in done(read_only, "edit", "a cat is skiing").err


@pytest.mark.parametrize("line", ["tune --steps 9", "tune --fresh", "edit x", "invert --steps 3", "clean --yes"])
def test_writing_is_refused_in_one_line(tav: Call, read_only: Path, snapshot: Call, line: str) -> None:
    before = snapshot(read_only, all_of_it=True)
    refused(tav(read_only, "-q", *line.split()), "Read-only file system")
    assert snapshot(read_only, all_of_it=True) == before


# --- moves, changes, clocks


def test_a_workspace_that_is_moved_or_copied_is_the_same(
    done: Call, edited: Path, copy_of: Call, tmp_path: Path
) -> None:
    folder = copy_of(edited).rename(tmp_path / "another name")
    for command in (["tune"], ["invert"], ["edit", "a cat is skiing"]):
        assert "nothing to do" in done(folder, *command).err


def test_a_relative_base_means_from_the_workspace(
    tav: Call, done: Call, edited: Path, copy_of: Call, settle: Call, tiny_base: Path, tmp_path: Path
) -> None:
    folder = copy_of(edited)
    shutil.copytree(tiny_base, tmp_path / "base")
    settle(folder, {"base": "../base"})
    for place in (folder, tmp_path, tmp_path / "base" / "unet"):
        assert "nothing to do" in done(place, "-C", folder, "tune").err
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = folder.rename(elsewhere / "clip")
    refused(tav(moved, "tune"), f"no folder {moved}/../base")
    shutil.move(tmp_path / "base", elsewhere / "base")
    assert "nothing to do" in done(moved, "tune").err


def test_a_base_of_that_name_elsewhere_is_not_taken(
    tav: Call, initial: Path, copy_of: Call, settle: Call, tiny_base: Path, tmp_path: Path
) -> None:
    folder = copy_of(initial)
    settle(folder, {"base": "bases/tiny"})
    shutil.copytree(tiny_base, tmp_path / "bases" / "tiny")
    refused(tav(tmp_path, "-C", folder, "tune"), "bases/tiny is not on this machine")


def test_a_clip_that_is_gone(tav: Call, done: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    (folder / "source.mp4").unlink()
    for command in (["tune"], ["invert"], ["edit", "a dog"]):
        refused(tav(folder, "-q", *command), "the workspace's clip source.mp4 is gone", "put it back")
    assert "a cat is skiing" in done(folder, "ls").out
    assert "a cat is skiing" in done(folder, "show", "1").out
    assert "source.mp4 is gone" in done(folder, "show").err


def test_a_clip_that_changed(done: Call, edited: Path, copy_of: Call, make_clip: Call) -> None:
    folder = copy_of(edited)
    make_clip(folder / "source.mp4", 6, seed=9)
    assert "# tuned: stale, clip.source " in done(folder, "show").out
    assert "what is there is for other settings: clip.source" in done(folder, "edit", "a cat is skiing").err
    assert len(done(folder, "--json", "ls").json()) == 2


def test_a_base_that_is_gone(tav: Call, done: Call, edited: Path, copy_of: Call, settle: Call, tmp_path: Path) -> None:
    folder = copy_of(edited)
    settle(folder, {"base": str(tmp_path / "gone")})
    for command in (["tune"], ["invert"], ["edit", "a dog"], ["clean"]):
        refused(tav(folder, "-q", *command), "no folder", "gone")
    assert "a cat is skiing" in done(folder, "ls").out
    assert "it cannot be made again as things are: no folder" in done(folder, "show", "1").err
    said = done(folder, "show")
    assert "what is fresh cannot be told: no folder" in said.err
    assert "# edits: 1 done" in said.out


def test_a_base_that_changed_in_size_and_time_alike(
    done: Call, initial: Path, copy_of: Call, settle: Call, tiny_base: Path, make_tiny_base: Call, tmp_path: Path
) -> None:
    """Two bases of one kind are equally big, and archives set one time for all files."""
    folder, base = copy_of(initial), Path(shutil.copytree(tiny_base, tmp_path / "base"))
    weights = base / "unet" / "diffusion_pytorch_model.safetensors"
    other = make_tiny_base(tmp_path / "other", seed=1) / "unet" / weights.name
    settle(folder, {"base": str(base)})
    os.utime(weights, (1, 1))
    done(folder, "tune")
    assert other.stat().st_size == weights.stat().st_size
    shutil.copyfile(other, weights)
    os.utime(weights, (1, 1))
    assert "# tuned: stale, base " in done(folder, "show").out


@pytest.mark.parametrize("time", [0, 2**33])
def test_clocks_that_jump_change_nothing(done: Call, edited: Path, copy_of: Call, time: int) -> None:
    folder = copy_of(edited)
    for number, path in enumerate(sorted(folder.rglob("*"))):
        os.utime(path, (time - number, time - number) if time else (number, number))
    for command in (["tune"], ["invert"], ["edit", "a cat is skiing"]):
        assert "nothing to do" in done(folder, *command).err
    said = done(folder, "tune", "--steps", 8)
    assert "going on from step 6" in said.err


# --- links


def test_links_are_followed_and_kept(done: Call, clip: Path, tiny_base: Path, edited: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").symlink_to(clip)
    (tmp_path / "base").symlink_to(tiny_base)
    done(tmp_path, "init", "clip.mp4", "w", "--caption", "x", "--base", "base")
    folder = Path(shutil.copytree(edited, tmp_path / "real"))
    (folder / "source.mp4").rename(tmp_path / "elsewhere.mp4")
    (folder / "source.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    (folder / "tav.toml").rename(tmp_path / "elsewhere.toml")
    (folder / "tav.toml").symlink_to(tmp_path / "elsewhere.toml")
    (folder / "tuned").rename(tmp_path / "tuned")
    (folder / "tuned").symlink_to(tmp_path / "tuned")
    (tmp_path / "link").symlink_to(folder)
    assert "nothing to do" in done(tmp_path / "link", "edit", "a cat is skiing").err
    done(tmp_path, "-C", "link", "tune", "--steps", 7)
    assert (folder / "tav.toml").is_symlink()
    assert "steps = 7" in (tmp_path / "elsewhere.toml").read_text()
    assert len(list((tmp_path / "tuned").iterdir())) == 2


# --- names


NAMES = {
    "spaces and quotes": """a "b" 'c' $d; e""",
    "a newline": "a\nb",
    "a dash": "-C",
    "brackets": "[red]a[bold]",
    "no UTF-8": os.fsdecode(b"a\xffb"),
    "255 bytes": "n" * 255,
    "255 bytes, not ASCII": "\u00fc" * 127 + "n",
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_workspace_of_any_name(done: Call, clip: Path, tiny_base: Path, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / NAMES[kind]
    done(tmp_path, "init", clip, folder, "--caption", "x", "--base", tiny_base, "--precision", "fp32")
    assert {path.name for path in tmp_path.iterdir()} == {folder.name}
    Workspace(folder).remember({"invert": {"check": False}})
    for command in (["tune", "--steps", 1], ["edit", "--steps", 1, "a dog"]):
        done(tmp_path, "-C", folder, *command)
    for command in (["ls"], ["show"], ["show", "1"], ["clean"], ["doctor"]):
        done(folder, *command)


@pytest.mark.parametrize("kind", NAMES)
def test_a_clip_and_a_base_of_any_name(tav: Call, clip: Path, tiny_base: Path, tmp_path: Path, kind: str) -> None:
    name = NAMES[kind]
    source = shutil.copy(clip, tmp_path / (name if len(os.fsencode(name)) == 255 else f"{name}.mp4"))
    (tmp_path / "bases").mkdir()
    base = tmp_path / "bases" / name
    base.symlink_to(tiny_base)
    said = tav(tmp_path, "init", source, "w", "--caption", "x", "--base", base)
    assert said.code == 0, said.err
    assert Workspace(tmp_path / "w").read()["clip"]["source"] in ("source", "source.mp4")


def test_a_base_whose_name_is_no_text_is_refused(tav: Call, clip: Path, tiny_base: Path, tmp_path: Path) -> None:
    """tav.toml is UTF-8 and could not name it."""
    base = Path(shutil.copytree(tiny_base, tmp_path / os.fsdecode(b"b\xff")))
    said = tav(tmp_path, "-q", "init", clip, "w", "--caption", "x", "--base", base)
    refused(said, "base")
    assert not (tmp_path / "w").exists()


def test_bytes_of_names_are_said_as_they_are(tav_command: list[str], edited: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(edited, tmp_path / os.fsdecode(b"w\xff"))
    said = subprocess.run([*tav_command, "show"], cwd=folder, capture_output=True, check=False)
    assert said.returncode == 0, said.stderr
    assert os.fsencode(folder) in said.stdout


# --- streams and signals


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_bug(tav_command: list[str], edited: Path, closed: str) -> None:
    line = f'"$0" "$@" {closed}'
    said = subprocess.run(["sh", "-c", line, *tav_command, "ls"], cwd=edited, capture_output=True, check=False)
    assert said.returncode == 0, said.stderr
    assert said.stderr == b""


TELLS_WHEN_IT_LISTENS = """
import signal
def told(number, handler, ours=signal.signal):
    before = ours(number, handler)
    if number == signal.SIGINT:
        print(flush=True)
    return before
signal.signal = told
"""


def test_ctrl_c_while_the_program_is_being_loaded() -> None:
    """From its first line on: nothing is told but that it stopped."""
    script = f"{TELLS_WHEN_IT_LISTENS}\nfrom tavcli.__main__ import main; main()"
    for delay in (0, 0.02, 0.05, 0.1, 0.2):
        child = subprocess.Popen(
            [sys.executable, "-c", script, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        child.stdout.readline()
        time.sleep(delay)  # a moment: any will do
        child.send_signal(signal.SIGINT)
        _, err = child.communicate()
        assert child.returncode in (0, 130)
        assert err in ("", "interrupted\n", "interrupted\n  the same command goes on where it was\n")
