"Energy and battery life: by hand, at the limits, and what is refused."

import pytest

from kws_nb.core import KwsError
from kws_nb.studies.energy import (
    DRAWS,
    battery_hours,
    battery_table,
    busy_ms,
    energy_uj,
    mean_currents,
    plot_currents,
    plot_hops,
)


def test_energy_by_hand():
    assert energy_uj(2) == pytest.approx(2e-3 * 3.3e-3 * 3 * 1e6)  # s · A · V in µJ
    assert energy_uj(87.88, 1, 1) == pytest.approx(87.88)
    assert energy_uj(0) == 0


def test_currents_by_hand():
    asleep, half, awake = (mean_currents(ms) for ms in (0, 500, 1000))
    assert sum(asleep.values()) == pytest.approx(0.003 + 1.4 + 0.65)
    assert sum(awake.values()) == pytest.approx(3.3 + 1.4 + 0.65)
    assert sum(half.values()) == pytest.approx((sum(asleep.values()) + sum(awake.values())) / 2)
    assert list(half) == [draw.part for draw in DRAWS]


def test_battery_by_hand():
    assert battery_hours(225, 2.25) == pytest.approx(100)
    table = battery_table({"one": 2.5, "parts": {"a": 1.0, "b": 1.5}}, {"cell": 120})
    assert table.rows == (("one", "2.0"), ("parts", "2.0"))


def test_work_falls_where_rows_are_kept():
    "An even hop keeps the convolution's rows, an odd one computes all of them again."
    work = {hop: busy_ms(hop, seconds=1) for hop in (1, 2, 3, 4)}
    assert work[1] > work[3] > work[2] > work[4] > 0, work
    assert work[1] < 1000, "the board keeps up with a prediction every 20 ms"


NONSENSE = [
    *(lambda: energy_uj(-1), lambda: energy_uj(1, -1), lambda: energy_uj(1, 1, 0)),
    *(lambda: mean_currents(-1), lambda: mean_currents(1000.5)),
    *(lambda: battery_hours(0, 1), lambda: battery_hours(225, 0)),
    *(lambda: busy_ms(0), lambda: busy_ms(50), lambda: busy_ms(1.5), lambda: plot_hops({0: 1})),
]


@pytest.mark.parametrize("wrong", NONSENSE)
def test_nonsense_is_refused(wrong):
    with pytest.raises(KwsError, match="expected"):
        wrong()


def test_pictures():
    ways = {"a": mean_currents(10), "b": mean_currents(100)}
    bars = plot_currents(ways)
    lengths = [sum(trace.x[i] for trace in bars.data) for i in (0, 1)]
    assert lengths == pytest.approx([sum(parts.values()) for parts in ways.values()])
    days = plot_hops({2: 0, 4: 1000}, 24).data[0]
    assert list(days.x) == [40, 80] and list(days.y) == pytest.approx([1 / 2.053, 1 / 5.35])
