"""The synthetic training data of a run: samplers from the bundled statistics, pools fitted once and kept.

`synthetic_training_data` puts together what the training loop takes.
"""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch.utils.data import ConcatDataset
from tqdm import tqdm

from ..coarse import CoarseReconstructor
from ..configuration_au_d3dface import AUD3DFaceConfig
from ..data.synthetic.crop_pool import CropPool, FeaturePool, build_crop_pool, build_feature_pool
from ..data.synthetic.picture_pool import PicturePool, build_picture_pool
from ..data.synthetic.pool import SequencePool, SequenceSource, SyntheticClips, build_pool
from ..data.synthetic.rendered_sequences import StoredSequences
from ..data.synthetic.responses import read_pyfeat_map
from ..data.synthetic.sequences import HELD_OUT_SEED, SequenceSampler, SequenceSettings
from ..data.synthetic.tracker_response import load_tracker_response
from ..errors import InputError
from ..export.files import output_errors
from ..modeling_au_d3dface import AUD3DFaceForReconstruction, AUD3DFaceModel
from .arguments import Arguments, DataArguments
from .linear_reading import LinearReading
from .motion_span import span_motions
from .training_data import TrainingData
from .video_weights import freeze_video, load_video_weights, video_digest
from .weak_supervision import WeakSupervision, weak_supervision
from .whitening import whiten


@dataclass
class SyntheticPools:
    """Rendered and fast sequences to train on, either of which may be absent, and those of held-out people."""

    rendered: SequencePool | None
    fast: SequencePool | None
    held_out: SequencePool
    pictures: PicturePool | None = None
    """Of the rendered sequences."""
    video: CropPool | FeaturePool | None = None
    held_out_video: CropPool | FeaturePool | None = None
    """What the video branch reads of the rendered sequences and of those of held-out people."""

    @property
    def train(self) -> list[SequencePool]:
        return [pool for pool in (self.rendered, self.fast) if pool is not None]


def synthetic_pools(
    arguments: DataArguments,
    coarse: CoarseReconstructor,
    frame_rate: float,
    folder: Path,
    show_progress: bool = True,
) -> SyntheticPools:
    """The pools to train on and to evaluate on; read from files where they have been made before.

    Args:
        coarse: fits the sequences; the same as at inference.
        frame_rate: the network's.
        folder: where the pools are kept unless the arguments name one. A file's name says what it was made from.

    Raises:
        InputError: py-feat's map or the rendered sequences cannot be read or have another rate, or a kept pool is
            damaged.
        CheckpointError: the tracker's statistics cannot be read.
        OutputError: the folder for the pools cannot be written.
    """
    response = load_tracker_response(arguments.tracker_response)
    people = read_pyfeat_map(arguments.pyfeat_map) if arguments.pyfeat_map else None
    settings = SequenceSettings(seconds=arguments.seconds, frame_rate=float(frame_rate))
    keep = Path(arguments.pool) if arguments.pool else folder
    with output_errors(keep):
        keep.mkdir(parents=True, exist_ok=True)

    def pool(name: str, source: SequenceSource, count: int) -> SequencePool:
        path = keep / f"{name}-{_digest(source, coarse, count)}.safetensors"
        if not path.exists():
            with tqdm(total=count, unit="sequence", desc=f"fitting {name}", disable=not show_progress) as progress:
                build_pool(source, coarse, count, arguments.workers, progress.update).save(path)
        return SequencePool.load(path)

    def rendered(name: str, path: str) -> SequencePool:
        source = StoredSequences(path)
        made = pool(name, source, len(source))
        if not math.isclose(made.frame_rate, frame_rate, rel_tol=1e-3):
            raise InputError(
                f"{path} holds sequences of {made.frame_rate:g} frames a second, but the network takes {frame_rate:g}; "
                "render them at its rate"
            )
        return made

    def pictures(path: str) -> PicturePool:
        source, size = StoredSequences(path), arguments.picture_size
        target = keep / f"pictures-{size}-{_digest(source, coarse, len(source))}.safetensors"
        if not target.exists():
            with tqdm(
                total=len(source), unit="sequence", desc="reading pictures", disable=not show_progress
            ) as progress:
                build_picture_pool(path, coarse, size, progress.update).save(target)
        return PicturePool.load(target)

    found, fast, shown = None, None, None
    if arguments.rendered:
        found = rendered("rendered", arguments.rendered)
        shown = pictures(arguments.rendered) if arguments.pictures else None
    if arguments.sequences:
        fast = pool("fast", SequenceSampler(response, people, settings, arguments.seed), arguments.sequences)
    if arguments.rendered_held_out:
        held_out = rendered("rendered-held-out", arguments.rendered_held_out)
    else:
        sampler = SequenceSampler(response, people, settings, arguments.seed + HELD_OUT_SEED)
        held_out = pool("fast-held-out", sampler, arguments.held_out)
    return SyntheticPools(found, fast, held_out, shown)


def _digest(source: SequenceSource, coarse: CoarseReconstructor, count: int) -> str:
    """Twelve letters that differ where pools do. (Changed code needs another folder.)"""
    recipe = {"source": source.provenance, "count": count, "coarse": coarse.name}
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    if isinstance(source, SequenceSampler):
        for name in sorted(source.response):
            digest.update(source.response[name].tobytes())
        if source.people is not None:
            digest.update(source.people.displacement.tobytes())
    correction = getattr(coarse, "rest_correction", None)  # of landmark fitting; other reconstructors have none
    if correction is not None:
        for tensor in (correction.mean, correction.traits, correction.mean_depth, correction.depth):
            digest.update(tensor.numpy().tobytes())
    digest.update(coarse.face_model.template.numpy().tobytes())
    digest.update(coarse.face_model.expression_basis.numpy().tobytes())
    return digest.hexdigest()[:12]


