"""Where tables across lead sets stand: in the corpus's own folder, unless it has several tasks or encoders."""

from bench.report.across import place_name


def test_a_corpus_needs_no_more_than_its_name_where_it_has_one_task_and_encoder():
    places = [("chapman-sim", "rhythm4", "net"), ("ptbxl-sim", "superdiagnostic", "other")]
    assert [place_name(place, places) for place in places] == ["chapman-sim", "ptbxl-sim"]


def test_tasks_and_encoders_of_one_corpus_are_told_apart():
    tasks = [("ptbxl", "all", "net"), ("ptbxl", "form", "net"), ("cpsc", "cpsc9", "net")]
    assert [place_name(place, tasks) for place in tasks] == ["ptbxl, all", "ptbxl, form", "cpsc"]
    sizes = [("ptbxl", "all", "net (dim 32)"), ("ptbxl", "all", "net (dim 64)")]
    assert [place_name(place, sizes) for place in sizes] == ["ptbxl, net (dim 32)", "ptbxl, net (dim 64)"]
