"""Checks that model folders written by xlembed open in sentence-transformers and in transformers, and that both give
what the folders say. test/interop/run calls it; by hand, with sentence-transformers installed:

    python test/interop/saved_model_opens_in_python.py FOLDER[=ORIGINAL] ...

ORIGINAL, a folder with the same weights that Python opens, must give the same embeddings; so must FOLDER.json, where it
is there, with the texts and embeddings of xlembed itself.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer

TEXTS = ["a cat", "the moon is far away", "ein hund", "", "B", "\u00e9t\u00e9 \u4e2d\u6587 \u0440\u0443\u0441"]
UNUSED = {"pooler.dense.weight", "pooler.dense.bias"}


def check(what: str, holds: bool) -> None:
    print(f"{'ok' if holds else 'WRONG'}: {what}")
    if not holds:
        sys.exit(1)


def check_tokenizer(folder: Path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    plain.no_padding()
    plain.no_truncation()
    ids = [plain.encode(text).ids for text in TEXTS]
    check("AutoTokenizer gives the ids of tokenizer.json", [tokenizer(text)["input_ids"] for text in TEXTS] == ids)
    named = [tokenizer.pad_token, tokenizer.unk_token, tokenizer.cls_token, tokenizer.sep_token]
    check(f"its special tokens are known: {named}", None not in named)
    first, last = ids[0][0], ids[0][-1]
    check("a text begins with cls_token and ends with sep_token",
          (tokenizer.cls_token_id, tokenizer.sep_token_id) == (first, last))
    check("pad_token has the id that config.json names",
          tokenizer.pad_token_id == json.loads((folder / "config.json").read_text())["pad_token_id"])
    return tokenizer


def check_encoder(folder: Path) -> None:
    encoder, report = AutoModel.from_pretrained(folder, output_loading_info=True)
    check("AutoModel misses no tensor but the unused pooler", set(report["missing_keys"]) <= UNUSED)
    check("AutoModel knows every tensor", not report["unexpected_keys"] and not report["mismatched_keys"])
    state = encoder.state_dict()
    written = load_file(folder / "model.safetensors")
    check("AutoModel holds the values of the file", all(torch.equal(state[name], value) for name, value in written.items()))


def check_sentence_transformer(folder: Path, tokenizer) -> np.ndarray:
    model = SentenceTransformer(str(folder), device="cpu")
    settings = json.loads((folder / "config_sentence_transformers.json").read_text())
    length = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    check(f"max_seq_length is {length}", model.max_seq_length == length)
    check("prompts are those of the file", settings["prompts"].items() <= dict(model.prompts).items())
    check(f"similarity is {settings['similarity_fn_name']}", model.similarity_fn_name == settings["similarity_fn_name"])
    document = next((settings["prompts"][name] for name in ["passage", "document", "corpus"] if name in settings["prompts"]), "")
    check(f"encode_document puts {document!r} before texts",
          bool(np.array_equal(model.encode_document(TEXTS), model.encode(TEXTS, prompt=document))))
    lower = json.loads((folder / "sentence_bert_config.json").read_text())["do_lower_case"]
    texts = [text.lower() for text in TEXTS] if lower else TEXTS
    same_ids = [model.tokenizer(text)["input_ids"] for text in TEXTS] == [tokenizer(text)["input_ids"] for text in texts]
    check(f"sentence-transformers gives the same ids{' of lower-cased texts' if lower else ''}", same_ids)
    embeddings = model.encode(TEXTS)
    check(f"embeddings {embeddings.shape} are finite", bool(np.isfinite(embeddings).all()))
    own = folder.with_name(folder.name + ".json")
    if own.exists():
        expected = json.loads(own.read_text())
        difference = np.abs(model.encode(expected["texts"]) - np.array(expected["embeddings"])).max()
        check(f"embeddings are those of xlembed, within {difference:.1e}", difference < 1e-5)
    return embeddings


def check_model(folder: Path, original: Path | None) -> None:
    print(f"-- {folder.name}")
    tokenizer = check_tokenizer(folder)
    check_encoder(folder)
    embeddings = check_sentence_transformer(folder, tokenizer)
    if original:
        expected = SentenceTransformer(str(original), device="cpu").encode(TEXTS)
        check("embeddings are those of the original", embeddings.shape == expected.shape and bool(np.array_equal(embeddings, expected)))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for argument in sys.argv[1:]:
        saved, _, source = argument.partition("=")
        check_model(Path(saved), Path(source) if source else None)
