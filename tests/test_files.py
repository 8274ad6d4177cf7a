"""Writing: whole or not at all, and never over anything, nor away with anything, that is not proved to be ours."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from invtutor import files
from invtutor.files import (
    foreign,
    is_sealed,
    made_folder,
    own_folder,
    put_in_place,
    read_manifest,
    sealed,
    write_atomically,
)


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------------------------------------------- files


def test_write_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    for text in ("old", "new: λ = 10⁴\n"):
        write_atomically(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert listed(tmp_path) == ["notes.txt"]


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notes.txt"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "half of it, then \ud800")
    assert path.read_text(encoding="utf-8") == "old" and listed(tmp_path) == ["notes.txt"]

    def fails(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(files.os, "replace", fails)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old" and listed(tmp_path) == ["notes.txt"]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "notes.txt", []
    write_atomically(path, "old")
    replace = files.os.replace

    def look_first(source: str, target: Path) -> None:
        assert Path(source).parent.parent == path.parent, "else the move might be a copy"
        seen.append((path.read_text(encoding="utf-8"), Path(source).read_text(encoding="utf-8")))
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", look_first)
    write_atomically(path, "new")
    assert seen == [("old", "new")]


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_atomically(tmp_path / "any", b"a\r\n\xff")
    assert (tmp_path / "any").read_bytes() == b"a\r\n\xff"


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_is_written_once_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def has_no_links(*_: object) -> None:
        raise PermissionError("Operation not permitted")

    if not links:
        monkeypatch.setattr(files.os, "link", has_no_links)
    files.write_once(tmp_path / "a", "first λ\n")
    files.write_once(tmp_path / "a", "second\n")
    (tmp_path / "b").symlink_to("nowhere")
    files.write_once(tmp_path / "b", "third\n")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "first λ\n" and os.readlink(tmp_path / "b") == "nowhere"
    assert listed(tmp_path) == ["a", "b"]


def test_a_file_that_finds_no_room_leaves_no_part(tmp_path: Path) -> None:
    program = """
import resource, sys
from invtutor.files import write_once
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
write_once(sys.argv[1], "x" * 9000)
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "a"], capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr and listed(tmp_path) == []


# ------------------------------------------------------------------------------------------------- scratch

KILLED = """
import os, signal, sys
from invtutor.files import own_folder
with own_folder(sys.argv[1]) as scratch:
    (scratch / "deep" / "er").mkdir(parents=True)
    (scratch / "deep" / "er" / "file").write_text("scratch")
    os.symlink(sys.argv[2], scratch / "link")
    print(scratch, flush=True)
    if sys.argv[3] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def work(parent: Path, outside: Path, how: str) -> tuple[subprocess.Popen[str], Path]:
    """A process that works in a folder of its own, or was killed while it did; and that folder."""
    command = [sys.executable, "-c", KILLED, str(parent), str(outside), how]
    process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)
    assert process.stdout
    scratch = Path(process.stdout.readline().strip())
    if how == "killed":
        assert process.wait() == -signal.SIGKILL and (scratch / "deep/er/file").exists()
    return process, scratch


def test_a_folder_of_our_own_goes_away_again(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), own_folder(tmp_path) as scratch:
        (scratch / "folder").mkdir()
        assert scratch.parent == tmp_path and scratch.stat().st_mode & 0o077 == 0
        raise RuntimeError
    assert listed(tmp_path) == []
    with pytest.raises(FileNotFoundError), own_folder(tmp_path / "nowhere"):
        pass


def test_what_killed_processes_left_goes_with_the_next_and_what_others_work_in_stays(tmp_path: Path) -> None:
    outside, parent = tmp_path / "outside", tmp_path / "parent"
    for folder in (outside, parent):
        folder.mkdir()
    (outside / "mine").write_text("mine")
    _, left = work(parent, outside, "killed")
    busy, used = work(parent, outside, "works")
    assert left.exists() is False, "the second process has cleared it away"
    with own_folder(parent):
        assert used.exists()
    busy.communicate("")
    assert listed(parent) == [] and (outside / "mine").read_text() == "mine"


def test_only_what_is_proved_to_be_ours_goes(tmp_path: Path) -> None:
    """Everything that somebody could have that looks like ours."""
    parent, outside = tmp_path / "parent", tmp_path / "outside"
    for folder in (parent, outside):
        folder.mkdir()
    _, left = work(parent, outside, "killed")
    shutil.copytree(left, parent / ".invtutor-copied", symlinks=True)  # a backup: its marker tells of another folder
    shutil.copytree(left, outside / left.name, symlinks=True)
    (parent / ".invtutor-linked").symlink_to(outside / left.name)
    (parent / ".invtutor-empty").mkdir()
    (parent / ".invtutor-0123456789abcdef").mkdir()
    (outside / files._name(parent, "01234567")).mkdir()  # in another parent the name says nothing
    (parent / ".invtutor-file").write_text("mine")
    forged = parent / ".invtutor-forged"
    forged.mkdir()
    (forged / files.MARKER).write_text("made by hand")
    (parent / ".invtutor-linking").mkdir()
    (parent / ".invtutor-linking" / files.MARKER).symlink_to(left / files.MARKER)
    if hasattr(os, "mkfifo"):
        (parent / ".invtutor-pipe").mkdir()
        os.mkfifo(parent / ".invtutor-pipe" / files.MARKER)
    before = [path for path in sorted(tmp_path.rglob("*")) if left not in (path, *path.parents)]
    for _ in range(2):
        with own_folder(parent):
            pass
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("step", range(9))
def test_killed_between_any_two_steps(tmp_path: Path, step: int) -> None:
    """Of making a folder, using it and removing it: the next one leaves nothing."""
    program = """
