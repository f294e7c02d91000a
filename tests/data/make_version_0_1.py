"""Makes `version-0.1/`: a home, bases and workspaces as tav 0.1 left them on disk, for tests/tavcli/test_old_data.py.

    git worktree add /tmp/base 52d5fdd
    python tests/data/make_version_0_1.py make /tmp/base         # how it was made; never again by later code
    python tests/data/make_version_0_1.py compare /tmp/base .    # do these two trees do the same, bit for bit?

Every command runs in processes of the tree that is named, whatever is installed. The data are small (a random base of
few channels in half precision, six frames of 32x32, sheets made smaller), and those of no machine: bases are named
relative to the workspace, caches and locks are gone, host names and process numbers are made up.

`compare` lets OLD and NEW each make the data from nothing, and each take the copies of `version-0.1/` as far as they
go: tune on, end interrupted edits, drain the queues, make edits again. Then it compares all files, but for the moments
and processes they name. Both use the attention kernels that OLD has measured. It exits with 1 where a file differs.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tomlkit
from safetensors import safe_open

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from frames import frames_of  # noqa: E402
from waiting import wait_for  # noqa: E402

DATA = Path(__file__).with_name("version-0.1")
TOKENIZER = TESTS / "golden" / "sd1" / "base"
CAPTION = "a man is skiing"
SAVED_AT = 50  # steps between two saves: what is killed then has so many done
LONG = str(SAVED_AT + 10)
# What commands say of a path in the data begins with this instead.
ROOT = "<root>"
# In JSON files, what is of one run alone.
MOMENTS = {"date", "sampling_seconds", "queued", "began", "took", "seconds", "worker"}
NOT_COMPARED = {"queue.sqlite", ".queue", ".locks", "said.json"}

DRIVER = """
import contextlib, io, json, os, sys
import tavcli
assert os.path.dirname(os.path.dirname(os.path.abspath(tavcli.__file__))) == os.environ["PYTHONPATH"], tavcli.__file__
from tavcli.app import run
said = []
for folder, arguments in json.load(sys.stdin):
    os.chdir(folder)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    said.append((code, out.getvalue(), err.getvalue()))
