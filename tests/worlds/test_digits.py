"""The digits: real MNIST whole or not at all, and a stand-in that is plausible, learnable and the same every time."""

import functools
import gzip
import hashlib
import itertools
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from invtutor.worlds import digits, mnist, typefaces
from invtutor.worlds.digits import Digits, DigitsError, load_digits

NAMES = tuple(mnist.FILES)


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Every test starts as a new process does, with a cache folder of its own."""
    digits._mnist.cache_clear()
    digits._rendered.cache_clear()
    mnist._failed_downloads.clear()
    monkeypatch.setattr(mnist, "cache_folder", lambda: tmp_path / "cache")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steadier where other work shares the cores
    yield
    torch.set_num_threads(threads)
    digits._mnist.cache_clear()
    digits._rendered.cache_clear()


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Digits, Path]:
    """The 70,000 rendered digits, drawn once, and the folder they are cached in."""
    folder = tmp_path_factory.mktemp("rendered")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "cache_folder", lambda: folder)
        return digits._rendered.__wrapped__(), folder


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch, drawn: tuple[Digits, Path]) -> list[int]:
    """Stand the session's digits in for drawing; the list tells how many were drawn."""
    counts: list[int] = []
    images = torch.cat([drawn[0].images, drawn[0].test_images])
    labels = torch.cat([drawn[0].labels, drawn[0].test_labels])

    def render(count: int, *, test: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        counts.append(count)
        some = slice(-count, None) if test else slice(count)
        return images[some], labels[some]

    monkeypatch.setattr(digits, "draw_digits", render)
    return counts


@pytest.fixture(scope="session")
def real_root() -> Path:
    root = Path(os.environ.get("INVTUTOR_DATA", ""))
    if not os.environ.get("INVTUTOR_DATA") or not all((root / "MNIST/raw" / name).is_file() for name in NAMES):
        pytest.skip("INVTUTOR_DATA does not name a folder with the four MNIST files")
    return root


# A small MNIST of 30 + 20 digits, served on 127.0.0.1, tests every path of the download without the network.


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """The four files of a small MNIST, with checksums to match."""
    generator = np.random.default_rng(0)
    files = {}
    for name, count in zip(NAMES, (30, 30, 20, 20), strict=True):
        shape = (count, 28, 28) if "images" in name else (count,)
        values = generator.integers(0, 10, shape, dtype=np.uint8)
        files[name] = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + values.tobytes()
    monkeypatch.setattr(mnist, "FILES", {n: (len(c), hashlib.sha256(c).hexdigest()) for n, c in files.items()})
    monkeypatch.setattr(mnist, "MIRRORS", ["http://127.0.0.1:9/"])  # nothing listens there
    monkeypatch.setenv("INVTUTOR_DATA", str(tmp_path / "data"))
    return files


Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


@pytest.fixture
def serve(small: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], list[str]]]:
    """Serve the small MNIST, each file by `answer(handler, gzip)`; the list tells what was asked for."""
    servers = []

    def start(answer: Answer) -> list[str]:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path[1:])
                answer(self, gzip.compress(small[self.path[1:].removesuffix(".gz")], mtime=0))

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.02), daemon=True).start()
        servers.append(server)
        monkeypatch.setattr(mnist, "MIRRORS", [*mnist.MIRRORS, f"http://127.0.0.1:{server.server_port}/"])
        return asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def whole(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def half(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


def silence(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    time.sleep(1.5)


def trickle(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        for byte in content:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.05)
    except OSError:
        pass  # the reader has left, as it should


def place(files: dict[str, bytes], root: Path) -> Path:
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (raw / name).write_bytes(content)
    return raw


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root / "MNIST/raw")): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def images(files: dict[str, bytes]) -> bytes:
    return files["train-images-idx3-ubyte"][16:]


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Parameter `source` should be one of 'auto', 'mnist', .*\. Found 'km"):
        load_digits("kmnist")


def test_missing_files_are_downloaded_once_from_the_mirror_that_has_them(small, serve, tmp_path, capsys) -> None:
    asked = serve(whole)
    loaded = load_digits()
    assert asked == [f"{name}.gz" for name in NAMES]
    assert contents(tmp_path / "data") == small
    assert [p.name for p in (tmp_path / "data/MNIST").iterdir()] == ["raw"]  # the temporary folder is gone
    assert (loaded.source, loaded.images.shape, loaded.test_images.shape) == ("mnist", (30, 28, 28), (20, 28, 28))
    assert loaded.images.dtype == torch.uint8 and loaded.labels.dtype == torch.int64
    assert loaded.test_labels.tolist() == list(small["t10k-labels-idx1-ubyte"][8:])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Digits: real MNIST (30 + 20 digits). Downloaded what was not whole: all four files ")
    assert load_digits("mnist", quiet=True) is loaded
    digits._mnist.cache_clear()
    load_digits()
    assert len(asked) == 4
    assert capsys.readouterr().out == "Digits: real MNIST (30 + 20 digits)\n"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["flipped", "partial", "longer"])
