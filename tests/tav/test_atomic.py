"""A file is whole or not there, whatever happens while it is written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tav.atomic import TEMPORARY, building, remove_leftovers, replacing, write_text


def test_a_file_appears_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "note.txt"
    write_text(path, "skiing ⛷\n")
    assert path.read_bytes() == "skiing ⛷\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_it_is_not_seen_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert (temporary.parent.parent, temporary.name) == (path.parent, path.name)
    assert path.read_text() == "new"


@pytest.mark.parametrize("half", ["", "half"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_a_failure_keeps_what_was_there(error: type[BaseException], half: str, tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            if half:
                temporary.write_text(half)
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    path, plain = tmp_path / "note.txt", tmp_path / "plain.txt"
    plain.touch()
    with replacing(path) as temporary:
        temporary.touch(mode=0o600)
    assert path.stat().st_mode == plain.stat().st_mode


def test_a_target_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_text(path, "new")
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    with replacing(path) as one, replacing(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"


def test_a_killed_writer_leaves_the_old_file_and_litter_that_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")
    script = (
        "import os, pathlib, sys; from tav.atomic import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 9
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_the_dead_are_removed_here_and_nothing_else(tmp_path: Path) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    dead, living, end = f"{TEMPORARY}{done.pid}", f"{TEMPORARY}{os.getppid()}", "-0123abcd"
    others = ["note.txt", f"deep/{dead}{end}.txt", f"{living}{end}.txt", f"{TEMPORARY}mine.txt", f"{dead}-notes.txt"]
    kept = [tmp_path / name for name in others]
    for path in [*kept, tmp_path / f"{dead}{end}.txt", tmp_path / f"{dead}{end}" / "x"]:
        write_text(path, "")
    remove_leftovers(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "pipeline"
    with building(folder) as temporary:
        (temporary / "unet").mkdir()
        (temporary / "unet" / "config.json").write_text("{}")
        assert not folder.exists()
    assert (folder / "unet" / "config.json").read_text() == "{}"
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_folder_that_fails_is_not_there(error: type[BaseException], tmp_path: Path) -> None:
    def fail() -> None:
        with building(tmp_path / "pipeline") as temporary:
            (temporary / "half").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_taken_stays(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "mine").write_text("mine")
    with pytest.raises(OSError, match="not empty"), building(tmp_path / "pipeline"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["pipeline", "mine"]
