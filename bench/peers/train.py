"""Peer of `xlembed bench train`: training steps of sentence-transformers, on the same model and token ids.
One JSON question a line on stdin, one JSON answer a line on stdout.

{"command": "versions"}                                            -> {"sentence-transformers": "...", ...}
{"command": "open", "folder": ..., "miniBatch": n, "temperature": t, "learningRate": r, "weightDecay": d,
 "dropout": true}                                                  -> {}      miniBatch 0: the plain loss
{"command": "step", "queries": [[id, ...], ...], "passages": ...}  -> {"seconds": s, "loss": l,
                                                                                  "peakBytes": of the process}
Whatever goes wrong is answered with {"error": "..."}.
"""

import argparse
import json
import platform
import resource
import sys
import time

# transformers looks for a package named kernels, and must not find the kernels.py beside this file.
sys.path.pop(0)

import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.losses import CachedMultipleNegativesRankingLoss, MultipleNegativesRankingLoss


class Training:
    """What SentenceTransformerTrainer does in a step: padded columns, loss, backward, clipping, fused AdamW."""

    def __init__(self, folder, miniBatch, temperature, learningRate, weightDecay, dropout):
        self.model = SentenceTransformer(folder, device="cpu")
        self.model.train(dropout)
        scale = 1 / temperature
        self.loss = (
            CachedMultipleNegativesRankingLoss(self.model, scale=scale, mini_batch_size=miniBatch)
            if miniBatch
            else MultipleNegativesRankingLoss(self.model, scale=scale)
        )
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=learningRate, weight_decay=weightDecay, fused=True
        )

    def pad(self, sequences):
        longest = max(map(len, sequences))
        ids = torch.full((len(sequences), longest), self.model.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.tensor(sequence)
            mask[row, : len(sequence)] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def step(self, queries, passages):
        begun = time.perf_counter()
        loss = self.loss([self.pad(queries), self.pad(passages)], None)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        seconds = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"seconds": seconds, "loss": loss.item(), "peakBytes": peak}


class Peer:
    training = None

    def versions(self):
        return {
            "sentence-transformers": sentence_transformers.__version__,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        }

    def open(self, **options):
        self.training = Training(**options)
        return {}

    def step(self, queries, passages):
        return self.training.step(queries, passages)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    torch.manual_seed(0)
    peer = Peer()
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = getattr(peer, question.pop("command"))(**question)
        except Exception as error:  # noqa: BLE001
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