json.dump(said, sys.stdout)
"""
COMMAND = "from tavcli.app import main; main()"
# What no command does, the screens do so.
SCREENS = """
from pathlib import Path
from tavcli.marks import Marks, write_marks
from tavcli.queue import Queue
from tavcli.trash import throw_away
from tavcli.workspace import Workspace
write_marks(Path("edits/0001-a-cat-is-skiing"), Marks(True, ("best", "snow")))
write_marks(Path("edits/0002-a-spider-is-skiing"), Marks(False, ("blue-ish",)))
throw_away(Queue(Workspace(Path.cwd())), "5")
"""


class Said(NamedTuple):
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


class Tav(NamedTuple):
    """The code in `tree` at work in the folder `root`, which has bases, workspaces and the user's home."""

    tree: Path
    root: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        own = {"PYTHONPATH": str(self.tree), "TAV_HOME": str(self.root / "home"), "HOME": str(self.root / "home")}
        return {**kept, **threads, **own, "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}

    def python(self, code: str, folder: str = ".", **more: Any) -> "subprocess.Popen[str]":
        """A process of that tree."""
        command, streams = [sys.executable, "-c", code], {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return subprocess.Popen(command, cwd=self.root / folder, env=self.environment, text=True, **streams)

    def says(self, folder: str, *commands: list[str]) -> list[Said]:
        """The commands one after the other, in one process."""
        asked = json.dumps([[str(self.root / folder), command] for command in commands])
        child = self.python(DRIVER, stdin=subprocess.PIPE)
        out, err = child.communicate(asked)
        assert child.returncode == 0, err
        return [Said(*one) for one in json.loads(out)]

    def does(self, folder: str, *commands: list[str], fails: bool = False) -> list[Said]:
        """The same, for what has to succeed (or, with `fails`, not to)."""
        said = self.says(folder, *commands)
        for command, one in zip(commands, said, strict=True):
            assert one.code == int(fails), (self.tree, folder, command, one.err)
        return said

    def is_killed(self, folder: str, command: list[str], saved: str) -> None:
        """The command, killed when its first save, a file like `saved`, is there."""
        kept = shutil.copytree(self.root / folder, self.root / ".kept")
        while True:
            child = self.python(f"import sys; sys.argv[1:] = {command!r}; {COMMAND}", folder)
            (file,) = wait_for(lambda: list((self.root / folder).glob(saved)), child)
            child.send_signal(signal.SIGKILL)
            child.communicate()
            left = list((self.root / folder).rglob(".tmp-*"))
            if steps_in(file) == SAVED_AT and not left and not (file.parent / "video.mp4").exists():
                break
            shutil.rmtree(self.root / folder)  # too late, or just while it was writing
            shutil.copytree(kept, self.root / folder)
        shutil.rmtree(kept)


def steps_in(file: Path) -> int:
    """How far the run is that was saved here."""
    if not file.is_file():
        return -1
    with safe_open(file, "pt") as opened:
        (text,) = opened.metadata().values()
    provenance = json.loads(text)["provenance"]
    return int(provenance.get("done", provenance.get("step", -1)))


# Bases and clip -------------------------------------------------------------------------------------------------------


def build_base(folder: Path, seed: int) -> None:
    """A random base as small as one can be: latents 4x8x8, text 77x8."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=2,
    )
    vae = AutoencoderKL(
        block_out_channels=(4, 4, 8),
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=4,
        sample_size=32,
    )
    with torch.no_grad():
        vae.decoder.conv_out.weight *= 2  # else all pictures are grey
    vocabulary = json.loads((TOKENIZER / "tokenizer" / "vocab.json").read_text())
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocabulary),
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            bos_token_id=vocabulary["<|startoftext|>"],
            eos_token_id=vocabulary["<|endoftext|>"],
        )
    )
    for name, network in {"unet": unet, "vae": vae, "text_encoder": text}.items():
        network.half().save_pretrained(folder / name)
    for name in ("tokenizer", "scheduler"):
        shutil.copytree(TOKENIZER / name, folder / name)


def build_clip(folder: Path) -> None:
    """Six frames of 40x32, as pictures and as an MP4."""
    import imageio_ffmpeg
    from PIL import Image

    y, x = np.mgrid[:32, :40]
    folder.mkdir(parents=True)
    for k in range(6):
        moving = np.stack([8 * x + 20 * k, 8 * y, 40 * k + 0 * x], axis=-1) % 256
        Image.fromarray(moving.astype(np.uint8)).save(folder / f"{k}.png")
    exact = ["-fflags", "+bitexact", "-flags", "+bitexact", "-threads", "1", "-pix_fmt", "yuv420p", "-crf", "12"]
    film = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-framerate", "12", "-i", f"{folder}/%d.png", *exact]
    subprocess.run([*film, str(folder.with_suffix(".mp4"))], check=True)


# Workspaces -----------------------------------------------------------------------------------------------------------


def settle(workspace: Path, **values: Any) -> None:
    """Change tav.toml, as a person would: a table where a value is one."""
    document = tomlkit.parse((workspace / "tav.toml").read_text())
    for name, value in values.items():
        if isinstance(value, dict):
            document[name].update(value)
        else:
            document[name] = value
    (workspace / "tav.toml").write_text(tomlkit.dumps(document))


def initial(tav: Tav, name: str, clip: str, *flags: str, tune: int = 6) -> None:
    """A new workspace of few steps on `base`, named by a relative path."""
    where = ["--device", "cpu", "--precision", "fp32"]
    given = ["--caption", CAPTION, "--base", "base", "--size", "32x32", *flags]
    tav.does(".", [*where, "init", clip, name, *given])
    settle(tav.root / name, base="../base", tune={"steps": tune}, invert={"steps": 4})


def make(tree: Path, root: Path, screens: Path) -> None:
    """All of it at `root`, which is not there yet, by the code in `tree`; what screens do by that in `screens`."""
    tav = Tav(tree, root)
    for seed, name in enumerate(("base", "other")):
        build_base(root / name, seed)
    build_clip(root / "clip")
    (root / "home").mkdir(exist_ok=True)
    (root / "home" / "config.toml").write_text('base = "other"\n')
    tav.does(".", ["bases", "add", "other", "--name", "other"])
    listed = root / "home" / "bases.toml"
    listed.write_text(listed.read_text().replace(str(root / "other"), "../other"))
    initial(tav, "ski", "clip.mp4")
    tav.does("ski", ["tune"])
    make_carried(tav)
    make_edits(tav)
    make_imported(tav)
    make_half(tav)
    child = Tav(screens, root).python(SCREENS, "ski")
    assert child.wait() == 0, child.stderr and child.stderr.read()
    make_queue(tav)
    for name in ("clip", "clip.mp4"):
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def make_carried(tav: Tav) -> None:
    """Weights carried over to the other base."""
    shutil.copytree(tav.root / "ski", tav.root / "carried")
    next((tav.root / "carried").glob("tuned/*/state.safetensors")).unlink()
    tav.does("carried", ["bases", "use", "other", "--carry-over"], ["edit", "a cat is skiing"])


def make_imported(tav: Tav) -> None:
    """Weights tuned elsewhere; the clip is a folder of pictures, with bars."""
    initial(tav, "imported", "clip", "--fit", "letterbox", "--fps", "12")
    tav.does("ski", ["export", "--format", "slim", "../slim.pth"])
    tav.does("imported", ["import", "../slim.pth"], ["edit", "a cat is skiing"])
    (tav.root / "slim.pth").unlink()


def make_half(tav: Tav) -> None:
    """A tuning interrupted at step 50 of 60, and a whole queue that is paused, with an edit that waits for it."""
    initial(tav, "half", "clip.mp4", tune=int(LONG))
    tav.is_killed("half", ["tune"], "tuned/*/state.safetensors")
    tav.does("half", ["queue", "add", "a panda is skiing"], ["queue", "pause"])


def make_edits(tav: Tav) -> None:
    """Edits in the foreground: finished ones, one that goes to the trash, and one interrupted at step 50 of 60."""
    first = ["edit", "a cat is skiing"]
    tav.does(
        "ski",
        ["invert"],
        [*first, "-o", "../out/cat.gif"],
        [*first, "-o", "../out/cat.webm", "--scale", "source"],
        ["edit", "a spider is skiing", "--vary", "0.4", "--seed", "5", "--guidance", "7.125"],
        ["edit", "a panda is surfing", "--no-inversion", "--seed", "3"],
        ["edit", "--negative", "it's wearing red", "--", "-- « un 'chat' » is skiing"],
        ["edit", "a car on the beach", "--guidance", "1"],
    )
    tav.is_killed("ski", ["edit", "a cat on the beach", "--steps", LONG], "edits/0006-*/partial.safetensors")


def make_queue(tav: Tav) -> None:
    """Jobs in every state."""
    ski, gone = tav.root / "ski", tav.root / "gone"
    shutil.copytree(tav.root / "other", gone)
    tav.does("ski", ["queue", "add", "a red car"], ["queue", "add", "a red panda", "--base", "../gone"])
    shutil.rmtree(gone)
    tav.does("ski", ["work"], fails=True)  # 7 is done, 8 has failed
    drafted = ["--base", "../other", "--preset", "draft", "--steps", "3"]
    tav.does(
        "ski",
        ["queue", "add", "a panda on the beach"],
        ["queue", "add", "a {cat,panda} is surfing", "--vary", "0.3", "--seed", "2", "--negative", "snow"],
        ["queue", "add", "a spider is surfing", *drafted],
        ["queue", "add", "a cartoon car", "a cartoon cat"],
        ["queue", "cancel", "13"],
        ["queue", "pause", "14"],
    )
    settle(ski, tune={"steps": 8}, invert={"steps": 5})
    tav.does("ski", ["queue", "tune"], ["queue", "invert"])
    settle(ski, tune={"steps": 6}, invert={"steps": 4})
    tav.does("ski", ["queue", "add", "a man on the beach", "--steps", LONG], ["queue", "move", "15", "--to", "first"])
    tav.is_killed("ski", ["work"], "edits/0015-*/partial.safetensors")


# To their end ---------------------------------------------------------------------------------------------------------


def finish(tree: Path, root: Path) -> None:
    """Take what is at `root` as far as it goes, by the code in `tree`."""
    tav = Tav(tree, root)
    tav.does("half", ["tune"], ["queue", "resume"], ["work"])
    shutil.copytree(root / "other", root / "gone")
    tav.does(
        "ski",
        ["edit", "a cat on the beach", "--steps", LONG],
        ["queue", "resume", "14", "15"],
        ["queue", "retry", "8", "13"],
        ["work"],
    )
    shutil.rmtree(root / "gone")
    for name, numbers in {"ski": (1, 2, 3, 4, 7), "carried": (1,), "imported": (1,)}.items():
        again(tav, name, numbers)
    tav.does("ski", ["tune", "--steps", "9"], ["edit", "a cat is skiing"])


def again(tav: Tav, name: str, numbers: tuple[int, ...]) -> None:
    """Make these edits again, by the commands that `tav show` prints."""
    said = tav.does(name, *(["show", str(number)] for number in numbers))
    for number in numbers:
        (video,) = (tav.root / name).glob(f"edits/{number:04d}-*/video.mp4")
        video.unlink()
    tav.does(name, *(shlex.split(one.err.split("to make it again: ")[1])[1:] for one in said))


# Data of no machine ---------------------------------------------------------------------------------------------------


def strip(root: Path) -> None:
    """Take out what is of one machine, and what is made again when needed."""
    for path in [root / "home" / "cache", *root.glob("*/cache"), *root.glob("*/.locks")]:
        shutil.rmtree(path, ignore_errors=True)
    for path in root.glob("*/.queue/*.npy"):
        path.unlink()
    for path in root.rglob("*.png"):
        shrink(path)
    for path in root.glob("*/.queue/*.json"):
        status = json.loads(path.read_text()) | {"host": "elsewhere", "pid": 99999}
        path.write_text(json.dumps(status))
    for path in root.glob("*/*/*/job.json"):
        if str(root) in (text := path.read_text()):
            path.write_text(text.replace(str(root), "/elsewhere"))
            (path.parents[2] / "queue.sqlite").unlink()  # the next listing makes it again
    for path in (one for one in root.rglob("*") if one.is_file()):
        assert str(root).encode() not in path.read_bytes(), f"{path} names a place of this machine"


def shrink(path: Path) -> None:
    """Nobody reads a sheet but people, and these are the largest files."""
    from PIL import Image

    with Image.open(path) as sheet:
        if sheet.width > 200:
            sheet.convert("RGB").reduce(8).quantize(32).save(path)


def questions(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Workspaces, and what can be asked of each without a change."""
    for toml in sorted(root.glob("*/tav.toml")):
        name = toml.parent.name
        for command in (["ls"], ["show"], ["queue", "ls", "--all"], ["--dry-run", "clean"], ["--dry-run", "gallery"]):
            if command[-1] != "gallery" or name != "half":
                yield name, command
        for edit in sorted((toml.parent / "edits").iterdir()):
            yield name, ["show", str(int(edit.name[:4]))]
        for video in sorted(toml.parent.glob("edits/*/video.mp4")):
            yield name, ["show", str(video.relative_to(toml.parent))]
    for path in sorted((root / "out").iterdir()):
        yield "ski", ["show", f"../out/{path.name}"]
    yield "ski", ["bases", "info", "other"]


def record(tree: Path, root: Path) -> None:
    """Keep what the code in `tree` says of everything, and the videos it makes of what was interrupted."""
    tav, asked = Tav(tree, root), list(questions(root))
    said: dict[str, dict[str, Any]] = {}
    for name in sorted({name for name, _ in asked}):
        commands = [command for workspace, command in asked if workspace == name]
        for command, one in zip(commands, tav.does(name, *(["--json", *words] for words in commands)), strict=True):
            said.setdefault(name, {})[" ".join(command)] = json.loads(one.out.replace(str(root), ROOT))
    for row in [row for one in said.values() for row in one["queue ls --all"]]:
        del row["left"]  # it depends on how fast the machine is
    (root / "said.json").write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    strip(root)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "old"
        shutil.copytree(root, copy)
        finish(tree, copy)
        for video in copy.glob("*/edits/*/video.mp4"):
            if not (root / video.relative_to(copy)).exists():
                end = root / "ends" / video.relative_to(copy).parent.with_suffix(".mp4")
                end.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(video, end)


# Two trees ------------------------------------------------------------------------------------------------------------


def compare(old: Path, new: Path, scratch: Path) -> int:
    """How many files differ between what the two trees make."""
    different = 0
    for what in ("made", "finished"):
        for name, tree in (("old", old), ("new", new)):
            root = scratch / what / name
            if what == "made":
                root.mkdir(parents=True)
            else:
                shutil.copytree(DATA, root)
            if name == "new":
                (root / "home" / "cache").mkdir(parents=True)
                known = scratch / what / "old" / "home" / "cache" / "calibration.json"
                shutil.copyfile(known, root / "home" / "cache" / "calibration.json")
            make(tree, root, old) if what == "made" else finish(tree, root)
        different += report(what, scratch / what / "old", scratch / what / "new")
    return different


def report(what: str, old: Path, new: Path) -> int:
    """Say which files differ; returns how many."""
    one, other = files(old), files(new)
    found = [f"only old has {name}" for name in sorted(one.keys() - other.keys())]
    found += [f"only new has {name}" for name in sorted(other.keys() - one.keys())]
    for name in sorted(one.keys() & other.keys()):
        if content(old, old / name) != content(new, new / name):
            found.append(f"{name} differs{how(old / name, new / name)}")
    sys.stdout.write("".join(f"{what}: {line}\n" for line in found))
    sys.stdout.write(f"{what}: {len(one)} files of old, {len(other)} of new, {len(found)} differences\n")
    return len(found)


def files(root: Path) -> dict[str, Path]:
    """What is compared, by name."""
    found = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    own = re.compile(r"home/cache/")
    return {name: path for name, path in found.items() if not own.match(name) and not NOT_COMPARED & {*path.parts}}


def content(root: Path, path: Path) -> Any:
    """A file's bytes; of JSON its values, without moments and processes."""
    if path.name in ("made.json", "job.json"):
        values = json.loads(path.read_text().replace(str(root), ROOT))
        return {name: value for name, value in values.items() if name not in MOMENTS}
    return path.read_bytes()


def how(old: Path, new: Path) -> str:
    """Of videos, whether it is their pictures."""
    if old.suffix not in (".mp4", ".webm", ".gif"):
        return ""
    return ", its pictures are equal" if np.array_equal(frames_of(old), frames_of(new)) else ", its pictures too"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("make").add_argument("tree", type=Path)
    both = verbs.add_parser("compare")
    both.add_argument("old", type=Path)
    both.add_argument("new", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if given.verb == "compare":
            return int(compare(given.old.resolve(), given.new.resolve(), Path(scratch).resolve()) > 0)
        root, tree = Path(scratch).resolve() / "version-0.1", given.tree.resolve()
        root.mkdir()
        make(tree, root, tree)
        strip(root)
        record(tree, root)
        shutil.rmtree(DATA, ignore_errors=True)
        shutil.copytree(root, DATA)
    return 0


if __name__ == "__main__":
    sys.exit(main())
