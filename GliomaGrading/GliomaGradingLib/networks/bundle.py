"""Model bundles: three transfer models, how to feed and calibrate them, where they come from.

A bundle is a folder with ``metadata.json``, a weight file for each sequence and its licence. Weights are
stored with 8 bits (a scale for each output channel) and come back as float32 on load. A bundle is data: its
files are named by plain names in its own folder, their sizes and SHA-256 are checked before they are read, and
nothing of torch's reads them (``bundle_files``).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BundleError, UsageError
from ..files import all_or_nothing, is_there
from ..voting import Calibration, DecisionRule, Platt
from ..words import SEQUENCES
from .bundle_files import (
    INSTALL_AGAIN,
    LARGEST_METADATA,
    LARGEST_WEIGHTS,
    check_metadata,
    is_short_text,
    parse_json,
    read_file,
    read_json,
    read_weights,
    unfit,
)

if TYPE_CHECKING:
    from torch import Tensor

    from ..familiarity import Familiarity
    from ..preparation.slices import InputForm
    from .image_form import ImageForm
    from .network import TransferModel

BUNDLE_SCHEMA = "glioma-grading/bundle/2"
"""2: the three together are calibrated on the mean of their probabilities; in 1 it was of their logits."""
DEFAULT_BUNDLE = "glioma-tcga"
"""Grades where no other is asked for, whatever else lies in the folder of bundles."""
METADATA = "metadata.json"
TEXTS = ("LICENSE", "ATTRIBUTION.txt")
_PACKAGE = Path(__file__).resolve().parents[1]
_IN_WHEEL = _PACKAGE / "Models"
MODELS_FOLDER = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent / "Resources" / "Models"
SMALL_TENSOR = 10_000
"""Elements below which a tensor is stored as float32."""
HALF_WEIGHTS = 300_000
"""Weights, counted from the network's first layer, that are stored as float16."""


@dataclass(frozen=True)
class WeightFile:
    """A sequence's weight file: its plain name in the bundle's folder, size and SHA-256."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model bundle's folder and its checked metadata; weights are read on demand."""

    folder: Path
    metadata: Mapping[str, Any]
    weights: Mapping[str, WeightFile]

    @property
    def name(self) -> str:
        return str(self.metadata["name"])

    @property
    def version(self) -> str:
        return str(self.metadata["version"])

    @property
    def backbone(self) -> str:
        return str(self.metadata["backbone"])

    @property
    def sha256(self) -> str:
        """One hash for the three models and everything that feeds and calibrates them."""
        return hashlib.sha256(_canonical_json(self.metadata)).hexdigest()

    def description(self) -> dict[str, str]:
        """The ``model`` entry of a result."""
        return {
            "name": self.name,
            "version": self.version,
            "backbone": self.backbone,
            "sha256": self.sha256,
        }

    def inputForm(self) -> InputForm:
        from ..preparation.slices import InputForm

        return _record(InputForm, self.metadata["input"]["region"], self.folder)

    def imageForm(self) -> ImageForm:
        from .image_form import ImageForm

        return _record(ImageForm, self.metadata["input"]["image"], self.folder)

    def calibration(self) -> Calibration:
        entry = self.metadata["calibration"]
        return Calibration(
            sequences={s: _record(Platt, entry["sequences"][s], self.folder) for s in SEQUENCES},
            together=_record(Platt, entry["together"], self.folder),
        )

    def decisionRule(self) -> DecisionRule:
        return _record(DecisionRule, self.metadata["decision"], self.folder)

    def familiarity(self) -> Familiarity | None:
        """What is usual among the training patients; None where the bundle does not say."""
        from ..familiarity import Familiarity

        entry = self.metadata.get("familiarity")
        return None if entry is None else Familiarity.from_dict(entry)

    def verify(self) -> None:
        """Check the size and hash of every weight file.

        Raises:
            BundleError: a file is missing, or differs from what the metadata says.
        """
        for weights in self.weights.values():
            _read_weight_file(self.folder, weights)

    def models(self) -> dict[str, TransferModel]:
        """The three transfer models in evaluation mode, float32, on the CPU.

        Raises:
            BundleError: a weight file is missing, damaged or of another network.
        """
        return {sequence: self._model(self.weights[sequence]) for sequence in SEQUENCES}

    def _model(self, weights: WeightFile) -> TransferModel:
        from .network import BACKBONES, TransferModel

        if self.backbone not in BACKBONES:
            problem = f"there is no backbone {self.backbone}"
            raise BundleError(problem, self.folder / METADATA, INSTALL_AGAIN)
        path = self.folder / weights.file
        packed = read_weights(_read_weight_file(self.folder, weights), path)
        model = TransferModel(self.backbone)
        try:
            model.load_state_dict(unpack_state(packed))
            _check_deviation(model)
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise unfit(error, path) from error
        return model.eval()


