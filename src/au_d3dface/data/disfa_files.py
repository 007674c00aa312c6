"""Where DISFA's files lie: label files, videos of two cameras and dumps of pictures, in the layouts that copies have.

ActionUnit_Labels/SN001/SN001_au1.txt            or SN001/SN001_au1.txt
Videos_LeftCamera/LeftVideoSN001_comp.avi        Video_RightCamera/RightVideoSN001_comp.avi, with or without the s
SN002/0.jpg                                      a dump, from 0 or from 1, here or one or two folders down
"""

import re
from pathlib import Path

from ..errors import InputError, UsageError
from ..preparation import VIDEO_SUFFIXES
from ..video.pictures import PICTURE_SUFFIXES
from .benchmark_files import Layout, SequenceFiles, entries, folders_below, only, picture_numbers, plain, subject_name

NAME = "disfa"
CAMERAS = ("left", "right")
ACTION_UNITS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
"""All that DISFA's coders labelled; papers score eight of them."""

FRAME_RATE = 20.0
"""Frames a second, as commonly reported, for dumps of pictures; videos say it themselves."""

_LABELS = re.compile(r"(SN0*\d{1,3})_au0*(\d+)", re.I)
_VIDEO = re.compile(r"(left|right)video(SN0*\d{1,3})(?!\d).*", re.I)


def find_disfa(root: str | Path, camera: str = "left", first_picture: int | None = None) -> Layout:
    """What of DISFA lies in a folder.

    Args:
        root: the folder.
        camera: whose videos, "left" or "right".
        first_picture: the number of the first picture of a dump, 0 or 1; None finds out: 0 where a picture has the
            number 0, 1 where the lowest is 1.

    Raises:
        InputError: no label file is found, the folder is none, two files are about one sequence, a label file lies
            with those of somebody else, or a dump starts with neither 0 nor 1.
        UsageError: no such camera or first picture.
    """
    if camera not in CAMERAS:
        raise UsageError(f"DISFA has no camera {camera!r}; choose left or right")
    if first_picture not in (None, 0, 1):
        raise UsageError(f"first_picture must be 0 or 1, not {first_picture!r}")
    root = Path(root).expanduser().absolute()
    labels: dict[str, dict[int, Path]] = {}
    videos: dict[str, Path] = {}
    dumps: dict[str, Path] = {}
    for folder in folders_below(root):
        subject = subject_name(NAME, folder.name)
        if subject is not None:
            inside = entries(folder)
            for path in inside:
                match = _LABELS.fullmatch(path.stem) if path.suffix.lower() == ".txt" else None
                if match is None:
                    continue
                if subject_name(NAME, match[1]) != subject:
                    raise InputError(f"{path} is named after another person than its folder; copy the labels again")
                only(labels.setdefault(subject, {}), int(match[2]), path)
            others = any(
                _is_camera(above.name, CAMERAS[camera == "left"]) for above in folder.relative_to(root).parents
            )
            if not others and any(path.suffix.lower() in PICTURE_SUFFIXES for path in inside):
                only(dumps, subject, folder)
        elif _is_camera(folder.name):
            for path in entries(folder):
                match = _VIDEO.fullmatch(path.stem) if path.suffix.lower() in VIDEO_SUFFIXES else None
                if match is not None and match[1].lower() == camera:
                    only(videos, str(subject_name(NAME, match[2])), path)
    if not labels:
        raise InputError(
            f"{root} holds no label files of DISFA (ActionUnit_Labels/SN001/SN001_au1.txt); give the folder that "
            "ActionUnit_Labels lies in"
        )
    sequences = {}
    for subject in sorted({*labels, *videos, *dumps}):
        units = dict(sorted(labels.get(subject, {}).items()))
        dump = dumps.get(subject)
        first = None if dump is None else _first_picture(dump, first_picture)
        sequences[subject] = SequenceFiles(subject, "", None, units, dump, first, videos.get(subject))
    return Layout(NAME, root, sequences, _variant(root, labels, videos, sequences, camera))


def sequence_of(path: Path, camera: str) -> tuple[str, str] | None:
    """Subject and task (empty) of what `au-d3dface prepare` wrote for this camera's video or for a dump, else None."""
    match = _VIDEO.fullmatch(path.stem)
    if match is not None and match[1].lower() != camera:
        return None
    subject = subject_name(NAME, match[2] if match else path.stem)
    return None if subject is None else (subject, "")


def _is_camera(name: str, camera: str = "left|right") -> bool:
    return re.fullmatch(f"videos?({camera})(camera)?", plain(name)) is not None


def _first_picture(folder: Path, given: int | None) -> int:
    lowest = min(picture_numbers(folder))
    if given is not None:
        if lowest < given:
            raise InputError(f"{folder} holds a picture {lowest}, but the first was said to be {given}; say 0")
        return given
    if lowest > 1:
        raise InputError(
            f"{folder} starts with picture {lowest}, so that it cannot be seen which frame that is; give "
            "first_picture=0 if the dump counts from 0, or 1"
        )
    return lowest


def _variant(
    root: Path,
    labels: dict[str, dict[int, Path]],
    videos: dict[str, Path],
    sequences: dict[str, SequenceFiles],
    camera: str,
) -> list[str]:
    def shown(path: Path) -> str:
        return str(path.relative_to(root))

    some = next(iter(next(iter(labels.values())).values()))
    units = {number for found in labels.values() for number in found}
    variant = [f"labels such as {shown(some)}, of AU {', '.join(map(str, sorted(units)))}"]
    where = sorted({shown(path.parent) for path in videos.values()})
    variant.append(f"{camera} camera's videos in {', '.join(where)}/" if where else f"no videos of the {camera} camera")
    dumps = [files for files in sequences.values() if files.pictures is not None]
    if dumps:
        firsts = sorted({str(files.first_picture) for files in dumps})
        variant.append(f"pictures such as {shown(dumps[0].pictures)}/, counted from {' and '.join(firsts)}")  # type: ignore[arg-type]
    else:
        variant.append("no pictures")
    return variant
