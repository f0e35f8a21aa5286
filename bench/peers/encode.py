"""Peers of `xlembed bench encode`: sentence-transformers and ONNX Runtime, on the same model and texts.
One JSON question a line on stdin, one JSON answer a line on stdout.

{"command": "versions"}                                       -> {"sentence-transformers": "...", ...}
{"command": "export", "folder": ...}                          -> {}    writes onnx/*.onnx beside the model
{"command": "run", "name": ..., "dtype": ..., "folder": ..., "texts": [...], "maxTokens": n}
                                                              -> {"seconds": s, "sample": [[x, ...], ...]}
"name" is sentence-transformers (float32, bfloat16, float16; on --device) or onnxruntime (float32, int8). The seconds are those of embedding
all texts, tokenizer included, after a warm-up; the sample is the embeddings of the first 32.
Whatever goes wrong is answered with {"error": "..."}.
"""

import argparse
import json
import os
import platform
import sys
import time

# transformers looks for a package named kernels, and must not find the kernels.py beside this file.
sys.path.pop(0)

import numpy as np
import onnxruntime
import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

BATCH_SIZE = 32  # sentence-transformers' own default
SAMPLE = 32


class SentenceTransformers:
    def __init__(self, folder, dtype, device):
        kwargs = {"dtype": getattr(torch, dtype)}
        self.model = SentenceTransformer(folder, device=device, model_kwargs=kwargs, local_files_only=True)

    def encode(self, texts, max_tokens):
        self.model.max_seq_length = max_tokens
        return self.model.encode(texts, batch_size=BATCH_SIZE, show_progress_bar=False)


class OnnxRuntime:
    """What sentence-transformers does around a model: batches of texts sorted by their characters, mean, length 1."""

    def __init__(self, folder, dtype, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        file = "fused.onnx" if dtype == "float32" else "fused_int8.onnx"
        path = os.path.join(folder, "onnx", file)
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        with open(os.path.join(folder, "config.json")) as file:
            self.tokenizer.enable_padding(pad_id=json.load(file)["pad_token_id"])

    def encode(self, texts, max_tokens):
        self.tokenizer.enable_truncation(max_tokens)
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        result = [None] * len(texts)
        for first in range(0, len(order), BATCH_SIZE):
            rows = order[first : first + BATCH_SIZE]
            encodings = self.tokenizer.encode_batch([texts[row] for row in rows])
            ids = np.array([one.ids for one in encodings], dtype=np.int64)
            mask = np.array([one.attention_mask for one in encodings], dtype=np.int64)
            (hidden,) = self.session.run(["last_hidden_state"], {"input_ids": ids, "attention_mask": mask})
            weights = mask[:, :, None].astype(np.float32)
            pooled = (hidden * weights).sum(1) / weights.sum(1)
            pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
            for row, embedding in zip(rows, pooled):
                result[row] = embedding
        return np.stack(result)


class Wrapped(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def export_onnx(folder):
    """model.onnx and model_quantized.onnx as transformers.js reads them; fused.onnx, fused_int8.onnx for ONNX Runtime."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    target = os.path.join(folder, "onnx")
    os.makedirs(target, exist_ok=True)
    path = lambda name: os.path.join(target, name)  # noqa: E731
    if os.path.exists(path("fused_int8.onnx")):
        return
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False)
    ids = torch.randint(3, 1000, (2, 7))
    axes = {0: "batch", 1: "tokens"}
    names = ["input_ids", "attention_mask", "last_hidden_state"]
    torch.onnx.export(
        Wrapped(model.eval()),
        (ids, torch.ones_like(ids)),
        path("model.onnx"),
        input_names=names[:2],
        output_names=names[2:],
        dynamic_axes={name: axes for name in names},
        opset_version=17,
        dynamo=False,
    )
    config = model.config
    fused = optimizer.optimize_model(
        path("model.onnx"), model_type="bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size
    )
    fused.save_model_to_file(path("fused.onnx"))
    with open(path("fused.json"), "w") as file:
        json.dump(fused.get_fused_operator_statistics(), file)
    for source, quantized in (("model", "model_quantized"), ("fused", "fused_int8")):
        quantize_dynamic(
            path(f"{source}.onnx"),
            path(f"{quantized}.onnx"),
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )


class Peers:
    def __init__(self, threads, device):
        self.threads = threads
        self.device = device
        self.open = (None, None)

    def versions(self):
        return {
            "sentence-transformers": sentence_transformers.__version__,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
        }

    def export(self, folder):
        export_onnx(folder)
        return {}

    def run(self, name, dtype, folder, texts, maxTokens):
        model = self.model(name, dtype, folder)
        begun = time.perf_counter()
        embeddings = model.encode(texts, maxTokens)
        seconds = time.perf_counter() - begun
        return {"seconds": seconds, "sample": np.asarray(embeddings[:SAMPLE], dtype=np.float32).tolist()}

    def model(self, name, dtype, folder):
        """The models of one folder stay open: they are asked in turn."""
        if self.open[0] != folder:
            self.open = (folder, {})
        models = self.open[1]
        if (name, dtype) not in models:
            if name == "sentence-transformers":
                models[name, dtype] = SentenceTransformers(folder, dtype, self.device)
            else:
                models[name, dtype] = OnnxRuntime(folder, dtype, self.threads)
        return models[name, dtype]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    peers = Peers(options.threads, options.device)
    answers = os.fdopen(os.dup(1), "w")
    # What the libraries print must not stand among the answers.
    os.dup2(2, 1)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = getattr(peers, question.pop("command"))(**question)
        except Exception as error:  # noqa: BLE001
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
