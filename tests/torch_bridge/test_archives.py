"""Files of torch.export: what is read, and that nothing in them is run."""

import json
import pickle
import zipfile
from contextlib import suppress
from random import Random

import numpy as np
import pytest
import torch
from torch import nn

from nascompiler import api
from nascompiler.cli.app import main
from nascompiler.ir import ModelError, evaluate
from nascompiler.torch_bridge import TorchError, UnsupportedOpsError, import_torch, load_program
from tests.torch_bridge.comparing import assert_agrees

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)
        self.register_buffer("offset", torch.arange(2.0))

    def forward(self, image):
        x = torch.relu(self.norm(self.conv(image))).mean((2, 3))
        return {"logits": self.linear(x) + self.offset}


class Explosive:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return Net().eval()


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    program = torch.export.export(network, (torch.randn(2, 3, 6, 6),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, path, extra_files={"notes.txt": "hello"})
    return path


@pytest.fixture
def altered(saved, tmp_path):
    """A copy of the archive with members replaced, by name below its folder; None removes one."""

    def make(members, *, compression=zipfile.ZIP_STORED):
        path = tmp_path / "altered.pt2"
        with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w", compression) as target:
            left = dict(members)
            for info in source.infolist():
                folder, _, name = info.filename.partition("/")
                data = left.pop(name, source.read(info))
                if data is not None:
                    target.writestr(f"{folder}/{name}", data)
            for name, data in left.items():
                target.writestr(f"{folder}/{name}", data)
        return path

    return make


def member(saved, name):
    with zipfile.ZipFile(saved) as archive:
        return archive.read(f"{saved.stem}/{name}")


def places(document):
    """(container, key) of every value in a JSON document."""
    found, waiting = [], [document]
    for container in waiting:
        for key, value in container.items() if isinstance(container, dict) else enumerate(container):
            found.append((container, key))
            if isinstance(value, (dict, list)):
                waiting.append(value)
    return found


def edited(saved, change):
    document = json.loads(member(saved, MODEL))
    change(document)
    return json.dumps(document).encode()


def test_a_saved_program_is_imported(network, saved):
    graph = import_torch(load_program(saved))
    image = torch.randn(3, 3, 6, 6)
    expected = {name: t.detach().numpy() for name, t in network(image).items()}
    assert_agrees(evaluate(graph, {"image": image.numpy()}), expected)
    assert {v.name for v in graph.constants} >= {"conv.weight", "norm.running_var", "linear.bias", "offset"}


def test_the_command_line_imports_it(network, saved, tmp_path, capsys):
    output = tmp_path / "net.nir"
    with pytest.raises(SystemExit) as ended:
        main(["import", str(saved), "-o", str(output), "--shape", "image=1x3x6x6"])
    assert ended.value.code == 0
    graph = api.load(output)
    assert graph.name == "net"
    assert graph.inputs[0].type.shape == (1, 3, 6, 6)
    with pytest.raises(SystemExit) as ended:
        main(["import", str(tmp_path / "missing.pt2"), "-o", str(output)])
    assert ended.value.code == 3
    assert "missing.pt2 is no program of torch.export" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["data/sample_inputs/model.pt", "data/weights/weight_0"])
def test_pickles_are_not_run(saved, altered, tmp_path, name):
    mark = tmp_path / "mark"
    members = {name: pickle.dumps(Explosive(mark))}
    if "weight" in name:
        config = json.loads(member(saved, WEIGHTS))
        entry = next(e for e in config["config"].values() if e["path_name"] == "weight_0")
        entry["use_pickle"] = True
        members[WEIGHTS] = json.dumps(config)
    with pytest.raises(TorchError, match="is refused"):
        load_program(altered(members))
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    [
        "data/aotinductor/model/code.so",
        "data/constants/custom_obj_0",
        "data/constants/opaque_obj_0",
        "data/weights/model.pt",
        "data/weights/../../x",
        "models/other.json",
    ],
)
def test_members_of_other_kinds_are_refused(altered, name):
    with pytest.raises(TorchError, match="neither a tensor nor the graph"):
        load_program(altered({name: b"x"}))


