"""Opens MTEB result files: mteb_results_open_in_python.py FOLDER TASK... Prints one line a task."""

import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("error")

import mteb  # noqa: E402
from mteb.results import TaskResult  # noqa: E402


def check(folder: Path, name: str) -> None:
    (path,) = folder.glob(f"results/*/*/{name}.json")
    result = TaskResult.from_disk(path, load_historic_data=False)
    written = json.loads(path.read_text())
    scores = [score for split in written["scores"].values() for score in split]
    assert result.task_name == name
    mean = sum(score["main_score"] for score in scores) / len(scores)
    assert abs(result.get_score() - mean) < 1e-12, (result.get_score(), mean)
    assert set(result.hf_subsets) == {score["hf_subset"] for score in scores}
    known = {task.metadata.name: task for task in mteb.get_tasks(tasks=[name])} if written["xlembed"]["mteb"] else {}
    if known:
        metadata = known[name].metadata
        assert set(result.eval_splits) <= set(metadata.eval_splits), (result.eval_splits, metadata.eval_splits)
        main = metadata.main_score
        assert all(score[main] == score["main_score"] for score in scores), main
        for score in scores:
            if score["hf_subset"] in metadata.hf_subsets_to_langscripts:
                expected = set(metadata.hf_subsets_to_langscripts[score["hf_subset"]])
                assert set(score["languages"]) == expected, (score["languages"], expected)
        assert any(score["hf_subset"] in metadata.hf_subsets_to_langscripts for score in scores)
    loaded = mteb.ResultCache(cache_path=folder).load_results(include_remote=False)
    assert any(one.task_name == name for model in loaded.model_results for one in model.task_results), loaded
    print(f"ok: mteb {mteb.__version__} reads {name}: {len(scores)} subsets, main score {result.get_score():.4f}")


if __name__ == "__main__":
    for task in sys.argv[2:]:
        check(Path(sys.argv[1]), task)
