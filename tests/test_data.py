"The split, the composition, the trees that are no data set, and the download."

import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from kws_nb import data as kws_data
from kws_nb.core import KEYWORDS, LABELS, KwsError
from kws_nb.data import (
    SPLITS,
    augment,
    check_lists,
    composition,
    download_speech_commands,
    fetch,
    find_clips,
    load_data,
    read_speech_commands,
    split_of,
    unpack_archive,
)


@pytest.fixture
def tree(tmp_path, rng):
    "A small Speech Commands tree: noise is spoken, names decide the split."
    words = {**{k: 30 for k in KEYWORDS}, "bird": 30, "cat": 30}
    for word, n in words.items():
        (tmp_path / word).mkdir()
        for i in range(n):
            speaker = hashlib.sha1(f"{i}".encode()).hexdigest()[:8]
            suffix = "wav" if i % 2 else "flac"
            sf.write(tmp_path / word / f"{speaker}_nohash_0.{suffix}", rng.uniform(-0.5, 0.5, 16000 - i * 100), 16000)
    (tmp_path / "_background_noise_").mkdir()
    sf.write(tmp_path / "_background_noise_/hum.wav", rng.uniform(-0.1, 0.1, 320_000), 16000)
    names = {
        split: [f"{p.parent.name}/{p.stem}.wav" for w in find_clips(tmp_path)[split].values() for p in w]
        for split in SPLITS
    }
    for split in SPLITS[1:]:
        (tmp_path / f"{split}_list.txt").write_text("\n".join(names[split]) + "\n")
    return tmp_path


def test_composition_of_the_report():
    assert [composition(n)["total"] for n in (6358, 803, 824)] == [10_556, 1_333, 1_368]


def test_official_lists_agree_and_give_the_counts(tree):
    "On the official lists where they are, on lists made for a small tree elsewhere."
    root = kws_data.find_data() or tree
    n = check_lists(root)
    assert n > 0
    if n == 20_986:
        keywords = [
            sum(name.startswith(("yes/", "no/")) for name in (root / f"{s}_list.txt").read_text().split())
            for s in SPLITS[1:]
        ]
        assert keywords == [803, 824] and [composition(k)["total"] for k in keywords] == [1_333, 1_368]


def test_split_follows_the_speaker():
    assert {split_of(f"{word}/abc_nohash_{i}.wav") for word in "xy" for i in range(5)} == {
        split_of("abc_nohash_9.flac")
    }
    shares = np.unique([split_of(f"{i:08x}_nohash_0.wav") for i in range(20_000)], return_counts=True)[1] / 20_000
    np.testing.assert_allclose(shares, [0.1, 0.8, 0.1], atol=0.01)


def test_tree_in_the_reports_composition(tree):
    data = read_speech_commands(tree)
    for split in SPLITS:
        part = getattr(data, split)
        keywords = int((part.labels >= 2).sum())
        assert np.bincount(part.labels, minlength=4)[:2].tolist() == [composition(keywords)["_silence_"]] * 2
        assert all(split_of(p.name) == split for w in find_clips(tree)[split].values() for p in w)
        assert part.clips.dtype == np.int16 and part.clips.shape == (len(part), 16000)
        assert all(LABELS[label] == word for label, word in zip(part.labels, part.words) if label != 1)
    assert "development subset" in data.name
    again = read_speech_commands(tree)
    np.testing.assert_array_equal(data.testing.clips, again.testing.clips)


def test_other_words_beyond_the_composition_are_of_the_training_part(tree):
    data = read_speech_commands(tree)
    everything = sum(len(paths) for word, paths in find_clips(tree)["training"].items() if word not in KEYWORDS)
    used = int((data.training.labels == 1).sum())
    assert (
        len(data.more) == everything - used > 0
        and (data.more.labels == 1).all()
        and set(data.more.words) == {"bird", "cat"}
    )
    heard = {clip.tobytes() for part in (data.training, data.validation, data.testing) for clip in part.clips}
    assert not heard & {clip.tobytes() for clip in data.more.clips}


