"""Writes training_combined.json: what sentence-transformers' loss and torch's optimizer make of test/reference/encoder/bert
where many options meet: hard negatives, both directions, Matryoshka sizes, a learnt temperature, two batches to an update,
rates by layer, weight decay, clipping.

    python test/reference/training_combined.py

Made with torch 2.13.0, transformers 5.24.0, sentence-transformers 6.2.0.
"""

import json
import math
from pathlib import Path

import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch.nn.functional import normalize
from transformers import BertModel

FOLDER = Path(__file__).parent
QUERIES = 3
RATES = [5e-4, 1e-3, 7e-4, 2e-4]
SIZES = {24: 1.0, 12: 0.5, 5: 0.25}
FACTORS = {"embeddings.": 0.5, "encoder.layer.0.": 0.7, "encoder.layer.1.": 1.0}
TEMPERATURE_RATE = 50
WEIGHT_DECAY = 0.05


def embed(model, sequences):
    """Each alone: no padding. Mean over the tokens."""
    return torch.cat([model(input_ids=torch.tensor([ids])).last_hidden_state.mean(1) for ids in sequences])


def batch_loss(embeddings, temperature):
    columns = [embeddings[:QUERIES], embeddings[QUERIES : 2 * QUERIES], embeddings[2 * QUERIES :]]
    loss = MultipleNegativesRankingLoss(
        None, scale=1 / temperature, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
    )
    return sum(
        weight * loss.compute_loss_from_embeddings([column[:, :size] for column in columns], None)
        for size, weight in SIZES.items()
    )


def main():
    sequences = json.loads((FOLDER / "encoder/bert.json").read_text())["sequences"]
    batches = [sequences, sequences[7:] + sequences[:7]]
    model = BertModel.from_pretrained(FOLDER / "encoder/bert", add_pooling_layer=False).eval()
    model.embeddings.word_embeddings.padding_idx = None
    log_temperature = torch.tensor(math.log(0.05), requires_grad=True)
    groups = []
    for name, parameter in model.named_parameters():
        decay = 0 if name.endswith(("bias", "LayerNorm.weight")) else WEIGHT_DECAY
        factor = next(factor for prefix, factor in FACTORS.items() if name.startswith(prefix))
        groups.append({"params": [parameter], "weight_decay": decay, "factor": factor})
    groups.append({"params": [log_temperature], "weight_decay": 0, "factor": TEMPERATURE_RATE})
    optimizer = torch.optim.AdamW(groups)
    steps = []
    for rate in RATES:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        losses = [batch_loss(embed(model, batch), log_temperature.exp()) / len(batches) for batch in batches]
        sum(losses).backward()
        norm = torch.nn.utils.clip_grad_norm_([group["params"][0] for group in groups], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        steps.append({"losses": [loss.item() * len(batches) for loss in losses], "norm": norm.item(),
                      "temperature": log_temperature.exp().item()})
    with torch.no_grad():
        embeddings = normalize(embed(model, sequences), dim=1)
    options = {
        "symmetric": True, "matryoshkaSizes": list(SIZES), "matryoshkaWeights": list(SIZES.values()),
        "temperatureRate": TEMPERATURE_RATE, "weightDecay": WEIGHT_DECAY,
        "learningRateFactors": [{"prefix": prefix, "factor": factor} for prefix, factor in FACTORS.items()],
    }
    rounded = [[round(value, 7) for value in row] for row in embeddings.tolist()]
    result = {"queries": QUERIES, "batches": batches, "rates": RATES, "options": options, "steps": steps, "embeddings": rounded}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
