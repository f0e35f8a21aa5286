"""Writes retrieval_measures.json: random runs scored by pytrec_eval (pytrec_eval-terrier 0.5.11).

    pip install pytrec_eval-terrier==0.5.11 && python test/reference/retrieval_measures.py

The runs have many ties (also scores that differ in float64 and are equal in float32), ids whose UTF-16 order is not
their UTF-8 order, queries without judgements, judged queries without results, graded, zero and negative judgements.
A query whose judgements are all negative is left out: pytrec_eval 0.5.11 does not return from it.
"""

import json
import pathlib
import random

import pytrec_eval

CUTOFFS = {"map_cut": [1, 5, 1000], "ndcg_cut": [1, 3, 10, 100], "recall": [1, 5, 100], "P": [1, 5, 30], "success": [1, 5]}
NAMES = {"map": "AP", "map_cut": "AP", "recip_rank": "RR", "ndcg": "nDCG", "ndcg_cut": "nDCG", "recall": "R", "P": "P", "success": "Success"}
LONE_CHARACTERS = ["\U00010000", "\U0001f600", "\uff5e", "\ue000", "é", "Z", "a", "9", "10", "010"]


def make_query(random_, number):
    documents = [f"d{i}" for i in random_.sample(range(40), random_.randint(3, 30))] + random_.sample(LONE_CHARACTERS, 5)
    levels = [round(random_.uniform(-1, 1), 3) for _ in range(random_.choice([1, 2, 4, 60]))]
    nudges = [0.0, 0.0, 1e-10, -1e-10, 1e-6]
    run = {d: random_.choice(levels) + random_.choice(nudges) for d in documents if random_.random() < 0.8}
    judged = [d for d in documents if random_.random() < 0.5] + [f"unretrieved{i}" for i in range(random_.randint(0, 3))]
    grades = [1] if number % 3 == 0 else [-2, -1, 0, 0, 1, 1, 2, 3]
    return run, {**{d: random_.choice(grades) for d in judged}, "judged zero": 0}


def main():
    random_ = random.Random(20240810)
    run, qrels = {}, {}
    for number in range(32):
        run[f"q{number}"], qrels[f"q{number}"] = make_query(random_, number)
    del run["q4"], run["q17"], qrels["q8"], qrels["q21"]
    measures = {"map", "recip_rank", "ndcg"} | {f"{m}.{','.join(map(str, ks))}" for m, ks in CUTOFFS.items()}
    scores = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
    expected = {}
    for query, values in scores.items():
        expected[query] = {}
        for measure, value in values.items():
            base, _, cutoff = measure.rpartition("_")
            name = f"{NAMES[base]}@{cutoff}" if cutoff.isdigit() else NAMES[measure]
            expected[query][name] = value
        # trec_eval has no recip_rank with a cutoff: a first hit beyond rank 5 counts nothing.
        expected[query]["RR@5"] = values["recip_rank"] if values["recip_rank"] >= 1 / 5 else 0.0
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"run": run, "qrels": qrels, "expected": expected}, separators=(",", ":")) + "\n")


main()