def test_a_damaged_file_is_named_and_another_downloaded(small, serve, tmp_path, capsys, name, damage) -> None:
    """It may be the user's own, such as another data set under MNIST's names: it stays, and the cache has the other."""
    content = small[name]
    bad = {
        "flipped": content[:-1] + bytes([content[-1] ^ 1]), "partial": content[:-5], "longer": content + b"\0"
    }[damage]  # fmt: skip
    place(small | {name: bad}, tmp_path / "data")
    asked = serve(whole)
    assert load_digits("mnist").images.numpy().tobytes() == images(small)
    assert asked == [f"{name}.gz"]
    assert contents(tmp_path / "data") == small | {name: bad}
    assert contents(tmp_path / "cache") == {name: small[name]}
    assert f"Downloaded what was not whole: {name} (damaged" in capsys.readouterr().out
    digits._mnist.cache_clear()
    assert load_digits().source == "mnist" and len(asked) == 1
    assert f"in the cache: {name}.\n" in capsys.readouterr().out
    assert mnist.look() == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_in_the_cache_is_replaced(small, serve, monkeypatch, tmp_path, name) -> None:
    monkeypatch.delenv("INVTUTOR_DATA")
    place(small | {name: b"half"}, tmp_path / "cache")
    asked = serve(whole)
    assert load_digits("mnist").source == "mnist"
    assert asked == [f"{name}.gz"] and contents(tmp_path / "cache") == small


PACKINGS: dict[str, Callable[[str, bytes], tuple[str, bytes]]] = {
    "raw": lambda name, content: (name, content),
    "packed": lambda name, content: (f"{name}.gz", gzip.compress(content)),
    "packed, named as if raw": lambda name, content: (name, gzip.compress(content)),
    "raw, named as if packed": lambda name, content: (f"{name}.gz", content),  # what some browsers make of it
    "dotted": lambda name, content: (name.replace("-idx", ".idx"), content),
    "dotted, packed": lambda name, content: (name.replace("-idx", ".idx") + ".gz", gzip.compress(content)),
}
FOLDERS = {"data": "data/MNIST/raw", "data/MNIST": "data/MNIST/raw", "data/MNIST/raw": "data/MNIST/raw",
           "folder": "folder", "mine": "mine/raw"}  # what INVTUTOR_DATA names: where the files lie  # fmt: skip


@pytest.mark.parametrize("packing", [*PACKINGS, "a mix"])
@pytest.mark.parametrize("named", FOLDERS)
def test_files_are_read_as_people_keep_them(small, monkeypatch, tmp_path, capsys, packing, named) -> None:
    kinds = itertools.cycle(PACKINGS.values()) if packing == "a mix" else itertools.repeat(PACKINGS[packing])
    kept = dict(kind(*file) for kind, file in zip(kinds, small.items(), strict=False))
    folder = tmp_path / FOLDERS[named]
    folder.mkdir(parents=True)
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    monkeypatch.setenv("INVTUTOR_DATA", str(tmp_path / named))
    loaded = load_digits()
    assert capsys.readouterr().out == "Digits: real MNIST (30 + 20 digits)\n"
    assert loaded.images.numpy().tobytes() == images(small)
    assert loaded.test_labels.tolist() == list(small["t10k-labels-idx1-ubyte"][8:])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == list(folder.rglob("*"))
    assert mnist.look() == ""