def _check_deviation(model: TransferModel) -> None:
    """Raises ValueError where the network could give no number: a grade would be made of it."""
    if not bool((model.output.deviation > 0).all()):
        raise ValueError("a feature's deviation is not above 0")


def find_bundles(folder: Path = MODELS_FOLDER) -> Iterator[Path]:
    """Folders of the bundles that ship with the module, by name."""
    if folder.is_dir():
        yield from sorted(path.parent for path in folder.glob(f"*/{METADATA}"))


def is_bundle(folder: Path) -> bool:
    """Whether this is the folder of a bundle; a text that no path can be is none."""
    return is_there(folder / METADATA, Path.is_file)


def open_bundle(name: str | Path | None = None) -> Bundle:
    """Open a bundle by the name of a shipped one, by its folder, or the default one.

    Raises:
        BundleError: there is none, or its metadata is damaged or of another version.
    """
    folder = _bundle_folder(name)
    return _checked(folder, _read_metadata(folder / METADATA))


def _checked(folder: Path, metadata: Mapping[str, Any]) -> Bundle:
    """The bundle of this metadata, if everything in it can be used.

    Raises:
        BundleError: it is incomplete or wrong.
    """
    try:
        check_metadata(metadata)
        weights = {s: _record(WeightFile, metadata["weights"][s], folder) for s in SEQUENCES}
        bundle = Bundle(folder, metadata, weights)
        for check in (
            bundle.inputForm,
            bundle.imageForm,
            bundle.calibration,
            bundle.decisionRule,
            bundle.familiarity,
        ):
            check()
        bundle.description()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"the bundle is incomplete or wrong ({error})"
        raise BundleError(problem, folder / METADATA, INSTALL_AGAIN) from error
    for entry in weights.values():
        _check_plain_name(folder, entry.file)
    return bundle


def _bundle_folder(name: str | Path | None) -> Path:
    shipped = {path.name: path for path in find_bundles()}
    if name is None:
        if not shipped:
            raise BundleError("there is no model bundle", MODELS_FOLDER, INSTALL_AGAIN)
        return shipped.get(DEFAULT_BUNDLE) or next(iter(shipped.values()))
    if str(name) in shipped:
        return shipped[str(name)]
    folder = Path(name)
    if not is_bundle(folder):
        known = ", ".join(shipped) or "none"
        raise BundleError(
            "there is no model bundle", folder, f"name a shipped bundle ({known}) or a folder with {METADATA}"
        )
    return folder


def _read_metadata(path: Path) -> Mapping[str, Any]:
    metadata = read_json(path)
    if not isinstance(metadata, dict) or metadata.get("schema") != BUNDLE_SCHEMA:
        raise BundleError(f"the bundle is not of schema {BUNDLE_SCHEMA}", path, INSTALL_AGAIN)
    return metadata


def _record(kind: Any, values: Any, folder: Path) -> Any:
    """A dataclass from a JSON object, whose values have the type of the fields' defaults."""
    if not isinstance(values, dict):
        raise BundleError(f"{kind.__name__} is not an object", folder / METADATA, INSTALL_AGAIN)
    for key, value in values.items():
        expected = getattr(kind, key, value)
        number = isinstance(expected, (int, float)) and not isinstance(expected, bool)
        wanted = int if isinstance(expected, int) else (int, float)
        right = isinstance(value, wanted) if number else isinstance(value, type(expected))
        if not right or isinstance(value, bool) is not isinstance(expected, bool):
            raise BundleError(f"{key} is not a {type(expected).__name__}", folder / METADATA, INSTALL_AGAIN)
    return kind(**values)


def _check_plain_name(folder: Path, name: Any) -> None:
    is_plain = isinstance(name, str) and name not in ("", ".", "..") and not set("/\\\0") & set(name)
    if not is_plain or Path(name).name != name:
        raise BundleError(f"weight file name {name!r} leaves the bundle", folder / METADATA, INSTALL_AGAIN)


def _read_weight_file(folder: Path, weights: WeightFile) -> bytes:
    path = folder / weights.file
    _check_plain_name(folder, weights.file)
    data = read_file(path, min(weights.bytes, LARGEST_WEIGHTS) + 1)
    if len(data) != weights.bytes:
        problem = f"the weight file has {path.stat().st_size} bytes instead of {weights.bytes}"
        raise BundleError(problem, path, INSTALL_AGAIN)
    if hashlib.sha256(data).hexdigest() != weights.sha256:
        raise BundleError("the weight file is damaged (SHA-256 differs)", path, INSTALL_AGAIN)
    return data


