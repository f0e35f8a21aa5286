"""Makes test/reference/models: tiny random-weight models in the layouts that model folders come in, and
expected.json beside each: the names, shapes, element types and SHA-256 of the encoder's tensors, and the ids
and embeddings that the Python libraries give for a few texts.

    python test/reference/models.py

Made with torch 2.13, transformers 5.23, sentence-transformers 6.2, tokenizers 0.23.3.
"""

import hashlib
import json
import shutil
import string
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModel,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaModel,
)

ROOT = Path(__file__).parent / "models"
TEXTS = ["a cat", "the moon is far", "ein hund", "b"]
LETTERS = string.ascii_lowercase
WORD_PIECE_TOKENS = dict(
    pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]"
)
SIZES = dict(
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
    initializer_range=0.2,  # large enough for embeddings that differ
)


def word_piece() -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = special + list(LETTERS) + ["##" + letter for letter in LETTERS]
    ids = {piece: number for number, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return tokenizer


def unigram() -> Tokenizer:
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = ["\u2581", "\u2581the", "\u2581is", "at", "oo", *LETTERS]
    rows = [(piece, 0.0) for piece in special]
    rows += [(piece, -1.0 - 0.1 * rank) for rank, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(rows, unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([*special, "<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return tokenizer


def sha256(tensor: torch.Tensor) -> str:
    raw = tensor.detach().contiguous().view(torch.uint8)
    return hashlib.sha256(raw.numpy().tobytes()).hexdigest()


def described(tensor: torch.Tensor) -> dict:
    values = tensor.detach().flatten().double()
    return {
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "sha256": sha256(tensor),
        "first": values[0].item(),
        "last": values[-1].item(),
    }


def write_expected(folder: Path, state: dict[str, torch.Tensor], **more) -> None:
    tensors = {name: described(tensor) for name, tensor in state.items() if not name.startswith("pooler.")}
    (folder / "expected.json").write_text(json.dumps({"tensors": tensors, **more}, indent=1) + "\n")


def embedded(model: SentenceTransformer) -> dict:
    tokenizer = model.tokenizer
    embeddings = model.encode(TEXTS, convert_to_numpy=True)
    return {
        "texts": TEXTS,
        "input_ids": [tokenizer(text)["input_ids"] for text in TEXTS],
        "embeddings": [[round(float(value), 7) for value in row] for row in embeddings],
    }


def fresh(name: str) -> Path:
    folder = ROOT / name
    folder.mkdir(parents=True)
    return folder


def write_json(path: Path, value) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def bert_version_6() -> None:
    """What sentence-transformers 6 writes: mean pooling, normalisation, prompts."""
    folder, scratch = fresh("bert-version-6"), fresh("scratch")
    config = BertConfig(vocab_size=57, max_position_embeddings=20, **SIZES)
    BertModel(config).save_pretrained(scratch)
    PreTrainedTokenizerFast(tokenizer_object=word_piece(), **WORD_PIECE_TOKENS).save_pretrained(scratch)
    transformer = Transformer(str(scratch), max_seq_length=16)
    prompts = {"query": "query: ", "document": "passage: "}
    model = SentenceTransformer(modules=[transformer, Pooling(8, "mean"), Normalize()], prompts=prompts)
    model.save(str(folder), create_model_card=False)
    write_expected(folder, transformer.model.state_dict(), **embedded(model))
    shutil.rmtree(scratch)


def labse_version_5() -> None:
    """LaBSE's modules in the spelling of versions 2 to 5; weights as torch.save writes them, with a task
    checkpoint's prefix, the old names of layer normalisation, a head and a buffer that are not used."""
    folder = fresh("labse-version-5")
    config = BertConfig(vocab_size=57, max_position_embeddings=20, hidden_act="gelu_new", **SIZES)
    bert = BertForMaskedLM(config)
    config.save_pretrained(folder)
    state = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in bert.state_dict().items()
    }
    state["bert.embeddings.position_ids"] = torch.arange(20)[None]
    torch.save(state, folder / "pytorch_model.bin")
    dense = write_dense(folder / "2_Dense")
    write_json(folder / "1_Pooling" / "config.json", {
        "word_embedding_dimension": 8, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False,
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False,
    })
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")]
    write_json(folder / "modules.json", [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(modules)
    ])
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 18, "do_lower_case": False})
    PreTrainedTokenizerFast(tokenizer_object=word_piece(), **WORD_PIECE_TOKENS).save_pretrained(folder)
    encoder = {name.removeprefix("bert."): t for name, t in bert.state_dict().items() if name.startswith("bert.")}
    head = {f"dense.1.linear.{name}": tensor for name, tensor in dense.state_dict().items()}
    # The Normalize folder is empty, and git keeps no empty folders: version 6 opens the model all the same.
    write_expected(folder, {**encoder, **head}, **labse_embedded(bert, dense))


def write_dense(folder: Path) -> torch.nn.Linear:
    """A fresh dense module with tanh, as sentence-transformers 2 to 5 save it."""
    dense = torch.nn.Linear(8, 6)
    write_json(folder / "config.json", {
        "in_features": 8, "out_features": 6, "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    })
    torch.save({f"linear.{name}": tensor for name, tensor in dense.state_dict().items()},
               folder / "pytorch_model.bin")
    return dense


def labse_embedded(bert: BertForMaskedLM, dense: torch.nn.Linear) -> dict:
    ids = [word_piece().encode(text).ids for text in TEXTS]
    rows = []
    with torch.no_grad():
        for row in ids:
            first = bert.eval().bert(torch.tensor([row])).last_hidden_state[0, 0]
            rows.append(torch.nn.functional.normalize(torch.tanh(dense(first)), dim=0).tolist())
    return {"texts": TEXTS, "input_ids": ids, "embeddings": [[round(v, 7) for v in row] for row in rows]}


def plain_embedded(model, tokenizer: Tokenizer) -> dict:
    """Mean pooling and L2 normalisation over a transformers model."""
    ids = [tokenizer.encode(text).ids for text in TEXTS]
    rows = []
    with torch.no_grad():
        for row in ids:
            mean = model.eval()(torch.tensor([row])).last_hidden_state[0].float().mean(0)
            rows.append(torch.nn.functional.normalize(mean, dim=0).tolist())
    return {"texts": TEXTS, "input_ids": ids, "embeddings": [[round(v, 7) for v in row] for row in rows]}


def xlm_roberta_sharded() -> None:
    """A plain Hugging Face folder in two shards; tokenizer.json stands alone."""
    folder = fresh("xlm-roberta-sharded")
    config = XLMRobertaConfig(vocab_size=36, max_position_embeddings=22, type_vocab_size=1, layer_norm_eps=1e-5, **SIZES)
    model = XLMRobertaModel(config)
    model.save_pretrained(folder, max_shard_size="6KB")
    unigram().save(str(folder / "tokenizer.json"))
    write_expected(folder, model.state_dict(), **plain_embedded(model, unigram()))


def roberta_float16() -> None:
    """A masked language model in float16: prefix `roberta.`, a head that is not used."""
    folder = fresh("roberta-float16")
    config = RobertaConfig(vocab_size=36, max_position_embeddings=22, type_vocab_size=1, hidden_act="relu", **SIZES)
    model = RobertaForMaskedLM(config).half()
    model.save_pretrained(folder)
    unigram().save(str(folder / "tokenizer.json"))
    encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    write_expected(folder, encoder.state_dict(), **plain_embedded(encoder.float(), unigram()))


def distiluse_version_5() -> None:
    """distiluse's modules over a masked language model of DistilBERT: prefix `distilbert.`, a head that is not used."""
    folder = fresh("distiluse-version-5")
    config = DistilBertConfig(
        vocab_size=57, max_position_embeddings=20, dim=8, n_layers=2, n_heads=2, hidden_dim=16, initializer_range=0.2
    )
    model = DistilBertForMaskedLM(config).eval()
    model.save_pretrained(folder)
    dense = write_dense(folder / "2_Dense")
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True})
    write_json(folder / "modules.json", [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")])
    ])
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 18, "do_lower_case": False})
    word_piece().save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "DistilBertTokenizer", "do_lower_case": True, "model_max_length": 20, **WORD_PIECE_TOKENS,
    })
    encoder = {berts_name(name): tensor for name, tensor in model.distilbert.state_dict().items()}
    head = {f"dense.1.linear.{name}": tensor for name, tensor in dense.state_dict().items()}
    write_expected(folder, {**encoder, **head}, **embedded(SentenceTransformer(str(folder), device="cpu")))


