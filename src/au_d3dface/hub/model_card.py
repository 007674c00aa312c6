"""Writes the model card of a checkpoint from its own files and from what `au-d3dface evaluate` measured of it.

    python -m au_d3dface.hub.model_card [FOLDER] [--results DIR] [--repo OWNER/NAME] --output model_card.md

Without a folder: the bundled checkpoint. The words are in hub_cards/model_card_template.md, with parts that only some
checkpoints have; every number comes from a file, and a field that is missing is an error. Read are config.json,
generation_config.json and training.json of the folder; of the results agreement.json, synthetic.json and style_*.json
(synthetic.json of `evaluate synthetic` with `--static` and `--ict-facekit`), and frame_rate*.json, whichever are there;
and the folder's README.md: its front matter wins over ours, its model-index is kept and shown, and words that were not
made here are kept instead of ours.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from ..checkpoints import BUNDLED
from ..command_line import exit_status
from ..errors import InputError
from ..evaluation.reports import cell
from ..evaluation.synthetic_people.report import ALL_FOLDERS
from ..export.files import atomic_path
from ..facs import label
from . import card_tables as tables
from .card_fields import Fields
from .card_targets import target_table
from .front_matter import join, merge, results, split
from .shipped import cards_folder

_IF, _END = re.compile(r"<!-- if (not )?(\w+) -->"), "<!-- end -->"


MADE = "<!-- Made by au-d3dface. Take this line away to keep changes of your own when the model is pushed again. -->"


def results_folder(folder: Path) -> Path:
    """Where the results of a checkpoint's evaluations are looked for: `results` inside its folder."""
    return cards_folder() / "results" if is_bundled(folder) else folder / "results"


def is_bundled(folder: Path) -> bool:
    """Whether this is the checkpoint in the package."""
    return folder.resolve() == BUNDLED.resolve()


def model_card(
    folder: Path, results_in: Path | None = None, repo_id: str = "OWNER/NAME", bundled: bool | None = None
) -> str:
    """The card, with its front matter.

    Args:
        folder: the checkpoint's.
        results_in: folder of JSON files of `evaluate`; None for `results_folder`.
        repo_id: where the model will be.
        bundled: whether to say what is only true of the checkpoint in the package; None to tell by the folder.

    Raises:
        InputError: a file or a field is missing, or is not what it should be.
    """
    bundled = is_bundled(folder) if bundled is None else bundled
    measured = results_folder(folder) if results_in is None else results_in
    if results_in is not None and not measured.is_dir():
        raise InputError(f"{measured} is not a folder; give the one that evaluate --output has written to")
    template, words = split((cards_folder() / "model_card_template.md").read_text(encoding="utf-8"), "the template")
    own, written = split(_readme(folder), f"{folder / 'README.md'}")
    flags, values = _known(folder, measured, own, bundled)
    front = merge(template | _licence(flags, values), own)
    if written.strip() and not written.lstrip().startswith(MADE):  # somebody's own words
        return join(front, written)
    return join(front, MADE + "\n\n" + filled(words, flags, values | {"model_id": repo_id}))


