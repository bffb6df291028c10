"The recorder in a real browser, with a microphone that hears a file, and with none."

import functools
import json
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from conftest import root
from jupyterlab import chromium, fake_microphone, run_notebook, write_notebook
from kws_nb.audio import read_clip

pytestmark = pytest.mark.needs("chromium")
CLIPS = {path.stem: read_clip(path) for path in (root / "data/clips").glob("*.wav")}
FAKE_DEVICE, ALLOWED = "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"

NOTEBOOK = """
import json
from pathlib import Path
import numpy as np
from kws_nb.widgets.recorder import Recorder
recorder = Recorder(countdown=.5, root='recordings')
def heard(change):
    with Path('takes.npy').open('ab') as file: np.save(file, recorder.samples)
def failed(change):
    Path('error.txt').write_text(recorder.error)
recorder.observe(heard, '_samples')
recorder.observe(failed, 'error')
recorder
"""


def correlation(samples, word):
    "Largest normalised cross-correlation with the word as the fake microphone repeats it."
    from scipy.signal import fftconvolve

    played = np.tile(CLIPS[word], 3).astype(np.float64)
    products = fftconvolve(played, samples[::-1], "valid")
    energy = fftconvolve(played**2, np.ones(len(samples)), "valid") * np.sum(np.square(samples, dtype=np.float64))
    return float(np.max(products / np.sqrt(energy)))


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def takes(folder):
    found = []
    if (folder / "takes.npy").exists():
        with (folder / "takes.npy").open("rb") as file:
            while file.read(1):
                file.seek(-1, 1)
                found.append(np.load(file))
    return found


def test_a_spoken_word_reaches_the_kernel(lab):
    "Recorded through the widget, in the kernel as it was spoken; saved, listed, deleted."
    url, folder = lab
    write_notebook(folder / "record.ipynb", NOTEBOOK)
    with chromium(*fake_microphone(root / "data/clips/yes.wav"), permissions=["microphone"]) as page:
        run_notebook(page, url, "record.ipynb")
        widget = page.locator(".kws-recorder")
        widget.get_by_text("Press Record and say the word: 1 s.").wait_for()
        for _ in range(4):  # on a busy machine the fake microphone may lose a block; nobody's word is cut in all four
            n = len(takes(folder))
            widget.get_by_role("button", name="Record", exact=True).click()
            wait_for(lambda n=n: len(takes(folder)) > n)
            samples = takes(folder)[-1]
            assert samples.dtype == np.float32 and samples.shape == (16000,)
            assert correlation(samples, "no") < 0.6
            if correlation(samples, "yes") >= 0.9:
                break
        assert correlation(samples, "yes") >= 0.9

        widget.get_by_label("Label").fill("../yes")
        widget.get_by_role("button", name="Save", exact=True).click()
        widget.get_by_role("alert").get_by_text("can't be part of a file name").wait_for()
        widget.get_by_label("Label").fill("yes")
        widget.get_by_label("Speaker").fill("ada")
        page.keyboard.press("Enter")
        widget.get_by_role("list", name="Saved recordings").get_by_text("yes/ada_nohash_0.wav").wait_for()
        saved = folder / "recordings/yes/ada_nohash_0.wav"
        np.testing.assert_allclose(read_clip(saved), samples, atol=1 / 32768)
        widget.get_by_role("button", name="Play yes/ada_nohash_0.wav").click()
        delete = widget.get_by_role("button", name="Delete yes/ada_nohash_0.wav")
        delete.click()
        assert saved.exists() and delete.inner_text() == "Really?"
        delete.click()
        wait_for(lambda: not saved.exists())
        widget.get_by_text("yes/ada_nohash_0.wav is deleted.").wait_for()

        widget.locator("input[type=file]").set_input_files(root / "data/clips/no.wav")
        wait_for(lambda: np.array_equal(takes(folder)[-1], CLIPS["no"]))
        widget.locator("input[type=file]").set_input_files(root / "data/README.md")
        widget.get_by_role("alert").get_by_text("README.md: not a readable audio file").wait_for()


def test_denied_permission_is_explained_on_the_page_and_in_python(lab):
    url, folder = lab
    write_notebook(folder / "denied.ipynb", NOTEBOOK.replace("error.txt", "denied.txt"))
    with chromium(FAKE_DEVICE, "--deny-permission-prompts") as page:
        run_notebook(page, url, "denied.ipynb")
        widget = page.locator(".kws-recorder")
        widget.get_by_role("button", name="Record", exact=True).click()
        says = widget.get_by_role("alert").get_by_text("allow the microphone, and press Record again").inner_text()
        wait_for((folder / "denied.txt").exists)
        wait_for(lambda: (folder / "denied.txt").read_text() == says)
        assert widget.get_by_role("button", name="Record", exact=True).is_enabled()


