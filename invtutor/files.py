"""How the course writes: files whole or not at all, scratch that goes away again, and never over what is not its own.

What is its own is proved, never guessed: a folder by a name that is sealed with its place on the disk, and by a marker
that is locked while somebody works there; a JSON file by a seal over its content; any other by a manifest of checksums.
"""

import errno
import hashlib
import json
import math
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from filelock import lock_descriptor

__all__ = ["alone", "check_writable", "checksum", "clear", "finite", "foreign", "is_known", "is_sealed", "made_folder"]
__all__ += ["manifest_text", "own_folder", "put_in_place", "read_manifest", "same", "sealed", "write_atomically"]
__all__ += ["workplace", "write_once"]

PREFIX = ".invtutor-"
MARKER = "made-by-invtutor"


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file so that a reader sees the old file or the whole new one, never a part; text becomes UTF-8."""
    target = Path(path)
    data = content.encode() if isinstance(content, str) else content
    with own_folder(target.parent) as scratch:
        (scratch / "whole").write_bytes(data)
        os.replace(scratch / "whole", target)


def write_once(path: str | os.PathLike[str], content: str, scratch: Path | None = None) -> None:
    """Write a file as `write_atomically` does, unless there is one: what is there is never replaced.

    scratch: an `own_folder` beside it, for who writes many; None makes one.
    """
    target = Path(path)
    with nullcontext(scratch) if scratch else own_folder(target.parent) as place:
        whole = place / target.name
        whole.write_bytes(content.encode())
        try:
            os.link(whole, target)
        except OSError:  # it is there; or a file system without links, where those who write take turns
            with alone(target.parent), suppress(FileExistsError):  # Windows, which locks no folder, renames over none
                if not os.path.lexists(target):
                    os.rename(whole, target)
        finally:
            whole.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Raise OSError where a folder cannot be made or written, and make nothing."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))


def finite(value: Any) -> Any:
    """A JSON value as every reader takes it: numbers that are not finite, which JSON has not, become None."""
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """A folder, made with its parents if need be; of those made here, what is still empty in the end goes again.

    Raises OSError where it cannot be made.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with suppress(OSError):  # which stops at the first that has anything
            for each in made:
                each.rmdir()


@contextmanager
def workplace(folder: Path, what: str) -> Iterator[Path]:
    """A private folder in `folder`, which is made if need be; of what is made here, nothing empty stays.

    what: is to be written there, such as `results`, for the ValueError where it cannot be.
    """
    with ExitStack() as stack:
        try:
            folder = Path(os.path.realpath(folder))  # `resolve` raises where links lead in a circle
            stack.enter_context(made_folder(folder))
            scratch = stack.enter_context(own_folder(folder))
        except OSError as error:
            raise ValueError(f"Cannot write {what} into {folder}: {error.strerror}.") from None
        yield scratch


# ------------------------------------------------------------------------------------------------- scratch


@contextmanager
def own_folder(parent: str | os.PathLike[str]) -> Iterator[Path]:
    """A new private folder in `parent` that goes away again, and with it those that killed processes left there.

    Raises OSError where `parent` is missing or cannot be written.
    """
    clear(parent)
    folder, lock = _claim(Path(parent))
    try:
        yield folder
    finally:
        _remove(folder, lock)


def clear(parent: str | os.PathLike[str]) -> None:
    """Remove the folders of our own that killed processes left in `parent`."""
    with suppress(OSError):  # a parent that is gone, or into which we may not look
        for folder in Path(parent).glob(f"{PREFIX}*"):
            if folder.name != _name(folder.parent, folder.name[len(PREFIX) :][:8]):
                continue
            with suppress(OSError):  # its process was killed before there was a marker, or after; else it is not empty
                folder.rmdir()
            if (lock := _abandoned(folder)) is not None:
                _remove(folder, lock)


def _name(parent: Path, drawn: str) -> str:
    """A name that is ours in this parent alone: at random, and sealed with the parent's place on the disk."""
    return f"{PREFIX}{drawn}{checksum(f'{drawn} in {_place(os.stat(parent))}'.encode())[:8]}"


def _place(found: os.stat_result) -> str:
    return f"{found.st_dev}:{found.st_ino}"


