"""Answers laid out for one forward pass: where each token stands, and what it sees."""

from common.models.answer_layout import lay_out_answers, layout_width

ROWS = [[[11, 12, 13], [21], [31, 32]], [[41, 42]]]


def test_every_token_after_an_answers_first_is_a_target_behind_the_token_before_it() -> None:
    layout = lay_out_answers(ROWS, [5, 9])
    assert layout.ids.shape == layout.positions.shape == (2, 3)
    before = {(0, 0): [11, 12], (0, 2): [31], (1, 0): [41]}
    seen: dict[tuple[int, int], list[int]] = {}
    for target in layout.targets:
        seen.setdefault((target.row, target.answer), []).append(int(layout.ids[target.row, target.place]))
        answer = ROWS[target.row][target.answer]
        assert target.token == answer[answer.index(int(layout.ids[target.row, target.place])) + 1]
    assert seen == before


def test_answers_begin_where_their_prompt_ends_and_are_blind_to_each_other() -> None:
    layout = lay_out_answers(ROWS, [5, 9])
    assert layout.positions[0].tolist() == [5, 6, 5]
    assert layout.positions[1].tolist()[:1] == [9]
    assert layout.visible[0].int().tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert layout.visible[1].int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]  # padding sees itself alone


def test_an_answer_of_one_token_takes_no_room() -> None:
    assert [layout_width(answers) for answers in (*ROWS, [[7]], [])] == [3, 1, 0, 0]
