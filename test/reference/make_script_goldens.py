"""Tiny TorchScript modules with what torch makes of them.

    python test/reference/make_script_goldens.py

Writes test/reference/script/: `bert_traced.pt` (the tiny BERT of make_encoder_goldens.py, traced, giving a dictionary),
`toy.pt` (scripted; methods that give a tensor, tuples, a dictionary, and one that raises), `state_dict.pt` (torch.save,
no TorchScript), and goldens.json with inputs and outputs. Made with torch 2.13.0, transformers 5.23.0.
"""

import json
import pathlib
import warnings
import zipfile
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
from transformers import BertModel

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "script"
SEQUENCES = [[2, 9, 3], [2, 10, 11, 12, 13, 3], [2, 3], [2, 50, 60, 70, 3], [2, 10, 11, 12, 14, 3]]


class Pair(NamedTuple):
    last_hidden_state: torch.Tensor
    lengths: torch.Tensor


class Toy(torch.nn.Module):
    """Token vectors that depend on the mask; dropout shows whether the module is in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(97, 6)
        self.linear = torch.nn.Linear(6, 5)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.dropout(torch.tanh(self.linear(self.embedding(tokens)))) * mask.unsqueeze(-1)

    @torch.jit.export
    def pooled(self, tokens: torch.Tensor, mask: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        hidden = self.forward(tokens, mask)
        return hidden.sum(1) / mask.sum(1, keepdim=True), hidden

    @torch.jit.export
    def named(self, tokens: torch.Tensor, mask: torch.Tensor) -> Pair:
        return Pair(self.forward(tokens, mask), mask.sum(1))

    @torch.jit.export
    def dictionary(self, tokens: torch.Tensor) -> Dict[str, torch.Tensor]:
        return {"doubled": tokens * 2, "half": tokens.to(torch.bfloat16) / 2}

    @torch.jit.export
    def mixed(self, tokens: torch.Tensor) -> Tuple[int, float, str, bool, Optional[torch.Tensor], List[torch.Tensor]]:
        return 7, 0.5, "word", True, None, [tokens, tokens + 1]

    @torch.jit.export
    def raises(self, tokens: torch.Tensor) -> torch.Tensor:
        if tokens.numel() > 0:
            raise ValueError("no tokens wanted")
        return tokens


class Dictionary(torch.nn.Module):
    def __init__(self, bert):
        super().__init__()
        self.bert = bert

    def forward(self, input_ids, attention_mask):
        output = self.bert(input_ids=input_ids, attention_mask=attention_mask)
        return {"pooler_output": output.pooler_output, "last_hidden_state": output.last_hidden_state}


def save(module, path):
    """Leaves the debug records out: they hold the source paths of the machine that wrote them."""
    module.save(str(path))
    with zipfile.ZipFile(path) as archive:
        records = {n: archive.read(n) for n in archive.namelist() if not n.endswith(".debug_pkl")}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in records.items():
            archive.writestr(zipfile.ZipInfo(name), data)


def padded(sequences):
    longest = max(map(len, sequences))
    ids = torch.tensor([s + [0] * (longest - len(s)) for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in sequences])
    return ids, mask


def pooled(hidden, mask):
    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return {
        "mean": mean.tolist(),
        "first": hidden[:, 0].tolist(),
        "mean_normalized": torch.nn.functional.normalize(mean, dim=1).tolist(),
    }


def main():
    FOLDER.mkdir(exist_ok=True)
    ids, mask = padded(SEQUENCES)
    golden = {"sequences": SEQUENCES, "shape": list(ids.shape)}
    with torch.no_grad():
        torch.manual_seed(3)
        toy = torch.jit.script(Toy())
        save(toy, FOLDER / "toy.pt")  # in training mode: whoever loads it has to change that
        toy.eval()
        golden["toy"] = {"forward": toy(ids, mask).flatten().tolist(), **pooled(toy(ids, mask), mask)}
        golden["toy"]["pooled"] = toy.pooled(ids, mask)[0].flatten().tolist()

        # Eager attention builds its mask from tensors; the other implementations branch while they are traced.
        bert = BertModel.from_pretrained(HERE / "encoder" / "bert", attn_implementation="eager").eval()
        module = Dictionary(bert)
        traced = torch.jit.trace(module, padded(SEQUENCES[:2]), strict=False)
        save(traced, FOLDER / "bert_traced.pt")
        output = module(ids, mask)
        golden["bert"] = {
            "pooler_output": output["pooler_output"].tolist(),
            **pooled(output["last_hidden_state"], mask),
        }
    torch.save(toy.state_dict(), FOLDER / "state_dict.pt")
    (FOLDER / "goldens.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
