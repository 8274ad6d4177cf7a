"""Copies of the lessons in a student's folder, brought up to date where nobody has touched them."""

import os
from pathlib import Path

from invtutor.course import lessons
from invtutor.files import checksum, clear, is_known, manifest_text, read_manifest, same, write_atomically

__all__ = ["copy_lessons"]

MANIFEST = ".invtutor.json"


def copy_lessons(target: str | Path) -> list[str]:
    """Copy the lessons into a folder and return the names of those left alone because they are not ours to replace.

    What was copied is remembered by its SHA-256 in ``.invtutor.json`` there, so that an older copy which nobody touched
    is brought up to date. Where that file is damaged, it counts among those left alone. Raises ValueError when the
    folder cannot be written, or is that of the lessons themselves.
    """
    target = Path(target)
    if same(target, lessons.folder()):
        raise ValueError(f"{target} is the folder of the lessons themselves; choose another, or open them --in-place.")
    manifest, kept = target / MANIFEST, []
    before = read_manifest(manifest)
    news: dict[str, bytes] = {}
    after = dict(before or {})
    try:
        for path in lessons.paths():
            content, copied = path.read_bytes(), target / path.name
            if copied.is_file() and copied.read_bytes() == content:
                pass
            elif not os.path.lexists(copied) or is_known(copied, after.get(path.name, ())):
                news[path.name] = content
            else:
                kept.append(path.name)
                continue
            after[path.name] = [checksum(content)]
        target.mkdir(parents=True, exist_ok=True)
        clear(target)
        if before is None:
            kept.insert(0, MANIFEST)
        elif news:  # told first, so that a kill leaves no copy that nobody knows
            both = {name: [*(before.get(name, []) if name in news else []), *sums] for name, sums in after.items()}
            write_atomically(manifest, manifest_text(both))
        for name, content in news.items():
            write_atomically(target / name, content)
        if before is not None and after != before:
            write_atomically(manifest, manifest_text(after))
    except OSError as error:
        raise ValueError(f"Cannot copy the lessons into {target}: {error.strerror}.") from None
    return kept
