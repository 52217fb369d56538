"""Downloads from a server on this machine: whole, interrupted, changed, damaged, without Range; archives that are hostile."""

import hashlib
import http.server
import io
import os
import re
import tarfile
import threading
import zipfile

import pytest

from featuremining import FMError
from featuremining.datasets import cub, fetch, imagenet, tiny_imagenet

CONTENT = os.urandom(50_000) * 60       # 3 MB
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the server's ``content``; ``ranges`` it may understand, and after ``cut`` bytes it hangs up."""

    def do_GET(self):
        content, asked = self.server.content, self.headers.get("Range")
        self.server.asked.append(asked)
        if content is None:
            self.send_error(404)
            return
        first = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.server.ranges else 0
        self.send_response(206 if asked and self.server.ranges else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first:][:self.server.cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as own:
        own.content, own.ranges, own.cut, own.asked = CONTENT, True, None, []
        own.url = f"http://127.0.0.1:{own.server_port}/file.zip"
        threading.Thread(target=own.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield own
        own.shutdown()


def get(server, folder):
    return fetch.download(server.url, folder / "file.zip", MD5, len(CONTENT))


def test_a_whole_download(server, tmp_path):
    path = get(server, tmp_path / "new")
    assert path.read_bytes() == CONTENT and os.listdir(path.parent) == ["file.zip"]
    assert get(server, tmp_path / "new") == path and server.asked == [None]     # the second time only checks what is there


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(server, tmp_path, ranges):
    server.ranges, server.cut = ranges, 1_200_000
    with pytest.raises(FMError, match=r"1\.2 of 3\.0 MB are here, and the same command goes on"):
        get(server, tmp_path)
    assert (tmp_path / "file.zip.part").read_bytes() == CONTENT[:1_200_000] and not (tmp_path / "file.zip").exists()
    server.cut = None
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1200000-"] and os.listdir(tmp_path) == ["file.zip"]


def test_without_a_network_the_part_is_kept(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:1_000_000])
    closed = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(FMError, match=r"refused.*1\.0 of 3\.0 MB are here"):
        fetch.download(closed, tmp_path / "file.zip", MD5, len(CONTENT))
    assert (tmp_path / "file.zip.part").stat().st_size == 1_000_000


def test_a_whole_part_needs_no_network(server, tmp_path):
    """Killed between the last byte and the checksum."""
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    assert get(server, tmp_path).read_bytes() == CONTENT and server.asked == []


@pytest.mark.parametrize("part", [b"", CONTENT[:999_999] + b"!", CONTENT + b"longer"])
def test_a_corrupted_download_is_deleted(server, tmp_path, part):
    (tmp_path / "file.zip.part").write_bytes(part)
    if not part:
        server.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    if part.endswith(b"longer"):
        assert get(server, tmp_path).read_bytes() == CONTENT
        return
    with pytest.raises(FMError, match=f"md5 .* instead of {MD5} and was deleted"):
        get(server, tmp_path)
    assert os.listdir(tmp_path) == []
    server.content = CONTENT
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_another_file_is_not_taken(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:1000])
    server.content, server.ranges = b"<html>we have moved</html>", False
    with pytest.raises(FMError, match="file of 26 bytes now instead of 3000000"):
        get(server, tmp_path)
    server.content = None
    with pytest.raises(FMError, match=r"404.*get it by hand and put it at .*file\.zip\.$"):
        get(server, tmp_path)
    assert (tmp_path / "file.zip.part").read_bytes() == CONTENT[:1000]


def test_a_damaged_file_that_is_there_is_named(server, tmp_path):
    (tmp_path / "file.zip").write_bytes(b"half")
    with pytest.raises(FMError, match=r"is not the published file.*delete it"):
        get(server, tmp_path)
    assert server.asked == []


def archive(path, members):
    """A .zip or .tgz of name -> content; a content of None makes the name a link out of the folder."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            for name, content in members.items():
                file.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type = len(content or b""), tarfile.REGTYPE if content is not None else tarfile.SYMTYPE
            info.linkname = "" if content is not None else "/etc"
            file.addfile(info, io.BytesIO(content or b""))
    return path


@pytest.mark.parametrize("suffix", ["zip", "tgz"])
def test_extract(tmp_path, suffix):
    source = archive(tmp_path / f"a.{suffix}", {"set/one.txt": b"1", "set/sub/two.txt": b"2", "readme": b"3"})
    out = tmp_path / "out"
    (out / "other").mkdir(parents=True)
    fetch.extract(source, out)
    assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} == {"set/one.txt", "set/sub/two.txt", "readme"}
    assert (out / "set/sub/two.txt").read_bytes() == b"2" and (out / "other").is_dir() and source.exists()
    (out / "set/one.txt").write_bytes(b"mine")
    with pytest.raises(FMError, match=r"(set|readme) exists already: move it away"):
        fetch.extract(source, out)
    assert (out / "set/one.txt").read_bytes() == b"mine"
    assert {p.name for p in out.iterdir()} == {"other", "set", "readme"}             # no remains of the second attempt


@pytest.mark.parametrize("suffix", ["zip", "tgz"])
@pytest.mark.parametrize("name", ["../evil.txt", "set/../../../evil.txt", "{root}/evil.txt"])
def test_nothing_is_written_outside(tmp_path, suffix, name):
    (tmp_path / "in").mkdir()
    source = archive(tmp_path / "in" / f"a.{suffix}", {"set/one.txt": b"1", name.format(root=tmp_path): b"2"})
    out = tmp_path / "deep" / "out"
    if name.startswith("{root}") and suffix == "tgz":           # the data filter takes absolute names for relative ones
        fetch.extract(source, out)
        assert [*tmp_path.rglob("evil.txt")] == [out / str(tmp_path)[1:] / "evil.txt"]
        return
    with pytest.raises(FMError, match=r"can't be unpacked"):
        fetch.extract(source, out)
    assert not list(tmp_path.rglob("evil.txt")) and not list(out.iterdir())


@pytest.mark.parametrize("module, suffix", [(tiny_imagenet, "zip"), (cub, "tgz")])
def test_get_downloads_and_unpacks_once(server, tmp_path, monkeypatch, module, suffix):
    source = archive(tmp_path / f"a.{suffix}", {f"{module.FOLDER}/wnids.txt": b"n1", f"{module.FOLDER}/images.txt": b"1 x"})
    server.content = source.read_bytes()
    monkeypatch.setattr(module, "URL", server.url)
    monkeypatch.setattr(module, "MD5", hashlib.md5(server.content).hexdigest())
    monkeypatch.setattr(module, "BYTES", len(server.content))
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path / "raw"))
    assert module.get() == tmp_path / "raw" / module.FOLDER == module.get() and len(server.asked) == 1
    assert (module.get() / "images.txt").read_bytes() == b"1 x"


def test_imagenet_wants_a_registration(monkeypatch, tmp_path):
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path))
    with pytest.raises(FMError, match=r"register: ask for it at https://image-net\.org.*ILSVRC2012_img_train\.tar"):
        imagenet.get()
