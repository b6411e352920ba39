import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from edgegan.errors import ModelError
from edgegan.pack.load import load_model


def test_loads_what_is_sound(model_file):
    assert load_model(model_file) == onnx.load(model_file)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"This is a text about models, not a model.\n", "no ONNX model"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "no ONNX model"),
        (ModelProto(ir_version=8).SerializeToString(), "holds no graph"),
    ],
)
def test_what_is_no_model_is_refused_by_name(tmp_path, content, says):
    path = tmp_path / "strange.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=says) as caught:
        load_model(path)
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_model_cut_short_anywhere_is_refused(model_file):
    whole = model_file.read_bytes()
    for length in range(1, len(whole), 7):
        model_file.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"no ONNX model|no valid ONNX model|opset 0"):
            load_model(model_file)


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        load_model(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="is a folder"):
        load_model(tmp_path)


@pytest.mark.parametrize("opset", [9, 10, 22])
def test_other_opsets_are_refused_with_the_mend(tmp_path, make, opset):
    path = tmp_path / "old.onnx"
    onnx.save(make(opset=opset), path)
    with pytest.raises(ModelError, match=f"opset {opset}, edgegan packs 11 to 21.*convert_version"):
        load_model(path)


def test_more_than_two_gigabytes_are_refused_without_reading(tmp_path):
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)  # sparse: takes no space
    with pytest.raises(ModelError, match=r"2\.1 GB"):
        load_model(path)


def test_weights_in_a_second_file_are_loaded_and_missed(tmp_path, make):
    path, expected = tmp_path / "split.onnx", make()
    onnx.save(make(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    found = numpy_helper.to_array(load_model(path).graph.initializer[0])
    np.testing.assert_array_equal(found, numpy_helper.to_array(expected.graph.initializer[0]))
    Path(tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match="lacks its weights"):
        load_model(path)


def test_local_functions_are_inlined(tmp_path, make):
    model = make()
    body = [helper.make_node("Relu", ["x"], ["y"])]
    function = helper.make_function("own", "Rectify", ["x"], ["y"], body, [helper.make_opsetid("", 17)])
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type, relu.domain = "Rectify", "own"
    path = tmp_path / "functions.onnx"
    onnx.save(model, path)
    assert "Rectify" not in [node.op_type for node in load_model(path).graph.node]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(ModelError, match="is no file but a pipe or a device"):
        load_model(tmp_path / "pipe.onnx")


def test_weights_from_a_pipe_or_outside_of_the_folder_are_refused(tmp_path, make):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in/split.onnx"
    onnx.save(make(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    weights = tmp_path / "in/weights.bin"
    weights.rename(tmp_path / "outside.bin")
    weights.symlink_to(tmp_path / "outside.bin")
    with pytest.raises(ModelError, match=r"'weights.bin', outside of its folder"):
        load_model(path)
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(ModelError, match=r"'weights.bin' is no file"):
        load_model(path)


def test_a_name_that_is_no_text_is_refused(tmp_path, make):
    path = tmp_path / "small.onnx"
    path.write_bytes(make().SerializeToString().replace(b"conv_1", b"conv\xff1"))
    with pytest.raises(ModelError, match=r"the name b'conv\\xff1' is not UTF-8"):
        load_model(path)
