"""What tav 0.1 has left on disk opens, lists, replays, goes on and is drained: see tests/data/make_version_0_1.py.

Only through the command line: the modules behind it may be others.
"""

import html
import json
import shlex
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from frames import frames_of, psnr

Call = Callable[..., Any]
DATA = Path(__file__).parents[1] / "data" / "version-0.1"
SAID = json.loads((DATA / "said.json").read_text(encoding="utf-8"))
QUESTIONS = [pytest.param(name, words, id=f"{name}: {words}") for name, some in SAID.items() for words in some]
FINISHED = {name: [row["number"] for row in SAID[name]["ls"] if row["state"] == "done"] for name in SAID}
WHOLE = [name for name, numbers in FINISHED.items() if numbers]
# In dB. Another processor rounds otherwise, and then the codec chooses otherwise: 41 to 68 (with torch and oneDNN kept
# to SSE, AVX2 or two threads). Other prompts, seeds or weights make pictures of 7 to 20.
AS_GOOD_AS_EQUAL = 35


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All of it, the user's home too. Shared: copy it before changing it."""
    root = Path(shutil.copytree(DATA, tmp_path_factory.mktemp("old") / "data"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TAV_HOME", str(root / "home"))
        yield root


@pytest.fixture
def own(old: Path, tmp_path: Path) -> Path:
    """The test's own."""
    assert old.is_dir()
    return Path(shutil.copytree(DATA, tmp_path / "data"))


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands show bars, and with them from which step on they go."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")


def says_still(now: Any, then: Any) -> None:
    """There may be more facts than there were, not fewer, and no other ones."""
    if isinstance(then, dict):
        assert now.keys() >= then.keys()
        for name, value in then.items():
            says_still(now[name], value)
    elif isinstance(then, list):
        assert len(now) == len(then)
        for one, other in zip(now, then, strict=True):
            says_still(one, other)
    else:
        assert now == then


def asked(root: Path, name: str, words: str, done: Call) -> Any:
    """A recorded question, asked now."""
    return json.loads(done(root / name, "--json", *shlex.split(words)).out.replace(str(root), "<root>"))


def states(folder: Path, done: Call) -> dict[str, str]:
    """Of every job, by its name."""
    return {row["job"]: row["state"] for row in done(folder, "--json", "queue", "ls", "--all").json()}


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def looks_like(video: Path, other: Path) -> bool:
    """The same picture."""
    return video.read_bytes() == other.read_bytes() or psnr(frames_of(video), frames_of(other)) > AS_GOOD_AS_EQUAL


def ended_well(root: Path, name: str, *numbers: int) -> bool:
    """Are these edits what the version before has made of them?"""
    ends = [only(DATA / "ends" / name / "edits", f"{number:04d}-*.mp4") for number in numbers]
    return all(looks_like(root / name / "edits" / end.stem / "video.mp4", end) for end in ends)


def commands_again(folder: Path, numbers: list[int], done: Call) -> list[list[str]]:
    """What `tav show` says that makes them again."""
    said = [done(folder, "show", number).err.split("to make it again: ")[1] for number in numbers]
    return [shlex.split(command)[1:] for command in said]


# It is read -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "words"), QUESTIONS)
def test_the_same_is_said_of_it(old: Path, done: Call, name: str, words: str) -> None:
    says_still(asked(old, name, words, done), SAID[name][words])


@pytest.mark.parametrize("name", SAID)
def test_the_index_of_the_queue_is_of_use_or_made_anew(own: Path, done: Call, name: str) -> None:
    """Here its stamps are those of copied files; where tav was updated they are right, and its rows are believed."""
    with closing(sqlite3.connect(own / name / "queue.sqlite")) as index, index:
        rows = index.execute("SELECT id, state FROM jobs").fetchall()
        assert rows
        index.executemany("UPDATE jobs SET stamp = ? WHERE id = ?", [(stamp(own / name, *row), row[0]) for row in rows])
    says_still(asked(own, name, "queue ls --all", done), SAID[name]["queue ls --all"])


def stamp(workspace: Path, job: str, state: str) -> str:
    """As tav 0.1 wrote it."""
    queued, recipe = workspace / job / "job.json", workspace / job / "edit.toml"
    found = (queued if queued.exists() else recipe).stat()
    words = f"{found.st_mtime_ns} {found.st_ino} {found.st_size}"
    if not recipe.exists():
        return words
    return f"{words} {(workspace / job / 'video.mp4').exists() if queued.exists() else state}"


def test_the_gallery_shows_it(old: Path, done: Call, tmp_path: Path) -> None:
    said = done(old / "ski", "--json", "gallery", "-o", tmp_path / "page.html").json()
    assert said["edits"] == len(FINISHED["ski"])
    page = html.unescape((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert all(words in page for words in ("a spider is skiing", "un 'chat'", "blue-ish", "best"))


def test_the_users_own_base_is_still_the_default(old: Path, done: Call) -> None:
    said = done(old, "--dry-run", "--json", "init", "ski/source.mp4", "new", "--caption", "a man").json()
    assert said["base"] == "other"


# It is whole ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WHOLE)
def test_nothing_is_stale(old: Path, done: Call, snapshot: Call, name: str) -> None:
    before = snapshot(old / name)
    *stages, edit = done(old / name, "--dry-run", "--json", "edit", "a red cat").json()
    assert [(one["stage"], one["state"], one["run"]) for one in stages] == [
        ("tune", "fresh", False),
        ("invert", "fresh", False),
    ]
    assert edit["stage"] == "edit"
    assert "nothing to do" in done(old / name, "invert").err
    assert snapshot(old / name) == before


@pytest.mark.parametrize("name", WHOLE)
def test_the_same_edit_again_is_no_work(old: Path, done: Call, snapshot: Call, name: str) -> None:
    before = snapshot(old / name)
    for number, command in zip(FINISHED[name], commands_again(old / name, FINISHED[name], done), strict=True):
        assert f"edit {number} is this very recipe: nothing to do" in done(old / name, *command).err
    assert snapshot(old / name) == before


def test_the_same_job_again_is_none(own: Path, done: Call) -> None:
    def added(*words: object) -> str:
        return done(own / "ski", "queue", "add", *words).err

    assert "job 7 is this very one already (done)" in added("a red car")
    assert "job 9 is this very one already (queued)" in added("a panda on the beach")
    drafted = ["--base", "../other", "--preset", "draft", "--steps", 3]
    assert "job 12 is this very one already (queued)" in added("a spider is surfing", *drafted)
    assert "job 1 is this very one already (queued)" in done(own / "half", "queue", "add", "a panda is skiing").err


@pytest.mark.parametrize("name", WHOLE)
def test_edits_are_made_again_as_they_were(own: Path, done: Call, name: str) -> None:
    commands = commands_again(own / name, FINISHED[name], done)
    for video in own.glob(f"{name}/edits/*/video.mp4"):
        video.unlink()
    for command in commands:
        done(own / name, *command)
    for number in FINISHED[name]:
        video = only(own / name, f"edits/{number:04d}-*/video.mp4").relative_to(own)
        assert looks_like(own / video, DATA / video)
        assert (own / video).with_name("edit.toml").read_bytes() == (DATA / video).with_name("edit.toml").read_bytes()
        shown = f"show {video.relative_to(name)}"
        assert asked(own, name, shown, done) == SAID[name][shown]


# It goes on -----------------------------------------------------------------------------------------------------------


def test_an_interrupted_tuning_goes_on_and_a_paused_queue_with_it(own: Path, done: Call) -> None:
    folder = own / "half"
    log = only(folder, "tuned/*/steps.jsonl")
    before = log.read_text().splitlines()
    assert done(folder, "work").out == ""
    assert "going on from step 50" in done(folder, "tune").err
    steps = log.read_text().splitlines()
    assert steps[:50] == before
    assert [json.loads(line)["step"] for line in steps] == list(range(1, 61))
    done(folder, "queue", "resume")
    done(folder, "work")
    assert states(folder, done) == {"1": "done"}
    assert ended_well(own, "half", 1)


@pytest.mark.usefixtures("on_a_terminal")
def test_an_interrupted_edit_goes_on(own: Path, done: Call) -> None:
    folder = only(own / "ski", "edits/0006-*")
    recipe = (folder / "edit.toml").read_bytes()
    said = done(own / "ski", "edit", "a cat on the beach", "--steps", 60)
    assert "50/60" in said.err
    assert "reconstruction" not in said.err
    assert said.out == f"edits/{folder.name}/video.mp4\n"
    assert (folder / "edit.toml").read_bytes() == recipe
    assert not list(folder.glob("*partial*"))
    assert ended_well(own, "ski", 6)


def test_more_steps_extend_the_tuning(own: Path, done: Call) -> None:
    assert "going on from step 6" in done(own / "ski", "tune", "--steps", 9).err
    said = done(own / "ski", "edit", "a cat is skiing")
    assert said.out == "edits/0016-a-cat-is-skiing/video.mp4\n"  # 5 lies in the trash, and 15 in the queue
    assert ended_well(own, "ski", 16)


@pytest.mark.usefixtures("on_a_terminal")
def test_the_queue_is_drained(own: Path, done: Call, tav: Call) -> None:
    folder = own / "ski"
    then = states(folder, done)
    assert {then[name] for name in ("8", "13", "14", "15")} == {"failed", "cancelled", "paused", "interrupted"}
    done(folder, "queue", "resume", 14, 15)
    done(folder, "queue", "retry", 8, 13)
    said = tav(folder, "work")
    assert said.code == 1
    assert "50/60" in said.err  # of 15, whose worker was killed
    others = dict.fromkeys(then, "done")
    assert states(folder, done) == {**others, "6": "interrupted", "8": "failed"}
    shutil.copytree(own / "other", own / "gone")
    done(folder, "queue", "retry", 8)
    done(folder, "work")
    assert states(folder, done) == {**others, "6": "interrupted"}
    assert ended_well(own, "ski", *range(8, 16))
