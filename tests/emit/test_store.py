"""Files on disk: never torn, never over somebody's work, and the old ones kept when the machine refuses."""

from __future__ import annotations

import importlib.util
import os
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from derive.emit import compare, write
from derive.errors import FileSystemError, InternalError, RefusedError
from derive.store import LOCK, is_edited, is_ours, seal

NAME = "a_solver"


def version(number: int, size: int = 3) -> dict[str, bytes]:
    """A set of files whose bodies all say the same number."""
    body = f"X = {number}\n" * size
    sha = f"{number:064x}"
    texts = {"spec.yaml": f"name: n{number}\n", "coefficients.py": body, "derivation.md": f"# {number}\n"}
    return {name: seal(name, text, sha) for name, text in texts.items()} | {
        "claims.json": seal("claims.json", f'{{\n  "order": {number}\n}}\n', sha)
    }


def on_disk(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def folder(out: Path) -> Path:
    return out / NAME


def test_writes_once_and_only_what_changed(folder: Path) -> None:
    assert write(version(1), folder) == sorted(version(1))
    assert on_disk(folder) == version(1)
    assert write(version(1), folder) == []
    assert write({**version(1), "derivation.md": version(2)["derivation.md"]}, folder) == ["derivation.md"]
    assert compare(version(1), folder) == ["derivation.md:3: differs"]


def test_every_seal_knows_its_body() -> None:
    for name, data in version(7).items():
        assert is_ours(name, data) and not is_edited(name, data)
        assert is_edited(name, data.replace(b"7", b"8", 1 if name != "claims.json" else -1))
        assert is_edited(name, data + b" ")
        assert not is_ours(name, b"X = 1\n" + data)
        assert not is_ours(name, b"")


@pytest.mark.parametrize("name", ["coefficients.py", "claims.json", "derivation.md", "spec.yaml"])
def test_an_edited_file_is_refused(folder: Path, name: str) -> None:
    write(version(1), folder)
    edited = (folder / name).read_bytes().replace(b"1\n", b"9\n", 1) + b"\n"
    (folder / name).write_bytes(edited)
    before = on_disk(folder)
    with pytest.raises(RefusedError, match=r"edited by hand.*--force"):
        write(version(2), folder)
    assert on_disk(folder) == before
    write(version(2), folder, force=True)
    assert on_disk(folder) == version(2) | {f"{name}.orig": edited}


def test_a_second_original_does_not_replace_the_first(folder: Path) -> None:
    write(version(1), folder)
    for text in (b"first", b"second"):
        (folder / "derivation.md").write_bytes(text)
        write(version(1), folder, force=True)
    assert (folder / "derivation.md.orig").read_bytes() == b"first"
    assert (folder / "derivation.md.orig1").read_bytes() == b"second"


def test_a_foreign_file_is_refused(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "coefficients.py").write_text("mine = True\n")
    with pytest.raises(RefusedError, match="not written by this tool"):
        write(version(1), folder)
    assert on_disk(folder) == {"coefficients.py": b"mine = True\n"}


def test_the_folders_own_spec_may_be_edited_when_it_is_the_source(folder: Path) -> None:
    write(version(1), folder)
    (folder / "spec.yaml").write_text("name: changed\n")
    with pytest.raises(RefusedError):
        write(version(2), folder)
    write(version(2), folder, source=folder / "spec.yaml")
    assert on_disk(folder) == version(2)


def test_what_is_no_longer_generated_goes_unless_edited(folder: Path) -> None:
    write(version(1) | {"step_torch.py": seal("step_torch.py", "X = 1\n", "0" * 64)}, folder)
    (folder / "notes.py").write_text("mine = True\n")
    assert compare(version(1), folder) == ["step_torch.py: no longer generated"]
    write(version(1), folder)
    assert sorted(on_disk(folder)) == sorted([*version(1), "notes.py"])


def test_symbolic_links_are_refused(out: Path, folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep me\n")
    folder.mkdir(parents=True)
    (folder / "coefficients.py").symlink_to(victim)
    for force in (False, True):
        with pytest.raises(RefusedError, match="symbolic link"):
            write(version(1), folder, force=force)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (out / "linked").symlink_to(elsewhere)
    with pytest.raises(RefusedError, match="symbolic link"):
        write(version(1), out / "linked", force=True)
    assert victim.read_text() == "keep me\n" and not list(elsewhere.iterdir())


def test_a_linked_lock_is_refused(out: Path, folder: Path, tmp_path: Path) -> None:
    out.mkdir()
    (out / LOCK).symlink_to(tmp_path / "victim")
    with pytest.raises(RefusedError, match="symbolic link"):
        write(version(1), folder)
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("name", ["..", "A", "a b", "1a", "_x", "", "x" * 60])
def test_only_names_of_solvers_are_folders(out: Path, name: str) -> None:
    with pytest.raises(InternalError):
        write(version(1), out / name if name else Path())


def test_files_stay_in_their_folder(folder: Path) -> None:
    with pytest.raises(InternalError):
        write({"../x.py": b""}, folder)


def test_a_file_in_the_folders_place(out: Path, folder: Path) -> None:
    out.mkdir()
    folder.write_text("I am a file\n")
    with pytest.raises(FileSystemError, match="is a file where"):
        write(version(1), folder)
    assert folder.read_text() == "I am a file\n"
    with pytest.raises(FileSystemError):
        write(version(1), folder / "inside")


def test_a_folder_or_pipe_in_a_files_place(folder: Path) -> None:
    for make in (os.mkdir, os.mkfifo):
        folder.mkdir(parents=True, exist_ok=True)
        make(folder / "claims.json")
        with pytest.raises(FileSystemError):
            write(version(1), folder)
        assert [p.name for p in folder.iterdir()] == ["claims.json"]
        (os.rmdir if make is os.mkdir else os.unlink)(folder / "claims.json")


def _status(action: Callable[[], object]) -> int:
    try:
        action()
    except BaseException:
        return 1
    return 0


def _in_child(action: Callable[[], object]) -> int:
    """The exit status of ``action`` in a forked child: 0, 1 for an exception, or minus the signal."""
    pid = os.fork()
    if pid == 0:
        os._exit(_status(action))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_full_disk_leaves_the_old_files(folder: Path) -> None:
    """A limit on file size stands for a full disk: write() fails half way, as ENOSPC does."""
    write(version(1), folder)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with pytest.raises(FileSystemError):
            write(version(2, size=5000), folder)

    assert _in_child(limited) == 0
    assert on_disk(folder) == version(1)
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []


def test_a_first_write_that_fails_leaves_no_folder(out: Path, folder: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with pytest.raises(FileSystemError):
            write(version(2, size=5000), folder)

    assert _in_child(limited) == 0
    assert not folder.exists()


@pytest.mark.parametrize("step", ["fsync", "replace", "unlink"])
def test_a_kill_at_any_point_tears_nothing(folder: Path, step: str) -> None:
    """Kill -9 before the n-th flush, replacement or removal: every file is whole, and the next run mends the set."""
    old, new = version(1, 500), version(2, 500)
    for count in range(7):
        write(old, folder, force=True)
        assert _in_child(lambda n=count: _killed(step, n, lambda: write(new, folder))) in (0, -signal.SIGKILL)
        found = on_disk(folder)
        assert all(found[name] in (old[name], new[name]) for name in old)
        write(new, folder)
        assert on_disk(folder) == new


def _killed(step: str, count: int, action: Callable[[], object]) -> None:
    real, calls = getattr(os, step), iter(range(1000))

    def counted(*args: object, **kwargs: object) -> object:
        if next(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(os, step, counted)
    action()


def test_an_exception_half_way_keeps_the_old_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(version(1), folder)
    calls = iter(range(1000))

    def failing(handle: int) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(KeyboardInterrupt):
        write(version(2), folder)
    assert on_disk(folder) == version(1)


def test_two_writers_at_once_leave_one_version(folder: Path) -> None:
    """Two processes, twenty rounds: the set is always one version, and a reader never sees a torn file."""
    torn: list[bytes] = []
    done = threading.Event()
    valid = {v["coefficients.py"] for v in (version(1, 200), version(2, 200))}
    pid = os.fork()
    if pid == 0:
        os._exit(_status(lambda: [write(version(1, 200), folder) for _ in range(20)]))

    def read() -> None:
        while not done.is_set():
            if (folder / "coefficients.py").exists():
                torn.extend({(folder / "coefficients.py").read_bytes()} - valid)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(20):
            write(version(2, 200), folder)
    finally:
        done.set()
        reader.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert on_disk(folder) in (version(1, 200), version(2, 200))
    assert torn == []


def test_stale_bytecode_goes(folder: Path) -> None:
    write(version(1), folder)
    cached = Path(importlib.util.cache_from_source(str(folder / "coefficients.py")))
    cached.parent.mkdir()
    cached.write_bytes(b"old")
    write(version(2), folder)
    assert not cached.exists()


def test_stale_temporary_files_are_swept(folder: Path) -> None:
    write(version(1), folder)
    (folder / ".claims.json.123.phiforge-tmp").write_bytes(b"half")
    write(version(1), folder)
    assert on_disk(folder) == version(1)


def test_compare_writes_nothing(out: Path, folder: Path) -> None:
    assert compare(version(1), folder) == [f"{name}: missing" for name in version(1)]
    assert not out.exists()
