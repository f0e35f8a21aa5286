"""Writes bitext_and_similarity.json: bitext and correlation scores of scikit-learn, LASER's margin and scipy.

    pip install numpy==2.4.6 scikit-learn==1.9.1 scipy==1.17.1 && python test/reference/bitext_and_similarity.py

The translations are noisy copies, so that some are found and several sentences find the same one. Precision, recall and
F1 are called as mteb calls them; the margin follows LASER's xsim with k = 4.
"""

import json
import pathlib

import numpy
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

K = 4


def direction(source, target):
    cosines = source @ target.T
    labels = numpy.arange(len(source))
    predictions = cosines.argmax(axis=1)
    forward = numpy.argsort(-cosines, axis=1, kind="stable")[:, :K]
    forward_mean = numpy.take_along_axis(cosines, forward, 1).mean(axis=1)
    backward_mean = -numpy.sort(-cosines.T, axis=1)[:, :K].mean(axis=1)
    margins = numpy.take_along_axis(cosines, forward, 1) / ((forward_mean[:, None] + backward_mean[forward]) / 2)
    by_margin = forward[labels, margins.argmax(axis=1)]
    weighted = {"zero_division": 0, "average": "weighted"}
    return {
        "Accuracy": accuracy_score(labels, predictions),
        "MarginAccuracy": accuracy_score(labels, by_margin),
        "F1": f1_score(labels, predictions, **weighted),
        "Precision": precision_score(labels, predictions, **weighted),
        "Recall": recall_score(labels, predictions, **weighted),
    }


def main():
    random = numpy.random.default_rng(20240810)
    source = random.normal(size=(60, 6)).astype(numpy.float32)
    target = (source + 0.7 * random.normal(size=source.shape) + 0.4).astype(numpy.float32)
    unit = [(a / numpy.linalg.norm(a, axis=1, keepdims=True)).astype(numpy.float64) for a in (source, target)]
    grades = random.integers(0, 6, size=60)
    similarities = numpy.round(numpy.sum(unit[0] * unit[1], axis=1), 1)
    golden = {
        "dimensions": 6,
        "source": source.ravel().tolist(),
        "target": target.ravel().tolist(),
        "forward": direction(*unit),
        "backward": direction(*unit[::-1]),
        "grades": grades.tolist(),
        "similarities": similarities.tolist(),
        "spearman": stats.spearmanr(similarities, grades).statistic,
        "pearson": stats.pearsonr(similarities, grades).statistic,
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


main()
