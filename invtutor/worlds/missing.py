"""Data that somebody has to bring, and that is not there or not whole."""

__all__ = ["DataError"]


class DataError(RuntimeError):
    """A data set cannot be had; the line says why, where it is to be had, and on which terms."""

    def __init__(self, name: str, why: object, where: str, terms: str):
        super().__init__(f"{name} cannot be had: {' '.join(str(why).split())}. It is to be had at {where} ({terms}).")
