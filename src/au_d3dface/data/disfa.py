"""DISFA as a Hugging Face dataset: `DISFA`, a builder of the `datasets` library over your own copy."""

from dataclasses import dataclass
from typing import Any

from .. import facs
from ..errors import UsageError
from . import disfa_files
from .benchmark_builder import BenchmarkBuilder, BenchmarkConfig, datasets
from .benchmark_files import Layout

_VERSION = datasets.Version("1.0.0", "raised whenever a copy gives other rows")


@dataclass
class DISFAConfig(BenchmarkConfig):
    """`BenchmarkConfig`, and what only DISFA has.

    Attributes:
        camera: "left" or "right", whose videos.
        present_from: the intensity from which on an action unit counts as present.
        first_picture: the number of the first picture of a dump, 0 or 1; None finds out.
    """

    camera: str = "left"
    present_from: int = 2
    first_picture: int | None = None


class DISFA(BenchmarkBuilder):
    """27 people, a video each; intensities of twelve action units, present from 2 on.

        builder = DISFA(config_name="P3", data_dir="DISFA", clip_length=20)     # trains on P1 and P2, tests P3
        builder.download_and_prepare(num_proc=2)
        rows = builder.as_dataset(split="train").with_format("numpy")

    Settings are those of `DISFAConfig`; columns and errors those of `BenchmarkBuilder`.
    """

    VERSION = _VERSION
    BUILDER_CONFIG_CLASS = DISFAConfig
    BUILDER_CONFIGS = [  # noqa: RUF012 (the library's own way)
        *(
            DISFAConfig(name=part, version=_VERSION, description=f"tests {part}, trains on the others", tested=part)
            for part in ("P1", "P2", "P3")
        ),
        DISFAConfig(name="all", version=_VERSION, description="tests everyone", tested="all"),
        DISFAConfig(name="own", version=_VERSION, description="parts of your own: give folds and tested"),
    ]
    benchmark, title, tasks = disfa_files.NAME, "DISFA", ("",)
    default_units, reported_rate = facs.DISFA, disfa_files.FRAME_RATE

    def find(self, data_dir: str, **arguments: Any) -> Layout:
        """The files of DISFA in a folder."""
        return disfa_files.find_disfa(data_dir, **arguments)

    def _info(self) -> datasets.DatasetInfo:
        unknown = [number for number in self.settings.action_units if number not in disfa_files.ACTION_UNITS]
        if unknown:
            units = ", ".join(map(str, disfa_files.ACTION_UNITS))
            raise UsageError(f"DISFA does not label {facs.label(unknown[0])}; choose out of AU {units}")
        return super()._info()
