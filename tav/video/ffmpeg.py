"""ffmpeg as a child process, started only here. A child never outlives the call that started it."""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import imageio_ffmpeg

from tav.errors import VideoError

# Only real containers: ffmpeg also opens playlists and scripts, which may name other files or hosts.
FORMATS = (
    "mov,matroska,webm,avi,gif,mpeg,mpegts,ogg,flv,asf,ivf,mxf,dv,nut,h264,hevc,av1,obu,m4v,mjpeg,mpegvideo,"
    "rm,wtv,yuv4mpegpipe,jpegxl_anim,apng,webp_anim,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe"
)


def one_line(text: object) -> str:
    """`text` on one line and without control characters, fit for an error message."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def from_file(path: Path) -> list[str]:
    """Arguments that read `path` and nothing else. Raises VideoError unless it is a regular file and not empty."""
    name = one_line(path)
    if path.is_dir():
        raise VideoError(f"{name} is a folder, not a video", "name the video file itself")
    if not path.exists():
        raise VideoError(f"there is no file {name}", "check the path")
    if not path.is_file():
        raise VideoError(f"{name} is not a regular file", "copy the video to a file first")
    if path.stat().st_size == 0:
        raise VideoError(f"{name} is empty", "copy or download it again")
    # The prefix keeps names such as `-x.mp4` or `a:b.mp4` from being read as an option or a protocol.
    return ["-protocol_whitelist", "file", "-format_whitelist", FORMATS, "-i", f"file:{path}"]


def finish(arguments: Sequence[str]) -> "subprocess.CompletedProcess[bytes]":
    """Run ffmpeg to its end and return its exit code, stdout and stderr (lines tagged `[info]`, `[error]`, ...)."""
    command = [*_ffmpeg(), "-loglevel", "level+info", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)


@contextmanager
def reading_from(arguments: Sequence[str], failure: str) -> Iterator[IO[bytes]]:
    """Yield the stdout of a running ffmpeg. Raises VideoError("`failure`: why") if it fails."""
    with tempfile.TemporaryFile() as errors:
        child = _start(arguments, errors, stdout=subprocess.PIPE)
        assert child.stdout is not None
        with _supervised(child, child.stdout, errors, failure):
            yield child.stdout


@contextmanager
def writing_to(arguments: Sequence[str], failure: str) -> Iterator[IO[bytes]]:
    """Yield the stdin of a running ffmpeg. Raises VideoError("`failure`: why") if it fails."""
    with tempfile.TemporaryFile() as errors:
        child = _start(arguments, errors, stdin=subprocess.PIPE)
        assert child.stdin is not None
        with _supervised(child, child.stdin, errors, failure):
            yield child.stdin


def _ffmpeg() -> list[str]:
    try:
        return [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-nostats"]
    except RuntimeError as error:
        raise VideoError("there is no ffmpeg", "reinstall imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE") from error


def _start(
    arguments: Sequence[str], errors: IO[bytes], stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    # Errors go to a file, not a pipe: nobody reads them while frames flow, and a full pipe would stop the child.
    return subprocess.Popen([*_ffmpeg(), "-loglevel", "error", *arguments], stdin=stdin, stdout=stdout, stderr=errors)


@contextmanager
def _supervised(child: "subprocess.Popen[bytes]", pipe: IO[bytes], errors: IO[bytes], failure: str) -> Iterator[None]:
    try:
        try:
            yield
            pipe.close()
            broken = False
        except BrokenPipeError:
            broken = True
        if child.wait() != 0 or broken:
            raise VideoError(
                f"{failure}: {_last_line(errors)}", "these are ffmpeg's own words: check the file and the free space"
            )
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        _close_quietly(pipe)


def _close_quietly(pipe: IO[bytes]) -> None:
    with suppress(OSError):  # the child may have ended before it took all bytes
        pipe.close()


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return one_line(lines[-1]) if lines else "ffmpeg stopped without a word"
