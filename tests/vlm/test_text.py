"""Token ids around the vision tokens."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from hazardline.errors import UserError
from hazardline.pocket.random_base import write_random_base
from hazardline.pocket.vocabulary import train_tokenizer
from hazardline.tasks import PROMPTS
from hazardline.vlm.layout import Layout
from hazardline.vlm.text import Prompter


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("base")
    write_random_base(base)
    return base


@pytest.fixture(scope="module")
def prompter(folder: Path) -> Prompter:
    return Prompter.load(folder)


@pytest.mark.parametrize("text", ["Yes", "No", "no collision.", "2.4 - 3.0 seconds", "ego-car hits a pedestrian."])
def test_an_answer_comes_back_as_it_was(prompter: Prompter, text: str) -> None:
    ids = prompter.answer(text)
    assert ids[-1] == prompter.end_id and prompter.end_id not in ids[:-1]
    assert prompter.decode(ids) == text


def test_times_of_answers_lie_on_the_grid_and_are_those_of_the_tags(prompter: Prompter) -> None:
    assert prompter.decode(prompter.answer("1.9 - 4.1 seconds")) == "2.0 - 4.0 seconds"
    tag = prompter.encode(" 2.0")
    assert len(tag) == 1 and prompter.answer("1.9 - 4.1 seconds")[0] == tag[0]
    assert tag[0] in prompter.prefix([0.0, 2.0])


def test_prefix_holds_every_frame_and_its_time(prompter: Prompter) -> None:
    ids = prompter.prefix([0.0, 0.2, 0.4])
    assert ids.count(prompter.video_id) == 3 * prompter.layout.tokens_per_frame
    tags = [prompter.encode(f" {time:.1f}")[0] for time in (0.0, 0.2, 0.4)]
    assert [token for token in ids if token in tags] == tags
    assert ids[-1] == tags[-1]  # the pocket's layout: a time follows its frame


def test_time_may_come_before_its_frame(folder: Path) -> None:
    prompter = Prompter.load(folder)
    published = prompter.layout.model_copy(
        update={"time_position": "before", "time_format": "Time {time:.1f}s:", "frame_separator": ","}
    )
    ids = Prompter(prompter._tokenizer, published).prefix([0.0, 0.2])
    assert ids[-1] == prompter.video_id
    text = prompter._tokenizer.decode([token for token in ids if token != prompter.video_id], skip_special_tokens=True)
    assert text.endswith("Time 0.0s:,Time 0.2s:")


def test_separator_and_time_are_one_text_to_the_tokenizer() -> None:
    """BPE may merge over their boundary, and the published processor tokenises the whole prompt at once."""
    layout = Layout(time_position="before", time_format="Time {time:.1f}s:", frame_separator=",")
    tokenizer = Tokenizer(BPE())
    tokenizer.train_from_iterator([",Time"] * 9 + ["0.2s:Yes No user"], BpeTrainer(vocab_size=200))
    tokenizer.add_special_tokens(["<|im_start|>", layout.end_token, layout.video_token])
    prompter = Prompter(tokenizer, layout)
    pads = layout.video_token * layout.tokens_per_frame
    whole = f"{layout.prompt_start}Time 0.0s:{pads},Time 0.2s:{pads}"
    assert prompter.prefix([0.0, 0.2]) == prompter.encode(whole)
    assert prompter.encode(",Time") != prompter.encode(",") + prompter.encode("Time")


def test_a_question_ends_where_the_answer_begins(prompter: Prompter) -> None:
    for question in PROMPTS["crashchat-short@1"].questions.values():
        ids = prompter.question(question)
        assert question in prompter.decode(ids) and prompter.decode(ids).endswith("assistant")
    whole = prompter.encode("\nIs there a crash?<|im_end|>\n<|im_start|>assistant\n Yes<|im_end|>")
    assert prompter.question("Is there a crash?") + prompter.answer("Yes") == whole


def test_yes_and_no_differ_in_their_first_token(prompter: Prompter) -> None:
    assert prompter.yes_id != prompter.no_id


def test_tokenizer_without_a_special_token_is_refused(prompter: Prompter) -> None:
    odd = prompter.layout.model_copy(update={"video_token": "<|film_pad|>"})
    with pytest.raises(ValueError, match="no token '<|film_pad|>'".replace("|", r"\|")):
        Prompter(prompter._tokenizer, odd)


def test_folder_without_tokenizer_is_told(tmp_path: Path) -> None:
    Layout().write(tmp_path / "layout.json")
    with pytest.raises(UserError, match="missing; expected a tokenizer"):
        Prompter.load(tmp_path)


def test_the_same_texts_train_the_same_tokenizer() -> None:
    texts = ["the car stops", "the van turns left"] * 5
    one, other = (train_tokenizer(texts, Layout(), 700).to_str() for _ in range(2))
    assert one == other