@pytest.fixture(scope="module")
def site():
    "The repository over HTTP: tests/widgets/recorder.html has the widget with a model that has no kernel."

    class Handler(SimpleHTTPRequestHandler):
        extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript"}

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=root)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def press_record(page, site, host="localhost", script=""):
    page.add_init_script(script)
    page.goto(f"http://{host}:{site}/tests/widgets/recorder.html")
    page.get_by_role("button", name="Record").click()


def alert(page):
    page.wait_for_function("document.querySelector('[role=alert]').textContent")
    text = page.get_by_role("alert").inner_text()
    assert page.evaluate("model.get('error')") == text, "Python would be told something else"
    assert page.evaluate("sent") == [] and page.locator("#widget").get_attribute("data-phase") == "idle"
    return text


NO_SOUND_SYSTEM = {"ALSA_CONFIG_PATH": "/dev/null", "PULSE_SERVER": "none", "XDG_RUNTIME_DIR": "/nonexistent"}
KEEP_STREAM = """
const get = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (c) => (window.stream = await get(c));
"""
NO_BLOCKS = "AudioContext.prototype.resume = async function () { await this.suspend(); };"


@pytest.mark.parametrize(
    "options, host, says",
    [
        ([FAKE_DEVICE, "--deny-permission-prompts"], "localhost", "did not allow the microphone"),
        ([ALLOWED], "localhost", "No microphone was found. Plug one in"),
        ([FAKE_DEVICE, ALLOWED, "--fail-audio-stream-creation"], "localhost", "another program may be using it"),
        (
            [FAKE_DEVICE, ALLOWED, "--host-resolver-rules=MAP jupyter.test 127.0.0.1"],
            "jupyter.test",
            "http://localhost:8888",
        ),
    ],
    ids=["denied", "no microphone", "busy", "insecure page"],
)
def test_why_there_is_no_microphone(site, options, host, says):
    with chromium(*options, environment=NO_SOUND_SYSTEM) as page:
        press_record(page, site, host)
        text = alert(page)
        assert says in text and "upload a file" in text


def test_unplugged_while_recording(site):
    with chromium(*fake_microphone(root / "data/clips/yes.wav"), permissions=["microphone"]) as page:
        press_record(page, site, script=KEEP_STREAM)
        page.wait_for_selector("#widget[data-phase=recording], #widget[data-phase=countdown]")
        page.evaluate("stream.getAudioTracks()[0].dispatchEvent(new Event('ended'))")
        assert "went away during the recording" in alert(page)
        assert page.evaluate("stream.getAudioTracks()[0].readyState") == "ended"


def test_a_microphone_without_sound(site):
    with chromium(*fake_microphone(root / "data/clips/yes.wav"), permissions=["microphone"]) as page:
        press_record(page, site, script=NO_BLOCKS)
        assert "no sound came from it" in alert(page)


def test_calling_it_off_frees_the_microphone(site):
    with chromium(*fake_microphone(root / "data/clips/yes.wav"), permissions=["microphone"]) as page:
        press_record(page, site, script=KEEP_STREAM)
        page.wait_for_selector("#widget[data-phase=recording], #widget[data-phase=countdown]")
        page.get_by_role("button", name="Cancel").click()
        page.wait_for_timeout(1500)
        assert page.evaluate("[stream.getAudioTracks()[0].readyState, sent.length, model.get('error')]") == [
            "ended",
            0,
            "",
        ]
        page.get_by_role("button", name="Record").click()
        page.wait_for_function("sent.length")
        assert page.evaluate("stream.getAudioTracks()[0].readyState") == "ended"
        page.evaluate("close()")


NO_WORKLETS = "delete window.AudioWorkletNode;"
OWN_RATE_ONLY = """
window.AudioContext = class extends AudioContext {
  createMediaStreamSource(stream) {
    if (this.sampleRate === 16000) throw new DOMException("other rate", "NotSupportedError");
    return super.createMediaStreamSource(stream);
  }
};"""


@pytest.mark.parametrize("script", ["", NO_WORKLETS, OWN_RATE_ONLY], ids=["worklet", "no worklets", "own rate only"])
def test_every_way_of_recording_hears_the_word(site, script):
    "AudioWorklet or its predecessor; at 16 kHz, or as Firefox at the microphone's own rate, resampled in Python."
    from kws_nb.widgets.recorder import decode_samples

    with chromium(*fake_microphone(root / "data/clips/yes.wav"), permissions=["microphone"]) as page:
        press_record(page, site, script=script)
        best = 0
        for i in range(4):
            page.wait_for_function(f"sent.length > {i}")
            message, [data] = page.evaluate(f"sent[{i}]")
            assert message["do"] == "take" and (message["rate"] == 16000) == (script != OWN_RATE_ONLY), json.dumps(
                message
            )
            samples = decode_samples(np.array(data, "<f4").tobytes(), message["rate"])
            best = max(best, correlation(samples, "yes"))
            assert correlation(samples, "no") < 0.6
            if best >= 0.9:
                break
            page.get_by_role("button", name="Record").click()
        assert best >= 0.9
