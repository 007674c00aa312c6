"""Writes the tables of face_model_files.md: what was done to face models' files, and what the user then reads.

    python hub_cards/pages/face_model_files.py [--picture]

In a clone: the files are those that the tests make, of the authors' layout and sizes and with nothing of theirs. With
`--picture` also ../pictures/flame_au_regions.jpg, the regions of action units on the made-up head.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "helpers"))

from bad_deca_files import BAD_CHECKPOINTS  # noqa: E402 (they are found once the path is set)
from bad_flame_files import BAD_FILES, DAMAGED_PICKLES  # noqa: E402
from made_flame import made_arrays, made_flame, made_landmarks, write_landmarks, write_model  # noqa: E402

from au_d3dface.coarse.deca_files import convert_deca, convert_emoca  # noqa: E402
from au_d3dface.errors import AUD3DFaceError  # noqa: E402
from au_d3dface.export.files import atomic_path  # noqa: E402
from au_d3dface.face_models import FLAME  # noqa: E402
from au_d3dface.face_models.flame_conversion import convert_flame  # noqa: E402
from au_d3dface.face_models.restricted_pickle import load_pickle  # noqa: E402
from au_d3dface.rendering.mask_sheet import draw_au_masks  # noqa: E402

PAGE, PICTURE = HERE / "face_model_files.md", HERE.parent / "pictures" / "flame_au_regions.jpg"

_LIBRARYS_WORDS = re.compile(r"(of another kind|no torch checkpoint|or it is damaged|cannot be read) \(.*?\)(?=; )")
"""What Python, numpy and torch say of a file, which changes with their versions."""


def tables() -> dict[str, list[tuple[str, str]]]:
    """By the name of a table: what was tried, and the sentence with the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        return {
            "FLAME": _flame(root / "flame"),
            "pickles": _pickles(root / "pickles"),
            "DECA and EMOCA": _deca(root / "deca"),
        }


def _flame(root: Path) -> list[tuple[str, str]]:
    good = root / "good"
    good.mkdir(parents=True)
    arrays = made_arrays()
    landmarks = made_landmarks(arrays)
    model = write_model(good / "generic_model.pkl", arrays)
    write_landmarks(good / "landmark_embedding.npy", landmarks)
    rows, out = [], root / "out"
    for number, (name, (make, _)) in enumerate(BAD_FILES.items()):
        (folder := root / str(number)).mkdir()
        path = make(folder, arrays, landmarks, good)
        others = [] if path.suffix == ".pkl" and "mask" not in path.name else [model]
        rows.append((name, said(lambda files=[path, *others]: convert_flame(files, out, "2020"), root)))
    (renamed := root / "flame2023.pkl").symlink_to(model)
    (empty := root / "empty").mkdir()
    convert_flame([good], root / "converted", "2020")
    whole = root / "converted" / "flame.safetensors"
    (cut := root / "cut.safetensors").write_bytes(whole.read_bytes()[:-9])
    tried: dict[str, Callable[[], object]] = {
        "`generic_model.pkl` without `--version`": lambda: convert_flame([model], out),
        "`flame2023.pkl` with `--version 2020`": lambda: convert_flame([renamed], out, "2020"),
        "two models": lambda: convert_flame([model, renamed], out, "2020"),
        "landmarks alone": lambda: convert_flame([good / "landmark_embedding.npy"], out, "2020"),
        "an empty folder": lambda: convert_flame([empty], out, "2020"),
        "the authors' pickle in place of the converted folder": lambda: FLAME(model),
        "a converted folder that is not there": lambda: FLAME(root / "nowhere"),
        "a converted file cut short": lambda: FLAME(cut),
        "coefficients of another release": lambda: FLAME(whole).require_version("2023-open", "those of clip.npz"),
    }
    return rows + [(name, said(work, root)) for name, work in tried.items()]


def _pickles(root: Path) -> list[tuple[str, str]]:
    root.mkdir()
    rows = []
    for name, content in DAMAGED_PICKLES.items():
        (path := root / "generic_model.pkl").write_bytes(content)
        rows.append((name, said(lambda path=path: load_pickle(path), root)))
    return rows


def _deca(root: Path) -> list[tuple[str, str]]:
    rows = []
    for number, (name, (kind, make, _)) in enumerate(BAD_CHECKPOINTS.items()):
        (folder := root / str(number)).mkdir(parents=True)
        path = make(folder)
        convert = {"deca": convert_deca, "emoca": convert_emoca}[kind]
        rows.append((name, said(lambda path=path, convert=convert: convert([path], root / "out"), root)))
    return rows


def said(work: Callable[[], object], root: Path) -> str:
    """The sentence of the error that this ends in, without where the files happened to lie.

    Raises:
        AssertionError: it ends well.
    """
    try:
        work()
    except AUD3DFaceError as error:
        # Folders are left out, or called FOLDER where they are meant themselves.
        sentence = re.sub(rf"{re.escape(str(root))}(/\d+|/good)?/(?=\w+\.)", "", str(error))
        sentence = re.sub(rf"{re.escape(str(root))}(/\w+)?", "FOLDER", sentence)
        sentence = _LIBRARYS_WORDS.sub(r"\1 (...)", sentence)
        return f"{sentence.rstrip('.')} (exit status {error.exit_status})"
    raise AssertionError("a file that is no good was taken for a good one")


def page(text: str) -> str:
    """The page with its tables as they are now."""
    for name, rows in tables().items():
        lines = [f"| {what} | {sentence.replace('|', chr(92) + '|')} |" for what, sentence in rows]
        table = "\n".join(["| what was tried | what the user reads |", "| --- | --- |", *lines])
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        before, after = text.index(begin) + len(begin), text.index(end)
        text = text[:before] + table + text[after:]
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", action="store_true", help="draw the picture of the made-up head too")
    options = parser.parse_args()
    text = page(PAGE.read_text(encoding="utf-8"))
    with atomic_path(PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    if options.picture:
        with tempfile.TemporaryDirectory() as folder, atomic_path(PICTURE) as temporary:
            picture = draw_au_masks(FLAME(made_flame(Path(folder) / "files")))
            Image.fromarray(picture).save(temporary, "jpeg", quality=85)


if __name__ == "__main__":
    main()
