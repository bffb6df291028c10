"The emulated board as a serial port and as a machine that counts."

import subprocess
import sys
from binascii import crc_hqx
from collections import Counter

import numpy as np
import pytest
import serial
from capstone import CS_ARCH_ARM, CS_MODE_MCLASS, CS_MODE_THUMB, Cs

from kws_nb.board import Board, build_firmware, parse_line
from kws_nb.core import KwsError, firmware_dir
from kws_nb.protocol_emulated import BoardFault, Machine, block_cost


def test_pyserial_finds_the_board():
    import kws_nb  # noqa: F401  registers the handler

    port = serial.serial_for_url("emulated://nano33ble", timeout=1)
    greeting = [port.readline() for _ in range(4)]
    assert greeting[0] == b"m-timestamp-mode-performance\r\n" and greeting[1].startswith(b"m-lap-us-")
    assert greeting[2:] == [b"m-init-done\r\n", b"m-ready\r\n"]
    port.write(b"na")
    port.write(b"me%")
    assert port.readline() == b"m-name-dut-[kws_nb tinyconv]\r\n" and port.readline() == b"m-ready\r\n"
    port.timeout = 0.01
    assert port.read() == b"" and port.in_waiting == 0
    port.close()
    with pytest.raises(serial.PortNotOpenError):
        port.write(b"name%")


@pytest.mark.parametrize(
    "url, says",
    [
        ("emulated://uno", "no emulated board 'uno'"),
        ("emulated://nano33ble?colour=red", "Unknown option colour"),
        ("emulated://nano33ble?model=/no/such.tflite", "no such file"),
    ],
)
def test_bad_urls(url, says):
    with pytest.raises(serial.SerialException, match=says):
        serial.serial_for_url(url)
    with pytest.raises(KwsError, match=says):
        Board(url)


def test_port_that_is_not_there():
    with pytest.raises(KwsError, match="cannot be opened"):
        Board("/dev/ttyNOSUCH")
    with pytest.raises(KwsError, match="is no port"):
        Board("nonsense://x")


def test_port_that_vanishes(reference):
    board = Board()
    board.serial.close()
    with pytest.raises(KwsError, match="gone"):
        board.command("name")


def test_port_where_nobody_answers():
    with pytest.raises(KwsError, match="does not answer"):
        Board("loop://", timeout=0.3)


def test_commands(board):
    assert board.command("help%")[0].startswith("help% : ")
    assert board.command("bogus")[0].startswith("e-")
    assert board.command("hop 0")[0].startswith("e-")
    assert board.command("hop 65536")[0].startswith("e-")
    assert board.command("x" * 200) == ["e-[The command is too long]"]
    assert board.command("name") == ["m-name-dut-[kws_nb tinyconv]"]
    before, after = (int(board.command("timestamp")[0].removeprefix("m-lap-us-")) for _ in range(2))
    assert after > before


def test_stream_off_and_hop(board, rng):
    noise = rng.integers(-2000, 2000, 20000).astype(np.int16)
    board.command("reset")
    board.command("stream off")
    assert board.hear(noise) == []
    with pytest.raises(KwsError, match="not listening"):
        board.classify(noise)
    board.command("stream on")
    board.command("hop 5")
    heard = board.hear(noise)
    assert [h.sample for h in heard] == [15840, 17440, 19040]
    assert [h.sequence for h in heard] == list(range(heard[0].sequence, heard[0].sequence + 3))


def test_garbage_is_survived(board, rng):
    for _ in range(20):
        board.serial.write(bytes(rng.integers(0, 256, 300).astype(np.uint8)))
    board.command("")
    assert board.command("name") == ["m-name-dut-[kws_nb tinyconv]"]


def test_microphone_takes_int16_only(board):
    with pytest.raises(KwsError, match="int16"):
        board.hear(np.zeros(100))
    assert board.hear(np.zeros(0, np.int16)) == []


def test_damaged_lines_are_refused():
    line = "m-kws-heard,7,15840,yes,-128,-128,127,-127"
    good = f"{line}*{crc_hqx(line.encode(), 0xFFFF):04X}"
    assert parse_line(good).codes == (-128, -128, 127, -127)
    assert parse_line(good).scores["yes"] == 255 / 256
    assert all(parse_line(good[:n]) is None for n in range(len(good)))
    assert all(parse_line(good.replace(a, b)) is None for a, b in (("yes", "yeß"), ("127", "126"), ("7,", "8,")))