def _claim(parent: Path) -> tuple[Path, int]:
    """A new folder and the lock on its marker, which is held before the marker says anything."""
    while True:
        folder = parent / _name(parent, secrets.token_hex(4))
        folder.mkdir(mode=0o700)
        try:
            lock = os.open(folder / MARKER, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:  # another process has cleared the empty folder away
            continue
        with suppress(OSError):  # a file system without locks, where nobody will take this folder for abandoned
            lock_descriptor(lock)
        try:
            if os.write(lock, _mark(folder)) < len(_mark(folder)):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:  # a full disk
            _remove(folder, lock)
            raise
        if same(folder / MARKER, lock):
            return folder, lock
        os.close(lock)


def _mark(folder: Path) -> bytes:
    """What the marker says: another folder that comes to this name is not this one."""
    place = _place(os.lstat(folder)) if folder.exists() else "gone"
    return f"A folder of invtutor's own, which it removes again: {place}\n".encode()


def _abandoned(folder: Path) -> int | None:
    """The lock of a folder of ours in which nobody works any more; None for everything else."""
    try:
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != getattr(os, "geteuid", lambda: found.st_uid)():
            return None
        lock = os.open(folder / MARKER, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    try:
        if lock_descriptor(lock, blocking=False):
            said = os.read(lock, 1000)
            if said == _mark(folder) or (not said and os.listdir(folder) == [MARKER]):
                return lock
    except OSError:
        pass
    os.close(lock)
    return None


def _remove(folder: Path, lock: int) -> None:
    """Remove a folder of ours, its marker last: killed on the way, what is left is still known as ours."""
    with suppress(OSError):
        for parent, *_ in os.walk(folder):
            os.chmod(parent, 0o700)  # a lesson may have protected what it wrote
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name != MARKER:
                os.unlink(entry.path)
    with suppress(OSError):
        if os.listdir(folder) == [MARKER]:
            (folder / MARKER).unlink()
    os.close(lock)
    with suppress(OSError):
        if os.listdir(folder) == [MARKER]:
            (folder / MARKER).unlink()  # Windows removes no open file
        folder.rmdir()


# ------------------------------------------------------------------------------------------------- what is ours


def same(one: str | os.PathLike[str], other: str | os.PathLike[str] | int) -> bool:
    """Whether two paths, or a path and a descriptor, lead to one file or folder; not where one leads nowhere."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def sealed(text: str) -> str:
    """A JSON object with a seal over its content (a notebook's is in its metadata), by which `is_sealed` knows it."""
    content = json.loads(text)
    holder = _holder(content)
    holder.pop("seal", None)
    holder["seal"] = _digest(content)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def is_sealed(path: str | os.PathLike[str]) -> bool:
    """Whether a file is as this program wrote it: no link, not write-protected, its seal unbroken."""
    try:
        if not _is_plain(path):
            return False
        content = json.loads(Path(path).read_bytes())
        seal = _holder(content).pop("seal")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    return bool(seal == _digest(content))


def _holder(content: Any) -> Any:
    """What has the seal: of a notebook its metadata."""
    return content["metadata"] if "nbformat" in content and isinstance(content.get("metadata"), dict) else content


def _digest(content: Any) -> str:
    return checksum(json.dumps(content, sort_keys=True).encode())


def checksum(content: bytes) -> str:
    """SHA-256, as manifests hold it."""
    return hashlib.sha256(content).hexdigest()


def manifest_text(known: Mapping[str, list[str]]) -> str:
    """The text of a manifest: for each file's name the checksums by which it is known as ours."""
    return json.dumps(known, indent=1, ensure_ascii=False) + "\n"


def read_manifest(path: str | os.PathLike[str]) -> dict[str, list[str]] | None:
    """What a manifest holds; empty where there is none, None where something else has its name."""
    if not os.path.lexists(path):
        return {}
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        content = json.loads(Path(path).read_bytes())
        known = {name: [sums] if isinstance(sums, str) else list(sums) for name, sums in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    whole = all(isinstance(one, str) and len(one) == 64 for sums in known.values() for one in sums)
    return known if whole else None


def is_known(path: str | os.PathLike[str], sums: Collection[str]) -> bool:
    """Whether a file is one of those with these checksums: no link, not write-protected."""
    try:
        return _is_plain(path) and checksum(Path(path).read_bytes()) in sums
    except OSError:
        return False


def _is_plain(path: str | os.PathLike[str]) -> bool:
    """Whether this is a file that its owner may write; who takes that right away wants it to stay as it is."""
    mode = os.lstat(path).st_mode
    return stat.S_ISREG(mode) and bool(mode & 0o222)


# ------------------------------------------------------------------------------------------------- whole folders


LITTER = (".DS_Store", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints")
"""What the operating system and Jupyter put into any folder: nobody's work, and not ours to remove."""


def put_in_place(folder: Path, target: Path, manifest: str) -> None:
    """Put a folder, with a manifest of this name over its files, where `target` is, as a whole; `LITTER` moves along.

    folder: in an `own_folder` beside `target`. Raises ValueError, and touches nothing, where `target` holds anything
    `foreign`. Programs that do so at once wait for each other.
    """
    names = {path: path.relative_to(folder).as_posix() for path in _below(folder) if not path.is_dir()}
    known = {name: [checksum(path.read_bytes())] for path, name in names.items()}
    (folder / manifest).write_bytes(manifest_text(known).encode())
    older = folder.with_name(f"{folder.name}-older")
    with alone(target.parent):
        if stranger := _foreign(target, manifest):
            raise ValueError(f"{stranger} is not this program's, or was changed since; choose another folder.")
        if target.exists():
            os.rename(target, older)
        try:
            if stranger := _foreign(older, manifest):  # put there in the moment between
                there = target / stranger.relative_to(older)
                raise ValueError(f"{there} is not this program's; choose another folder.")
            if older.exists():
                _carry(older, folder)
            os.rename(folder, target)
        except BaseException:
            if older.exists():
                _carry(folder, older)
                os.rename(older, target)
            raise


def foreign(folder: Path, manifest: str) -> Path | None:
    """The first thing in a folder that the manifest there does not prove to be ours, or the folder itself where it is
    none; None where all is ours, or `LITTER`, or nothing is there."""
    with alone(folder.parent):
        return _foreign(folder, manifest)


def _foreign(folder: Path, manifest: str) -> Path | None:
    try:
        return _stranger(folder, manifest)
    except OSError as error:  # what we may not look into is not proved to be ours
        return Path(error.filename or folder)


def _stranger(folder: Path, manifest: str) -> Path | None:
    if not os.path.lexists(folder):
        return None
    known = read_manifest(folder / manifest)
    if known is None or folder.is_symlink() or not folder.is_dir():
        return folder if known is not None else folder / manifest
    litter = set(_litter(folder))
    folders = {parent for path in (*litter, *(folder / name for name in known)) for parent in path.parents}
    for path in _below(folder):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            ours = path in folders
        else:
            ours = path == folder / manifest or is_known(path, known.get(path.relative_to(folder).as_posix(), ()))
        if not ours and litter.isdisjoint((path, *path.parents)):
            return path
    return None


def _litter(folder: Path) -> list[Path]:
    """Where a folder has `LITTER`, by its exact name and kind; what lies in it is not looked at."""
    found: list[Path] = []
    for path in _below(folder):
        kind = stat.S_ISDIR if path.name == ".ipynb_checkpoints" else stat.S_ISREG
        if path.name in LITTER and kind(os.lstat(path).st_mode) and not set(found) & {*path.parents}:
            found.append(path)
    return found


def _carry(source: Path, destination: Path) -> None:
    """Move the litter of a folder to the same places in another."""
    for path in _litter(source):
        moved = destination / path.relative_to(source)
        moved.parent.mkdir(parents=True, exist_ok=True)
        os.rename(path, moved)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait for the other programs that ask so of this folder, where the system can lock one."""
    with ExitStack() as stack:
        with suppress(OSError):  # no folder is there, or none that can be locked
            lock = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, lock)
            lock_descriptor(lock)
        yield


def _below(folder: Path) -> Iterator[Path]:
    """All that is in a folder. Raises OSError where it may not be looked into."""

    def fail(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder, onerror=fail):
        yield from (Path(parent, name) for name in sorted(folders + names))