class ClipMixture(ConcatDataset):
    """Clips of several sources in one epoch; rendered ones several times, at other phases each time."""

    def begin_epoch(self, epoch: int) -> None:
        """Draws other phases; called before each epoch."""
        for number, clips in enumerate(self.datasets):
            clips.begin_epoch(len(self.datasets) * epoch + number)


def training_clips(pools: SyntheticPools, arguments: DataArguments, action_units, seed: int) -> ClipMixture:
    """The clips of an epoch: rendered sequences `rendered_repeats` times, hardly bent, fast ones once and `taught`."""
    parts = []
    beside = [part for part in (pools.pictures, pools.video) if part is not None]
    bending = {name: getattr(arguments, name) for name in ("neutral_error", "mixing", "noise", "offset")}
    if pools.rendered is not None:
        gentle = {name: arguments.rendered_bending * value for name, value in bending.items()}
        for _ in range(arguments.rendered_repeats):
            parts.append(
                SyntheticClips(pools.rendered, action_units, arguments.clip_length, seed=seed, beside=beside, **gentle)
            )
    if pools.fast is not None:
        clips = SyntheticClips(pools.fast, action_units, arguments.clip_length, seed=seed, taught=True, **bending)
        parts.append(clips)
    return ClipMixture(parts)


Pool = TypeVar("Pool", CropPool, FeaturePool)
Progress = Callable[[int], object]


def with_video(
    pools: SyntheticPools,
    arguments: Arguments,
    config: AUD3DFaceConfig,
    coarse: CoarseReconstructor,
    folder: Path,
    device: torch.device | str = "cpu",
    show_progress: bool = True,
) -> SyntheticPools:
    """The pools with what the video branch reads beside them: crops, or with `training.freeze_video` features of them.

    Raises:
        CheckpointError: as of `load_video_weights`.
        InputError: the rendered sequences have no pictures.
    """
    data, training = arguments.data, arguments.training
    keep = Path(data.pool) if data.pool else folder
    frozen = None
    if training.freeze_video:
        frozen = AUD3DFaceModel(config).eval()
        load_video_weights(frozen, str(training.video_weights))

    def kept(kind: type[Pool], path: Path, what: str, count: int, build: Callable[[Progress], Pool]) -> Pool:
        if not path.exists():
            with tqdm(total=count, unit="sequence", desc=what, disable=not show_progress) as progress:
                build(progress.update).save(path)
        return kind.load(path)

    def read(name: str, path: str, pool: SequencePool) -> CropPool | FeaturePool:
        digest, size, count = _digest(StoredSequences(path), coarse, len(pool)), config.image_size, len(pool)

        def crops() -> CropPool:
            target = keep / f"{name}-crops-{size}-{digest}.safetensors"
            return kept(CropPool, target, f"cutting out {name}", count, lambda done: build_crop_pool(path, size, done))

        if frozen is None:
            return crops()
        target = keep / f"{name}-features-{video_digest(frozen)}-{digest}.safetensors"
        branch = frozen.to(device)
        return kept(
            FeaturePool, target, f"looking at {name}", count,
            lambda done: build_feature_pool(crops(), pool.valid, branch, done),
        )  # fmt: skip

    assert pools.rendered is not None  # `Arguments.validate` has seen to both
    return replace(
        pools,
        video=read("rendered", str(data.rendered), pools.rendered),
        held_out_video=read("rendered-held-out", str(data.rendered_held_out), pools.held_out),
    )


def synthetic_training_data(
    arguments: Arguments,
    config: AUD3DFaceConfig,
    coarse: CoarseReconstructor,
    folder: Path,
    device: torch.device | str = "cpu",
    show_progress: bool = True,
) -> TrainingData:
    """What the training loop takes of synthetic sequences. Args and errors as of `synthetic_pools`."""
    data, training = arguments.data, arguments.training
    pools = synthetic_pools(data, coarse, config.frame_rate, folder, show_progress)
    weak: WeakSupervision | None = None
    if pools.pictures is not None:
        weak, pools = weak_supervision(pools, data, coarse.face_model, training.loss_weights, device)
    if config.use_video:
        pools = with_video(pools, arguments, config, coarse, folder, device, show_progress)
    units = config.action_units
    video = [] if pools.video is None else [pools.video]
    held_out_video = [] if pools.held_out_video is None else [pools.held_out_video]
    calibration = None
    if training.calibrate:
        calibration = SyntheticClips(pools.train[0].head(training.calibrate), units, beside=video)

    def initialise(network: AUD3DFaceForReconstruction) -> None:
        if training.whitening:
            whiten(network, pools.train, training.whitening)
        if training.motion_span:
            span_motions(network, pools.train)
        if config.use_video and training.video_weights:
            load_video_weights(network, training.video_weights)
        if config.use_video and training.freeze_video:
            freeze_video(network)

    optional: dict = {}
    if training.linear_reading and pools.fast is not None:
        optional["teach"] = LinearReading.fit(pools.fast, units, training.linear_reading).teach
    if weak is not None:
        optional["supervise"] = weak
    return TrainingData(
        clips=training_clips(pools, data, units, training.seed),
        held_out=SyntheticClips(pools.held_out, units, beside=held_out_video),
        calibration=calibration,
        meshes=pools.train[0].meshes.to(device),
        positive_rates=pools.train[0].positive_rates(units),
        coefficients=torch.cat([pool.expression[pool.valid] for pool in pools.train]),
        name="synthetic sequences",
        provenance=[part for pool in (*pools.train, pools.held_out) for part in pool.provenance],
        initialise=initialise,
        **optional,
    )