def filled(words: str, flags: Mapping[str, bool], values: Mapping[str, str]) -> str:
    """The template's parts whose conditions hold, with the values in place. A part is what lies between the lines
    `<!-- if FLAG -->` or `<!-- if not FLAG -->` and `<!-- end -->`; parts may hold others."""
    shown, kept = [True], []
    for line in words.splitlines():
        if found := _IF.fullmatch(line):
            shown.append(shown[-1] and flags[found[2]] != bool(found[1]))
        elif line == _END:
            shown.pop()
        elif shown[-1]:
            kept.append(line)
    text = Template("\n".join(kept)).substitute(values)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _known(folder: Path, measured: Path, own: dict, bundled: bool) -> tuple[dict[str, bool], dict[str, str]]:
    """Which conditions hold, and all values that a part whose condition holds needs."""
    config = Fields(folder / "config.json")
    generation, training = (_report(folder / f"{name}.json", bundled) for name in ("generation_config", "training"))
    agreement, synthetic = (_report(measured / f"{name}.json", bundled) for name in ("agreement", "synthetic"))
    videos = [Fields(path) for path in sorted(measured.glob("frame_rate*.json"))]
    if bundled and not videos:
        raise InputError(f"{measured} holds no frame_rate.json; give a file of evaluate frame-rate")
    listed = results(own, str(folder / "README.md"))
    benchmark = training is not None and "benchmark" in training.parts("pools")[0].content
    flags = {
        "bundled": bundled,
        "licensed": config.get("face_model_checksum") is not None,
        "recorded": training is not None,
        "unrecorded": training is None,
        "benchmark_data": benchmark,
        "synthetic_data": training is not None and not benchmark,
        "agreement": agreement is not None,
        "synthetic": synthetic is not None,
        "frame_rate": bool(videos),
        "measured": not bundled and bool(agreement or synthetic or videos),
        "listed": bool(listed),
        "decides": generation is not None,
    }
    values = _checkpoint_values(config)
    if generation:
        values["threshold_table"] = tables.thresholds(config, generation)
    if listed:
        values["results_table"] = tables.text_table(["data set", "measure", "value", "from"], listed)
    if training:
        synthetic_only = flags["synthetic_data"]
        intensity = synthetic_only and bool(config.get("predict_intensity"))
        values |= _training_values(training)
        values["held_out_table"] = tables.held_out(training.part("held_out"), synthetic_only, intensity)
        values |= tables.benchmark_values(training) if benchmark else {"data_table": tables.data(training)}
    if agreement:
        values |= _agreement_values(agreement)
    if synthetic:
        values |= _synthetic_values(synthetic, [Fields(path) for path in sorted(measured.glob("style_*.json"))])
    if videos:
        values["frame_rate_table"] = tables.frame_rate(videos)
    if bundled and training and agreement and synthetic:
        values |= _bundled_values(training, agreement, synthetic, videos)
    return flags, values


def _readme(folder: Path) -> str:
    path = folder / "README.md"
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text ({error}); correct it or take it away") from error


def _report(path: Path, needed: bool) -> Fields | None:
    return Fields(path) if needed or path.exists() else None


def _licence(flags: Mapping[str, bool], values: Mapping[str, str]) -> dict[str, str]:
    """Only what was trained on nothing but synthetic data is known to be free."""
    if flags["synthetic_data"]:
        return {"license": "apache-2.0"}
    return {"license": "other", "license_name": values.get("license_name", "see-the-card")}


def _folders(report: Fields) -> list[tuple[str, Fields]]:
    folders = report.part("folders")
    return [(name, folders.part(name)) for name in folders.content]


def _everyone(report: Fields) -> Fields:
    """The scores of all folders together."""
    folders = dict(_folders(report))
    if not folders:
        raise InputError(f"{report.path} holds no folder of sequences; make it again")
    return folders[ALL_FOLDERS] if len(folders) > 1 and ALL_FOLDERS in folders else next(iter(folders.values()))


def _checkpoint_values(config: Fields) -> dict[str, str]:
    return {
        "num_vertices": str(config.number("num_vertices")),
        "num_action_units": str(len(tables.action_units(config))),
        "face_model": config.text("face_model"),
        "coarse": "deca",
        "sample_ms": f"{1000 / config.number('frame_rate'):.0f}",
        "architecture_table": tables.architecture(config),
    }


def _training_values(training: Fields) -> dict[str, str]:
    return {
        "package_version": training.text("package_version"),
        "date": training.text("date"),
        "steps": str(training.number("steps")),
        "minutes": f"{training.number('seconds') / 60:.0f}",
        "training_command": training.text("command"),
        "held_out_frames": str(training.number("held_out", "frames")),
    }


