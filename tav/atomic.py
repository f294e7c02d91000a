"""Files appear whole or not at all: write in a temporary folder beside them, fsync, rename."""

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY = ".tmp-"
_TEMPORARY_NAME = re.compile(re.escape(TEMPORARY) + r"([0-9]+)-[0-9a-f]{8}(\.|$)")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path of the same name in a temporary folder beside `path`; on success that file replaces `path`.

    The folder is removed in any case, with all that a library left in it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    building = temporary_sibling(path)
    temporary = building / path.name
    try:
        building.mkdir()
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # Some libraries write files that only their owner may read.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        # The error names `path`: users do not know the temporary name, and an error in writing (a full disk) has none.
        if error.filename is None or str(error.filename).startswith(str(building)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """Yield a new temporary folder beside `folder`; on success it becomes `folder`, which must be absent or empty."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_sibling(folder)
    try:
        temporary.mkdir()
        yield temporary
        for file in (path for path in temporary.rglob("*") if path.is_file()):
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_text(path: Path) -> str:
    """The text of a file. Raises OSError, also for a pipe, which would block, and ValueError if it is not UTF-8."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.read_text(encoding="utf-8")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def temporary_sibling(path: Path) -> Path:
    """A new path beside `path`; its name holds this process's number."""
    return path.with_name(f"{TEMPORARY}{os.getpid()}-{uuid.uuid4().hex[:8]}")


def is_leftover(path: Path) -> bool:
    """Whether `path` is a temporary file or folder of a process that has ended."""
    owner = _TEMPORARY_NAME.match(path.name)
    # Our own number is that of an earlier process: this one does not look while it writes.
    return owner is not None and (int(owner[1]) == os.getpid() or not is_running(int(owner[1])))


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of ended processes from `folder`, not from its subfolders; errors are ignored."""
    for path in folder.glob(f"{TEMPORARY}*"):
        if is_leftover(path):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def is_running(process: int) -> bool:
    """Whether a process with this number runs on this host."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