def test_expressions_are_not_evaluated(saved, altered, tmp_path):
    mark = tmp_path / "mark"

    def change(document):
        sizes = document["graph_module"]["graph"]["tensor_values"]["image"]["sizes"]
        sizes[0]["as_expr"]["expr_str"] = f"open('{mark}', 'w')"

    with pytest.raises(TorchError, match="no arithmetic of sizes"):
        load_program(altered({MODEL: edited(saved, change)}))
    assert not mark.exists()


def test_guards_and_metadata_are_left_out(saved, altered, tmp_path):
    mark = tmp_path / "mark"

    def change(document):
        document["guards_code"] = [f"open('{mark}', 'w')"]
        document["graph_module"]["graph"]["nodes"][0]["metadata"] = {"custom": "[", "from_node": "["}

    graph = import_torch(load_program(altered({MODEL: edited(saved, change)})))
    assert evaluate(graph, {"image": np.zeros((1, 3, 6, 6), np.float32)})["logits"].shape == (1, 2)
    assert not mark.exists()


@pytest.mark.parametrize(
    "target", ["torch.os.system", "torch.ops.custom.thing.default", "math.exp", "#x:y", "_operator.call", "nothing"]
)
def test_calls_of_anything_but_aten_are_listed(saved, altered, target):
    def change(document):
        nodes = document["graph_module"]["graph"]["nodes"]
        nodes[0]["target"] = nodes[1]["target"] = target

    with pytest.raises(UnsupportedOpsError) as caught:
        load_program(altered({MODEL: edited(saved, change)}))
    assert [node.operator for node in caught.value.nodes] == [target] * 2


def test_containers_that_would_be_imported_are_refused(saved, altered):
    def change(document):
        signature = document["graph_module"]["module_call_graph"][0]["signature"]
        signature["out_spec"] = signature["out_spec"].replace("builtins.dict", "antigravity.Fly")

    with pytest.raises(TorchError, match=r"not antigravity\.Fly"):
        load_program(altered({MODEL: edited(saved, change)}))


def test_tensors_that_are_larger_than_their_file(saved, altered):
    config = json.loads(member(saved, WEIGHTS))
    config["config"]["conv.weight"]["tensor_meta"]["sizes"][0]["as_int"] = 10**6
    with pytest.raises(TorchError, match="cannot load it"):
        load_program(altered({WEIGHTS: json.dumps(config)}))


def test_files_that_are_no_archives(saved, altered, tmp_path):
    text = tmp_path / "text.pt2"
    text.write_text("hello")
    cut = tmp_path / "cut.pt2"
    cut.write_bytes(saved.read_bytes()[:-400])
    for path in (text, cut, tmp_path, tmp_path / "missing.pt2", altered({MODEL: None}), altered({MODEL: b"{"})):
        with pytest.raises(TorchError):
            load_program(path)
    with pytest.raises(TorchError, match="is compressed"):
        load_program(altered({}, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(TorchError, match="no program"):
        load_program(altered({MODEL: "[" * 100_000}))


def test_damaged_graphs_never_end_in_anything_but_an_error_of_ours(saved, altered):
    """One value anywhere in the graph or the list of weights replaced by another, or left out."""
    random = Random(5)
    for name in (MODEL,) * 40 + (WEIGHTS,) * 10:
        document = json.loads(member(saved, name))
        holder, key = random.choice(places(document))
        if isinstance(holder, dict) and random.random() < 0.3:
            del holder[key]
        else:
            holder[key] = random.choice([None, 0, -1, 1.5, 10**12, "x", "", "image", [], {}, [1], True])
        with suppress(ModelError):
            import_torch(load_program(altered({name: json.dumps(document)})))