import os, signal, sys
from invtutor.files import write_atomically
count = 0
def kill(event, args):
    global count
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir") and sys.argv[1] in str(args[0]):
        if count == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
sys.addaudithook(kill)
write_atomically(sys.argv[1] + "/notes", "new")
print(count)
"""
    (tmp_path / "notes").write_text("old")
    command = [sys.executable, "-c", program, str(tmp_path), str(step)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL or int(done.stdout) <= step
    assert (tmp_path / "notes").read_text() in ("old", "new")
    files.clear(tmp_path)
    assert listed(tmp_path) == ["notes"]


def test_where_one_may_not_look_there_is_nothing_to_clear(tmp_path: Path) -> None:
    """Such as the home of somebody else, which a container's user may have: its name tells as much here."""
    files.clear(tmp_path / ("x" * 300))
    (tmp_path / "circle").symlink_to("circle")
    files.clear(tmp_path / "circle")
    circle = files.workplace(tmp_path / "circle", "results")
    with pytest.raises(ValueError, match=r"^Cannot write results into "), circle:
        pass


def test_a_moved_folder_of_ours_is_left_to_who_moved_it(tmp_path: Path) -> None:
    _, left = work(tmp_path, tmp_path, "killed")
    left.rename(tmp_path / "rescued")
    with own_folder(tmp_path):
        pass
    assert (tmp_path / "rescued/deep/er/file").exists()


# ------------------------------------------------------------------------------------------------- seals


@pytest.mark.parametrize("text", ['{"a": 1, "b": [0.1, NaN, "λ"]}', '{"metadata": {}, "nbformat": 4, "cells": []}'])
def test_a_sealed_file_is_known_until_somebody_changes_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    assert not is_sealed(path)
    path.write_text(sealed(text), encoding="utf-8")
    assert is_sealed(path) and sealed(sealed(text)) == sealed(text)
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content))
    assert is_sealed(path), "only the content counts"
    path.chmod(0o444)
    assert not is_sealed(path), "somebody protects it"
    path.chmod(0o644)
    (tmp_path / "link").symlink_to(path)
    assert not is_sealed(tmp_path / "link")
    path.write_text(json.dumps(content | {"mine": 1}))
    assert not is_sealed(path)