def berts_name(name: str) -> str:
    parts = {
        "attention.q_lin": "attention.self.query", "attention.k_lin": "attention.self.key",
        "attention.v_lin": "attention.self.value", "attention.out_lin": "attention.output.dense",
        "sa_layer_norm": "attention.output.LayerNorm", "ffn.lin1": "intermediate.dense",
        "ffn.lin2": "output.dense", "output_layer_norm": "output.LayerNorm",
    }
    for theirs, berts in parts.items():
        name = name.replace(f".{theirs}.", f".{berts}.")
    return name.replace("transformer.layer.", "encoder.layer.")


def checkpoint_with_dictionary() -> None:
    """The layout of LASER-2's laser2.pt, and tensors that do not lie in row-major order."""
    folder = fresh("checkpoint")
    embedding, lstm = torch.nn.Embedding(6, 4), torch.nn.LSTM(4, 3, num_layers=1, bidirectional=True)
    state = {"embed_tokens.weight": embedding.weight.detach()}
    state |= {f"lstm.{name}": tensor.detach() for name, tensor in lstm.named_parameters()}
    checkpoint = {
        "params": {"num_embeddings": 6, "padding_idx": 1, "embed_dim": 4, "hidden_size": 3, "num_layers": 1,
                   "bidirectional": True, "left_pad": True, "padding_value": 0.0},
        "model": state,
        "dictionary": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "\u2581\u00e9": 4, "\u2581\u4e2d": 5},
    }
    for protocol in (2, 4):
        torch.save(checkpoint, folder / f"protocol-{protocol}.pt", pickle_protocol=protocol)
    shared = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    odd = {"rows": shared[1:], "transposed": shared.t(), "expanded": torch.ones(1).expand(5),
           "parameter": torch.nn.Parameter(torch.tensor([1.5])), "bfloat16": torch.ones(2, dtype=torch.bfloat16),
           "int64": torch.tensor([2**40]), "scalar": torch.tensor(2.0), "empty": torch.zeros(0, 3)}
    torch.save(odd, folder / "odd.pt")
    torch.save(odd, folder / "before-1.6.pt", _use_new_zipfile_serialization=False)
    write_expected(folder, state)


if __name__ == "__main__":
    torch.manual_seed(20)
    shutil.rmtree(ROOT, ignore_errors=True)
    bert_version_6()
    labse_version_5()
    xlm_roberta_sharded()
    roberta_float16()
    checkpoint_with_dictionary()
    distiluse_version_5()
    for path in ROOT.rglob("*.safetensors"):
        path.chmod(0o644)
