"""Ctrl-C, a crash and a long command: each is heard once, and the emulated board goes on.

Before, an interrupt that came while C called Python was printed and forgotten, and the next command could crash.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from queue import Queue

import numpy as np
import pytest
import serial
from test_board import firmware_image

from kws_nb import protocol_emulated
from kws_nb.audio import read_clip, to_int16
from kws_nb.board import Board, build_firmware, emulated_port
from kws_nb.core import KwsError, checkout
from kws_nb.protocol_emulated import BoardFault, Machine, Serial, serve

YES = to_int16(read_clip(checkout() / "data/clips/yes.wav"))
CLI = [sys.executable, "-c", "from kws_nb.cli import main; main()"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(checkout())}


@pytest.fixture(autouse=True)
def heard():
    "Ctrl-C is heard, also where the tests run in the background and the shell has it ignored."
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted(call):
    "How many interrupts came until the call was through."
    n = 0
    while True:
        try:
            call()
            return n
        except KeyboardInterrupt:
            n += 1


def state(machine):
    tree = [(call.function, call.calls, call.instructions, call.cycles) for call in machine.call_tree]
    counts = machine.instructions, machine.cycles, machine.stack_bytes, machine.watched, machine.executed
    return bytes(machine.serial_out), tree, *counts


class Interrupting(deque):
    "A queue that sends an interrupt now and then, while C waits for its answer."

    def __init__(self, values, every):
        super().__init__(values)
        self.every, self.sent = every, 0

    def popleft(self):
        if len(self) % self.every == 0:
            self.sent += 1
            signal.raise_signal(signal.SIGINT)
        return super().popleft()


def test_an_interrupted_run_goes_on_where_it_stopped():
    "Same bytes, instructions, cycles, calls and stack as a run that nobody has interrupted."
    calm, disturbed = Machine(build_firmware()), Machine(build_firmware())
    calm.audio.extend(YES.tolist())
    calm.run()
    disturbed.audio = Interrupting(YES.tolist(), 333)
    came = interrupted(disturbed.run)
    assert came == disturbed.audio.sent == 48
    assert state(disturbed) == state(calm)


def test_an_interrupt_while_a_block_is_measured(monkeypatch):
    calm, sent, cost = Machine(build_firmware()), [], protocol_emulated.block_cost

    def interrupting(code, address):
        if address % 3 == 0:
            sent.append(address)
            signal.raise_signal(signal.SIGINT)
        return cost(code, address)

    disturbed = Machine(build_firmware())
    monkeypatch.setattr(protocol_emulated, "block_cost", interrupting)
    for machine in (calm, disturbed):
        machine.audio.extend(YES.tolist())
    came = interrupted(disturbed.run)
    assert came == len(sent) > 20
    monkeypatch.undo()
    calm.run()
    assert state(disturbed) == state(calm)


def test_what_fails_where_c_calls_is_raised_once_and_nothing_is_lost(monkeypatch):
    "Any exception: here, measuring a block fails once."
    calm, disturbed = Machine(build_firmware()), Machine(build_firmware())
    cost, failures = protocol_emulated.block_cost, [1]

    def failing(code, address):
        if failures:
            raise MemoryError(f"failure {failures.pop()}")
        return cost(code, address)

    monkeypatch.setattr(protocol_emulated, "block_cost", failing)
    disturbed.audio.extend(YES.tolist())
    with pytest.raises(MemoryError, match="failure 1"):
        disturbed.run()
    disturbed.run()
    calm.audio.extend(YES.tolist())
    calm.run()
    assert state(disturbed) == state(calm)


def test_what_fails_in_an_interrupted_run_is_told_with_the_interrupt(monkeypatch):
    "Ctrl-C and a failure in one run: the failure was forgotten."
    machine = Machine(build_firmware())

    def failing(code, address):
        signal.raise_signal(signal.SIGINT)
        raise MemoryError("a failure")

    monkeypatch.setattr(protocol_emulated, "block_cost", failing)
    machine.audio.extend(YES.tolist())
    with pytest.raises(KeyboardInterrupt) as told:
        machine.run()
    assert repr(told.value.__context__) == "MemoryError('a failure')"


class Sender:
    "Sends the main thread an interrupt, some seconds after the block has begun; `arrived` counts what came out of it."

    def __init__(self, seconds):
        self.timer = threading.Timer(seconds, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        self.arrived = 0

    def __enter__(self):
        self.timer.start()
        return self

    def __exit__(self, kind, *_):
        self.arrived += kind is KeyboardInterrupt
        self.timer.join()
        return kind is KeyboardInterrupt


def test_every_interrupt_of_hear_arrives_once_and_the_board_goes_on():
    "25 at random moments, sent by another thread."
    rng, sound = np.random.default_rng(0), np.tile(YES, 4)
    with Board() as board:
        expected = board.classify(YES)
        for attempt in range(25):
            with Sender(rng.uniform(0.01, 0.09)) as sent:
                while True:
                    board.hear(sound)
            again = interrupted(lambda: time.sleep(0.01))
            assert (sent.arrived, again) == (1, 0), attempt
            assert board.command("name") == ["m-name-dut-[kws_nb tinyconv]"], attempt
            heard = board.classify(YES)
            assert (heard.sample, heard.codes) == (expected.sample, expected.codes), attempt


def test_an_interrupted_command_does_not_answer_the_next_one(board):
    "The answer of the first comes when the second has been sent."
    with Sender(0.1) as sent:
        board.command("infer 1000 0")
    assert sent.arrived == 1 and not board.machine.waiting
    assert board.command("name") == ["m-name-dut-[kws_nb tinyconv]"]
    assert board.settings()["stream"] == "on"


def test_handlers_of_others_are_called_and_put_back(board):
    "One that raises nothing does not end the run; in a thread there is none to hold back."
    seen, before = [], signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        handler = signal.getsignal(signal.SIGINT)
        board.machine.audio = Interrupting(YES.tolist(), 1000)
        board.machine.run()
        assert board.machine.waiting and not board.machine.audio and len(seen) == board.machine.audio.sent == 16
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
        board.machine.audio = deque()
    heard = []
    thread = threading.Thread(target=lambda: heard.append(board.classify(YES).label))
    thread.start()
    thread.join()
    assert heard == ["yes"]


def test_a_hung_image_is_interrupted_at_once(tmp_path):
    "It calls no Python, so it is asked now and then; a minute would pass to the limit."
    image = firmware_image(tmp_path, "for (volatile int i = 0;; ++i) {}")
    with Sender(0.3) as sent:
        Machine(image, limit_cycles=1 << 60)
    assert sent.arrived == 1


def test_the_limit_of_a_hung_image_counts_from_its_last_sign_of_life():
    "`bench 20000%` and `infer 15000 0%` take longer than a hung image is given; here all is 1,000 times shorter."
    machine = Machine(build_firmware(), limit_cycles=4_000_000)
    for command, answer in ((b"bench 20%", b"m-kws-bench,0,preprocessing"), (b"infer 30 0%", b"m-infer-done")):
        before = machine.cycles
        machine.serial_in.extend(command)
        machine.run()
        assert machine.cycles - before > machine.limit_cycles, "too short to say anything"
        assert machine.waiting and answer in machine.serial_out


def test_a_fault_stays(tmp_path):
    "The image is not run on after it has crashed: each further command says why at once."
    machine = Machine(firmware_image(tmp_path, CRASHING))
    machine.serial_in.extend(b"!")
    for _ in range(2):
        with pytest.raises(BoardFault, match="crashed at 0x"):
            machine.run()


CRASHING = """
    volatile unsigned *serial = (volatile unsigned *)0x40002000;
    serial[2] = 'A';
    for (;;) {
      while (serial[0]) { unsigned c = serial[1]; if (c == '!') *(volatile int *)0x30000000 = 1; serial[2] = c; }
      __asm volatile("wfi");
    }"""


def test_serve_lives_on_after_a_crash(tmp_path, monkeypatch):
    "Before, it died with the words that no serial device can be offered here."
    image, ended, said = firmware_image(tmp_path, CRASHING), threading.Event(), Queue()
    monkeypatch.setattr(protocol_emulated, "print", lambda text, **_: said.put(text), raising=False)
    served = threading.Thread(target=serve, args=(emulated_port(image=image), ended.is_set))
    served.start()
    try:
        with serial.Serial(said.get(timeout=60), timeout=60) as port:
            for _ in range(2):
                port.write(b"x!y")
                assert port.read_until(b"x")[-1:] == b"x"
                assert port.read_until(b"A")[-1:] == b"A", "no fresh start"
                assert "crashed at 0x" in said.get(timeout=60)
            port.write(b"z")
            assert port.read_until(b"z")[-1:] == b"z"
    finally:
        ended.set()
        served.join()
    assert said.empty()


def test_serve_ends_at_ctrl_c_while_a_command_runs():
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    served = subprocess.Popen([*CLI, "serve"], env=ENVIRONMENT, **pipes)
    try:
        device = served.stdout.readline().strip()
        with serial.Serial(device, 115200, timeout=60) as port:
            port.write(b"%infer 65535 65535%")
            time.sleep(0.5)  # it has the command long since, and works on it for minutes
            served.send_signal(signal.SIGINT)
            _, said = served.communicate(timeout=300)
    finally:
        served.kill()
    assert served.returncode == 130 and said == "Interrupted.\n"


def test_a_reader_in_another_thread_is_woken_when_the_board_has_answered():
    with serial.serial_for_url("emulated://nano33ble", timeout=60) as port:
        assert isinstance(port, Serial)
        port.reset_input_buffer()
        lines = []
        reader = threading.Thread(target=lambda: lines.append(port.readline()))
        reader.start()
        port.write(b"name%")
        reader.join()
    assert lines == [b"m-name-dut-[kws_nb tinyconv]\r\n"]


def test_a_crash_while_hearing_is_a_clear_message(tmp_path):
    image = firmware_image(tmp_path, CRASHING)
    with pytest.raises(KwsError, match="does not answer"):
        Board(emulated_port(image=image), timeout=0.1)
