"""Lets mteb measure the embeddings that mteb_scores.ts measured, and compares: mteb_scores_agree_in_python.py FOLDER"""

import json
import sys
from pathlib import Path

import mteb
import numpy
from datasets import Dataset, disable_progress_bars
from mteb.abstasks import AbsTaskBitextMining, AbsTaskRetrieval, AbsTaskSTS
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.abs_encoder import AbsEncoder

# mteb rounds its retrieval scores to five digits.
LARGEST_DIFFERENCE = 5.001e-6


class Table(AbsEncoder):
    """A model that knows every text's embedding."""

    def __init__(self, path):
        self.rows = {text: numpy.array(row, numpy.float32) for text, row in json.loads(path.read_text()).items()}

    def encode(self, inputs, **_):
        return numpy.stack([self.rows[text.strip()] for batch in inputs for text in batch["text"]])


def metadata(name, kind, main_score):
    return TaskMetadata(
        name=name,
        description=name,
        dataset={"path": "local/" + name, "revision": "1"},
        type=kind,
        eval_langs=["eng-Latn"],
        main_score=main_score,
    )


def json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Retrieval(AbsTaskRetrieval):
    metadata = metadata("MadeUpRetrieval", "Retrieval", "ndcg_at_10")
    ignore_identical_ids = True

    def load_data(self, **_):
        queries, corpus = (
            [{**line, "id": line["_id"]} for line in json_lines(folder / f"beir/{name}.jsonl")]
            for name in ("queries", "corpus")
        )
        relevant = {}
        for line in (folder / "beir/qrels/test.tsv").read_text().splitlines()[1:]:
            query, document, grade = line.split("\t")
            relevant.setdefault(query, {})[document] = int(grade)
        split = RetrievalSplitData(
            corpus=Dataset.from_list(corpus),
            queries=Dataset.from_list(queries),
            relevant_docs=relevant,
            top_ranked=None,
        )
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True


class Bitext(AbsTaskBitextMining):
    metadata = metadata("MadeUpBitextMining", "BitextMining", "f1")
    reverse = False

    def load_data(self, **_):
        pairs = [line.split("\t") for line in (folder / "bitext/deu-eng.tsv").read_text().splitlines()]
        first, second = zip(*(pair[:: -1 if self.reverse else 1] for pair in pairs))
        self.dataset = {"default": {"test": Dataset.from_dict({"sentence1": first, "sentence2": second})}}
        self.data_loaded = True


class BitextBack(Bitext):
    metadata = metadata("MadeUpBackwardBitextMining", "BitextMining", "f1")
    reverse = True


class Similarity(AbsTaskSTS):
    metadata = metadata("MadeUpSTS", "STS", "cosine_spearman")
    min_score, max_score = 0, 5

    def load_data(self, **_):
        self.dataset = {"default": {"test": Dataset.from_list(json_lines(folder / "sts/en.jsonl"))}}
        self.data_loaded = True


def compare(task, name, subset=None):
    """Every measure that both have."""
    (result,) = mteb.evaluate(model, task(), cache=None, show_progress_bar=False, co2_tracker=False).task_results
    (theirs,) = result.scores["test"]
    scores = json.loads((folder / f"{name}.json").read_text())["scores"]["test"]
    (ours,) = (score for score in scores if subset in (None, score["hf_subset"]))
    shared = [key for key in ours if key in theirs and isinstance(ours[key], float)]
    worst = max(shared, key=lambda key: abs(ours[key] - theirs[key]))
    difference = abs(ours[worst] - theirs[worst])
    assert task.metadata.main_score in shared and difference <= LARGEST_DIFFERENCE, (worst, ours[worst], theirs[worst])
    assert 0.1 < ours["main_score"] < 0.95, ours["main_score"]
    print(
        f"ok: mteb {mteb.__version__} measures the same: {name} {subset or ''} {len(shared)} measures, "
        f"main score {ours['main_score']:.4f}, largest difference {difference:.1e}"
    )


if __name__ == "__main__":
    disable_progress_bars()
    folder = Path(sys.argv[1])
    model = Table(folder / "embeddings.json")
    compare(Retrieval, "beir")
    compare(Bitext, "bitext", "deu-eng")
    compare(BitextBack, "bitext", "eng-deu")
    compare(Similarity, "sts")