@pytest.mark.parametrize("named", ["data/MNIST", "data/MNIST/raw", "data"])
def test_no_second_tree_is_made_inside_of_mnists_own(small, serve, monkeypatch, tmp_path, named) -> None:
    place({}, tmp_path / "data")
    monkeypatch.setenv("INVTUTOR_DATA", str(tmp_path / named))
    serve(whole)
    load_digits("mnist")
    assert contents(tmp_path / "data") == small


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda packed: packed[:-20], "damaged, Compressed file ended before"),
        (lambda packed: packed[:40] + bytes([packed[40] ^ 255]) + packed[41:], "damaged, "),
        (lambda packed: packed[:-8] + b"\0" * 8, "damaged, CRC check failed"),
        (lambda packed: gzip.compress(gzip.decompress(packed)[:-1]), "damaged, 37 of 38 bytes"),
        (lambda packed: gzip.compress(b"\0" * 10**6), "damaged, over 38 bytes"),
        (lambda packed: b"<html>", "damaged, 6 of 38 bytes"),
    ],
)
def test_a_damaged_packed_file_is_named(small, tmp_path, unrendered, damage, words) -> None:
    raw = place(small, tmp_path / "data")
    (raw / NAMES[1]).unlink()
    (raw / f"{NAMES[1]}.gz").write_bytes(damage(gzip.compress(small[NAMES[1]], mtime=0)))
    loaded = load_digits(quiet=True)
    assert loaded.source == "rendered" and f"{NAMES[1]}.gz ({words}" in loaded.why and str(raw) in loaded.why
    (raw / "train-labels.idx1-ubyte").write_bytes(small[NAMES[1]])  # a whole one beside it is enough
    assert load_digits(quiet=True).source == "mnist"


def test_what_is_no_file_is_no_trouble(small, tmp_path) -> None:
    raw = place(small, tmp_path / "data")
    for name in NAMES[:2]:
        (raw / f"{name}.gz").write_bytes((raw / name).read_bytes())
        (raw / name).unlink()
    (raw / NAMES[0]).mkdir()
    os.mkfifo(raw / NAMES[1])
    assert load_digits("mnist").source == "mnist"


def test_a_relative_folder_is_made_absolute_at_once(monkeypatch, tmp_path) -> None:
    """So that a kernel in a lesson's folder sees what the command saw."""
    program = "import invtutor, os; os.chdir('/'); print(os.environ['INVTUTOR_DATA'])"
    here = os.environ | {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(Path(digits.__file__).parents[2])}
    for named, wanted in {"data": "data", "~/mine": "home/mine", "./a/../b": "b", str(tmp_path / "c"): "c"}.items():
        environment = here | {"INVTUTOR_DATA": named}
        said = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        assert said.stdout.strip() == str(tmp_path / wanted)
        monkeypatch.setenv("INVTUTOR_DATA", said.stdout.strip())
        assert mnist.data_folder() == tmp_path / wanted


def test_the_terminal_is_told_once_what_stands_in_and_why(small, tmp_path, capsys) -> None:
    mnist.announce("rendered")
    for _ in range(2):
        mnist.announce("auto")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Digits: a rendered stand-in, not MNIST: all four files are missing in ")
    assert str(tmp_path / "data/MNIST/raw") in line and "Connection refused" in line
    with pytest.raises(DigitsError, match=r"^MNIST cannot be had: all four files are missing in .*Connection refused"):
        mnist.announce("mnist")
    place(small, tmp_path / "data")
    for source in ("auto", "mnist", "rendered"):
        mnist.announce(source)
    assert capsys.readouterr().out == ""


def test_to_look_changes_nothing(small, serve, tmp_path) -> None:
    asked = serve(whole)
    assert mnist.look() == f"all four files are missing in {tmp_path / 'data/MNIST/raw'}"
    assert asked == [] and not (tmp_path / "data").exists()
    place(small, tmp_path / "data")
    assert mnist.look() == ""


def test_without_network_a_damaged_file_is_named_and_auto_goes_on(small, tmp_path, capsys, unrendered) -> None:
    raw = place(small | {NAMES[1]: b"\0"}, tmp_path / "data")
    with pytest.raises(DigitsError, match=r"train-labels-idx1-ubyte \(damaged, 1 of 38 bytes\).*Connection refused"):
        load_digits("mnist")
    assert capsys.readouterr().out == ""
    assert load_digits().source == "rendered"
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Digits: rendered stand-in digits (60,000 + 10,000), not MNIST: ")
    assert "train-labels-idx1-ubyte" in line and str(raw) in line
    load_digits(quiet=True)
    assert capsys.readouterr().out == ""


