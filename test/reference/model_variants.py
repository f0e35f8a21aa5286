"""Makes test/reference/model_variants.json: what sentence-transformers gives for models that differ from those of
test/reference/models in a few small files alone. Each variant has the folder it begins with, the JSON files that
replace or join that folder's, and the ids and embeddings of its texts.

    python test/reference/model_variants.py

Made with torch 2.13, transformers 5.23, sentence-transformers 6.2, tokenizers 0.23.3.
"""

import json
import shutil
import tempfile
from pathlib import Path

from sentence_transformers import SentenceTransformer

FOLDER = Path(__file__).parent
MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
FLAGS = ["cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
TEXTS = ["a cat", "the moon is far", "ein hund", "b", ""]


def modules(*kinds: str) -> list[dict]:
    return [
        {"idx": number, "name": str(number), "path": f"{number}_{kind}" if number else "",
         "type": f"sentence_transformers.models.{kind}"}
        for number, kind in enumerate(kinds)
    ]


def named(mode) -> dict:
    """Version 6: one name, or a list in any order."""
    return {"embedding_dimension": 8, "pooling_mode": mode, "include_prompt": True}


def flagged(*chosen: str) -> dict:
    """Up to version 5: flags, laid side by side in the order of FLAGS."""
    return {"word_embedding_dimension": 8, **{f"pooling_mode_{flag}": flag in chosen for flag in FLAGS}}


def variants() -> dict[str, dict]:
    # Without normalisation, which would hide a factor.
    pooling = {mode: named(mode) for mode in MODES}
    pooling |= {"one flag": flagged("weightedmean_tokens"), "all flags": flagged(*FLAGS),
                "two flags": flagged("mean_tokens", "cls_token"), "a list in its own order": named(["lasttoken", "mean", "cls"])}
    found = {
        name: {"base": "bert-version-6", "texts": TEXTS,
               "files": {"modules.json": modules("Transformer", "Pooling"), "1_Pooling/config.json": config}}
        for name, config in pooling.items()
    }
    found["lower case"] = {
        "base": "xlm-roberta-sharded",
        "texts": ["A CAT", "The Moon is Far", "EIN \u00c4HUND </s> B"],
        "files": {
            "modules.json": modules("Transformer", "Pooling", "Normalize"),
            "1_Pooling/config.json": named("mean"),
            "sentence_bert_config.json": {"max_seq_length": 20, "do_lower_case": True},
            "tokenizer_config.json": {
                "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
                "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "<s>", "mask_token": "<mask>",
            },
        },
    }
    # RoBERTa's positions pass over the padding token, also where a text spells it.
    found["a padding token in a text"] = {
        "base": "xlm-roberta-sharded", "texts": ["a cat", "a <pad> cat", "<pad>", "the <pad> <pad> moon"],
        "files": {"modules.json": modules("Transformer", "Pooling"), "1_Pooling/config.json": named("mean"),
                  "tokenizer_config.json": found["lower case"]["files"]["tokenizer_config.json"]},
    }
    bert = {"tokenizer_class": "BertTokenizer", "model_max_length": 16}
    for name, config in {"cased": {"do_lower_case": False}, "accents kept": {"strip_accents": False},
                         "Chinese in one piece": {"tokenize_chinese_chars": False}}.items():
        found[f"a BERT tokenizer's configuration: {name}"] = {
            "base": "bert-version-6", "texts": ["A cat", "the caf\u00e9", "a\u4e2db"],
            "files": {"tokenizer_config.json": bert | config},
        }
    # Without a class config.json's model_type makes it BERT's tokenizer.
    found["a BERT tokenizer's configuration without a class"] = {
        "base": "bert-version-6", "texts": ["A cat", "the caf\u00e9", "a\u4e2db"],
        "files": {"tokenizer_config.json": {"do_lower_case": False, "model_max_length": 16}},
    }
    return found


def embedded(variant: dict) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        shutil.copytree(FOLDER / "models" / variant["base"], folder)
        for name, content in variant["files"].items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(json.dumps(content))
        model = SentenceTransformer(str(folder), device="cpu")
        rows = model.encode(variant["texts"])
        ids = [model.tokenizer(text)["input_ids"] for text in variant["texts"]]
    return {"input_ids": ids, "embeddings": [[round(float(value), 7) for value in row] for row in rows]}


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(variant | embedded(variant))}" for name, variant in variants().items()]
    (FOLDER / "model_variants.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
