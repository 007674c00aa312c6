"""BP4D or DISFA as the data of a run: the prepared coarse faces of your own copy, one part held out."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..configuration_au_d3dface import AUD3DFaceConfig
from ..data.benchmark_clips import (
    CoefficientSequence,
    ScoredRuns,
    TrainingRuns,
    counts,
    expression_basis,
    read_coefficient_sequences,
)
from ..data.benchmark_features import SequenceFeatures, build_features, features_name
from ..data.clip_meshes import ClipMeshes, FLAMEClipMeshes
from ..data.clips import positive_rates
from ..data.loading import benchmark_builder
from ..errors import InputError, UsageError
from ..export.files import output_errors
from ..face_models import FaceModel
from ..mlp_baseline import AUD3DFaceMLPConfig
from ..modeling_au_d3dface import AUD3DFaceForReconstruction, AUD3DFaceModel
from .arguments import Arguments, DataArguments
from .benchmark_supervision import benchmark_supervision
from .motion_span import span_motions
from .training_data import Batch, TrainingData
from .video_weights import freeze_video, load_video_weights, video_digest
from .whitening import CoarseMotions, whiten

TORN_LIPS = (
    "the prepared faces come from landmark fitting. A mesh that may move vertex by vertex follows the 68 landmarks and "
    "tears the lips apart between them; give --config landmarks after the other configs to train within the motions of "
    "the face model"
)


def benchmark_training_data(
    arguments: Arguments,
    config: AUD3DFaceConfig | AUD3DFaceMLPConfig,
    face_model: FaceModel,
    device: torch.device | str = "cpu",
    show_progress: bool = True,
    folder: Path | None = None,
) -> TrainingData:
    """What the training loop takes of a benchmark. Everything is read into memory, as coefficients and labels.

    Held-out people are decoded in whole runs, every phase of each, so that every frame that counts is scored once; a
    frame that counts but has no reconstructed face is scored as what it is, a frame of which nothing is said present.
    Where L_img or L_lmk would tear the mesh, a note on stderr says so at once.

    Args:
        face_model: that the coarse faces were prepared with.
        folder: where features of a frozen video branch are kept unless `data.pool` names one; None for the output.

    Raises:
        UsageError: a setting that makes no sense, or an action unit that never occurs in training.
        InputError: files are missing or damaged, were prepared from other frames or with another face model or, for an
            MLP, another reconstructor than its config says; or they lack what L_img and L_lmk compare with.
    """
    data, training = arguments.data, arguments.training
    builder = benchmark_builder(data.dataset, str(data.data_dir), data.tested, **_settings(data, config.action_units))
    splits = builder.splits()
    if not splits.get("train"):
        raise InputError(f"{builder.layout.root} has no sequence of a part to train on; complete the copy")
    names = [*splits["train"], *splits["test"]]
    with tqdm(names, unit="sequence", desc=f"reading {data.dataset}", disable=not show_progress) as listed:
        crop_size = config.image_size if config.use_video else None
        labelled = list(builder.labelled_sequences(listed))
        read, coarse = read_coefficient_sequences(labelled, face_model, config.frame_rate, crop_size)
    train, held_out = read[: len(splits["train"])], read[len(splits["train"]) :]
    if isinstance(config, AUD3DFaceMLPConfig) and config.coarse != coarse:
        raise InputError(f"{data.prepared} was prepared by {coarse}, but model.coarse is {config.coarse}; set that")
    usable = torch.cat([one.coefficients for one in train])
    if not len(usable):
        raise InputError(
            f"no face was reconstructed in any training sequence ({data.prepared}); prepare the data again"
        )
    linear, weights = train[0].pose is None, training.loss_weights
    supervised = isinstance(config, AUD3DFaceConfig) and (
        weights["image"] or weights["landmarks"]
    )  # an MLP has no mesh
    if show_progress and supervised and linear and coarse == "landmarks" and not training.motion_span:
        print(f"au-d3dface: note: {TORN_LIPS}", file=sys.stderr)

    if isinstance(config, AUD3DFaceConfig) and training.freeze_video:
        keep = Path(data.pool or folder or training.output)
        read_once(read, config, str(training.video_weights), keep, device, show_progress)
    supervision, compared = None, {}
    if supervised:
        sequences = list(zip(train, labelled, strict=False))
        supervision, compared = benchmark_supervision(sequences, face_model, coarse, weights, data.picture_size, device)
    meshes: Callable[[Batch], Batch]
    if linear:
        basis = expression_basis(face_model, coarse, train)
        meshes = ClipMeshes(basis.cpu()).to(device)
        motions = [CoarseMotions(usable, torch.ones(len(usable), dtype=torch.bool), basis.cpu())]
    else:
        meshes, motions = FLAMEClipMeshes(face_model).to(device), []
        for setting in ("whitening", "motion_span"):
            if getattr(training, setting):
                raise UsageError(
                    f"training.{setting} needs faces that are linear in their coefficients, but those of {coarse} have "
                    "a jaw that turns; leave it out (--config landmarks sets it)"
                )

    def initialise(network: AUD3DFaceForReconstruction) -> None:
        if training.video_weights:
            load_video_weights(network, training.video_weights)
        if training.freeze_video:
            freeze_video(network)
        if training.whitening:
            whiten(network, motions, training.whitening)
        if training.motion_span:
            span_motions(network, motions)

    warm_up = 2 * getattr(config, "attention_window", 0)  # an MLP has none
    return TrainingData(
        clips=TrainingRuns(train, data.clip_length, training.seed),
        held_out=ScoredRuns(held_out, warm_up),
        calibration=ScoredRuns(_spread(train, training.calibrate), warm_up) if training.calibrate else None,
        meshes=meshes,
        positive_rates=positive_rates((one.au_labels[one.counted].numpy() for one in train), config.action_units),
        coefficients=usable,
        name=f"{builder.title}, {data.tested} held out",
        provenance=[
            {
                "benchmark": data.dataset,
                "tested": data.tested,
                "parts": "published" if data.folds_file is None else "own",
                "frames_that_count": data.frames,
                "coarse": coarse,
                "face_model": face_model.name,
                "times_from": sorted({one.times_from for one in read}),
                "trained_on": counts(train) | {"people": sorted({one.subject for one in train})},
                "held_out": counts(held_out),
                **compared,
            }
        ],
        initialise=initialise,
        **({} if supervision is None else {"supervise": supervision}),
    )


def read_once(
    sequences: Sequence[CoefficientSequence],
    config: AUD3DFaceConfig,
    weights: str,
    folder: Path,
    device: torch.device | str = "cpu",
    show_progress: bool = True,
) -> None:
    """Reads every sequence with a frozen video branch, where that is not kept yet; clips then have its features.

    Args:
        sequences: with `crops`, which they lose.
        weights: of the video branch. folder: where features are kept.

    Raises:
        CheckpointError: as of `load_video_weights`.
        InputError: a picture cannot be read.
        OutputError: the folder cannot be written.
    """
    branch = AUD3DFaceModel(config).eval()
    load_video_weights(branch, weights)
    digest, branch = video_digest(branch), branch.to(device)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for one in tqdm(sequences, unit="sequence", desc="looking at pictures", disable=not show_progress):
        path = folder / features_name(one, digest)
        if not path.exists():
            build_features(one, branch, path)
        one.features, one.crops = SequenceFeatures(path, config.video_feature_size), None


def _settings(data: DataArguments, action_units: Sequence[int]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "action_units": tuple(action_units),
        "folds": data.folds_file,
        "frames": data.frames,
        "missing": data.missing,
        "frame_rate": data.frame_rate,
        "prepared": data.prepared,
    }
    if data.dataset == "disfa":
        settings |= {name: getattr(data, name) for name in ("camera", "present_from", "first_picture")}
    return settings


def _spread(sequences: Sequence[CoefficientSequence], count: int) -> list[CoefficientSequence]:
    """As many sequences, spread over the people."""
    count = min(count, len(sequences))
    return [sequences[number * len(sequences) // count] for number in range(count)]
