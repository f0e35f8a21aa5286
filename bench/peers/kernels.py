"""Peers of `xlembed bench kernels --peers`: one JSON question a line on stdin, one JSON answer a line on stdout.

{"command": "versions"}                                        -> {"faiss-cpu": "...", ...}
{"command": "open", "op": ..., "shape": {...}, "seed": n}      -> {"names": [...]}   empty for an op without peers
{"command": "run", "name": ..., "repeats": n}                  -> {"seconds": of one call}
{"command": "norm", "name": ...}                               -> {"norm": length of the results}
Whatever goes wrong is answered with {"error": "..."}.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time

import faiss
import numpy as np

CHUNK = 1 << 22


def random_values(count, seed):
    """The float32 values that random_values() of native/addon/benchmark_case.cpp draws: splitmix64 of places."""
    values = np.empty(count, np.float32)
    for begin in range(0, count, CHUNK):
        end = min(begin + CHUNK, count)
        z = np.arange(begin + 1, end + 1, dtype=np.uint64) + np.uint64(seed << 40)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        values[begin:end] = (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
    return values


def unit_rows(rows, dimensions, seed):
    x = random_values(rows * dimensions, seed).reshape(rows, dimensions)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


class TopK:
    """IndexFlatIP as it comes, and with the threshold from which on it multiplies matrices set to one query."""

    THRESHOLDS = {"faiss": faiss.cvar.distance_compute_blas_threshold, "faiss, BLAS always": 1}

    def __init__(self, shape, seed):
        self.index = faiss.IndexFlatIP(shape["dimensions"])
        self.index.add(unit_rows(shape["rows"], shape["dimensions"], seed))
        self.queries = unit_rows(shape["queries"], shape["dimensions"], seed + 1)
        self.k = min(shape["k"], shape["rows"])
        self.names = list(self.THRESHOLDS)

    def run(self, name):
        faiss.cvar.distance_compute_blas_threshold = self.THRESHOLDS[name]
        return self.index.search(self.queries, self.k)[0]


class TopKBinary:
    """IndexBinaryFlat over the signs; its distances as inner products of signs."""

    def __init__(self, shape, seed):
        self.dimensions = shape["dimensions"]
        self.index = faiss.IndexBinaryFlat(self.dimensions)
        self.index.add(self.signs(shape["rows"], seed))
        self.queries = self.signs(shape["queries"], seed + 1)
        self.k = min(shape["k"], shape["rows"])
        self.names = ["faiss"]

    def signs(self, rows, seed):
        return np.packbits(random_values(rows * self.dimensions, seed).reshape(rows, -1) > 0, axis=1)

    def run(self, _name):
        return self.dimensions - 2 * self.index.search(self.queries, self.k)[0]


BLAS_KERNELS = "OPENBLAS_CORETYPE"


def probe():
    """Seconds of a small search that multiplies matrices."""
    index = faiss.IndexFlatIP(256)
    index.add(unit_rows(20_000, 256, 0))
    queries = unit_rows(512, 256, 1)
    begin = time.perf_counter()
    for _ in range(3):
        index.search(queries, 10)
    return time.perf_counter() - begin


def take_fastest_blas(arguments):
    """Starts anew with the kernels of OpenBLAS, which faiss multiplies with, that are fastest here: its own choice
    can be four times slower, as on a Sapphire Rapids whose matrix unit a virtual machine does not show."""
    if BLAS_KERNELS in os.environ or platform.machine() != "x86_64":
        return

    def seconds(kernels):
        command = [sys.executable, __file__, *arguments, "--probe"]
        environment = {**os.environ, BLAS_KERNELS: kernels}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return float(done.stdout) if done.returncode == 0 else float("inf")  # no such instructions

    fastest = min(["", "Haswell", "SkylakeX"], key=seconds)
    os.environ[BLAS_KERNELS] = fastest
    os.execv(sys.executable, [sys.executable, __file__, *arguments])


class Peers:
    cases = {"top_k": TopK, "top_k_binary": TopKBinary}

    def __init__(self):
        self.case = None

    def versions(self, _question):
        return {
            "faiss-cpu": faiss.__version__,
            "faiss-cpu's OpenBLAS": os.environ.get(BLAS_KERNELS) or "its own choice",
            "numpy": np.__version__,
            "python": platform.python_version(),
        }

    def open(self, question):
        self.case = None  # the last one's memory goes first
        case = self.cases.get(question["op"])
        if case is None:
            return {"names": []}
        self.case = case(question["shape"], question["seed"])
        return {"names": self.case.names}

    def run(self, question):
        begin = time.perf_counter()
        for _ in range(question["repeats"]):
            self.case.run(question["name"])
        return {"seconds": (time.perf_counter() - begin) / question["repeats"]}

    def norm(self, question):
        return {"norm": float(np.linalg.norm(self.case.run(question["name"]).astype(np.float64)))}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--probe", action="store_true")
    options = parser.parse_args()
    faiss.omp_set_num_threads(options.threads)
    if options.probe:
        print(probe())
        return
    take_fastest_blas(sys.argv[1:])
    peers = Peers()
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = getattr(peers, question["command"])(question)
        except Exception as error:  # every failure is an answer: the other side is waiting for one
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
