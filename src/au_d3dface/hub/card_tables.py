"""The tables of the model card, in Markdown, each from a checkpoint's files or from those of an evaluation."""

from pathlib import Path

from ..errors import InputError
from ..evaluation.reports import cell, markdown_table
from ..evaluation.synthetic_people.au_scores import AU_SETS
from ..evaluation.synthetic_people.calibration import WAYS
from ..evaluation.synthetic_people.mesh_scores import ERRORS
from ..facs import ACTION_UNITS, label
from ..generation_au_d3dface import AUD3DFaceGenerationConfig
from .card_fields import Fields

LEVELS = ("1", "2", "3", "4", "5")
_HELD_OUT = {
    "f1_mean": "mean F1 over the AUs",
    "always_positive_f1_mean": 'the same of always saying "present"',
    "roc_area_mean": "mean ROC area",
    "intensity_r_mean": "mean r of intensity",
    "coarse_error_mm": "coarse meshes, mm from the true ones",
    "refined_error_mm": "refined meshes, mm from the true ones",
}
_SCORES = {"f1": "F1", "roc_area": "ROC area", "intensity_r": "r"}


def action_units(config: Fields) -> list[int]:
    """The AUs that the checkpoint reads, which must all be known."""
    units = config.numbers("action_units")
    if unknown := [unit for unit in units if unit not in ACTION_UNITS]:
        raise InputError(f"{config.path}: the card knows no name of AU {unknown[0]}")
    return [int(unit) for unit in units]


def text_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table of words, to the left; `markdown_table` is for numbers."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def architecture(config: Fields) -> str:
    """The network, a row a property."""
    switches = {"mesh": "use_mesh", "temporal": "use_temporal", "spatial": "use_spatial", "video": "use_video"}
    parts = [f"{name} {'on' if config.get(switch) else 'off'}" for name, switch in switches.items()]
    rows = [
        ["face model", f"{config.text('face_model')}: {config.number('num_vertices')} vertices, "
         f"{config.number('num_faces')} triangles"],
        ["branches and modules", ", ".join(parts)],
        ["samples a second", f"{config.number('frame_rate'):g}; video of another rate is resampled by time"],
        ["hidden size, feed-forward size", f"{config.number('hidden_size')}, {config.number('intermediate_size')}"],
        ["attention heads", str(config.number("num_attention_heads"))],
        ["temporal layers, spatial layers",
         f"{config.number('num_temporal_layers')}, {config.number('num_spatial_layers')}"],
        ["attention window, samples", str(config.number("attention_window"))],
        ["cross-attention", config.text("cross_attention")],
        ["meshes are refined from", config.text("refine_from")],
        ["intensities (0-5)", "yes" if config.get("predict_intensity") else "no"],
        ["action units", ", ".join(map(str, action_units(config)))],
    ]  # fmt: skip
    return text_table(["property", "value"], rows)


def thresholds(config: Fields, generation: Fields) -> str:
    """Name and threshold of every AU."""
    units = action_units(config)
    if generation.content.get("au_thresholds") is None:  # one for all, in the file if it is not the usual one
        usual = AUD3DFaceGenerationConfig().threshold
        values = [generation.number("threshold") if "threshold" in generation.content else usual] * len(units)
    else:
        values = generation.numbers("au_thresholds")
    if len(values) != len(units):
        raise InputError(f"{generation.path} has {len(values)} thresholds for {len(units)} action units")
    rows = [[label(unit), ACTION_UNITS[unit].name, cell(value)] for unit, value in zip(units, values, strict=True)]
    return text_table(["AU", "name", "threshold"], rows)


def data(training: Fields) -> str:
    """The sequences that were trained on, and the held-out ones last."""
    pools = training.parts("pools")
    rows = []
    for pool in pools:
        use = "held out" if pool is pools[-1] else "training"
        what = f"{use}, {pool.text('quality')} (synthetic): {', '.join(pool.texts('sources'))}"
        rows.append([what, str(pool.number("sequences")), f"{pool.number('settings', 'seconds'):g}"])
        rows[-1].append(str(pool.number("seed")))
    return markdown_table(["sequences", "how many", "seconds each", "seed"], rows)


def benchmark_values(training: Fields) -> dict[str, str]:
    """What a card says of the benchmark that was trained on: its name, its licence's, and who was trained on and who
    held out."""
    [pool] = training.parts("pools")
    rows = []
    for use, name in (("training", "trained_on"), ("held out", "held_out")):
        counts = ("subjects", "sequences", "frames", "frames_without_face")
        rows.append([use, *(str(pool.number(name, count)) for count in counts)])
    return {
        "data_name": training.text("data"),
        "license_name": pool.text("benchmark"),
        "coarse": pool.text("coarse"),
        "benchmark_table": markdown_table(["people", "how many", "sequences", "frames", "without a face"], rows),
    }


