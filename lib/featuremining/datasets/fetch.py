"""Published data sets: whether they are at hand, downloads that go on where they stopped and are checked, and unpacking that
stays in its folder."""

import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from hashlib import md5 as new_md5
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .. import paths
from ..errors import FMError

CHUNK = 1 << 20         # bytes
PATIENCE = 30           # seconds without a byte
MOST, SPARE, MEMBERS = 10, 10**7, 2_000_000       # bytes of an unpacked archive over its own, bytes besides, files


GENERATED = True, "drawn from the embedded parts when it is loaded"


def place(folder: str, mark: str, how: str, check: Callable[[Path], object]) -> tuple[bool, str]:
    """Whether ``folder`` with its file ``mark`` lies under `paths.raw` and ``check`` raises no `FMError`, and where it is; else
    ``how`` to get it, or what is wrong with it."""
    root = paths.raw()
    if (root / folder / folder / mark).is_file():
        return False, f"one folder too deep in {root / folder / folder}: move what is in it to {root / folder}"
    if (root / folder).exists() and not (root / folder / mark).is_file():
        return False, f"not whole in {root / folder}, where {mark} is missing: move it away; then {how.format(root=root)}"
    if not (root / folder / mark).is_file():
        return False, f"not in {root}: {how.format(root=root)}"
    try:
        check(root / folder)
    except FMError as error:
        return False, str(error).rstrip(".")
    return True, str(root / folder)


