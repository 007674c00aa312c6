"""The networks of the page, loaded once each and shared by all visitors."""

import threading
from dataclasses import dataclass, field

from ..pipeline_au_d3dface import AUD3DFacePipeline


@dataclass
class Pipelines:
    """The last few pipelines that were asked for, loaded once each.

    Attributes:
        model: the checkpoint where none is chosen; None for the bundled one.
        device: of the networks.
        keep: how many are kept in memory.
    """

    model: str | None = None
    device: str = "auto"
    keep: int = 2
    _loaded: dict[tuple[str | None, str | None], AUD3DFacePipeline] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, model: str | None, face_model: str | None) -> AUD3DFacePipeline:
        """The pipeline of a checkpoint and face model; None stands for the default of each.

        Raises:
            AUD3DFaceError: as `AUD3DFacePipeline.from_pretrained`.
        """
        key = (model or self.model, face_model)
        with self._lock:
            if key not in self._loaded:
                while len(self._loaded) >= self.keep:
                    del self._loaded[next(iter(self._loaded))]
                self._loaded[key] = AUD3DFacePipeline.from_pretrained(key[0], face_model=face_model, device=self.device)
            return self._loaded[key]
