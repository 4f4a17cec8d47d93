from pathlib import Path

import pytest

from acn.errors import UsageError
from acn.reproduction.parts import GROUPS, PARTS, document_of, parts_named
from acn.reproduction.plan import VARIANTS, Training
from tests.reproduction.fabricated import inputs, result


def test_all_is_everything_and_ablations_their_share() -> None:
    assert list(parts_named("all")) == list(PARTS)
    assert set(parts_named("ablations")) == {name for name in PARTS if name.startswith("ablation-")}
    assert set(parts_named("vlae")) == {name for name in PARTS if name.startswith("vlae-")}
    assert list(parts_named("table2")) == ["table2"]
    assert {variant for part in PARTS.values() for variant in part.variants} == set(VARIANTS)


# The others need networks.
@pytest.mark.parametrize(
    "name", [name for name, part in PARTS.items() if not part.single and not name.startswith("vlae-figure")]
)
def test_documents_are_named_after_their_parts(name: str, tmp_path: Path) -> None:
    part = PARTS[name]
    made = part.show(inputs(*(result(variant) for variant in part.variants), folder=tmp_path))
    assert made.name == name


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(UsageError, match="there is no part 'table8'; did you mean table7"):
        parts_named("table8")
    with pytest.raises(UsageError, match=r"choose one of table1, table2, .*, all"):
        parts_named("nonsense")


def test_trainings_come_seed_by_seed_and_pictures_need_one() -> None:
    names = [training.name for training in PARTS["table3"].trainings("cpu", 2, "digits")]
    assert names == ["vae-0", "pixelvae-0", "acn-0", "vae-1", "pixelvae-1", "acn-1"]
    assert [training.name for training in PARTS["figure5"].trainings("cpu", 3, "digits")] == ["acn-0", "pixelcnn-0"]


def test_pictures_need_all_their_models_and_tables_one() -> None:
    assert not PARTS["figure5"].possible({"acn": [result("acn")]})
    assert PARTS["table1"].possible({"acn": [result("acn")]})
    assert not PARTS["table1"].possible({})
    assert not PARTS["ablation-prior"].possible({"acn": [result("acn")]})  # nothing to compare
    assert PARTS["ablation-prior"].possible({"acn": [result("acn")], "width": [result("width")]})
    assert set(GROUPS) == {"ablations", "colour", "vlae", "all"}


def test_documents_say_what_is_not_in_them() -> None:
    trainings = Training("vae", "cpu", 0, "x"), Training("k1000", "cpu", 0, "x")
    left_out = {trainings[1]: "there are not as many other training images"}
    one = document_of(PARTS["table1"], inputs(result("acn")), trainings[:1], left_out)
    assert any("Not trained yet: vae-0." in note for note in one.notes)
    assert any("Left out" in note and "ACN, K = 1000" in note for note in one.notes)
    assert any("32 train, 4 valid, 4 test" in note and "One seed" in note for note in one.notes)
    two = document_of(PARTS["table1"], inputs(result("acn"), result("acn", 1)), (), {})
    assert any("sample standard deviation" in note for note in two.notes)
