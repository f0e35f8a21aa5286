"""Ids that transformers gives where only the files beside a tokenizer name some of its tokens: added_tokens.json.

    pip install transformers==5.23.0 tokenizers==0.23.3 sentencepiece==0.2.3 protobuf
    python test/reference/added_tokens.py
"""

import json
import shutil
import tempfile
from pathlib import Path

from transformers import AutoTokenizer

HERE = Path(__file__).parent
TEXTS = ["see [URL] here", "[URL][URL]", "Zebra zebra ZEBRA", "x <sw> y<sw>", "[USER] said [MASK]", "no such token"]
# file of test/reference/tokenizers, its class, the first free id
SOURCES = {
    "wordpiece/tokenizer.json": ("PreTrainedTokenizerFast", 2200),
    "unigram/tokenizer.json": ("PreTrainedTokenizerFast", 2502),
    "wordpiece/vocab.txt": ("BertTokenizer", 2200),
}
PLAIN = {"lstrip": False, "rstrip": False, "normalized": True, "single_word": False, "special": False}


def cases(first):
    config, special_map, added = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
    url = {"additional_special_tokens": ["[URL]"]}
    zebra = {**PLAIN, "content": "zebra"}
    word = {**PLAIN, "content": "<sw>", "normalized": False, "single_word": True, "lstrip": True}
    yield "the configuration's own list", {config: {"added_tokens_decoder": {first: zebra, first + 1: word}}}
    yield "the configuration's special tokens", {config: {"mask_token": "[USER]", **url}}
    yield "the same by version 5's name", {config: {"extra_special_tokens": ["[URL]", "[USER]"]}}
    yield "the older files", {special_map: url, added: {"zebra": first + 1, "[URL]": first}}
    yield "the older files behind the list", {
        config: {"added_tokens_decoder": {first: zebra}}, special_map: url, added: {"<sw>": first + 1}}


def main():
    goldens = {"texts": TEXTS, "cases": []}
    for source, (kind, first) in SOURCES.items():
        for name, files in cases(first):
            files = {**files, "tokenizer_config.json": {"tokenizer_class": kind, **files.get("tokenizer_config.json", {})}}
            with tempfile.TemporaryDirectory() as folder:
                shutil.copy(HERE / "tokenizers" / source, folder)
                for file, content in files.items():
                    (Path(folder) / file).write_text(json.dumps(content))
                tokenizer = AutoTokenizer.from_pretrained(folder)
            goldens["cases"].append({"name": name, "source": source, "files": files, "ids": tokenizer(TEXTS)["input_ids"]})
    (HERE / "added_tokens.json").write_text(json.dumps(goldens, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main()
