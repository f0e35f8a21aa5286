"""A low-rank adapter of the tiny BERT as Python's PEFT writes it, and what the adapted model makes of token ids.

    python test/reference/make_adapter_goldens.py

Writes test/reference/adapter/peft/ and test/reference/adapter/peft.json (mean-pooled, L2-normalised embeddings of
the sequences in encoder/bert.json). With a folder as argument, opens the adapter there instead and prints the
largest difference from those embeddings.
Made with torch 2.13.0, transformers 5.23.0, peft 0.18 or newer.
"""

import json
import pathlib
import shutil
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BertModel

HERE = pathlib.Path(__file__).parent
ADAPTER = HERE / "adapter"


def embeddings(model):
    rows = []
    for sequence in json.loads((HERE / "encoder" / "bert.json").read_text())["sequences"]:
        hidden = model(input_ids=torch.tensor([sequence])).last_hidden_state[0]
        rows.append(torch.nn.functional.normalize(hidden.mean(0), dim=0))
    return torch.stack(rows)


def make():
    torch.manual_seed(3)
    config = LoraConfig(
        r=4, lora_alpha=10, lora_dropout=0.1, target_modules=["query", "value", "dense"], layers_to_transform=[1],
        init_lora_weights=False, task_type="FEATURE_EXTRACTION",
    )
    model = get_peft_model(BertModel.from_pretrained(HERE / "encoder" / "bert"), config).eval()
    shutil.rmtree(ADAPTER, ignore_errors=True)
    # Where the base model lay says nothing, and would tell of the machine that made this.
    model.peft_config["default"].base_model_name_or_path = "bert"
    model.save_pretrained(ADAPTER / "peft")
    (ADAPTER / "peft" / "README.md").unlink(missing_ok=True)
    rows = [[round(x, 8) for x in row] for row in embeddings(model).tolist()]
    (ADAPTER / "peft.json").write_text(json.dumps({"embeddings": rows}) + "\n")


def compare(folder):
    base = BertModel.from_pretrained(HERE / "encoder" / "bert")
    model = PeftModel.from_pretrained(base, folder).eval()
    expected = torch.tensor(json.loads((ADAPTER / "peft.json").read_text())["embeddings"])
    difference = (embeddings(model) - expected).abs().max().item()
    print(f"largest difference {difference:.2e}")
    if difference > 1e-5:
        sys.exit(1)


if __name__ == "__main__":
    with torch.no_grad():
        compare(sys.argv[1]) if len(sys.argv) > 1 else make()
