"""Files that the package carries (the sample clip), and manifests of public files that it can fetch."""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


def sample_video() -> Path:
    """The sample clip, an mp4 of a rendered person who raises the brows, smiles, frowns, speaks and blinks.

    `python -m au_d3dface.data.synthetic.sample_clip` renders it; NOTICE.md beside it names its source and licence.
    """
    return Path(__file__).with_name("sample.mp4")


@dataclass(frozen=True)
class AssetFile:
    """One file of an asset: its path inside the asset, its bytes, and the SHA-256 of its content in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Asset:
    """Files of a public repository at one commit.

    Attributes:
        name: what people call it.
        repository: "owner/name" on GitHub.
        revision: the commit, 40 hex digits.
        licence: of the files, with the holder of the rights.
        files: what is fetched, and nothing else.
    """

    name: str
    repository: str
    revision: str
    licence: str
    files: tuple[AssetFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def url(self) -> str:
        """The address that the files' paths are below."""
        return f"https://raw.githubusercontent.com/{self.repository}/{self.revision}"

    @property
    def cache_folder(self) -> Path:
        """Where the files lie when no folder is named: a snapshot in the Hugging Face cache, where its tools see it."""
        from huggingface_hub import constants

        repository = self.repository.replace("/", "--")
        return Path(constants.HF_HUB_CACHE) / f"models--{repository}" / "snapshots" / self.revision

    def missing(self, folder: Path) -> list[str]:
        """Paths of the files that are not there. Their content is not looked at."""
        return [file.path for file in self.files if not (folder / file.path).is_file()]


def ict_facekit() -> Asset:
    """ICT-FaceKit, the face model of USC's Institute for Creative Technologies: 158 OBJ files and their licence."""
    stored = json.loads(files(__package__).joinpath("ict_facekit.json").read_text())
    return Asset(**(stored | {"files": tuple(AssetFile(**file) for file in stored["files"])}))