def test_lists_that_disagree(tree):
    wrong = next(p for p in (tree / "yes").iterdir() if split_of(p.name) == "training")
    with (tree / "testing_list.txt").open("a") as file:
        file.write(f"yes/{wrong.stem}.wav\n")
    with pytest.raises(KwsError, match="disagree on 1 of"):
        read_speech_commands(tree)


def test_tree_without_a_keyword(tree):
    for path in (tree / "no").iterdir():
        path.unlink()
    with pytest.raises(KwsError, match='no training clips of "no"'):
        load_data(tree)


def test_tree_with_a_damaged_clip(tree):
    path = next((tree / "yes").glob("*.wav"))
    path.write_bytes(b"RIFF")
    with pytest.raises(KwsError, match=path.name):
        load_data(tree)


def test_tree_without_noise(tree):
    (tree / "_background_noise_/hum.wav").unlink()
    with pytest.raises(KwsError, match="noise recording"):
        load_data(tree)


def test_folder_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("KWS_NB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(KwsError, match="KWS_NB_DATA names .*nowhere"):
        load_data()
    monkeypatch.setenv("KWS_NB_DATA", str(tmp_path))
    with pytest.raises(KwsError, match="kws-nb download"):
        load_data()


def test_augmentation(data):
    part = kws_data.Part(data.training.clips[:50], data.training.labels[:50], data.training.words[:50])
    keywords = kws_data.Part(data.training.clips[-50:], data.training.labels[-50:], data.training.words[-50:])
    a, b = (augment(keywords, data.noise, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert (a != augment(keywords, data.noise, np.random.default_rng(4))).any()
    plain = augment(keywords, data.noise, np.random.default_rng(0), shift_ms=0, noise_share=0)
    np.testing.assert_array_equal(plain, keywords.clips)
    shifted = augment(keywords, data.noise, np.random.default_rng(0), noise_share=0)
    for clip, moved in zip(keywords.clips, shifted):
        assert any(
            np.array_equal(moved[max(0, s) : 16000 + min(0, s)], clip[max(0, -s) : 16000 - max(0, s)])
            for s in range(-1600, 1601)
        )
    assert (part.labels == 0).all() and (augment(part, data.noise, np.random.default_rng(0)) != part.clips).any()


def naive_augment(part, noise, rng, shift_ms, noise_share, noise_volume):
    "Clip by clip, in NumPy."
    limit, out = shift_ms * 16, np.zeros_like(part.clips)
    for clip, to, label in zip(part.clips, out, part.labels):
        if label == 0:
            continue
        shift, mixed = int(rng.integers(-limit, limit + 1)), np.zeros(16000, np.float32)
        mixed[max(0, shift) : 16000 + min(0, shift)] = clip[max(0, -shift) : 16000 - max(0, shift)]
        if rng.random() < noise_share:
            source = noise[rng.integers(len(noise))]
            start = rng.integers(len(source) - 16000 + 1)
            mixed += source[start : start + 16000] * np.float32(rng.uniform(0, noise_volume))
        to[:] = np.clip(np.rint(mixed), -32768, 32767)
    for i in np.flatnonzero(part.labels == 0):
        source = noise[rng.integers(len(noise))]
        start = rng.integers(len(source) - 16000 + 1)
        out[i] = np.rint(source[start : start + 16000] * rng.random())
    return out


@pytest.mark.parametrize("settings", [(100, 0.8, 0.1), (1000, 1, 1), (0, 0, 0)])
def test_augmentation_is_the_naive_one_whatever_the_threads(data, settings):
    which = np.r_[0:100, len(data.training) - 100 : len(data.training)]
    loud = np.random.default_rng(1).choice([-32768, -32767, -1, 0, 1, 32767], (50, 16000)).astype(np.int16)
    part = kws_data.Part(
        np.concatenate([data.training.clips[which], loud]), np.r_[data.training.labels[which], np.ones(50, int)], []
    )
    expected = naive_augment(part, data.noise, np.random.default_rng(5), *settings)
    for threads in (None, 1, 2, 5):
        np.testing.assert_array_equal(
            augment(part, data.noise, np.random.default_rng(5), *settings, threads=threads), expected
        )


@pytest.mark.parametrize(
    "settings, says",
    [
        (dict(shift_ms=1001), "shift_ms"),
        (dict(shift_ms=-1), "shift_ms"),
        (dict(noise_volume=2), "noise_volume"),
        (dict(noise=[]), "at least a second"),
        (dict(noise=[np.zeros(15999, np.int16)]), "at least a second"),
    ],
)
def test_augmentation_refuses(data, settings, says):
    with pytest.raises(KwsError, match=says):
        augment(data.training, **(dict(noise=data.noise, rng=np.random.default_rng(0)) | settings))


# --- download --------------------------------------------------------------------------------------------------------


class _Server(http.server.BaseHTTPRequestHandler):
    files, requests, cut = {}, [], None

    def do_GET(self):
        content, start = self.files.get(self.path), 0
        self.requests.append(self.headers.get("Range"))
        if content is None:
            return self.send_error(404)
        if self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : self.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    _Server.files, _Server.requests, _Server.cut = {}, [], None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        _Server.url = f"http://127.0.0.1:{httpd.server_port}"
        yield _Server
        httpd.shutdown()


def test_download_goes_on_where_it_broke_off(server, tmp_path):
    content = os.urandom(1_000_000)
    server.files["/a.bin"], server.cut = content, 400_000
    digest = hashlib.sha256(content).hexdigest()
    with pytest.raises(KwsError, match="run the command again"):
        fetch(f"{server.url}/a.bin", tmp_path / "a.bin", digest)
    assert not (tmp_path / "a.bin").exists()
    server.cut = None
    assert fetch(f"{server.url}/a.bin", tmp_path / "a.bin", digest).read_bytes() == content
    assert server.requests == [None, "bytes=400000-"] and [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_damaged_download_is_removed(server, tmp_path):
    server.files["/a.bin"] = b"not what was asked for"
    with pytest.raises(KwsError, match="SHA-256 is wrong"):
        fetch(f"{server.url}/a.bin", tmp_path / "a.bin", "0" * 64)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_not_the_networks_fault(server, tmp_path):
    server.files["/a.bin"] = os.urandom(1_000_000)
    (tmp_path / "a.bin.part").symlink_to("/dev/full")
    with pytest.raises(KwsError, match="cannot be written: No space left on device. Make room there"):
        fetch(f"{server.url}/a.bin", tmp_path / "a.bin")


def test_no_network(tmp_path):
    with pytest.raises(KwsError, match="Check the network"):
        fetch("http://127.0.0.1:1/a.bin", tmp_path / "a.bin")
    with pytest.raises(KwsError, match="could not be fetched"):
        fetch("http://no-such-host.invalid/a.bin", tmp_path / "a.bin")


def _archive(members):
    "A tar archive: text as a file, a Path as a symbolic link."
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = tarfile.SYMTYPE, str(content)
                archive.addfile(info)
    return buffer.getvalue()


@pytest.fixture
def offered(server, monkeypatch):
    "A function that has the server offer an archive as the full set."
    from kws_nb.features import import_torchaudio

    import_torchaudio()
    from torchaudio.datasets import speechcommands

    def offer(content):
        url = f"{server.url}/speech_commands_v0.02.tar.gz"
        server.files["/speech_commands_v0.02.tar.gz"] = content
        monkeypatch.setattr(speechcommands, "_CHECKSUMS", {url: hashlib.sha256(content).hexdigest()})

    return offer


def _files_below(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_full_set_through_torchaudio(offered, server, tmp_path, tree):
    "The real command with a small archive: torchaudio names it and reads it."
    offered(_archive({f"./{p.relative_to(tree)}": p.read_bytes() for p in tree.rglob("*") if p.is_file()}))
    folder = download_speech_commands(tmp_path / "got/speech_commands")
    np.testing.assert_array_equal(load_data(folder).testing.clips, load_data(tree).testing.clips)
    assert [p.name for p in folder.parent.iterdir()] == ["speech_commands"]
    assert download_speech_commands(folder) == folder and len(server.requests) == 1


def test_an_archive_with_an_absolute_name(offered, tmp_path):
    "torchaudio unpacks without a filter: the member landed where its name says."
    outside = tmp_path / "outside.txt"
    offered(_archive({str(outside): b"x"}))
    with pytest.raises(KwsError, match="refused.*outside.txt"):
        download_speech_commands(tmp_path / "got/speech_commands")
    assert _files_below(tmp_path) == ["got/download/speech_commands_v0.02.tar.gz"]


def test_an_archive_with_a_chain_of_links(offered, tmp_path):
    "Each link alone stays inside; on disk `up` is `here/..`, and `here` is the folder itself."
    offered(_archive({"here": Path("."), "up": Path("here/.."), "up/outside.txt": b"x"}))
    with pytest.raises(KwsError, match="refused.*here"):
        download_speech_commands(tmp_path / "got/speech_commands")
    assert _files_below(tmp_path) == ["got/download/speech_commands_v0.02.tar.gz"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: _archive({"./yes/a_nohash_0.wav": b""}),
        lambda whole: whole[:-50],
        lambda whole: whole[:-50] + bytes(50),
    ],
)
def test_a_damaged_archive_that_lay_there(damage, offered, server, tmp_path, tree):
    "It was unpacked as far as it went, and taken for the full set where tar noticed nothing."
    content = _archive({f"./{p.relative_to(tree)}": p.read_bytes() for p in tree.rglob("*") if p.is_file()})
    offered(content)
    archive = tmp_path / "got/download/speech_commands_v0.02.tar.gz"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(damage(content))
    with pytest.raises(KwsError, match="SHA-256 is wrong.*Remove it"):
        download_speech_commands(tmp_path / "got/speech_commands")
    assert not server.requests and _files_below(tmp_path / "got") == ["download/speech_commands_v0.02.tar.gz"]
    archive.write_bytes(content)
    assert len(load_data(download_speech_commands(tmp_path / "got/speech_commands")).testing) and not server.requests


def test_an_archive_that_would_write_elsewhere(tmp_path):
    for members in (
        {"../outside.txt": b"x"},
        {"a/../../outside.txt": b"x"},
        {"fine": b"x", "link": Path("../outside.txt")},
    ):
        (tmp_path / "evil.tar.gz").write_bytes(_archive(members))
        with pytest.raises(KwsError, match="evil.tar.gz: refused"):
            unpack_archive(tmp_path / "evil.tar.gz", tmp_path / "a/folder")
    (tmp_path / "half.tar.gz").write_bytes(_archive({"a.txt": os.urandom(50_000)})[:20_000])
    with pytest.raises(KwsError, match="not a whole tar archive"):
        unpack_archive(tmp_path / "half.tar.gz", tmp_path / "a/folder")
    assert _files_below(tmp_path) == ["evil.tar.gz", "half.tar.gz"] and not list((tmp_path / "a").iterdir())


def test_data_and_its_neighbours_load_neither_torch_nor_widgets(tree):
    "A word of one's own was once looked for through the recorder's widget."
    program = (
        "import sys\n"
        "import kws_nb.audio, kws_nb.latency, kws_nb.litert, kws_nb.recordings, kws_nb.speech, kws_nb.tables\n"
        "from kws_nb.data import load_data\n"
        "load_data(sys.argv[1], words=['yes'])\n"
        "print(sorted({'torch', 'ipywidgets', 'anywidget', 'tensorflow', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, tree], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
