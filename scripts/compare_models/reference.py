"""The Python half of scripts/compare-models.mjs: writes a model folder with random weights in an architecture's real
sizes, and what sentence-transformers makes of some texts.

    python reference.py ARCHITECTURE --architectures FILE --tokenizers FOLDER --texts FILE --folder OUT

Writes OUT/model (a sentence-transformers folder), OUT/float32.bin and OUT/bfloat16.bin (row-major float32 embeddings)
and OUT/reference.json: ids, loss and gradient norm of one contrastive step, parameters, versions.
"""

import argparse
import json
from pathlib import Path

import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import BertConfig, BertModel, BertTokenizerFast, PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

FAMILIES = {"bert": (BertConfig, BertModel), "xlm-roberta": (XLMRobertaConfig, XLMRobertaModel)}
TEMPERATURE = 0.05
SEED = 1


def tokenizer_of(folder: Path, max_tokens: int):
    if (folder / "vocab.txt").exists():
        return BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=False, model_max_length=max_tokens)
    special = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>", cls_token="<s>", sep_token="</s>")
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), model_max_length=max_tokens, mask_token="<mask>", **special
    )


def disturb(module: torch.nn.Module) -> None:
    """Fresh biases are zero and fresh LayerNorms one, where mistakes would hide."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.05 * torch.randn_like(parameter))


def write_transformer(architecture: dict, tokenizers: Path, folder: Path) -> None:
    config_kind, model_kind = FAMILIES[architecture["family"]]
    model = model_kind(config_kind(**architecture["sizes"], **architecture["config"]), add_pooling_layer=False)
    disturb(model)
    model.save_pretrained(folder)
    tokenizer_of(tokenizers / architecture["tokenizer"], architecture["maxTokens"]).save_pretrained(folder)


def build(architecture: dict, tokenizers: Path, folder: Path) -> SentenceTransformer:
    plain = folder / "plain"
    write_transformer(architecture, tokenizers, plain)
    hidden = architecture["sizes"]["hidden_size"]
    modules = [Transformer(str(plain), max_seq_length=architecture["maxTokens"]), Pooling(hidden, architecture["pooling"])]
    for path in plain.glob("*.safetensors"):
        path.unlink()
    if architecture["dense"]:
        modules.append(Dense(hidden, hidden, activation_function=torch.nn.Tanh()))
        disturb(modules[-1])
    model = SentenceTransformer(modules=[*modules, Normalize()], device="cpu").eval()
    model.save(str(folder / "model"), create_model_card=False)
    return model


def embed(model: SentenceTransformer, texts: list[str], path: Path) -> None:
    embeddings = model.encode(texts, batch_size=8, convert_to_numpy=False)
    path.write_bytes(torch.stack(list(embeddings)).float().numpy().tobytes())


def contrastive_step(model: SentenceTransformer, texts: list[str], queries: int) -> dict:
    """Queries are texts[:queries], their passages texts[queries : 2 * queries]; dropout is off."""
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            # It would keep gradients from the row pad_token_id, which multilingual-e5's tokenizer gives to <s>.
            module.padding_idx = None
    encoded = [model(model.preprocess(part))["sentence_embedding"] for part in (texts[:queries], texts[queries : 2 * queries])]
    loss = torch.nn.functional.cross_entropy(encoded[0] @ encoded[1].T / TEMPERATURE, torch.arange(queries))
    loss.backward()
    squares = [p.grad.double().square().sum() for p in model.parameters() if p.grad is not None]
    model.zero_grad(set_to_none=True)
    return {"loss": loss.item(), "gradientNorm": torch.stack(squares).sum().sqrt().item(), "temperature": TEMPERATURE}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("architecture")
    for name in ("architectures", "tokenizers", "texts", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    architectures = json.loads(arguments.architectures.read_text())
    architecture = next(entry for entry in architectures if entry["id"] == arguments.architecture)
    given = json.loads(arguments.texts.read_text())
    texts, folder = given["texts"], arguments.folder
    torch.manual_seed(SEED)
    model = build(architecture, arguments.tokenizers, folder)
    result = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "ids": [model.preprocess([text])["input_ids"][0].tolist() for text in texts],
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "sentence-transformers": sentence_transformers.__version__,
        },
    }
    with torch.no_grad():
        embed(model, texts, folder / "float32.bin")
    if architecture["gradient"]:
        result["step"] = contrastive_step(model, texts, given["queries"])
    with torch.no_grad():
        embed(model.to(torch.bfloat16), texts, folder / "bfloat16.bin")
    (folder / "reference.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
