"""What a notebook without a wall must leave as it is, watched by checksums."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from invtutor.files import PREFIX, checksum

__all__ = ["Watch"]

LARGEST = 2**28  # bytes of the largest file that is read; of a larger one, size and time count


class Watch:
    """Some files, and those of some folders, of the library and of the digits, as they were when last asked for."""

    def __init__(self, folders: Iterable[Path]):
        from invtutor.worlds.mnist import cache_folder, data_folder, raw_folder

        package = Path(__file__).parents[2]
        self.folders = [*folders, package, cache_folder(), raw_folder(data_folder())]
        self.known = dict(self._look())

    def changed(self) -> list[Path]:
        """The files that changed, came or went since."""
        before, self.known = self.known, dict(self._look())
        return sorted(path for path in before.keys() | self.known.keys() if before.get(path) != self.known.get(path))

    def _look(self) -> Iterator[tuple[Path, str]]:
        for folder in self.folders:
            if not folder.is_dir():
                yield folder, _state(folder)
            for parent, folders, names in os.walk(folder):
                folders[:] = [n for n in folders if not n.startswith(PREFIX) and n != "__pycache__"]
                for path in (Path(parent, name) for name in names):
                    yield path, _state(path)


def _state(path: Path) -> str:
    try:
        found = os.lstat(path)
        if stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST:
            return checksum(path.read_bytes())
        return f"{found.st_mode} {found.st_size} {found.st_mtime_ns} {os.readlink(path) if path.is_symlink() else ''}"
    except OSError as error:
        return str(error)
