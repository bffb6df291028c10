"""Arm's compiler without a warning; QEMU's count of instructions beside ours.

QEMU counts with a plugin, firmware/tests/qemu_count.c. Both count an instruction that IT skips.
"""

import subprocess

import pytest
from ccode import C_TESTS, CORE, QEMU, ROOT, clip_source, model_folder

from kws_nb.audio import read_clip, to_int16
from kws_nb.board import build_firmware, parse_line
from kws_nb.protocol_emulated import BoardFault, Machine

pytestmark = pytest.mark.needs("arm-none-eabi-gcc", "qemu-system-arm")
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
CPU = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]


@pytest.mark.parametrize("optimise", ["-O3", "-Os"])
def test_gcc_builds_the_image_without_a_warning(tmp_path, optimise):
    boards = [ROOT / "firmware/emulated", ROOT / "firmware/qemu"]
    units = [*CORE.glob("*.[cS]"), model_folder() / "kws_model.c"]
    units += [unit for board in boards for unit in board.glob("*.c")]
    include = [part for place in (CORE, model_folder(), *boards) for part in ("-I", place)]
    command = ["arm-none-eabi-gcc", *CPU, *WARNINGS, "-std=c11", optimise, "-ffreestanding", *include, "-c", *units]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]


class QemuMachine(Machine):
    "Our emulator with the devices of QEMU's image: a serial port that is always ready, and an end by `bkpt`."

    def _map_devices(self):
        def write(uc, offset, size, value, user):
            if offset == 0:
                self.serial_out.append(value & 0xFF)

        self.uc.mmio_map(0x4000_4000, 0x1000, lambda *_: 0, None, write, None)

    def run(self):
        with pytest.raises(BoardFault, match="crashed"):
            super().run()


@pytest.mark.parametrize("word", ["yes", "no"])
def test_both_emulators_count_the_same(tmp_path, word):
    samples = to_int16(read_clip(ROOT / f"data/clips/{word}.wav"))
    image = build_firmware(toolchain="gcc", board="qemu", extra={"clip.c": clip_source(samples)})

    plugin, count = tmp_path / "libqemu_count.so", tmp_path / "count"
    command = ["cc", "-std=c11", *WARNINGS, "-O2", "-fPIC", "-shared", C_TESTS / "qemu_count.c", "-o", plugin]
    subprocess.run([str(part) for part in command], check=True)
    command = [*QEMU, "-kernel", image, "-plugin", f"{plugin},count={count}"]
    done = subprocess.run([str(part) for part in command], capture_output=True, timeout=50, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and count.is_file(), done.stderr[-500:]

    ours = QemuMachine(image)
    assert bytes(ours.serial_out) == done.stdout
    assert [heard.label for line in done.stdout.decode().splitlines() if (heard := parse_line(line))] == [word]
    assert ours.instructions == pytest.approx(int(count.read_text()), rel=0.001)
    assert ours.instructions > 100_000
