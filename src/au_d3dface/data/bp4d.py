"""BP4D as a Hugging Face dataset: `BP4D`, a builder of the `datasets` library over your own copy."""

from typing import Any

from .. import facs
from . import bp4d_files
from .benchmark_builder import BenchmarkBuilder, BenchmarkConfig, datasets
from .benchmark_files import Layout

_VERSION = datasets.Version("1.0.0", "raised whenever a copy gives other rows")


class BP4D(BenchmarkBuilder):
    """41 people in eight tasks each; occurrence of action units, and intensities of five of them.

        builder = BP4D(config_name="P3", data_dir="BP4D", clip_length=20)     # trains on P1 and P2, tests P3
        builder.download_and_prepare(num_proc=2)
        rows = builder.as_dataset(split="train").with_format("numpy")

    Settings are those of `BenchmarkConfig`; columns and errors those of `BenchmarkBuilder`.
    """

    VERSION = _VERSION
    BUILDER_CONFIGS = [  # noqa: RUF012 (the library's own way)
        *(
            BenchmarkConfig(name=part, version=_VERSION, description=f"tests {part}, trains on the others", tested=part)
            for part in ("P1", "P2", "P3")
        ),
        BenchmarkConfig(name="all", version=_VERSION, description="tests everyone", tested="all"),
        BenchmarkConfig(name="own", version=_VERSION, description="parts of your own: give folds and tested"),
    ]
    benchmark, title, tasks = bp4d_files.NAME, "BP4D", bp4d_files.TASKS
    default_units, reported_rate = facs.BP4D, bp4d_files.FRAME_RATE

    def find(self, data_dir: str, **arguments: Any) -> Layout:
        """The files of BP4D in a folder."""
        return bp4d_files.find_bp4d(data_dir)