def held_out(scores: Fields, synthetic: bool, intensity: bool) -> str:
    """The evaluation at the end of a training. True meshes are known of synthetic people only."""
    needed = {name: synthetic for name in _HELD_OUT if name.endswith("_mm")} | {"intensity_r_mean": intensity}
    rows = []
    for name, called in _HELD_OUT.items():
        if name in scores.content or needed.get(name, True):
            rows.append([called, cell(scores.score(name), 2 if name.endswith("_mm") else 3)])
    return markdown_table(["score", "value"], rows)


def agreement_by_unit(agreement: Fields) -> str:
    """Means over the clips."""
    by_unit = agreement.part("by_au")
    rows = [[name, *(cell(by_unit.score(name, score)) for score in ("r", "roc_area"))] for name in by_unit.content]
    return markdown_table(["AU", "r", "ROC area"], rows)


def agreement_by_clip(agreement: Fields) -> str:
    """Means over the AUs that are defined in a clip."""
    rows = []
    for name in agreement.part("clips").content:
        clip = agreement.part("clips", name)
        rows.append([name, str(clip.number("common_frames"))])
        for score in ("r", "roc_area"):
            values = [clip.score("by_au", unit, score) for unit in clip.part("by_au").content]
            known = [value for value in values if value is not None]
            rows[-1].append(cell(sum(known) / len(known) if known else None))
    return markdown_table(["clip", "frames", "mean r", "mean ROC area"], rows)


def agreement_matrix(agreement: Fields, score: str) -> str:
    """A row a clip, a column an AU that has this score in some clip."""
    by_unit = agreement.part("by_au")
    units = [name for name in by_unit.content if by_unit.score(name, score) is not None]
    rows = []
    for name in agreement.part("clips").content:
        scores = agreement.part("clips", name, "by_au")  # holds only the AUs that vary enough in the clip
        rows.append([name, *(cell(scores.score(unit, score) if unit in scores.content else None) for unit in units)])
    rows.append(["mean", *(cell(by_unit.score(unit, score)) for unit in units)])
    return markdown_table(["clip", *units], rows)


def means(scores: Fields) -> str:
    """F1, ROC area and r of the full and of the static network, by set of AUs."""
    networks = {name: scores.part("action_units", name, "means") for name in ("full", "static")}
    rows = [
        [name, *_networks(networks["full"].number(name, "always_positive_f1"), networks, name, 3)] for name in AU_SETS
    ]
    return markdown_table(["over the AUs of", *_network_columns(networks)], rows)


def by_unit(scores: Fields, names: list[str]) -> str:
    """The same by AU."""
    networks = {name: scores.part("action_units", name, "by_au") for name in ("full", "static")}
    rows = [[name, *_networks(networks["full"].score(name, "always_positive_f1"), networks, name, 2)] for name in names]
    return markdown_table(["AU", *_network_columns(networks)], rows)


def _network_columns(networks: dict[str, Fields]) -> list[str]:
    return ["floor", *(f"{called}, {network}" for called in _SCORES.values() for network in networks)]


def _networks(floor: float | None, networks: dict[str, Fields], name: str, decimals: int) -> list[str]:
    values = [network.score(name, score) for score in _SCORES for network in networks.values()]
    return [cell(value, decimals) for value in (floor, *values)]


def by_intensity(scores: Fields) -> str:
    """F1 (recall) by true intensity, by set of AUs and network."""
    rows = []
    for name in AU_SETS:
        for network in ("full", "static"):
            levels = scores.part("action_units", network, "means", name, "by_intensity")
            rows.append([f"{name}, {network}", *(_level(levels, level) for level in LEVELS)])
    return markdown_table(["over the AUs of", *LEVELS], rows)


def by_unit_and_intensity(scores: Fields, names: list[str]) -> str:
    """F1 (recall) by true intensity, by AU."""
    rows = []
    for name in names:
        levels = scores.part("action_units", "full", "by_au", name, "by_intensity")
        rows.append([name, *(_level(levels, level) for level in LEVELS)])
    return markdown_table(["AU", *LEVELS], rows)


def _level(levels: Fields, level: str) -> str:
    return f"{cell(levels.score(level, 'f1'))} ({cell(levels.score(level, 'recall'))})"