def _agreement_values(agreement: Fields) -> dict[str, str]:
    clips = agreement.part("clips")
    return {
        "num_clips": str(len(clips.content)),
        "num_clip_frames": str(sum(clips.number(name, "common_frames") for name in clips.content)),
        "core_action_units": ", ".join(map(str, agreement.numbers("core_action_units"))),
        "core_r": f"{agreement.number('core_r'):.3f}",
        "mean_r": f"{agreement.number('mean_r'):.3f}",
        "mean_roc_area": f"{agreement.number('mean_roc_area'):.3f}",
        "min_deviation": f"{agreement.number('rules', 'min_deviation'):g}",
        "min_presence": f"{agreement.number('rules', 'min_presence'):.0%}",
        "max_presence": f"{agreement.number('rules', 'max_presence'):.0%}",
        "agreement_au_table": tables.agreement_by_unit(agreement),
        "agreement_clip_table": tables.agreement_by_clip(agreement),
        "agreement_r_table": tables.agreement_matrix(agreement, "r"),
        "agreement_roc_table": tables.agreement_matrix(agreement, "roc_area"),
    }


def _synthetic_values(report: Fields, styles: Sequence[Fields]) -> dict[str, str]:
    scores = _everyone(report)
    full, meshes, ways = scores.part("action_units", "full"), scores.part("meshes"), scores.part("calibration")
    by_unit, notes = list(full.part("by_au").content), report.texts("notes")
    return {
        "sequences": str(scores.number("sequences")),
        "left_out": str(scores.number("left_out")),
        "samples": str(full.number("frames")),
        "synthetic_notes": "".join(f"\n\nNote: {note}." for note in notes),
        "means_table": tables.means(scores),
        "au_table": tables.by_unit(scores, by_unit),
        "intensity_table": tables.by_intensity(scores),
        "intensity_au_table": tables.by_unit_and_intensity(scores, by_unit),
        "style_table": tables.styles([folder for each in (report, *styles) for folder in _folders(each)]),
        "size_error": f"{meshes.number('size_error'):.1%}",
        "mesh_table": tables.meshes(scores),
        "still_samples": str(meshes.number("jitter_mm", "samples")),
        "still_velocity": f"{report.number('rules', 'still_velocity_mm'):g}",
        "lag_sequences": str(meshes.number("lag_samples", "sequences")),
        "motion_table": tables.motion(scores),
        "calibration_table": tables.calibration(scores),
        "hard_case_table": tables.hard_cases(scores),
        "recall_faint": f"{full.number('means', 'all', 'by_intensity', '1', 'recall'):.0%}",
        "recall_clear": f"{full.number('means', 'all', 'by_intensity', '3', 'recall'):.0%}",
        **{f"missed_{way}": f"{ways.number(way, 'never_relaxes', 'missed'):.0%}" for way in ("clip", "picture")},
    }


def _bundled_values(training: Fields, agreement: Fields, synthetic: Fields, videos: list[Fields]) -> dict[str, str]:
    """What the card says of the checkpoint in the package only."""
    by_unit, scores = agreement.part("by_au"), _everyone(synthetic)
    full = scores.part("action_units", "full")

    def r(unit: int) -> str:
        known = by_unit.score(label(unit), "r") if label(unit) in by_unit.content else None
        return "not defined" if known is None else cell(known)

    return {
        "target_table": target_table(agreement, scores, videos),
        "held_out_seed": str(training.parts("pools")[-1].number("seed")),
        "held_out_count": str(scores.number("sequences") + scores.number("left_out")),
        **{f"r_au{unit:02d}": r(unit) for unit in (4, 15, 20)},
        **{f"f1_au{unit}": cell(full.number("by_au", label(unit), "f1")) for unit in (23, 24, 28)},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status of the error, if there was one, after its sentence."""
    parser = argparse.ArgumentParser(description="Writes the model card of a checkpoint from measured results.")
    parser.add_argument("folder", nargs="?", type=Path, default=BUNDLED, help="the checkpoint's (default: bundled)")
    parser.add_argument("--results", type=Path, metavar="DIR", help="what evaluate --output wrote (default: in FOLDER)")
    parser.add_argument("--repo", default="OWNER/NAME", help="where the model will be (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    options = parser.parse_args(arguments)

    def write() -> Any:
        card = model_card(options.folder, options.results, options.repo)
        with atomic_path(options.output) as temporary:
            temporary.write_text(card, encoding="utf-8")
        print(options.output)

    return exit_status(write, "no card was written")


if __name__ == "__main__":
    sys.exit(main())
