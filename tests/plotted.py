"""What a figure shows, read back from its axes."""

import numpy as np
from matplotlib.colors import same_color


def legend(ax):
    """Labels that a legend would show."""
    return ax.get_legend_handles_labels()[1]


def assert_bars(container, mean, half, axis):
    """Points and the bars of their intervals along an axis."""
    points, _, (bars,) = container.lines
    np.testing.assert_allclose(points.get_xydata()[:, axis], mean)
    for segment, m, h in zip(bars.get_segments(), mean, half, strict=True):
        np.testing.assert_allclose(segment[:, axis], [m - h, m + h])


def assert_band(line, area, x, e):
    """A line with its interval as a band, in its colour."""
    np.testing.assert_allclose(line.get_xydata(), np.stack([x, e.mean], 1))
    corners = np.asarray(area.get_paths()[0].vertices)
    for side in (-1, 1):
        for point in np.stack([x, e.mean + side * e.half], 1):
            assert np.isclose(corners, point).all(1).any(), point
    assert same_color(area.get_facecolor()[0, :3], line.get_color())
