"""EMOCA (Daněček et al. 2022): DECA with the expression, and in some versions the jaw, of a second encoder."""

from .deca import DECA


class EMOCA(DECA):
    """DECA on FLAME with EMOCA's encoder, which already puts its own expression in the place of DECA's.

    Args:
        encoder: of `deca_files.load_encoder("emoca")`.
        face_model: as for `DECA`.
    """

    name = "emoca"
