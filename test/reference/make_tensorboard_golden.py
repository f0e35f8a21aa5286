"""Writes tensorboard.json: an event file's bytes as TensorBoard 2.21.0's own writer makes them.

    pip install tensorboard==2.21.0 && python test/reference/make_tensorboard_golden.py
"""

import io
import json
from pathlib import Path

from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

STEPS = [
    {"step": 1, "time": 1732406400.25, "values": {"train/loss": 0.75, "train/learning_rate": 3e-5}},
    {"step": 300, "time": 1732406401.5, "values": {"validation/cross_lingual_map": 0.1}},
    {"step": 3_000_000_000, "time": 1732406402.0, "values": {"train/loss": float("inf")}},
]

stream = io.BytesIO()
writer = RecordWriter(stream)
writer.write(event_pb2.Event(wall_time=1.5, file_version="brain.Event:2").SerializeToString())
for step in STEPS:
    event = event_pb2.Event(wall_time=step["time"], step=step["step"])
    for tag, value in step["values"].items():
        event.summary.value.add(tag=tag, simple_value=value)
    writer.write(event.SerializeToString())

golden = {"hex": stream.getvalue().hex()}
Path(__file__).with_name("tensorboard.json").write_text(json.dumps(golden) + "\n")
