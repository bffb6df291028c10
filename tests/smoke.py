"What an installed wheel does on every system and Python: features, the emulated board, its size, a board to open."

import hashlib
import os
import subprocess
import sys
import threading
from queue import Queue

from kws_nb import protocol_emulated
from kws_nb.audio import example, read_clip, to_int16
from kws_nb.board import Board, open_port, reference_model
from kws_nb.core import checkout
from kws_nb.features import micro_features
from kws_nb.host import n_cores
from kws_nb.protocol_emulated import serve

FEATURES = "f3f9009bc66c2f0c"


def run(*arguments):
    "The `kws-nb` command in a process of its own."
    command = [sys.executable, "-c", "from kws_nb.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "cp1252"})
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode("cp1252")


def through_a_socket():
    "What a board answers to a program that opens it as `kws-nb serve --tcp` offers it."
    ended, said = threading.Event(), Queue()
    protocol_emulated.print = lambda text, **_: said.put(text)
    served = threading.Thread(target=serve, kwargs=dict(until=ended.is_set, tcp=0))
    served.start()
    try:
        with open_port(said.get(timeout=60), timeout=60) as port:
            port.write(b"%name%")
            return port.read_until(b"]").splitlines()[-1]
    finally:
        ended.set()
        served.join()


def main(place):
    assert (checkout() is None) == (place == "wheel"), f"this is {checkout() or 'a wheel'}"
    clip = to_int16(read_clip(example("yes")))
    assert hashlib.sha256(micro_features(clip).tobytes()).hexdigest().startswith(FEATURES)
    with Board() as board:
        assert board.classify(clip).label == "yes"
    assert '"label": "no"' in run("classify", example("no"), "--json")
    assert "flash" in run("size", reference_model()).lower()
    assert through_a_socket() == b"m-name-dut-[kws_nb tinyconv]"
    print(f"{sys.platform}, Python {sys.version.split()[0]}, {n_cores()} cores: works")


if __name__ == "__main__":
    main(sys.argv[1])
