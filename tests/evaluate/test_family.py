from hazardline.evaluate.family import NO_FAMILY, FamilyIndex, token_f1

INDEX = FamilyIndex.build(
    [
        ("ego-car hits a car from behind.", "rear_end"),
        ("Ego-car hits a car from behind", "rear_end"),
        ("ego-car hits a car from behind.", "cut_in"),
        ("car hits a pedestrian.", "dart_out"),
        ("truck is out of control.", "loss_of_control"),
    ]
)


def test_an_exact_text_has_the_family_that_uses_it_most():
    assert INDEX.family("EGO-CAR hits a car from behind") == "rear_end"
    assert INDEX.exact("ego-car hits a van.") is None


def test_the_nearest_text_decides_above_the_floor():
    assert INDEX.family("a car hits a small pedestrian.") == "dart_out"
    assert INDEX.family("ego-car hits a van from behind.") == "rear_end"
    assert INDEX.family("the weather is sunny") == NO_FAMILY
    assert INDEX.family("") == NO_FAMILY


def test_ties_go_to_the_first_name_and_the_first_text():
    tied = FamilyIndex.build([("a b", "z"), ("a b", "y"), ("a c", "x")])
    assert tied.family("a b") == "y"
    assert tied.family("a d") == "y"


def test_token_f1_counts_repetitions():
    assert token_f1("a a b", "a b b") == 2 * 2 / 6
    assert token_f1("a", "") == 0.0
