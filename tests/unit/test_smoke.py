from builders import Bench, held


def test_x(bench: Bench) -> None:
    item = bench.item()
    lease = held(bench.agent().claim())
    bench.agent().complete(lease, "x")
    assert bench.state(item) == "completed"
