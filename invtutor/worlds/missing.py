"""Data that somebody has to bring, and that is not there or not whole."""

__all__ = ["DataError"]


class DataError(RuntimeError):
    """A data set cannot be had; the line says why and ends with its `offer`: where it is to be had, on which terms, and
    how large it is."""

    def __init__(self, name: str, why: object, where: str, terms: str, size: str):
        self.offer = f"It is to be had at {where} ({terms}; {size})."
        super().__init__(f"{name} cannot be had: {' '.join(str(why).split())}. {self.offer}")
