"Another compiler, another emulator: the same lines."

import subprocess

import numpy as np
import pytest
from ccode import QEMU, clip_source

from kws_nb.audio import fit_length, to_int16
from kws_nb.board import Board, build_firmware, parse_line
from kws_nb.speech import speak


@pytest.fixture(scope="module")
def samples():
    said = [("yes", "en-us+f3", 160, 50), ("no", "en+m2", 140, 40), ("tree", "en-029+f5", 150, 60)]
    return np.concatenate([fit_length(to_int16(s)) for s in speak(said)])


@pytest.fixture(scope="module")
def expected(samples):
    with Board() as board:
        heard = board.hear(samples)
    assert len(heard) > 40 and {"yes", "no"} <= {h.label for h in heard}
    return heard


@pytest.mark.needs("arm-none-eabi-gcc")
def test_gcc_image_says_the_same(samples, expected):
    with Board(f"emulated://nano33ble?image={build_firmware(toolchain='gcc')}") as board:
        assert board.hear(samples) == expected


@pytest.mark.needs("arm-none-eabi-gcc", "qemu-system-arm")
def test_qemu_says_the_same(samples, expected):
    image = build_firmware(toolchain="gcc", board="qemu", extra={"clip.c": clip_source(samples)})
    options = dict(capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    done = subprocess.run([*QEMU, "-kernel", str(image)], **options)
    assert [h for h in map(parse_line, done.stdout.splitlines()) if h] == expected, done.stderr[-500:]
