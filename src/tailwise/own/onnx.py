"""A linear head as an ONNX graph: label, probability, and risk after correction."""

import numpy as np

OPSET = 17


def graph(weight, bias, risk, classes: np.ndarray, kind=np.float32) -> bytes:
    """The model, serialised.

    Its input is ``X [n, d]`` in the float type `kind`; its outputs are ``label`` [n],
    ``probability`` [n, k] and ``risk`` [n, k], the probability after the prior
    correction and the temperature.

    Parameters
    ----------
    weight, bias : ndarray [k, d], [k]
    risk : tuple of ndarray
        Weight and bias of the corrected logits.
    classes : ndarray [k]
    kind : numpy float type
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    text = classes.dtype.kind not in "iub"
    names = classes.astype(object) if text else classes.astype(np.int64)
    constants = {
        "w": weight.T.astype(kind),
        "b": bias.astype(kind),
        "w_risk": risk[0].T.astype(kind),
        "b_risk": risk[1].astype(kind),
        "classes": names,
    }
    nodes = [
        helper.make_node("MatMul", ["X", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probability"], axis=-1),
        helper.make_node("ArgMax", ["logits"], ["best"], axis=-1, keepdims=0),
        helper.make_node("Gather", ["classes", "best"], ["label"], axis=0),
        helper.make_node("MatMul", ["X", "w_risk"], ["product_risk"]),
        helper.make_node("Add", ["product_risk", "b_risk"], ["logits_risk"]),
        helper.make_node("Softmax", ["logits_risk"], ["risk"], axis=-1),
    ]
    real = TensorProto.DOUBLE if kind == np.float64 else TensorProto.FLOAT
    of_label = TensorProto.STRING if text else TensorProto.INT64
    k, d = weight.shape
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "head",
            [helper.make_tensor_value_info("X", real, ["n", d])],
            [
                helper.make_tensor_value_info("label", of_label, ["n"]),
                helper.make_tensor_value_info("probability", real, ["n", k]),
                helper.make_tensor_value_info("risk", real, ["n", k]),
            ],
            [numpy_helper.from_array(v, name) for name, v in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,  # what runtimes of some years read
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()