def test_a_failed_download_is_not_tried_again_but_mended_files_are_seen(small, serve, tmp_path) -> None:
    asked = serve(half)
    for _ in range(2):
        with pytest.raises(DigitsError, match="train-images-idx3-ubyte"):
            load_digits("mnist")
    assert asked == ["train-images-idx3-ubyte.gz"]
    assert not (tmp_path / "data").exists()
    place(small, tmp_path / "data")
    assert load_digits("mnist").source == "mnist"


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (lambda packed: gzip.compress(b"<html>Please log in</html>"), "damaged, 26 of 23,536 bytes"),
        (lambda packed: b"<html>Please log in</html>", "damaged, 26 of 23,536 bytes"),
        (lambda packed: gzip.compress(gzip.decompress(packed)[:-1] + b"?"), "damaged, wrong checksum"),
        (lambda packed: packed[:-20], "damaged, Compressed file ended"),
        (lambda packed: gzip.compress(bytes(10**8), 1), "damaged, over 23,536 bytes"),
    ],
)
def test_what_comes_with_a_wrong_checksum_is_thrown_away(small, serve, tmp_path, sent, fault) -> None:
    serve(lambda handler, content: whole(handler, sent(content)))
    with pytest.raises(DigitsError, match=fault):
        load_digits("mnist")
    assert not (tmp_path / "data").exists()


def endless(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "9" * 400)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(bytes(1 << 16))
    except OSError:
        pass  # the reader has enough


def nonsense(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "a lot")
    handler.end_headers()
    handler.wfile.write(content)


def test_what_comes_without_end_is_not_gathered(serve, tmp_path) -> None:
    serve(endless)
    with pytest.raises(DigitsError, match=r"damaged, over 1,072,112 bytes"):
        load_digits("mnist")
    assert not (tmp_path / "data").exists()


def test_a_length_that_is_none_is_no_trouble(serve) -> None:
    serve(nonsense)
    assert load_digits("mnist").source == "mnist"