def _canonical_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def pack_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Store convolutions with 8 bits: ``name`` becomes ``name.q8`` (int8) and ``name.scale``.

    The scale belongs to an output channel. Vectors and small tensors (the last layer, which sums to the
    logit, among them) stay float32, and the first ``HALF_WEIGHTS`` weights are float16, since the whole
    network builds on them: they weigh little in the file and much in the probability.
    """
    packed, early = {}, 0
    for name, tensor in state.items():
        if tensor.dim() < 2 or tensor.numel() < SMALL_TENSOR:
            packed[name] = tensor.detach().float().clone()
            continue
        early += tensor.numel()
        if early <= HALF_WEIGHTS:
            packed[name] = tensor.detach().half()
            continue
        flat = tensor.detach().float().flatten(1)
        scale = flat.abs().amax(dim=1).clamp(min=1e-12) / 127
        packed[f"{name}.q8"] = (flat / scale[:, None]).round().char().view(tensor.shape)
        packed[f"{name}.scale"] = scale
    return packed


def unpack_state(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of ``pack_state``, to within half a step of each channel's scale.

    Raises:
        KeyError, ValueError: a tensor has no scale, or one that is too large or not of its channels.
    """
    state = {}
    for name, tensor in packed.items():
        if name.endswith(".q8"):
            base = name.removesuffix(".q8")
            scale = packed[f"{base}.scale"]
            if scale.shape != tensor.shape[:1]:  # their product could have any size
                raise ValueError(f"the scale of {base} is not of its channels")
            if not bool((128 * scale).isfinite().all()):  # of the largest number of 8 bits
                raise ValueError(f"the scale of {base} is too large")
            state[base] = tensor.float() * scale.view(-1, *[1] * (tensor.dim() - 1))
        elif not name.endswith(".scale"):
            state[name] = tensor.float()
    return state


def write_bundle(
    folder: Path,
    models: Mapping[str, TransferModel],
    metadata: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
) -> Bundle:
    """Write a bundle whose output modules keep only the logit of HGG. It is there whole or not at all.

    Args:
        metadata: everything but ``schema``, ``backbone`` and ``weights``, which are filled in here.
        texts: further files by name, such as LICENSE.

    Raises:
        BundleError: the metadata is wrong. OSError: there is no room, or the disk fails. A bundle that stood
            there before stays.
    """
    import torch

    weights = {}
    with all_or_nothing(folder) as write:
        for sequence in SEQUENCES:
            buffer = io.BytesIO()
            torch.save(pack_state(_without_auxiliary(models[sequence].state_dict())), buffer)
            data = buffer.getvalue()
            name = f"{sequence.lower()}.pt"
            write(name, data)
            weights[sequence] = asdict(WeightFile(name, len(data), hashlib.sha256(data).hexdigest()))
        complete = {
            "schema": BUNDLE_SCHEMA,
            **metadata,
            "backbone": models[SEQUENCES[0]].backbone_name,
            "weights": weights,
        }
        for name, text in (texts or {}).items():
            write(name, text)
        _write_metadata(write, folder, complete)
    return open_bundle(folder)


def write_variant(bundle: Bundle, folder: Path, changes: Mapping[str, Any]) -> Bundle:
    """Write a bundle with the weights and texts of another, and other metadata; there whole or not at all.

    Args:
        changes: entries of the metadata that take the place of the other's.

    Raises:
        BundleError: a file of the bundle is damaged, or the metadata is wrong. OSError: there is no room, or
            the disk fails. A bundle that stood there before stays.
    """
    with all_or_nothing(folder) as write:
        for weights in bundle.weights.values():
            write(weights.file, _read_weight_file(bundle.folder, weights))
        for name in TEXTS:
            if is_there(bundle.folder / name, Path.is_file):
                write(name, read_file(bundle.folder / name, LARGEST_METADATA))
        _write_metadata(write, folder, {**bundle.metadata, **changes})
    return open_bundle(folder)


def _write_metadata(
    write: Callable[[str, bytes | str], None], folder: Path, metadata: Mapping[str, Any]
) -> None:
    written = json.dumps(metadata, indent=2) + "\n"
    _checked(folder, parse_json(written.encode(), folder / METADATA))  # before it takes another's place
    write(METADATA, written)


def check_target(folder: Path, remedy: str) -> None:
    """Raises UsageError where a bundle cannot be written, or would take the place of something else."""
    name = folder.absolute().name
    if not name:
        raise UsageError("a bundle needs a folder of its own", folder, remedy)
    if not is_short_text(name):
        raise UsageError("a bundle is called like its folder, and this is no short name", folder, remedy)
    if any(path.name == name and path.resolve() != folder.resolve() for path in find_bundles()):
        raise UsageError("a bundle that ships is called like this", folder, remedy)
    if any(place.exists() and not place.is_dir() for place in (folder, *folder.parents)):
        raise UsageError("this is a file, not the folder of a bundle", folder, remedy)
    if folder.is_dir() and any(folder.iterdir()):
        try:
            open_bundle(folder)  # an earlier one: its files are replaced together
        except BundleError:
            raise UsageError("the folder holds something else than a bundle", folder, remedy) from None


def _without_auxiliary(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k: v[:1] if k.startswith("output.linear.") else v for k, v in state.items()}
