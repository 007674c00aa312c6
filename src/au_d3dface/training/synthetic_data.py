"""The synthetic training data of a run: samplers from the bundled statistics, pools fitted once and kept."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from ..coarse import CoarseReconstructor
from ..data.synthetic.pool import SequencePool, build_pool
from ..data.synthetic.responses import read_pyfeat_map
from ..data.synthetic.sequences import SequenceSampler, SequenceSettings
from ..data.synthetic.tracker_response import load_tracker_response
from .arguments import DataArguments

HELD_OUT_SEED = 1_000_003
"""Added to the seed of the held-out people: other identities, gains, trajectories and noise throughout."""


def synthetic_pools(
    arguments: DataArguments,
    coarse: CoarseReconstructor,
    frame_rate: float,
    folder: Path,
    show_progress: bool = True,
) -> tuple[SequencePool, SequencePool]:
    """The pools to train on and to evaluate on; read from files where they have been made before.

    Args:
        coarse: fits the sequences; the same as at inference.
        frame_rate: the network's.
        folder: where the pools are kept unless the arguments name one. A file's name says what it was made from.

    Raises:
        InputError: py-feat's map cannot be read, or a kept pool is damaged.
        CheckpointError: the tracker's statistics cannot be read.
    """
    response = load_tracker_response(arguments.tracker_response)
    people = read_pyfeat_map(arguments.pyfeat_map) if arguments.pyfeat_map else None
    settings = SequenceSettings(seconds=arguments.seconds, frame_rate=float(frame_rate))
    keep = Path(arguments.pool) if arguments.pool else folder
    keep.mkdir(parents=True, exist_ok=True)
    pools = []
    for name, count, seed in (
        ("train", arguments.sequences, arguments.seed),
        ("held-out", arguments.held_out, arguments.seed + HELD_OUT_SEED),
    ):
        sampler = SequenceSampler(response, people, settings, seed)
        path = keep / f"{name}-{_digest(sampler, coarse, count)}.safetensors"
        if not path.exists():
            with tqdm(total=count, unit="sequence", desc=f"fitting {name}", disable=not show_progress) as progress:
                pool = build_pool(sampler, coarse, count, arguments.workers, progress.update)
            pool.save(path)
        pools.append(SequencePool.load(path))
    return pools[0], pools[1]


def _digest(sampler: SequenceSampler, coarse: CoarseReconstructor, count: int) -> str:
    """Twelve letters that differ where pools do. (Changed code needs another folder.)"""
    recipe = {"settings": asdict(sampler.settings), "seed": sampler.seed, "count": count, "coarse": coarse.name}
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    for name in sorted(sampler.response):
        digest.update(sampler.response[name].tobytes())
    if sampler.people is not None:
        digest.update(sampler.people.displacement.tobytes())
    digest.update(coarse.face_model.template.numpy().tobytes())
    digest.update(coarse.face_model.expression_basis.numpy().tobytes())
    return digest.hexdigest()[:12]
