"""Clips in, videos out: everything that touches ffmpeg or picture files. Frames are uint8 `(f, h, w, 3)`, RGB."""

from tav.video.choosing import FrameChoice, choose_frames
from tav.video.fitting import Fit, Rectangle, fit
from tav.video.folders import frame_files
from tav.video.looks import Looks, judge
from tav.video.probing import ClipInfo, probe
from tav.video.reading import Clip, read_clip
from tav.video.sheet import contact_sheet
from tav.video.writing import check_recipe, read_recipe, write_video

__all__ = [
    "Clip",
    "ClipInfo",
    "Fit",
    "FrameChoice",
    "Looks",
    "Rectangle",
    "check_recipe",
    "choose_frames",
    "contact_sheet",
    "fit",
    "frame_files",
    "judge",
    "probe",
    "read_clip",
    "read_recipe",
    "write_video",
]