@pytest.mark.parametrize("text", ["", "mine", "[]", "{}", '{"seal": 1}', '{"nbformat": 4}', "[" * 10**5, "\0", "null"])
def test_nothing_else_is_sealed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    assert not is_sealed(path)
    path.write_text(text)
    assert not is_sealed(path) and not is_sealed(tmp_path)


@pytest.mark.parametrize("text", ["", "mine", "[]", '{"a": 1}', '{"a": "short"}', '{"a": [1]}', "[" * 10**5, "null"])
def test_what_is_no_manifest(tmp_path: Path, text: str) -> None:
    assert read_manifest(tmp_path / "manifest") == {}
    assert read_manifest(tmp_path) is None
    (tmp_path / "manifest").write_text(text)
    assert read_manifest(tmp_path / "manifest") is None


def test_manifests_of_one_checksum_a_file_are_read_as_well(tmp_path: Path) -> None:
    (tmp_path / "manifest").write_text(json.dumps({"a": "0" * 64, "b": ["1" * 64, "2" * 64]}))
    assert read_manifest(tmp_path / "manifest") == {"a": ["0" * 64], "b": ["1" * 64, "2" * 64]}


# ------------------------------------------------------------------------------------------------- whole folders


def test_what_somebody_puts_there_in_the_moment_between_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"

    def put(text: str) -> None:
        with own_folder(tmp_path) as scratch:
            (scratch / "new").mkdir()
            (scratch / "new" / "page.html").write_text(text)
            put_in_place(scratch / "new", site, ".book.json")

    put("first")
    rename = os.rename

    def meanwhile(source: Path, target: Path) -> None:
        if source == site:
            (site / "mine.txt").write_text("mine")
        rename(source, target)

    monkeypatch.setattr(os, "rename", meanwhile)
    with pytest.raises(ValueError, match=f"^{re.escape(str(site / 'mine.txt'))} is not this program's"):
        put("second")
    assert (site / "mine.txt").read_text() == "mine"
    assert (site / "page.html").read_text() == "first"
    assert listed(tmp_path) == ["site"]
    assert listed(site) == [".book.json", "mine.txt", "page.html"]


def test_many_put_folders_in_one_place_at_once(tmp_path: Path) -> None:
    site = tmp_path / "site"

    def put(number: int) -> None:
        for turn in range(20):
            with own_folder(tmp_path) as scratch:
                (scratch / "new").mkdir()
                for name in ("a", f"page-{number}"):
                    (scratch / "new" / name).write_text(f"{number}, {turn}")
                assert foreign(site, ".book.json") is None
                put_in_place(scratch / "new", site, ".book.json")

    with ThreadPoolExecutor(4) as threads:
        assert [*threads.map(put, range(4))] == [None] * 4
    assert listed(tmp_path) == ["site"] and len(listed(site)) == 3
    assert foreign(site, ".book.json") is None


def test_folders_that_stay_empty_go_again(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(RuntimeError), made_folder(tmp_path / "there" / "a" / "b"):
        raise RuntimeError
    assert listed(tmp_path) == ["there"] and listed(tmp_path / "there") == []
    with made_folder(tmp_path / "there" / "a" / "b"):
        (tmp_path / "there" / "a" / "file").write_text("kept")
    assert listed(tmp_path / "there") == ["a"] and listed(tmp_path / "there" / "a") == ["file"]


def test_a_folder_of_ours_that_may_not_be_looked_into_may_hold_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_folder(tmp_path) as scratch:
        (scratch / "new" / "frames").mkdir(parents=True)
        (scratch / "new" / "frames" / "0.png").write_text("ours")
        put_in_place(scratch / "new", tmp_path / "site", ".book.json")
    shut, scandir = tmp_path / "site" / "frames", os.scandir

    def forbid(path: Path) -> object:
        if Path(path) == shut:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    assert foreign(tmp_path / "site", ".book.json") is None
    monkeypatch.setattr(os, "scandir", forbid)
    assert foreign(tmp_path / "site", ".book.json") == shut
