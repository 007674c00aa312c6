"""The clips of an agreement: which video goes with which reference, and our action units of each."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import InputError, UsageError
from ...pipeline_au_d3dface import AUD3DFacePipeline, Progress
from ...video import VideoReader
from ..au_tables import AUTable, read_au_table, table_of
from .agreement import Agreement, clip_agreement

ACTION_UNITS_CSV = "action_units.csv"


def evaluate_agreement(
    pairs: Sequence[tuple[Path, Path]],
    load_pipeline: Callable[[], AUD3DFacePipeline],
    face: int | None = None,
    reference_face: int | None = None,
    progress: Progress | None = None,
) -> tuple[Agreement, list[str]]:
    """Compares each clip with its reference.

    All csv files are read, and all videos opened, before the first video is reconstructed.

    Args:
        pairs: ours, a video, a folder of pictures, an action_units.csv or a folder that holds one; and the csv of the
            reference. A clip is called after its reference, or, where two would share the name, by its path.
        load_pipeline: called once, if there is a video among the clips.
        face: `face_id` in ours; None for the most prominent one (in a csv: the one in most frames).
        reference_face: `face_id` in the references; None for the one in most frames.
        progress: called as work proceeds, with the clip in the name of the stage.

    Returns:
        The agreement, and the warnings of the reconstructions.

    Raises:
        InputError: a file cannot be read, or a clip and its reference do not fit together.
        UsageError: there is no such face.
        NoFaceError: a video without a face.
    """
    references = [read_au_table(reference, reference_face) for _, reference in pairs]
    ours: list[AUTable | None] = []
    for clip, _ in pairs:
        csv = _csv_of(clip)
        ours.append(None if csv is None else read_au_table(csv, face))
        if csv is None:
            VideoReader(clip).close()
    pipeline = load_pipeline() if None in ours else None
    stems = [reference.stem for _, reference in pairs]
    clips, warnings = {}, []
    for (clip, reference_path), table, reference, stem in zip(pairs, ours, references, stems, strict=True):
        name = stem if stems.count(stem) == 1 else str(clip)
        if table is None:
            table, said = _reconstructed(pipeline, clip, name, face, progress)
            warnings += [f"{name}: {warning}" for warning in said]
        clips[name] = clip_agreement(table, reference, (str(clip), str(reference_path)))
    return Agreement(clips), warnings


def _csv_of(clip: Path) -> Path | None:
    """The csv that holds our action units already; None where `clip` is yet to be reconstructed."""
    if clip.suffix.lower() == ".csv":
        return clip
    inside = clip / ACTION_UNITS_CSV
    return inside if inside.is_file() else None


def _reconstructed(
    pipeline: AUD3DFacePipeline, clip: Path, name: str, face: int | None, progress: Progress | None
) -> tuple[AUTable, list[str]]:
    def report(stage: str, done: int, total: int | None) -> None:
        if progress is not None:
            progress(f"{name}: {stage}", done, total)

    result = pipeline.reconstruct(clip, faces="largest" if face is None else "all", progress=report)
    chosen = [sequence for sequence in result.sequences if face is None or sequence.face_id == face]
    if not chosen:
        faces = ", ".join(str(number) for number in sorted(sequence.face_id for sequence in result.sequences))
        raise UsageError(f"{clip} has no face {face}; its faces are: {faces}")
    return table_of(chosen[0]), result.warnings


def pair_by_name(clips: Path, references: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Pairs what lies in two folders by the names without suffix.

    Args:
        clips: holds videos, folders of pictures, csv files of ours, or folders with our action_units.csv in them.
        references: holds csv files; may be the same folder.

    Returns:
        The pairs in order of name, and a sentence about what has no partner, if anything.

    Raises:
        InputError: a folder cannot be read, or nothing fits together.
        UsageError: a reference fits two clips.
    """
    tables = {path.stem: path for path in _entries_of(references) if path.suffix.lower() == ".csv"}
    videos = [path for path in _entries_of(clips) if path not in tables.values()]
    by_name: dict[str, Path] = {}
    for path in videos:
        name = path.name if path.is_dir() else path.stem
        if name in tables and name in by_name:
            raise UsageError(f"{by_name[name]} and {path} have one name; give the pairs one by one")
        by_name[name] = path
    pairs = [(by_name[name], tables[name]) for name in sorted(tables) if name in by_name]
    if not pairs:
        raise InputError(f"no clip in {clips} has the name of a csv file in {references}")
    paired = {path for pair in pairs for path in pair}
    alone = [str(path) for path in (*videos, *tables.values()) if path not in paired]
    return pairs, [f"without a partner, so left out: {', '.join(alone)}"] if alone else []


def _entries_of(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read ({error.strerror})") from error
