"""Checks that Python's faiss opens the indexes of faiss_folders.ts and finds the same, and writes some for it:

    python test/interop/faiss_index_in_python.py FOLDER
"""

import json
import sys
from pathlib import Path

import faiss
import numpy as np

DIMENSIONS, K = 32, 10
KINDS = [("Flat", faiss.METRIC_INNER_PRODUCT), ("IVF16,Flat", faiss.METRIC_L2), ("HNSW16", faiss.METRIC_INNER_PRODUCT),
         ("IVF16,PQ8x4", faiss.METRIC_INNER_PRODUCT), ("IDMap,SQ8", faiss.METRIC_L2)]


def check(what: str, holds: bool) -> None:
    print(f"{'ok' if holds else 'WRONG'}: {what}")
    if not holds:
        sys.exit(1)


def scores_of(index, distances: np.ndarray) -> np.ndarray:
    """xlembed's scores: the larger is nearer in both metrics."""
    return -distances if index.metric_type == faiss.METRIC_L2 else distances


def read(folder: Path, queries: np.ndarray) -> None:
    for path in sorted(folder.glob("node-*.json")):
        expected = json.loads(path.read_text())
        index = faiss.read_index(str(path.with_suffix("") / "index.faiss"))
        distances, labels = index.search(queries, K)
        names = (path.with_suffix("") / "ids.jsonl").read_text().splitlines()
        lines = [json.loads(line) for line in names]
        ids = {line.get("label", row) if isinstance(line, dict) else row: line["id"] if isinstance(line, dict) else line
               for row, line in enumerate(lines)}
        check(f"{expected['factory']} holds as many vectors as ids", index.ntotal == len(ids))
        found = [[ids[label] for label in row] for row in labels]
        check(f"{expected['factory']} of xlembed opens in Python and finds the same", found == expected["ids"])
        check("with the same scores", np.allclose(scores_of(index, distances), expected["scores"], rtol=1e-4, atol=1e-4))


def write(folder: Path, vectors: np.ndarray, queries: np.ndarray) -> None:
    for number, (factory, metric) in enumerate(KINDS):
        index = faiss.index_factory(DIMENSIONS, factory, metric)
        index.train(vectors)
        if factory.startswith("IDMap"):
            index.add_with_ids(vectors, np.arange(len(vectors)) * 1000 + 5)
        else:
            index.add(vectors)
        if factory.startswith("HNSW"):
            # Versions of FAISS walk a graph in different ways; a search this wide finds the same in all of them.
            faiss.ParameterSpace().set_index_parameter(index, "efSearch", 400)
        distances, labels = index.search(queries, K)
        found = {"factory": factory, "ids": [[str(label) for label in row] for row in labels],
                 "scores": scores_of(index, distances).tolist()}
        faiss.write_index(index, str(folder / f"python-{number}.faiss"))
        (folder / f"python-{number}.faiss.json").write_text(json.dumps(found))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = Path(sys.argv[1])
    values = [np.fromfile(root / name, np.float32).reshape(-1, DIMENSIONS) for name in ("vectors.f32", "queries.f32")]
    read(root, values[1])
    write(root, *values)
