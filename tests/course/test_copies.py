"""What a lesson becomes for students: a copy in their folder, and an address that opens it elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_lessons import files, mine, write_lesson

from invtutor.course import copies
from invtutor.course.copies import copy_lessons
from invtutor.course.lessons import Lesson
from invtutor.course.links import binder_link, nbgitpuller_link


def test_copy_never_overwrites_the_students_work(shelf: Path, tmp_path: Path) -> None:
    for name in ("00_start", "01_more", "02_erm"):
        write_lesson(shelf, name)
    target = tmp_path / "new" / "course"
    assert copy_lessons(target) == []
    assert files(target) == [".invtutor.json", "00_start.ipynb", "01_more.ipynb", "02_erm.ipynb"]
    assert copy_lessons(target) == []

    mine = target / "01_more.ipynb"
    mine.write_text(mine.read_text() + "\n")
    (target / "02_erm.ipynb").unlink()
    newer = {name: write_lesson(shelf, name, "print('newer')").read_text() for name in ("00_start", "01_more")}
    changed = mine.read_text()
    for _ in range(2):
        assert copy_lessons(target) == ["01_more.ipynb"]
        assert mine.read_text() == changed
        assert (target / "00_start.ipynb").read_text() == newer["00_start"]
        assert (target / "02_erm.ipynb").exists()

    (target / ".invtutor.json").write_text("damaged")
    write_lesson(shelf, "00_start", "print('newest')")
    unknown = [".invtutor.json", "00_start.ipynb", "01_more.ipynb"]  # nobody knows whose they are
    assert copy_lessons(target) == unknown
    mine.write_text(newer["01_more"])
    assert copy_lessons(target) == unknown[:2]
    assert (target / ".invtutor.json").read_text() == "damaged"


def test_copy_replaces_only_what_it_wrote(shelf: Path, tmp_path: Path) -> None:
    names = ("00_start", "01_more", "02_erm", "03_irmv1", "04_vrex")
    for name in names:
        write_lesson(shelf, name)
    target, outside = tmp_path / "course", tmp_path / "outside"
    outside.mkdir()
    assert copy_lessons(target) == []
    contents = {name: (target / f"{name}.ipynb").read_bytes() for name in names}
    for name in names[:3]:
        (target / f"{name}.ipynb").unlink()
    (outside / "same.ipynb").write_bytes(contents["00_start"])
    (target / "00_start.ipynb").symlink_to(outside / "same.ipynb")
    (target / "01_more.ipynb").symlink_to(outside / "nowhere.ipynb")
    (target / "02_erm.ipynb").mkdir()
    (target / "03_irmv1.ipynb").chmod(0o444)
    before = mine(tmp_path / "course")
    for name in names:
        write_lesson(shelf, name, "print('newer')")
    kept = [f"{name}.ipynb" for name in names[:4]]
    for _ in range(2):
        assert copy_lessons(target) == kept
        after = mine(target)
        assert {name: after[name] for name in kept if name in before} == {n: before[n] for n in kept if n in before}
        assert after["04_vrex.ipynb"] == (shelf / "04_vrex.ipynb").read_bytes()
        assert mine(outside) == {"same.ipynb": contents["00_start"]}


@pytest.mark.parametrize("what", ["folder", "link", "list", "numbers", "binary"])
def test_copy_leaves_a_manifest_alone_that_is_none(what: str, shelf: Path, tmp_path: Path) -> None:
    write_lesson(shelf, "00_start")
    target, outside = tmp_path / "course", tmp_path / "outside"
    target.mkdir()
    outside.write_text("{}")
    manifest = target / ".invtutor.json"
    if what == "folder":
        manifest.mkdir()
    elif what == "link":
        manifest.symlink_to(outside)
    else:
        manifest.write_bytes({"list": b"[]", "numbers": b'{"00_start.ipynb": [1]}', "binary": b"\xff\x00"}[what])
    before = mine(tmp_path)
    assert copy_lessons(target) == [".invtutor.json"]
    after = mine(tmp_path)
    assert {name: after[name] for name in before} == before and "course/00_start.ipynb" in after


def test_copy_that_was_killed_is_brought_up_to_date_by_a_newer_one(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("00_start", "01_more"):
        write_lesson(shelf, name)
    target, write = tmp_path / "course", copies.write_atomically
    copy_lessons(target)
    for fails_at in range(4):
        for name in ("00_start", "01_more"):
            write_lesson(shelf, name, f"print({fails_at})")
        calls = iter(range(10))

        def killed(path: Path, text: str | bytes, calls: Iterator[int] = calls, last: int = fails_at) -> None:
            if next(calls) == last:
                raise KeyboardInterrupt
            write(path, text)

        monkeypatch.setattr(copies, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            copy_lessons(target)
        monkeypatch.setattr(copies, "write_atomically", write)
        for name in ("00_start", "01_more"):
            write_lesson(shelf, name, f"print({fails_at}, 'and newer')")
        assert copy_lessons(target) == []
        assert all((target / path.name).read_bytes() == path.read_bytes() for path in shelf.glob("*.ipynb"))


def test_copy_needs_no_right_to_write_where_nothing_is_to_be_written(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lesson(shelf, "00_start")
    copy_lessons(tmp_path / "course")
    monkeypatch.setattr(copies, "write_atomically", lambda *_: pytest.fail("it writes"))
    assert copy_lessons(tmp_path / "course") == []


def test_copy_to_where_nothing_can_be_written(shelf: Path, tmp_path: Path) -> None:
    write_lesson(shelf, "00_start")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="Cannot copy the lessons into"):
        copy_lessons(tmp_path / "file")


def test_binder_link(lesson: Lesson) -> None:
    url, badge = binder_link("me/inv.tutor", "v0.1/ab", lesson)
    assert url == "https://mybinder.org/v2/gh/me/inv.tutor/v0.1%2Fab?urlpath=lab%2Ftree%2Fnotebooks%2F03_irmv1.ipynb"
    assert badge == f"[![Binder](https://mybinder.org/badge_logo.svg)]({url})"
    wrong = [("me", "v1"), ("me/you/they", "v1"), ("https://gitlab.com/me/it", "v1"), ("me/it", ""), ("me/it", "a b")]
    wrong += [("me/it", ref) for ref in ('v"1', "a..b", "-x", "\\", "v1?x", "$(x)", "#", "a@b")]
    wrong += [("me/.git", "v1"), ("me/..", "v1"), ("https://github.com/me", "v1"), ("git@example.org:me/it.git", "v1")]
    wrong += [("https://github.com/me/it/tree/main", "v1"), ("me/it?x", "v1"), ("mé/it", "v1"), ("", "v1")]
    for repo, ref in wrong:
        with pytest.raises(ValueError, match=r"Parameter `re(po|f)` should be"):
            binder_link(repo, ref, lesson)


@pytest.mark.parametrize(
    "pasted",
    [
        "me/it.git",
        "me/it/",
        "https://github.com/me/it",
        "https://github.com/me/it.git",
        "https://github.com/me/it/",
        "git@github.com:me/it.git",
        "ssh://git@github.com/me/it.git",
        "git://github.com/me/it.git",
        "github.com/me/it",
        "http://www.github.com/me/it",
        "https://token@github.com/me/it.git",
    ],
)
def test_a_pasted_clone_address_is_understood(lesson: Lesson, pasted: str) -> None:
    assert binder_link(pasted, "v1", lesson) == binder_link("me/it", "v1", lesson)
    links = [nbgitpuller_link("https://hub.example.org", repo, "main", lesson) for repo in (pasted, "me/it")]
    assert links[0] == links[1] and "token" not in links[0]
