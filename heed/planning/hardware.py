"""Hardware that a recipe is planned for and that need not be here: kinds by their data sheets, a
page that says how many of them there are, and shares of their speeds that work reaches.

The kinds' figures are their vendors' own, from the data sheets of NVIDIA's H200 and H100 (SXM5),
A100 80GB (SXM4) and GeForce RTX 4090 (Ada's white paper):

    memory      what the sheet calls GB is 2^30 bytes; drivers show up to half a percent less
    bandwidth   of the device's memory, decimal
    flops       bfloat16 by tensor cores, summed in float32, dense: half of what sheets of H200 and
                H100 say, which is with sparsity (1,979); A100's sheet says 312 dense; RTX 4090's
                165.2 is with sums in float32, and dense
    link        one direction, half of NVLink's 900 and 600 GB/s; PCIe 4.0 x16 for RTX 4090
    network     one direction, a device: ConnectX-7 of 400 Gb/s (DGX H100 and H200), HDR of 200 Gb/s
                (DGX A100), 10 Gb/s Ethernet where no sheet says anything
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from heed.errors import UserError
from heed.planning.memory import PROCESS
from heed.recipe import Settings

GIB = 2**30
USABLE = 0.9
"""Share of a device's memory that is planned with: its context, its libraries' buffers and what
lies between blocks take the rest."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What work reaches of a device's speed.

    `training`: of the operations; Llama 3 405B reached .38 to .43 on 8,192 to 16,384 H100
    (Grattafiori et al. 2024, arXiv:2407.21783, table 4). `prefill`: of the operations, forward
    alone; taken to be as much. `decode`: of the roofline of a token at a time. `link`: of a link,
    by collectives.
    """

    training: float = 0.4
    prefill: float = 0.4
    decode: float = 0.5
    link: float = 0.7


@dataclass(frozen=True, slots=True)
class Kind:
    """One device: bytes of memory, bytes a second of it, operations a second of matrix products,
    bytes a second each way to the others of its node, and to other nodes. `width`: bytes of an
    activation, and of a weight that is gathered or served; `process`: bytes that a process holds
    before anything is loaded.
    """

    memory: float
    bandwidth: float
    flops: float
    link: float
    network: float
    width: int = 2
    shares: Shares = Shares()
    process: float = 0.0


KINDS: Mapping[str, Kind] = {
    "h200": Kind(141 * GIB, 4.8e12, 989.5e12, 450e9, 50e9),
    "h100-80": Kind(80 * GIB, 3.35e12, 989.5e12, 450e9, 50e9),
    "a100-80": Kind(80 * GIB, 2.039e12, 312e12, 300e9, 25e9),
    "rtx-4090": Kind(24 * GIB, 1.008e12, 165.2e12, 31.5e9, 1.25e9),
    "cpu-2": Kind(8 * GIB, 32e9, 204e9, 10e9, 1.25e9, 4, Shares(0.65, 0.65, 0.45, 0.7), PROCESS),
}
"""By the name that `--on` takes. `cpu-2` is measured, not a sheet's: two cores of an AMD EPYC with
AVX-512, float32, and the shares that 25 M weights reach there (docs/performance.md); its 8 GiB,
10 GB/s between processes and 10 Gb/s Ethernet are taken for granted."""


class Page(Settings):
    """What a page of hardware may say; what it leaves out is the kind's."""

    kind: str
    """One of the kinds that are known; its figures may be replaced below."""
    devices: PositiveInt = 1
    """Devices of a node."""
    nodes: PositiveInt = 1
    """How many such nodes."""
    servers: PositiveInt | None = None
    """Devices that draw answers and do not train; null: as many as make the run shortest."""
    price: NonNegativeFloat = 0.0
    """What an hour of one device costs."""
    currency: str = "USD"
    """What the price is in."""
    memory: PositiveFloat | None = None
    """GiB of a device, what sheets call GB."""
    bandwidth: PositiveFloat | None = None
    """GB a second of its memory."""
    tflops: PositiveFloat | None = None
    """Dense operations a second of its matrix products, in 10^12."""
    link: PositiveFloat | None = None
    """GB a second, each way, to the devices of its node."""
    network: PositiveFloat | None = None
    """GB a second and device, each way, to other nodes."""
    training: float | None = Field(None, gt=0.0, le=1.0)
    """Share of the operations that training reaches, measured."""
    prefill: float | None = Field(None, gt=0.0, le=1.0)
    """Share of the operations that a forward pass reaches."""
    decode: float | None = Field(None, gt=0.0, le=1.0)
    """Share of the roofline that drawing answers reaches."""
    link_share: float | None = Field(None, gt=0.0, le=1.0)
    """Share of a link that collectives reach."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """So many devices of a kind, and what an hour of one costs."""

    name: str
    kind: Kind
    devices: int = 1
    nodes: int = 1
    servers: int | None = None
    price: float = 0.0
    currency: str = "USD"

    @property
    def count(self) -> int:
        return self.devices * self.nodes

    @property
    def usable(self) -> float:
        """Bytes of a device that are planned with."""
        return USABLE * self.kind.memory


def hardware_of(name: str, **given: object) -> Hardware:
    """The hardware by a kind's name, or by the path of a page; `given` stands for what a page says.

    Raises UserError for neither, and where a page is wrong.
    """
    changes = {key: value for key, value in given.items() if value is not None}
    if name in KINDS:
        return _of_page(name, Page(kind=name).model_copy(update=changes))
    path = Path(name)
    if not path.is_file():
        raise UserError(
            f"--on {name}: this is no file, and no kind of device that is known: "
            f"{', '.join(KINDS)}. A page says others: `kind: h200`, and memory, bandwidth, tflops."
        )
    page = _read(path)
    if page.kind not in KINDS:
        raise UserError(f"{path}: kind: there is no {page.kind!r}; known are {', '.join(KINDS)}.")
    return _of_page(path.stem, page.model_copy(update=changes))


def _read(path: Path) -> Page:
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Page.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the page"
        raise UserError(
            f"{path}: {where}: {first['msg']}. A page of hardware may say "
            f"{', '.join(Page.model_fields)}."
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _of_page(name: str, page: Page) -> Hardware:
    known = KINDS[page.kind]
    shares = Shares(
        training=page.training or known.shares.training,
        prefill=page.prefill or known.shares.prefill,
        decode=page.decode or known.shares.decode,
        link=page.link_share or known.shares.link,
    )
    kind = Kind(
        memory=known.memory if page.memory is None else page.memory * GIB,
        bandwidth=_giga(page.bandwidth, known.bandwidth),
        flops=known.flops if page.tflops is None else page.tflops * 1e12,
        link=_giga(page.link, known.link),
        network=_giga(page.network, known.network),
        width=known.width,
        shares=shares,
        process=known.process,
    )
    made = Hardware(
        name, kind, page.devices, page.nodes, page.servers, page.price, page.currency
    )  # fmt: skip
    if page.servers is not None and page.servers >= made.count:
        raise UserError(
            f"{name}: of {made.count} devices {page.servers} cannot draw answers and leave one "
            "that trains; lower servers or raise devices."
        )
    return made


def _giga(stated: float | None, known: float) -> float:
    return known if stated is None else stated * 1e9
