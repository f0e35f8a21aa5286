"""Checks that huggingface_hub, transformers and sentence-transformers open, offline, the cache that xlembed filled.
Run it by hand, with sentence-transformers installed:

    node .build/test/interop/fill_hub_cache.js CACHE
    python test/interop/hub_cache_opens_in_python.py CACHE
"""

import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

REFERENCE = Path(__file__).parents[1] / "reference" / "models"
NAMES = ["bert-version-6", "labse-version-5"]
TEXTS = ["a cat", "the moon is far away", "", "B"]


def check(what: str, holds: bool) -> None:
    print(f"{'ok' if holds else 'WRONG'}: {what}")
    if not holds:
        sys.exit(1)


def check_model(cache: Path, name: str) -> None:
    repository = f"reference/{name}"
    snapshot = Path(snapshot_download(repository, cache_dir=cache))
    check(f"snapshot_download finds {repository}", (snapshot / "config.json").is_file())
    for path in sorted(path for path in snapshot.rglob("*") if path.is_file()):
        inner = path.relative_to(snapshot)
        found = Path(hf_hub_download(repository, str(inner), cache_dir=cache))
        same = found == path and path.read_bytes() == (REFERENCE / name / inner).read_bytes()
        check(f"hf_hub_download finds {inner}", same)
    check("AutoTokenizer opens it", AutoTokenizer.from_pretrained(repository, cache_dir=cache) is not None)
    check("AutoModel opens it", AutoModel.from_pretrained(repository, cache_dir=cache) is not None)
    embeddings = SentenceTransformer(repository, cache_folder=str(cache), device="cpu").encode(TEXTS)
    expected = SentenceTransformer(str(REFERENCE / name), device="cpu").encode(TEXTS)
    check("sentence-transformers gives the embeddings of the original", bool(np.array_equal(embeddings, expected)))


def main(cache: Path) -> None:
    info = scan_cache_dir(cache)
    check(f"scan_cache_dir has no complaint {info.warnings}", not info.warnings)
    check("it lists the models", {repo.repo_id for repo in info.repos} == {f"reference/{name}" for name in NAMES})
    refs = [ref for repo in info.repos for revision in repo.revisions for ref in revision.refs]
    check("and their branches", refs == ["main"] * len(NAMES))
    for name in NAMES:
        check_model(cache, name)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).resolve())
