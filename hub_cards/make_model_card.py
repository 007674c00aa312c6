"""Writes the model card of a checkpoint from its own files and from what `au-d3dface evaluate` measured of it.

    python hub_cards/make_model_card.py --model FOLDER --agreement agreement.json --synthetic synthetic.json \\
        --synthetic-styles conversation.json watching.json --frame-rate frame_rate.json --output hub_cards/model_card.md

Without arguments: the bundled checkpoint, and the files in hub_cards/results. The words are in model_card_template.md;
every number comes from a file, and a field that is missing is an error. `--synthetic` needs `evaluate synthetic` with
`--static` and `--ict-facekit`; the files of `--synthetic-styles` may be without.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template

import model_card_tables as tables
from model_card_fields import Fields
from model_card_targets import target_table

from au_d3dface.checkpoints import BUNDLED
from au_d3dface.errors import AUD3DFaceError, InputError
from au_d3dface.evaluation.reports import cell
from au_d3dface.evaluation.synthetic_report import ALL_FOLDERS
from au_d3dface.export.files import atomic_path
from au_d3dface.facs import label

HERE = Path(__file__).resolve().parent
TEMPLATE, RESULTS = HERE / "model_card_template.md", HERE / "results"


def model_card(
    model: Path, agreement: Path, synthetic: Path, synthetic_styles: Sequence[Path], frame_rate: Sequence[Path]
) -> str:
    """The card.

    Args:
        model: the checkpoint's folder. The others: JSON files of `evaluate`.

    Raises:
        InputError: a file or a field is missing, or is not what it should be.
    """
    agreed, synthesised = Fields(agreement), Fields(synthetic)
    videos = [Fields(path) for path in frame_rate]
    if not videos:
        raise InputError("the model card needs a file of evaluate frame-rate; give one with --frame-rate")
    scores = _everyone(synthesised)
    folders = [folder for report in (synthesised, *map(Fields, synthetic_styles)) for folder in _folders(report)]
    values = {
        **_checkpoint_values(model),
        **_agreement_values(agreed),
        **_synthetic_values(synthesised, scores, Fields(model / "config.json")),
        "style_table": tables.styles(folders),
        "frame_rate_table": tables.frame_rate(videos),
        "target_table": target_table(agreed, scores, videos),
    }
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(values)


def _folders(report: Fields) -> list[tuple[str, Fields]]:
    folders = report.part("folders")
    return [(name, folders.part(name)) for name in folders.content]


def _everyone(report: Fields) -> Fields:
    """The scores of all folders together."""
    folders = dict(_folders(report))
    if not folders:
        raise InputError(f"{report.path} holds no folder of sequences; make it again")
    return folders[ALL_FOLDERS] if len(folders) > 1 and ALL_FOLDERS in folders else next(iter(folders.values()))


def _checkpoint_values(model: Path) -> dict[str, str]:
    config, generation, training = (
        Fields(model / f"{name}.json") for name in ("config", "generation_config", "training")
    )
    held_out, rate = training.part("held_out"), config.number("frame_rate")
    return {
        "num_vertices": str(config.number("num_vertices")),
        "num_action_units": str(len(tables.action_units(config))),
        "sample_ms": f"{1000 / rate:.0f}",
        "architecture_table": tables.architecture(config),
        "threshold_table": tables.thresholds(config, generation),
        "data_table": tables.data(training),
        "package_version": training.text("package_version"),
        "date": training.text("date"),
        "steps": str(training.number("steps")),
        "minutes": f"{training.number('seconds') / 60:.0f}",
        "training_command": training.text("command"),
        "held_out_frames": str(held_out.number("frames")),
        "held_out_f1": f"{held_out.number('f1_mean'):.3f}",
        "held_out_floor": f"{held_out.number('always_positive_f1_mean'):.3f}",
        "held_out_roc": f"{held_out.number('roc_area_mean'):.3f}",
        "held_out_r": f"{held_out.number('intensity_r_mean'):.3f}",
        "held_out_coarse": f"{held_out.number('coarse_error_mm'):.2f}",
        "held_out_refined": f"{held_out.number('refined_error_mm'):.2f}",
        "held_out_seed": str(training.parts("pools")[-1].number("seed")),
    }


def _agreement_values(agreement: Fields) -> dict[str, str]:
    clips, by_unit = agreement.part("clips"), agreement.part("by_au")

    def r(unit: int) -> str:
        known = by_unit.score(label(unit), "r") if label(unit) in by_unit.content else None
        return "not defined" if known is None else cell(known)

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
        **{f"r_au{unit:02d}": r(unit) for unit in (4, 15, 20)},
    }


def _synthetic_values(report: Fields, scores: Fields, config: Fields) -> dict[str, str]:
    units = tables.action_units(config)
    full, meshes, ways = scores.part("action_units", "full"), scores.part("meshes"), scores.part("calibration")
    notes = report.texts("notes")
    sequences, left_out = scores.number("sequences"), scores.number("left_out")
    return {
        "sequences": str(sequences),
        "left_out": str(left_out),
        "held_out_count": str(sequences + left_out),
        "samples": str(full.number("frames")),
        "synthetic_notes": "".join(f"\n\nNote: {note}." for note in notes),
        "means_table": tables.means(scores),
        "au_table": tables.by_unit(scores, units),
        "intensity_table": tables.by_intensity(scores),
        "intensity_au_table": tables.by_unit_and_intensity(scores, units),
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
        **{f"f1_au{unit}": cell(full.number("by_au", label(unit), "f1")) for unit in (23, 24, 28)},
        **{f"missed_{way}": f"{ways.number(way, 'never_relaxes', 'missed'):.0%}" for way in ("clip", "picture")},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status of the error, if there was one, after its sentence."""
    parser = argparse.ArgumentParser(description="Writes the model card of a checkpoint from measured results.")
    parser.add_argument("--model", type=Path, default=BUNDLED, help="the checkpoint's folder")
    parser.add_argument("--agreement", type=Path, default=RESULTS / "agreement.json")
    parser.add_argument("--synthetic", type=Path, default=RESULTS / "synthetic.json")
    parser.add_argument(
        "--synthetic-styles",
        type=Path,
        nargs="*",
        default=sorted(RESULTS.glob("style_*.json")),
        help="the same of people of one style each (default: results/style_*.json)",
    )
    parser.add_argument("--frame-rate", type=Path, nargs="+", default=sorted(RESULTS.glob("frame_rate*.json")))
    parser.add_argument("--output", type=Path, default=HERE / "model_card.md")
    options = parser.parse_args(arguments)
    try:
        card = model_card(
            options.model, options.agreement, options.synthetic, options.synthetic_styles, options.frame_rate
        )
        with atomic_path(options.output) as temporary:
            temporary.write_text(card, encoding="utf-8")
    except AUD3DFaceError as error:
        print(f"make_model_card: {error}", file=sys.stderr)
        return error.exit_status
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
