"""ONNX graphs of the trained models, put together by hand with onnx.helper.

Every model has one FP32 input [batch, columns] and the outputs `label` INT64 [batch] and
`probabilities` FP32 [batch, classes].  Whatever has to happen to raw inputs (scaling,
standardisation) is part of the graph: a client sends the numbers as they were measured.
"""

import numpy as np
import onnx
from onnx import TensorProto, checker, helper, numpy_helper

OPSET, ML_OPSET, IR_VERSION = 17, 3, 8


def assemble(name, doc, input_name, columns, classes, nodes, constants):
    """Serialised, checked model; constants: {name: array}, stored in the given dtype."""
    graph = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["batch", columns])],
        [helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
         helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    if any(node.domain == "ai.onnx.ml" for node in nodes):
        opsets.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
    model = helper.make_model(graph, producer_name="models/train/train.py", doc_string=doc,
                              opset_imports=opsets, ir_version=IR_VERSION)
    model = onnx.shape_inference.infer_shapes(model, check_type=True)
    checker.check_model(model, full_check=True)
    return model.SerializeToString()


def heads():
    """logits -> probabilities and label."""
    return [helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0)]


def linear(name, doc, input_name, weights, bias, mean, scale):
    """softmax(((x - mean) / scale) @ weights + bias).

    Subtracting the mean first, instead of folding it into the bias, keeps float32 exact enough
    where a feature is large compared with its spread."""
    f32 = np.float32
    nodes = [helper.make_node("Sub", [input_name, "mean"], ["centred"]),
             helper.make_node("Div", ["centred", "scale"], ["scaled"]),
             helper.make_node("Gemm", ["scaled", "weights", "bias"], ["logits"]), *heads()]
    return assemble(name, doc, input_name, weights.shape[0], weights.shape[1], nodes, {
        "mean": mean.astype(f32), "scale": scale.astype(f32),
        "weights": weights.astype(f32), "bias": bias.astype(f32)})


def conv(name, doc, input_name, params, side, scale):
    """The network of convnet.py; params as it stores them."""
    filters = params["conv_w"].shape[1]
    constants = {k: v.astype(np.float32) for k, v in params.items()}
    constants["conv_w"] = constants["conv_w"].T.reshape(filters, 1, 3, 3)
    constants["scale"] = np.float32(scale)
    constants["image_shape"] = np.array([-1, 1, side, side], dtype=np.int64)
    nodes = [
        helper.make_node("Div", [input_name, "scale"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "image_shape"], ["picture"]),
        helper.make_node("Conv", ["picture", "conv_w", "conv_b"], ["conv"],
                         kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["conv_relu"]),
        helper.make_node("MaxPool", ["conv_relu"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "dense_w", "dense_b"], ["dense"]),
        helper.make_node("Relu", ["dense"], ["dense_relu"]),
        helper.make_node("Gemm", ["dense_relu", "out_w", "out_b"], ["logits"]), *heads()]
    return assemble(name, doc, input_name, side * side, params["out_b"].size, nodes, constants)


def round_down(threshold):
    """Largest float32 <= threshold: then x <= threshold means the same for every float32 x."""
    t = np.float32(threshold)
    return float(t if float(t) <= threshold else np.nextafter(t, np.float32(-np.inf)))


def forest(name, doc, input_name, columns, estimators, classes):
    """Average of the leaf probabilities of decision trees (sklearn tree classifiers).

    The label is taken from the probabilities: for two classes ONNX Runtime's own tree label is the
    second class as soon as its score is above 0, not above 1/2."""
    node = {k: [] for k in ("treeids", "nodeids", "featureids", "modes", "values",
                            "truenodeids", "falsenodeids")}
    leaf = {k: [] for k in ("treeids", "nodeids", "ids", "weights")}
    for tree_id, estimator in enumerate(estimators):
        tree = estimator.tree_
        for i in range(tree.node_count):
            is_leaf = tree.children_left[i] < 0
            node["treeids"].append(tree_id)
            node["nodeids"].append(i)
            node["featureids"].append(0 if is_leaf else int(tree.feature[i]))
            node["modes"].append("LEAF" if is_leaf else "BRANCH_LEQ")
            node["values"].append(0.0 if is_leaf else round_down(tree.threshold[i]))
            node["truenodeids"].append(0 if is_leaf else int(tree.children_left[i]))
            node["falsenodeids"].append(0 if is_leaf else int(tree.children_right[i]))
            if is_leaf:
                counts = tree.value[i][0]
                for c in range(classes):
                    leaf["treeids"].append(tree_id)
                    leaf["nodeids"].append(i)
                    leaf["ids"].append(c)
                    leaf["weights"].append(float(counts[c] / counts.sum() / len(estimators)))
    attributes = {**{f"nodes_{k}": v for k, v in node.items()},
                  **{f"class_{k}": v for k, v in leaf.items()}}
    nodes = [helper.make_node("TreeEnsembleClassifier", [input_name], ["tree_label", "probabilities"],
                              domain="ai.onnx.ml", post_transform="NONE",
                              classlabels_int64s=list(range(classes)), **attributes),
             helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0)]
    return assemble(name, doc, input_name, columns, classes, nodes, {})