def test_every_run_is_the_same(data):
    def run():
        machine = Machine(build_firmware())
        machine.audio.extend(data.testing.clips[-1].tolist())
        machine.run()
        return bytes(machine.serial_out), machine.instructions, machine.cycles, machine.stack_bytes, machine.watched

    assert run() == run()


def test_instructions_are_counted_exactly(rng):
    """Against a hook on every instruction, address by address.

    Unicorn reports no instruction that an IT block skipped; the processor issues it all the same, and so we count it.
    """
    import unicorn

    machine = Machine(build_firmware())
    machine.audio.extend(rng.integers(-3000, 3000, 1000).tolist())
    machine.run()
    executed, blocks = Counter(), Counter()
    machine.uc.hook_add(unicorn.UC_HOOK_CODE, lambda uc, address, size, _: executed.update((address,)))
    machine.uc.hook_add(unicorn.UC_HOOK_BLOCK, lambda uc, address, size, _: blocks.update(((address, size),)))
    machine.uc.ctl_flush_tb()
    before = machine.instructions
    machine.audio.extend(rng.integers(-3000, 3000, 640).tolist())
    machine.run()
    disassembler = Cs(CS_ARCH_ARM, CS_MODE_THUMB | CS_MODE_MCLASS)
    counted, conditional, in_it_block = Counter(), set(), 0
    for (address, size), times in blocks.items():
        for at, _, name, _ in disassembler.disasm_lite(bytes(machine.uc.mem_read(address, size)), address):
            counted[at] += times
            if in_it_block:
                conditional.add(at)
                in_it_block -= 1
            if name.startswith("it"):
                in_it_block = len(name) - 1
    assert machine.instructions - before == counted.total()
    for address in (set(counted) | set(executed)) - conditional:
        assert executed[address] == counted[address], hex(address)
    assert all(executed[a] <= counted[a] for a in conditional)


@pytest.mark.parametrize(
    "code, cycles",
    [
        ("0868", 2),  # ldr r0, [r1]
        ("08684a68", 3),  # two loads in a row overlap
        ("08688018", 3),  # ldr, adds
        ("10b5", 3),  # push {r4, lr}
        ("f0b5", 6),  # push {r4, r5, r6, r7, lr}
        ("90fbf1f0", 7),  # sdiv: two to twelve
        ("01fb02f0", 1),  # mul
        ("e1fb0223", 1),  # umlal
        ("d1e90023", 3),  # ldrd
    ],
)
def test_cycle_costs(code, cycles):
    assert block_cost(bytes.fromhex(code))[1] == cycles


def test_watched_functions_add_up(data):
    machine = Machine(build_firmware())
    machine.audio.extend(data.testing.clips[-1].tolist())
    machine.run()
    frontend, inference = machine.watched["frontend"], machine.watched["inference"]
    assert inference["calls"] == 1 and frontend["calls"] >= 49
    assert 0.85 * machine.instructions < frontend["instructions"] + inference["instructions"] < machine.instructions


TARGET = ["-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4+vfp4d16sp"]


def firmware_image(folder, body):
    "A firmware image whose main does what `body` says."
    (folder / "main.c").write_text(f"int main(void) {{ {body} }}\n")
    emulated = firmware_dir() / "emulated"
    command = [sys.executable, "-m", "ziglang", "cc", *TARGET]
    command += ["-O1", "-ffreestanding", "-I", emulated, emulated / "startup.c", folder / "main.c"]
    command += ["-T", emulated / "link.ld", "-Wl,-e,reset_handler", "-o", folder / "image.elf"]
    subprocess.run([str(part) for part in command], check=True)
    return folder / "image.elf"


def test_hung_image(tmp_path):
    with pytest.raises(BoardFault, match="hung"):
        Machine(firmware_image(tmp_path, "for (volatile int i = 0;; ++i) {}"), limit_cycles=1_000_000)


CRASHES = ["*(volatile int*)0x30000000 = 1;", "*(volatile int*)0 = 1;", '__asm volatile("udf 0");']


@pytest.mark.parametrize("body", CRASHES)
def test_crashed_image(tmp_path, body):
    with pytest.raises(BoardFault, match="crashed"):
        Machine(firmware_image(tmp_path, body))
