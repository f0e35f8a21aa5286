"""Tiny random BERT, XLM-R and DistilBERT models with what transformers and torch make of them.

    python test/reference/make_encoder_goldens.py

Writes test/reference/encoder/<name>/ (a Hugging Face folder) and test/reference/encoder/<name>.json:
token ids of several lengths, embeddings in float32 and bfloat16 (mean and first-token pooling, L2-normalised),
and the losses and some weights of three contrastive AdamW steps.
Made with torch 2.13.0, transformers 5.23.0, tokenizers 0.23.3.
"""

import json
import pathlib

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, XLMRobertaConfig, XLMRobertaModel

from models import berts_name

HERE = pathlib.Path(__file__).parent / "encoder"
VOCABULARY = 97
LENGTHS = [1, 2, 3, 3, 7, 7, 7, 12, 20, 31]
PAIRS = 5  # LENGTHS[:5] are queries, the rest their passages
STEPS = 3
SIZES = dict(
    vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
    hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1,
)
MODELS = {
    "bert": (BertModel, BertConfig(**SIZES, max_position_embeddings=40, pad_token_id=0)),
    "xlm-roberta": (
        XLMRobertaModel,
        XLMRobertaConfig(**SIZES, max_position_embeddings=42, pad_token_id=1, type_vocab_size=1, layer_norm_eps=1e-5),
    ),
    "distilbert": (
        DistilBertModel,
        DistilBertConfig(
            vocab_size=VOCABULARY, dim=24, n_layers=2, n_heads=3, hidden_dim=40, max_position_embeddings=40
        ),
    ),
}


def write_tokenizer(folder, pad_id):
    """A word-level tokenizer whose word `wN` has id N."""
    vocabulary = {f"w{n}": n for n in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w5"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="w2 $A w3", pair="w2 $A w3 $B w3", special_tokens=[("w2", 2), ("w3", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def pooled(model, sequences, pad_id, dtype):
    longest = max(map(len, sequences))
    ids = torch.tensor([s + [pad_id] * (longest - len(s)) for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in sequences])
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    normalize = torch.nn.functional.normalize
    return normalize(mean, dim=1), normalize(hidden[:, 0], dim=1)


def train(model, sequences, pad_id):
    """Three steps of in-batch contrastive training, temperature 0.05, dropout off, gradients clipped to 1."""
    model.eval()
    no_decay = ("bias", "LayerNorm.weight")
    named = [(berts_name(n), p) for n, p in model.named_parameters() if not n.startswith("pooler")]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in named if not n.endswith(no_decay)], "weight_decay": 0.01},
            {"params": [p for n, p in named if n.endswith(no_decay)], "weight_decay": 0.0},
        ],
        lr=1e-3,
    )
    losses, norms = [], []
    for _ in range(STEPS):
        embeddings = pooled(model, sequences, pad_id, torch.float32)[0]
        similarity = embeddings[:PAIRS] @ embeddings[PAIRS:].T / 0.05
        loss = torch.nn.functional.cross_entropy(similarity, torch.arange(PAIRS))
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_([p for _, p in named], 1.0).item())
        optimizer.step()
        losses.append(loss.item())
    weights = dict(named)
    watched = [
        "embeddings.word_embeddings.weight",
        "encoder.layer.0.attention.self.key.weight",
        "encoder.layer.1.attention.output.LayerNorm.bias",
        "encoder.layer.1.output.dense.weight",
    ]
    return {
        "losses": losses,
        "gradient_norms": norms,
        "weights": {name: weights[name].detach()[:4].flatten().tolist() for name in watched},
    }


def main():
    for name, (kind, config) in MODELS.items():
        torch.manual_seed(7)
        model = kind(config).eval()
        # The default initialisation leaves biases at zero and LayerNorm at one, where mistakes would hide.
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        folder = HERE / name
        model.save_pretrained(folder)
        write_tokenizer(folder, config.pad_token_id)
        generator = torch.Generator().manual_seed(11)
        sequences = [torch.randint(4, VOCABULARY, (n,), generator=generator).tolist() for n in LENGTHS]
        golden = {"sequences": sequences, "pairs": PAIRS}
        with torch.no_grad():
            for dtype in (torch.float32, torch.bfloat16):
                mean, first = pooled(model.to(dtype), sequences, config.pad_token_id, dtype)
                golden[str(dtype).removeprefix("torch.")] = {"mean": mean.tolist(), "first": first.tolist()}
        model = kind.from_pretrained(folder)
        golden["training"] = train(model, sequences, config.pad_token_id)
        (HERE / f"{name}.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
