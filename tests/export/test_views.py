"""Every view shows the same ground, is a pure function of its seeds, and is physically sane."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.export.worlds import scenes
from edgespark.export.worlds.cameras import SURFACES, THERMAL, planck, sample
from edgespark.export.worlds.covers import NAMES
from edgespark.export.worlds.ground import SIZE, Ground, draws, ground
from edgespark.export.worlds.scenes import VIEWS, Scene, scene
from edgespark.export.worlds.sensors import SENSORS
from edgespark.export.worlds.spectra import MATERIALS, SPECTRA, WAVELENGTHS
from edgespark.runtime.preprocessing import Frames, Imagery

FORMS = {
    "rgb": ("uint8", (3, 64, 64)),
    "msi": ("int16", (12, 64, 64)),
    "sar": ("float32", (2, 64, 64)),
    "hsi": ("uint16", (48, 16, 16)),
    "infrared": ("float32", (2, 64, 64)),
    "oblique": ("uint8", (3, 64, 64)),
    "video": ("uint8", (5, 3, 64, 64)),
}
# members, then the sums over rgb, msi and sar of scenes that the released weights learned from
LEARNED = {
    (1, 0): ((4, 2, 5), 1662939, 92984566, -109690.34),
    (2, 3): ((5, 7, 8), 1529011, 85153238, -107945.52),
    (9, 1000): ((6, 0, 8), 1532039, 44985813, -125878.97),
}


def same(first: Scene, second: Scene) -> bool:
    return all(np.array_equal(first.raw[name], second.raw[name]) for name in FORMS)


def images(name: str, count: int) -> NDArray[np.float64]:
    """Give [n, bands, rows, columns] of the training scenes, in the record's unit."""
    record = still(name)
    scale = np.array([band.scale for band in record.bands])[:, None, None]
    made = np.stack([scene(1, index).raw[name] for index in range(count)])
    return np.asarray(made.reshape(-1, *made.shape[-3:]) * scale)


def still(name: str) -> Imagery:
    record = SENSORS[name]
    return record.frame if isinstance(record, Frames) else record


def pure(cover: str) -> Ground:
    """Lay ground of one cover alone, without texture."""
    index = NAMES.index(cover)
    return Ground(
        members=(index,),
        abundance=np.ones((1, SIZE, SIZE)),
        textures=np.zeros((1, SIZE, SIZE)),
        shares=np.eye(len(NAMES))[index],
    )


def test_a_scene_is_a_pure_function_of_stream_and_index() -> None:
    assert same(scene(5, 17), scene(5, 17))
    for other in (scene(5, 18), scene(6, 17)):
        assert not any(np.array_equal(other.raw[name], scene(5, 17).raw[name]) for name in FORMS)


def test_the_ground_alone_is_that_of_the_scene() -> None:
    alone, seen = ground(5, 3), scene(5, 3).ground
    assert alone.members == seen.members
    assert np.array_equal(alone.abundance, seen.abundance)
    assert np.array_equal(alone.textures, seen.textures)


@pytest.mark.parametrize(("key", "learned"), LEARNED.items())
def test_released_weights_still_find_the_scenes_that_they_learned(
    key: tuple[int, int], learned: tuple[tuple[int, ...], int, int, float]
) -> None:
    made = scene(*key)
    assert made.ground.members == learned[0]
    sums = [float(made.raw[name].sum(dtype=np.float64)) for name in ("rgb", "msi", "sar")]
    assert sums == pytest.approx(learned[1:], rel=1e-6)


def test_a_view_that_is_left_out_changes_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scene(5, 4)
    monkeypatch.setattr(scenes, "VIEWS", {name: VIEWS[name] for name in ("video", "hsi")})
    fewer = scene(5, 4)
    assert set(fewer.raw) == {"rgb", "msi", "sar", "video", "hsi"}
    assert all(np.array_equal(fewer.raw[name], whole.raw[name]) for name in fewer.raw)


def test_views_draw_from_streams_of_their_own() -> None:
    streams = [stream for stream, _ in VIEWS.values()]
    assert len({0, *streams}) == len(VIEWS) + 1
    assert len({draws(stream + 5, 4).random() for stream in streams}) == len(VIEWS)