def test_a_malformed_proxy_is_named(small, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http:/127.0.0.1")
    monkeypatch.setattr("urllib.request._opener", None)  # which asks for proxies once in a process
    monkeypatch.setattr(mnist, "MIRRORS", ["http://example.invalid/"])
    with pytest.raises(DigitsError, match=r"failed \(train-images-idx3-ubyte: proxy URL with no authority"):
        load_digits("mnist")


def test_a_link_to_what_is_not_there_now_stays(small, serve, tmp_path) -> None:
    """Its disk may come back."""
    raw = place({name: content for name, content in small.items() if name != NAMES[1]}, tmp_path / "data")
    (raw / NAMES[1]).symlink_to("/unplugged/labels")
    assert mnist.look() == f"{NAMES[1]} (a link that leads nowhere) in {raw}"
    serve(whole)
    assert load_digits("mnist").source == "mnist"
    assert os.readlink(raw / NAMES[1]) == "/unplugged/labels" and contents(tmp_path / "cache") == {
        NAMES[1]: small[NAMES[1]]
    }


@pytest.mark.parametrize("answer", [silence, trickle])
def test_a_stalling_server_meets_the_time_limit(serve, monkeypatch, tmp_path, answer) -> None:
    serve(answer)
    monkeypatch.setattr(mnist, "DOWNLOAD_SECONDS", 0.4)
    start = time.monotonic()
    with pytest.raises(DigitsError, match=r"timed out|took over 0\.4 s"):
        load_digits("mnist")
    assert time.monotonic() - start < 1.4
    assert not (tmp_path / "data").exists()


def test_a_kill_leaves_no_half_file(serve, monkeypatch, tmp_path) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    serve(whole)
    monkeypatch.setattr("invtutor.files.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        load_digits("mnist")
    assert contents(tmp_path / "data") == {}


def test_processes_at_once_all_get_whole_files(small, serve, tmp_path) -> None:
    serve(whole)
    loaded: list[Digits] = []
    threads = [threading.Thread(target=lambda: loaded.append(load_digits("mnist", quiet=True))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 4 and contents(tmp_path / "data") == small


def test_a_folder_that_cannot_be_written_is_named(small, serve, monkeypatch, tmp_path, unrendered) -> None:
    asked = serve(whole)
    (tmp_path / "data").write_text("a file, so that no folder can be made in it")
    with pytest.raises(DigitsError, match=r"missing in .*train-images-idx3-ubyte: .*Not a directory"):
        load_digits("mnist")
    assert asked == []
    assert load_digits(quiet=True).source == "rendered"


def test_the_mirrors_are_torchvision_s() -> None:
    """Which is not asked: its import takes seconds, and may fail."""
    from torchvision.datasets import MNIST

    assert {*mnist.MIRRORS} == {*MNIST.mirrors}
    assert [name for name, _ in MNIST.resources] == [f"{name}.gz" for name in mnist.FILES]


def test_real_mnist_is_whole(real_root, capsys) -> None:
    loaded = load_digits()
    assert capsys.readouterr().out == "Digits: real MNIST (60,000 + 10,000 digits)\n"
    assert loaded.images.shape == (60_000, 28, 28) and loaded.test_images.shape == (10_000, 28, 28)
    assert loaded.images.dtype == torch.uint8 and loaded.labels.dtype == torch.int64
    assert loaded.images.float().mean().item() == pytest.approx(33.318, abs=0.001)
    assert loaded.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert loaded.test_labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_a_damaged_copy_of_real_mnist_is_named(real_root, monkeypatch, tmp_path) -> None:
    raw = place({name: (real_root / "MNIST/raw" / name).read_bytes() for name in NAMES}, tmp_path)
    with open(raw / "t10k-images-idx3-ubyte", "r+b") as file:
        file.seek(4_000_000)
        file.write(b"damage")
    monkeypatch.setenv("INVTUTOR_DATA", str(tmp_path))
    monkeypatch.setattr(mnist, "MIRRORS", ["http://127.0.0.1:9/"])
    with pytest.raises(DigitsError, match=r"had: t10k-images-idx3-ubyte \(damaged, wrong checksum\) in "):
        load_digits("mnist")


def test_rendered_digits_are_shaped_and_inked_like_mnist(drawn) -> None:
    loaded, _ = drawn
    assert loaded.images.shape == (60_000, 28, 28) and loaded.test_images.shape == (10_000, 28, 28)
    assert loaded.images.dtype == torch.uint8 and loaded.labels.dtype == torch.int64
    assert len(loaded.labels) == 60_000 and len(loaded.test_labels) == 10_000
    assert str(loaded) == "rendered stand-in digits (60,000 + 10,000), not MNIST"
    for images, labels in ((loaded.images, loaded.labels), (loaded.test_images, loaded.test_labels)):
        share = labels.bincount(minlength=10) / len(labels)
        assert len(share) == 10 and share.min() > 0.085 and share.max() < 0.115
        assert 29 < images.float().mean() < 37  # MNIST: 33.3
        ink = images.sum((1, 2), dtype=torch.float32)
        assert ink.min() > 20 * 255  # no digit is lost; MNIST's lightest has 19.9 full pixels
        place = torch.arange(28.0)
        for axis in (1, 2):
            middle = (images.sum(axis, dtype=torch.float32) * place).sum(1) / ink
            assert (middle - 13.5).abs().max() < 2.5 and (middle - 13.5).abs().mean() < 0.8
        assert (images[:, [0, -1]].amax((1, 2)) > 0).float().mean() < 0.015
    assert len(torch.unique(loaded.images[:2000].flatten(1), dim=0)) == 2000


def test_clean_rendered_digits_are_learnable_but_no_toy(drawn) -> None:
    loaded, _ = drawn
    inputs, test_inputs = (x[:, ::2, ::2].flatten(1) / 255 for x in (loaded.images, loaded.test_images))
    labels, test_labels = ((y < 5).float() for y in (loaded.labels, loaded.test_labels))
    generator = torch.Generator().manual_seed(0)
    sizes = (196, 128, 1)
    weights = [torch.randn(i, o, generator=generator) * (2 / i) ** 0.5 for i, o in itertools.pairwise(sizes)]
    parameters = [w.requires_grad_() for w in weights] + [torch.zeros(o, requires_grad=True) for o in sizes[1:]]

    def logits(x: torch.Tensor) -> torch.Tensor:
        return (F.relu(x @ parameters[0] + parameters[2]) @ parameters[1] + parameters[3])[:, 0]

    optimizer = torch.optim.Adam(parameters, 3e-3)
    for _ in range(800):
        batch = torch.randint(len(labels), (256,), generator=generator)
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(logits(inputs[batch]), labels[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        accuracy = ((logits(test_inputs) > 0) == (test_labels > 0)).float().mean().item()
    assert 0.95 < accuracy < 0.999


def test_the_typefaces_of_the_test_are_new() -> None:
    seen, unseen = (typefaces._outlines(test).flatten(1) for test in (False, True))
    assert len(seen) > 10 and len(unseen) > 3
    assert torch.cdist(seen, seen).fill_diagonal_(torch.inf).min() < 100  # two weights of one family
    assert torch.cdist(unseen, seen).min() > 150


def test_the_drawing_is_the_same_every_time_and_touches_no_global_state(drawn) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    images, labels = digits.draw_digits(300)
    assert torch.equal(images, drawn[0].images[:300]) and torch.equal(labels, drawn[0].labels[:300])
    images, labels = digits.draw_digits(300, test=True)
    assert torch.equal(images, drawn[0].test_images[:300]) and torch.equal(labels, drawn[0].test_labels[:300])
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads


def test_rendered_digits_come_from_their_cache(drawn, monkeypatch, unrendered, capsys) -> None:
    loaded, folder = drawn
    assert [path.name for path in folder.iterdir()] == [digits.RENDERED_FILE]
    monkeypatch.setattr(mnist, "cache_folder", lambda: folder)
    again = load_digits("rendered")
    assert torch.equal(again.images, loaded.images) and torch.equal(again.test_labels, loaded.test_labels)
    assert again.labels.dtype == torch.int64 and unrendered == []
    assert load_digits("rendered") is again
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("damage", ["empty", "partial", "flipped", "other"])
def test_a_damaged_cache_is_drawn_again(drawn, tmp_path, unrendered, damage) -> None:
    content = bytearray((drawn[1] / digits.RENDERED_FILE).read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    path = tmp_path / "cache" / digits.RENDERED_FILE
    path.parent.mkdir()
    path.write_bytes({"empty": b"", "partial": content[:-1000], "flipped": content, "other": b"text"}[damage])
    loaded = load_digits("rendered")
    assert unrendered == [60_000, 10_000]
    assert torch.equal(loaded.test_images, drawn[0].test_images)
    digits._rendered.cache_clear()
    load_digits("rendered")
    assert unrendered == [60_000, 10_000]  # the file is mended


def spoiled(parts: dict[str, np.ndarray], how: str) -> dict[str, np.ndarray]:
    """The arrays of a cached file, one of them not what it should be."""
    changed = dict(parts)
    if how == "few":
        return {name: part[:5] for name, part in parts.items()}
    if how == "short":
        changed["test_labels"] = parts["test_labels"][:-1]
    if how == "flat":
        changed["images"] = parts["images"].reshape(60_000, 784)
    if how == "floats":
        changed["test_images"] = parts["test_images"].astype(np.float32)
    if how == "bytes":
        changed["labels"] = parts["labels"].astype(np.uint8)
    if how == "ten":
        changed["labels"] = parts["labels"].copy()
        changed["labels"][7] = 10
    if how == "negative":
        changed["test_labels"] = parts["test_labels"].copy()
        changed["test_labels"][0] = -1
    if how == "constant":
        changed["labels"] = np.zeros_like(parts["labels"])
    if how == "objects":
        changed["labels"] = parts["labels"].astype(object)
    if how == "missing":
        del changed["labels"]
    return changed


HOW = ["few", "short", "flat", "floats", "bytes", "ten", "negative", "constant", "objects", "missing"]


@pytest.mark.parametrize("how", HOW)
def test_a_cache_of_something_else_is_drawn_again(drawn, tmp_path, unrendered, how) -> None:
    with np.load(drawn[1] / digits.RENDERED_FILE) as file:
        parts = spoiled(dict(file), how)
    path = tmp_path / "cache" / digits.RENDERED_FILE
    path.parent.mkdir()
    np.savez(path, **parts)
    loaded = load_digits("rendered")
    assert unrendered == [60_000, 10_000]
    assert str(loaded) == "rendered stand-in digits (60,000 + 10,000), not MNIST"
    digits._rendered.cache_clear()
    load_digits("rendered")
    assert len(unrendered) == 2  # the file is mended


def test_a_cache_that_cannot_be_written_costs_only_time(monkeypatch, tmp_path, unrendered) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(mnist, "cache_folder", lambda: tmp_path / "file" / "cache")
    assert load_digits("rendered").source == "rendered"
