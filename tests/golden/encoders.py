"""The reference encoders of points, tables, graphs and tracks, from a case's config."""

import numpy as np

from edgespark.export.models.config import (
    FieldTransformer,
    PointTransformer,
    SeriesTransformer,
    TrackTransformer,
)
from edgespark.export.models.fields import TabFormer
from edgespark.export.models.points import PointBertClassifier
from edgespark.export.models.series import STAEformerForecaster
from edgespark.export.models.tracks import TutrForecaster
from edgespark.runtime.points.farthest import farthest, nearest
from tests.golden.case import Arrays, Case
from tests.golden.launch import Launch, stage

THREADS = 512  # of pointnet2_ops' sampling kernel


def point_bert(case: Case, launch: Launch) -> Arrays:
    """Sample and group the clouds, then classify: logits, fps_idx and knn_idx."""
    config, clouds = case.config, case.inputs()["x"]
    size = PointTransformer(
        groups=config["num_group"],
        neighbours=config["group_size"],
        width=config["trans_dim"],
        depth=config["depth"],
        heads=config["num_heads"],
        features=config["encoder_dims"],
    )
    picked = np.stack([farthest(each, size.groups, threads=THREADS) for each in clouds])
    rows = np.arange(len(clouds))[:, None]
    centres = clouds[rows, picked]
    pairs = zip(clouds, centres, strict=True)
    near = np.stack([nearest(each, around, size.neighbours) for each, around in pairs])
    feed = {
        "neighbourhoods": clouds[rows[..., None], near] - centres[:, :, None],
        "centres": centres,
    }
    model = PointBertClassifier(size, config["cls_dim"])
    case.fill({"": model})
    made = launch(stage(model, feed, "logits"))(feed)
    return made | {"fps_idx": picked, "knn_idx": np.sort(near, -1)}


def staeformer(case: Case, launch: Launch) -> Arrays:
    """Forecast every node's values: forecast."""
    config = case.config
    size = SeriesTransformer(
        nodes=config["num_nodes"],
        steps=config["in_steps"],
        predicted=config["out_steps"],
        value=config["input_embedding_dim"],
        day=config["tod_embedding_dim"],
        week=config["dow_embedding_dim"],
        adaptive=config["adaptive_embedding_dim"],
        hidden=config["feed_forward_dim"],
        heads=config["num_heads"],
        layers=config["num_layers"],
        steps_per_day=config["steps_per_day"],
    )
    model = STAEformerForecaster(size, config["output_dim"])
    case.fill({"": model})
    feed = {"series": case.inputs()["x"]}
    return launch(stage(model, feed, "forecast"))(feed)


def tutr(case: Case, launch: Launch) -> Arrays:
    """Forecast an agent's tracks: pred_trajs, scores and the indices of the modes."""
    config, inputs = case.config, case.inputs()
    size = TrackTransformer(
        observed=config["obs_len"],
        predicted=config["pred_len"],
        agents=inputs["neis_obs"].shape[1],
        modes=len(inputs["motion_modes"]),
        width=config["embed_size"],
        heads=config["heads"],
        layers=config["enc_num_layers"],
        expansion=config["forward_expansion"],
    )
    kept = config["num_k"]
    model = TutrForecaster(size, config["int_num_layers_list"][1], kept)
    case.fill({"": model})
    feed = {
        "track": inputs["ped_obs"],
        "neighbours": inputs["neis_obs"],
        "modes": inputs["motion_modes"],
        "present": inputs["mask"][:, 0] != 0,
    }
    outputs = ("pred_trajs", "scores", f"top{kept}_indices")
    return launch(stage(model, feed, *outputs, fixed=("modes",)))(feed)


def tabformer(case: Case, launch: Launch) -> Arrays:
    """Encode rows of cells: row_embeddings."""
    config, cells = case.config, case.inputs()["ids"]
    size = FieldTransformer(
        vocabulary=config["vocab_size"],
        rows=cells.shape[1],
        columns=config["ncols"],
        field=config["field_hidden_size"],
        layers=config["num_layers"],
        heads=config["nhead"],
        width=config["hidden_size"],
    )
    model = TabFormer(size)
    case.fill({"tab_embeddings.": model})
    feed = {"cells": cells}
    return launch(stage(model, feed, "row_embeddings"))(feed)