def styles(folders: list[tuple[str, Fields]]) -> str:
    """A row a folder of sequences: its name, and its style where it has one."""
    rows = []
    for name, scores in folders:
        style = scores.get("style")
        full = scores.part("action_units", "full", "means")
        rows.append([name if style in (None, name) else f"{name}: {style}", str(scores.number("sequences"))])
        rows[-1] += [cell(full.number("all", "always_positive_f1"), 3)]
        rows[-1] += [cell(full.score(units, "f1"), 3) for units in AU_SETS]
        rows[-1] += [cell(full.score("all", score), 3) for score in ("roc_area", "intensity_r")]
    header = ["sequences", "how many", "floor, all", *(f"F1, {units}" for units in AU_SETS), "ROC area, all", "r, all"]
    return markdown_table(header, rows)


def meshes(scores: Fields) -> str:
    """Errors in mm by region; three rows a kind of error."""
    errors = scores.part("meshes", "errors_mm")
    regions = [name for name in errors.part("whole").content if name != "samples"]
    rows = [
        [f"{called}, {mesh}", *(cell(errors.number(name, region, mesh)) for region in regions)]
        for name, called in ERRORS.items()
        for mesh in ("coarse", "refined", "ratio")
    ]
    return markdown_table(["mm", *regions], rows)


def motion(scores: Fields) -> str:
    """Jitter and lag."""
    jitter, lag = scores.part("meshes", "jitter_mm"), scores.part("meshes", "lag_samples")
    rows = [["jitter, mm", *(cell(jitter.number(mesh), 3) for mesh in ("coarse", "refined"))]]
    named = {"mean": "mean lag, samples", "within_one": "share of lags within one sample", "largest": "largest lag"}
    for name, called in named.items():
        rows.append([called, *(cell(lag.number(mesh, name), 3) for mesh in ("coarse", "refined"))])
    return markdown_table(["", "coarse", "refined"], rows)


def calibration(scores: Fields) -> str:
    """F1, ROC area and r by way of learning what the person looks like at rest."""
    ways = scores.part("calibration")
    rows = []
    for way, called in WAYS.items():
        means = ways.part(way, "means")
        rows.append([called, *(cell(means.number(name, "f1"), 3) for name in AU_SETS)])
        rows[-1] += [cell(means.number("all", score), 3) for score in ("roc_area", "intensity_r")]
    return markdown_table(["face at rest", *(f"F1, {name}" for name in AU_SETS), "ROC area, all", "r, all"], rows)


def hard_cases(scores: Fields) -> str:
    """People who never relax, and people who never move, where there are such, with a sentence on each."""
    ways = scores.part("calibration")
    paragraphs = []
    for case, who, columns in (
        ("never_relaxes", "who never relax (one AU is present throughout)", ("missed", "false_positives")),
        ("never_moves", "who never move (no AU but blinks)", ("false_positives",)),
    ):
        if all(ways.get(way, case) is None for way in WAYS):
            paragraphs.append(f"Among these sequences there are no synthetic people {who}.")
            continue
        people, frames = (ways.number("clip", case, name) for name in ("people", "frames"))
        paragraphs.append(
            f"{people} synthetic people {who}, cut out of their sequences, {frames} frames; missed is the share of "
            "frames without the AU that is there, false positives the share of absent AUs said to be present:"
            if len(columns) == 2
            else f"{people} synthetic people {who}, {frames} frames; the share of absent AUs said to be present:"
        )
        rows = [[called, *(cell(ways.number(way, case, name), 3) for name in columns)] for way, called in WAYS.items()]
        paragraphs.append(markdown_table(["face at rest", *(name.replace("_", " ") for name in columns)], rows))
    return "\n\n".join(paragraphs)


def frame_rate(videos: list[Fields]) -> str:
    """A row a video and lower rate."""
    rows = []
    for video in videos:
        name = (
            f"{Path(video.text('video')).name}, {video.number('frames')} frames, {video.number('full_rate'):g} a second"
        )
        for rate in video.parts("rates"):
            events = rate.part("events")
            rows.append([name, f"{rate.number('rate'):g}", str(events.number("at_full_rate"))])
            rows[-1] += [str(events.number("matched")), cell(events.number("f1"), 3)]
            rows[-1] += [cell(events.score(error), 3) for error in ("onset_error_s", "offset_error_s")]
            rows[-1] += [cell(rate.number("kappa"), 3), cell(rate.number("agreement"), 3)]
    header = ["video", "thinned to", "events", "found again", "event F1", "onset error, s", "offset error, s", "kappa"]
    return markdown_table([*header, "equal decisions"], rows)