def test_shares_sum_to_one_and_the_main_cover_has_most() -> None:
    for index in range(40):
        made = ground(6, index)
        assert made.shares.sum() == pytest.approx(1)
        assert made.shares.max() > 0.5
        assert (made.shares > 0).sum() == 3
        assert made.label == made.members[0]


@pytest.mark.parametrize(("name", "form"), FORMS.items())
def test_every_view_has_the_form_that_its_record_takes(
    name: str, form: tuple[str, tuple[int, ...]]
) -> None:
    raw, record = scene(7, 1).raw[name], still(name)
    assert (raw.dtype.name, raw.shape) == form
    assert raw.dtype.name in record.dtypes
    assert raw.shape[-3:] == (len(record.bands), record.rows, record.columns)
    outer = SENSORS[name]
    assert not isinstance(outer, Frames) or raw.shape[0] == outer.count


@pytest.mark.parametrize("name", FORMS)
def test_records_know_the_world_that_they_normalise(name: str) -> None:
    values = images(name, 40)
    for band, seen in zip(still(name).bands, values.swapaxes(0, 1), strict=True):
        assert band.low <= seen.min() + 1e-6
        assert seen.max() <= band.high + 1e-6
        assert abs(seen.mean() - band.mean) < 0.4 * band.std
        assert 0.6 < seen.std() / band.std < 1.5


def test_narrow_bands_ascend_between_the_atmospheres_water_bands() -> None:
    assert len(WAVELENGTHS) == 48
    assert list(WAVELENGTHS) == sorted(set(WAVELENGTHS))
    assert 420 <= WAVELENGTHS[0] <= WAVELENGTHS[-1] <= 2450
    assert not [at for at in WAVELENGTHS if 1340 < at < 1450 or 1800 < at < 1960]
    assert [band.wavelength for band in still("hsi").bands] == list(WAVELENGTHS)


def test_spectra_show_chlorophyll_leaf_water_and_clay() -> None:
    def at(cover: str, wavelength: int) -> float:
        return float(SPECTRA[NAMES.index(cover)][WAVELENGTHS.index(wavelength)])

    assert set(MATERIALS) == set(NAMES)
    assert at("broadleaf forest", 785) > 4 * at("broadleaf forest", 665)
    assert at("broadleaf forest", 1180) < 0.95 * at("broadleaf forest", 1060)
    assert at("bare ground", 2200) < 0.85 * at("bare ground", 2100)
    assert at("water", 2200) < at("water", 425)


def test_bare_ground_is_hotter_than_forest_and_forest_than_water() -> None:
    def warmth(cover: str) -> list[float]:
        made = [VIEWS["infrared"][1](draws(3, index), pure(cover)) for index in range(20)]
        means = np.stack(made).astype(np.float64).mean((0, 2, 3))
        return [float(mean) for mean in means]

    water, forest, bare = (warmth(name) for name in ("water", "broadleaf forest", "bare ground"))
    assert water[1] + 2 < forest[1] < bare[1] - 5
    assert bare[0] - bare[1] > forest[0] - forest[1]  # minerals reflect the sun at 3.9 um


def test_every_cover_has_a_surface() -> None:
    assert set(SURFACES) == set(NAMES)
    assert all(0 < each < 0.5 for surface in SURFACES.values() for each in surface.reflected)


@pytest.mark.parametrize("wavelength", THERMAL.values())
def test_warmer_bodies_shine_more(wavelength: float) -> None:
    assert np.all(np.diff(planck(wavelength, np.linspace(200, 400, 50))) > 0)


def test_frames_of_a_video_show_one_place_that_moves() -> None:
    frames = scene(7, 3).raw["video"].astype(np.float64)
    flat = frames.reshape(len(frames), -1)
    near = [np.corrcoef(one, other)[0, 1] for one, other in pairwise(flat)]
    assert min(near) > 0.3
    assert max(near) < 0.99
    assert np.corrcoef(flat[0], flat[-1])[0, 1] < np.mean(near)


def test_sampling_between_cells_is_linear_and_reflects_beyond_the_edge() -> None:
    ramp = np.broadcast_to(np.arange(64.0), (1, 64, 64))
    at = np.array([[2.25, -3.0, 66.0]])
    assert np.allclose(sample(ramp, np.zeros_like(at), at), [[[2.25, 3.0, 60.0]]])
    assert np.array_equal(sample(ramp, *np.mgrid[:64, :64].astype(float)), ramp)
