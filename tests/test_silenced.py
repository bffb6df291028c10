"Programs and C write past Python, to file descriptors 1 and 2: `silenced` keeps that off the screen, and nothing else."

import os
import subprocess
import sys

import pytest

from kws_nb.host import silenced


def write(text, *fds):
    "As C does it, and as Python does it."
    for fd in fds:
        os.write(fd, f"{text} from C\n".encode())
        print(f"{text} from Python", file={1: sys.stdout, 2: sys.stderr}[fd], flush=True)


def test_both_streams_are_kept_and_come_back(capfd):
    write("before", 1, 2)
    with silenced() as said:
        write("within", 1, 2)
        subprocess.run([sys.executable, "-c", 'print("a program")'], check=True)
    write("after", 1, 2)
    out, err = capfd.readouterr()
    assert out == err == "before from C\nbefore from Python\nafter from C\nafter from Python\n"
    assert sorted(said) == sorted(["a program", *2 * ["within from C", "within from Python"]])


def test_one_stream_alone(capfd):
    with silenced("stderr") as said:
        write("within", 1, 2)
    assert capfd.readouterr() == ("within from C\nwithin from Python\n", "")
    assert sorted(said) == ["within from C", "within from Python"]


def test_an_exception_passes_and_the_streams_come_back(capfd):
    with pytest.raises(KeyError), silenced() as said:
        write("within", 1, 2)
        raise KeyError
    write("after", 1, 2)
    assert capfd.readouterr() == 2 * ("after from C\nafter from Python\n",)
    assert len(said) == 4


def test_one_within_another(capfd):
    with silenced() as outer:
        with silenced("stderr") as inner:
            write("inner", 2)
        write("outer", 2)
    write("after", 2)
    assert capfd.readouterr().err == "after from C\nafter from Python\n"
    assert all("inner" in line for line in inner) and all("outer" in line for line in outer)


def test_it_leaves_no_file_open():
    def n_open():
        return len(os.listdir("/dev/fd"))

    before = n_open()
    for _ in range(20):
        with silenced():
            write("within", 1, 2)
    assert n_open() == before


def test_a_stream_that_was_kept_hold_of_can_still_be_written_to(capfd):
    "As a logger does that is made within: absl's, when TensorFlow is imported."
    with silenced():
        stream = sys.stderr
    print("late", file=stream)
    assert capfd.readouterr() == ("", "")


def test_what_python_had_not_yet_written_is_not_swallowed():
    program = (
        "import os; from kws_nb.host import silenced\n"
        'print("before")\n'
        'with silenced(): os.write(1, b"within")\n'
        'print("after")'
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["before", "after"]
