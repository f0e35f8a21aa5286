"""Unpacks what C++ needs of a torch wheel: include/ and the shared libraries, into <folder>/include and <folder>/lib.

usage: python3 unpack_wheel.py <wheel> <folder>
Prints one JSON object: {"cuda": bool, "bytes": int, "requires": [requirements of a CUDA build]}.
Exit code 3: the disk has not enough room.
"""

import json
import pathlib
import shutil
import sys
import zipfile

CPU_LIBRARIES = ("libtorch.so", "libtorch_cpu.so", "libc10.so", "libgomp", "libtorch_global_deps.so")


def destination(name, cuda):
    """Where a member goes, relative to the folder; None for what only Python needs."""
    parts = pathlib.PurePosixPath(name).parts
    if ".." in parts or name.endswith("/"):
        return None
    if parts[:2] == ("torch", "include"):
        return pathlib.PurePosixPath(*parts[1:])
    if parts[0] == "torch.libs":
        return pathlib.PurePosixPath("lib", *parts[1:])
    if parts[:2] == ("torch", "lib") and len(parts) == 3 and ".so" in parts[2]:
        if parts[2].startswith(CPU_LIBRARIES) or (cuda and parts[2] != "libtorch_python.so"):
            return pathlib.PurePosixPath(*parts[1:])
    return None


def main(wheel, folder):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        cuda = "torch/lib/libtorch_cuda.so" in names
        members = [(info, destination(info.filename, cuda)) for info in archive.infolist()]
        members = [(info, path) for info, path in members if path is not None]
        size = sum(info.file_size for info, _ in members)
        free = shutil.disk_usage(folder).free
        if size > free:
            print(f"{folder}: {size / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free", file=sys.stderr)
            return 3
        for info, path in members:
            target = pathlib.Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, open(target, "wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode("utf-8").splitlines()
    required = [line.split(":", 1)[1].strip() for line in lines if line.startswith("Requires-Dist:")]
    nvidia = [text for text in required if text.startswith(("nvidia-", "cuda-toolkit")) and "extra ==" not in text]
    print(json.dumps({"cuda": cuda, "bytes": size, "requires": nvidia if cuda else []}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
