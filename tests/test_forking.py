"""A child forked while another thread imports, compiles or computes does its own work."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

FORKING = """
import os, signal, sys, threading, time
import numpy as np
from minibert import Tensor, set_num_threads

def fork(work):
    child = os.fork()
    if child == 0:
        signal.alarm(50)  # one that hangs is killed, and fails
        work()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def run(code: str) -> None:
    """In a process of its own, since a fork beside threads is a deprecation warning from Python 3.12 on."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING + code],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_while_another_thread_loads_the_kernels() -> None:
    run("""
def work():
    x = Tensor(np.ones((100, 100), np.float32), requires_grad=True)
    (x @ x).sum().backward()
    import minibert
    minibert.BertConfig()
    minibert.kernels_off
    from minibert.kernels.cpu import softmax
    y, _ = softmax.softmax_forward(np.zeros((200, 200), np.float32))
    assert (y == y[0, 0]).all()

first = threading.Thread(target=work)
first.start()
for name in ("numba", "numba.core.compiler_lock", "minibert.kernels.cpu.softmax"):
    while name not in sys.modules and first.is_alive():
        time.sleep(0.001)
    fork(work)
first.join()
""")


def test_while_other_threads_compute() -> None:
    run("""
from minibert.kernels.cpu import threads
set_num_threads(2)

def mark(first, end, x):
    x[first:end] += 1

def work():
    x = Tensor(np.ones(4, np.float32), requires_grad=True)
    (x * x).sum().backward()
    assert (x.grad.numpy() == 2).all()
    counts = np.zeros(8)
    threads.split(8, mark, counts)
    assert (counts == 1).all()

stop = False
def busy():
    while not stop:
        work()

others = [threading.Thread(target=busy) for _ in range(2)]
work()
for thread in others:
    thread.start()
for _ in range(20):
    fork(work)
stop = True
for thread in others:
    thread.join()
work()
""")


def test_in_the_middle_of_a_parallel_region() -> None:
    """On the thread that runs it: the parent's region ends well, the child's cannot, and says so; the next one does."""
    run("""
from minibert.kernels.cpu import threads
set_num_threads(2)
child = None

def part(i):
    global child
    if i == 0 and child is None:
        child = os.fork()

try:
    threads.run(part, [(0,), (1,)])
    assert child > 0
except RuntimeError as error:
    assert child == 0 and "forked" in str(error)
counts = np.zeros(8)
threads.split(8, lambda first, end: counts.__setitem__(slice(first, end), 1))
assert (counts == 1).all()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
""")


def test_multiprocessing_by_fork() -> None:
    run("""
import multiprocessing
from minibert import BertConfig, BertModel, no_grad
set_num_threads(2)
model = BertModel(BertConfig(vocab_size=50, hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
                             intermediate_size=128)).eval()
ids = np.arange(40).reshape(2, 20)

def states(_):
    with no_grad():
        return model(ids).last_hidden_state.numpy().tobytes()

expected = states(0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert set(pool.map(states, range(4))) == {expected}
""")