def text_of(path: Path) -> str:
    """What a text file of a data set says; an `FMError` names one that is missing or no UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FMError(f"{path} is missing: unpack its data set again.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FMError(f"{path} can't be read as UTF-8 text ({error}): unpack its data set again.") from None


def check_picture(folder: Path) -> None:
    """An `FMError` where a folder, which must hold pictures, has none, or an empty one where one looks first: half a download.
    Looks no further than the first picture, as it comes from the disk: a class of ImageNet has 1,300."""
    from .photos import first_picture

    found = first_picture(folder)
    if found is None or not found.stat().st_size:
        raise FMError(f"not whole in {folder}, which holds {'an empty file' if found else 'no pictures'}: move it away and "
                      "unpack its data set again")


def fetched(folder: str, url: str, md5: str, size: int) -> Path:
    """``folder`` under `paths.raw`, out of the archive at ``url`` unless it is there. The archive stays beside it."""
    root = paths.raw()
    if not (root / folder).exists():
        extract(download(url, root / url.rpartition("/")[2], md5, size), root)
    return root / folder


def bar(unit: str = "items") -> Progress:
    """A progress bar on stderr, where that is a terminal; ``unit`` is items or bytes."""
    count = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    console = Console(stderr=True)
    return Progress(TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn(), console=console, transient=True,
                    disable=not sys.stderr.isatty())


def download(url: str, target: Path, md5: str, size: int) -> Path:
    """``url`` as the file ``target`` of ``size`` bytes. What came before an interruption lies in ``target``.part and is kept.

    Raises `FMError` without a network, when the server has another file, and when the checksum differs (then the part goes).
    """
    part = target.with_name(target.name + ".part")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _complete(url, part, size)
        if (actual := _md5(part)) != md5:
            part.unlink()
            raise FMError(f"{url} arrived with md5 {actual} instead of {md5} and was deleted: the same command tries again.")
        part.rename(target)
    elif _md5(target) != md5:
        raise FMError(f"{target} is not the published file (its md5 is not {md5}): delete it, and the same command gets it anew.")
    return target


def _complete(url: str, part: Path, size: int) -> None:
    """Add to ``part`` what is missing of ``size`` bytes."""
    have = part.stat().st_size if part.exists() else 0
    if have > size:
        part.unlink()
        have = 0
    if have == size:
        return
    try:
        with urlopen(Request(url, headers={"Range": f"bytes={have}-"} if have else {}), timeout=PATIENCE) as response:
            have = have if response.status == 206 else 0            # 200: a server without Range begins anew
            offered = have + int(response.headers.get("Content-Length", size - have))
            if offered != size:
                raise FMError(f"{url} is a file of {offered} bytes now instead of {size}: its publisher has moved or changed it, "
                              f"get it by hand and put it at {part.with_suffix('')}.")
            with part.open("ab" if have else "wb") as file:
                _copy(response, file, have, size, part.stem)
    except HTTPError as error:
        raise FMError(f"{url} can't be had ({error}): try again later, or get it by hand and put it at {part.with_suffix('')}."
                      ) from None
    except (OSError, HTTPException) as error:
        raise FMError(f"The download of {url} stopped ({error}): {_how_far(part, size)}.") from None
    if part.stat().st_size != size:
        raise FMError(f"The download of {url} stopped (the server closed the connection): {_how_far(part, size)}.")


def _copy(response: HTTPResponse, file, have: int, size: int, title: str) -> None:
    with bar("bytes") as progress:
        task = progress.add_task(title, total=size, completed=have)
        while chunk := response.read(CHUNK):
            file.write(chunk)
            progress.advance(task, len(chunk))


def _how_far(part: Path, size: int) -> str:
    have = part.stat().st_size if part.exists() else 0
    return f"{have / 1e6:.1f} of {size / 1e6:.1f} MB are here, and the same command goes on from there"


def _md5(path: Path) -> str:
    h = new_md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            h.update(chunk)
    return h.hexdigest()


def extract(archive: Path, folder: Path) -> None:
    """Unpack a .zip or .tar archive, compressed or not, into ``folder``. Nothing there is overwritten or removed, and nothing
    appears there before all is unpacked. Raises `FMError` for a damaged archive, a member that points out of the folder, a name
    that exists already, and an archive that would unpack to more than `MOST` times its size: pictures hardly shrink."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{archive.name}.", dir=folder) as scratch:
        inside = Path(scratch, "content")           # a member may change its own folder's mode, which scratch must not see
        inside.mkdir()
        try:
            _unpack(archive, inside)
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, UnicodeError,
                RuntimeError) as error:         # encrypted, or packed by a method that is not known
            reason = str(error).partition("\n")[0].rstrip(":")
            raise FMError(f"{archive} can't be unpacked ({reason}): delete it and get it again.") from None
        except OSError as error:
            raise FMError(f"{archive} can't be unpacked into {folder} ({error}).") from None
        new = list(inside.iterdir())
        for path in new:
            if (folder / path.name).exists():
                raise FMError(f"{folder / path.name} exists already: move it away to unpack {archive.name}.")
        for path in new:
            path.rename(folder / path.name)


def _unpack(archive: Path, folder: Path) -> None:
    most = MOST * archive.stat().st_size + SPARE
    with bar() as progress:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as content:
                members = content.infolist()
                for member in members:
                    if not (folder / member.filename).resolve().is_relative_to(folder.resolve()):
                        raise zipfile.BadZipFile(f"{member.filename!r} would leave the folder")
                _check_size(sum(member.file_size for member in members), len(members), most)
                for member in progress.track(members, description=archive.name):
                    content.extract(member, folder)         # no more bytes than it declares, and those have a checksum
        else:
            with tarfile.open(archive) as content:
                content.extractall(folder, members=_watched(content, progress, archive.name, most), filter="data")
                while content.fileobj.read(CHUNK) and content.fileobj.tell() < 2 * most:    # where gzip's checksum stands
                    pass


def _watched(content: tarfile.TarFile, progress: Progress, title: str, most: int) -> Iterator[tarfile.TarInfo]:
    """The members, one by one: each is counted before it is unpacked."""
    task, size = progress.add_task(title, total=None), 0
    for number, member in enumerate(content, 1):
        size += member.size
        _check_size(size, number, most)
        yield member
        progress.advance(task)


def _check_size(size: int, members: int, most: int) -> None:
    if size > most or members > MEMBERS:
        raise tarfile.TarError(f"it would unpack to {size / 1e6:,.0f} MB in {members:,} files, more than such a data set")
