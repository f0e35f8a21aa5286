"""Opens a LASER-2 folder that xlembed saved with PyTorch and SentencePiece alone, and compares embeddings.

    python test/interop/laser_folder_in_pytorch.py FOLDER EMBEDDINGS

EMBEDDINGS is what `xlembed encode --model FOLDER` wrote: one shard of vectors and ids with the texts. The texts must be
lower-case letters and spaces: punctuation and control characters would need Moses' normaliser. The encoder is written
from docs/models-laser2.md.
"""

import json
import pathlib
import sys

import numpy
import sentencepiece
import torch
from safetensors.torch import load_file

END, UNKNOWN = 2, 3
TOLERANCE = 1e-5


def open_folder(folder):
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    embedding = torch.nn.Embedding(config["num_embeddings"], config["embed_dim"])
    lstm = torch.nn.LSTM(
        config["embed_dim"], config["hidden_size"], config["num_layers"], bidirectional=config["bidirectional"]
    )
    embedding.load_state_dict({"weight": weights.pop("embed_tokens.weight")})
    lstm.load_state_dict({name.removeprefix("lstm."): tensor for name, tensor in weights.items()})
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sentencepiece.model"))
    return embedding, lstm, pieces, json.loads((folder / "dictionary.json").read_text())


def main():
    folder, embeddings = map(pathlib.Path, sys.argv[1:])
    embedding, lstm, pieces, dictionary = open_folder(folder)
    actual = torch.from_numpy(numpy.load(embeddings / "shard-00000.npy"))
    texts = [json.loads(line)["text"] for line in (embeddings / "shard-00000.ids.jsonl").read_text().splitlines()]
    worst = 0.0
    with torch.no_grad():
        for text, row in zip(texts, actual, strict=True):
            ids = [dictionary.get(piece, UNKNOWN) for piece in pieces.encode(text, out_type=str)] + [END]
            hidden, _ = lstm(embedding(torch.tensor(ids)))
            worst = max(worst, (hidden.max(0).values - row).abs().max().item())
    if not texts or worst > TOLERANCE:
        sys.exit(f"{len(texts)} texts, largest difference {worst:.1e}, allowed {TOLERANCE:.0e}")
    print(f"ok: PyTorch gives the embeddings of the fine-tuned LASER-2 folder (largest difference {worst:.1e})")


if __name__ == "__main__":
    main()
