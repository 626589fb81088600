"""Tables and page in Korean: words are translated, data never, CSV stays English."""

import ast
import re
import string
from pathlib import Path

import jinja2
import pytest
import yaml

from common.base.errors import UserError
from common.base.paths import ROOT
from common.config.loading import load_configuration
from common.config.settings import report_language
from common.tables.language import ENGLISH, Text, load_words
from common.tables.table import Table, write_table
from support.report_pages import build, write_results

KOREAN = ROOT / "resources/report/ko.yaml"
HANGUL = re.compile("[\uac00-\ud7a3]")


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "ko"}, "ko"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "C.UTF-8"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({}, "en"),
    ],
)
def test_the_environment_chooses_the_language(environment: dict[str, str], language: str) -> None:
    config = load_configuration(ROOT / "config.yaml", [], {"report": {"language": "auto"}})
    assert report_language(config, environment, ["ko"]) == language


def test_the_configuration_overrules_the_environment() -> None:
    config = load_configuration(ROOT / "config.yaml", [], {"report": {"language": "en"}})
    assert report_language(config, {"LANG": "ko"}, ["ko"]) == "en"


def test_captions_titles_notes_and_words_are_korean_in_every_rendering(tmp_path: Path) -> None:
    caption = "Table 3. Accuracy in % (95 % interval below) by number k of in-context examples"
    notes = [
        "p (Holm): corrected for all comparisons of a model. Bold: at most 0.05.",
        Text("In parentheses: lowest and highest of the {seeds} draws of in-context examples.", seeds=3),
        "kept",
    ]
    table = Table(caption, ["Model", "Method", "k=0"], [[Text("Similar"), Text("Pretrained"), "Similar"]], notes=notes)
    write_table(table, tmp_path, "t", load_words(KOREAN))
    for kind in ("md", "tex", "html"):
        text = (tmp_path / f"t.{kind}").read_text(encoding="utf-8")
        for word in ("표 3.", "모델", "방법", "사전학습", "비슷함", "3번 뽑은", "kept"):
            assert word in text, (kind, word)
        assert text.count("Similar") == 1, "data are not translated"
    assert '<html lang="ko">' in (tmp_path / "t.html").read_text(encoding="utf-8")


def test_a_text_without_translation_stays() -> None:
    words = load_words(KOREAN)
    for text in ("no such text {x}", "This run serves to test the cluster.", "Road to Llama", "all of it differs"):
        assert words(text) == text
    assert words(Text("no such {thing}, as {other}", thing=Text("Model"), other="Model")) == "no such 모델, as Model"
    assert ENGLISH("Model") == "Model"


def test_a_text_is_translated_by_its_template_and_only_fields_that_are_texts_are_translated() -> None:
    words = load_words(KOREAN)
    interval = Text("{low} to {high}", low="+0.1", high="\u22122.5")
    assert interval == "+0.1 to \u22122.5" == ENGLISH(interval)
    assert words(interval) == "+0.1 ~ \u22122.5"
    assert words("+0.1 to \u22122.5") == "+0.1 to \u22122.5", "a text made elsewhere is not taken apart"
    assert words(Text("Rater {name}", name="Similar")) == "평가자 Similar"
    assert words(Text("Rater {name}", name=Text("Similar"))) == "평가자 비슷함"
    assert words(Text("Rater {name}", name="{low} {")) == "평가자 {low} {"
    with pytest.raises(ValueError, match="name"):
        Text("Rater {name}", alias="x")


def test_every_translation_is_of_a_text_that_scripts_or_page_use() -> None:
    """Constants of the scripts, and those of the templates; a key that is none of them is never looked up."""
    used = {
        node.value
        for path in (ROOT / "scripts").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    for path in (ROOT / "resources/report").glob("*.jinja"):
        constants = jinja2.Environment().parse(path.read_text(encoding="utf-8")).find_all(jinja2.nodes.Const)
        used |= {node.value for node in constants if isinstance(node.value, str)}
    assert len(used) > 1000
    assert [text for text in load_words(KOREAN).texts if text not in used] == []


def test_every_translation_has_the_fields_of_its_text_and_is_korean() -> None:
    texts = yaml.safe_load(KOREAN.read_text(encoding="utf-8"))["texts"]
    for text, translation in texts.items():
        fields = [{name for _, name, _, _ in string.Formatter().parse(part) if name} for part in (text, translation)]
        assert fields[0] == fields[1], text
        assert HANGUL.search(translation) or text in ("of", "Optimizer AdamW; {facts}.", "{low} to {high}"), text


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("texts: 3", "key `language`"),
        ("texts: {a: b}", "key `language`"),
        ("language: ko\ntexts: 3", "key `texts`"),
        ("language: ko\ntexts: {a: 1}", "key `texts`"),
        ("language: ko\ntexts: {'{a}': '{b}'}", "{a}"),
        ("language: ko\ntexts: {'{a} b': c}", "{a} b"),
        ("language: ko\ntexts: {'{a}': '{a.x}'}", "{a}"),
        ("language: ko\ntexts: {'{a}': '{a} }'}", "{a}"),
        ("[", ""),
    ],
)
def test_a_file_that_is_no_translation_is_refused(tmp_path: Path, content: str, where: str) -> None:
    (tmp_path / "xx.yaml").write_text(content)
    with pytest.raises(UserError) as refused:
        load_words(tmp_path / "xx.yaml")
    assert f"{tmp_path / 'xx.yaml'}" in refused.value.where
    assert where in refused.value.where


def test_headings_of_the_page_are_korean(tmp_path: Path) -> None:
    write_results(tmp_path, ["one", "two"])
    text = build(tmp_path, words=KOREAN).read_text(encoding="utf-8")
    assert '<html lang="ko">' in text
    headings = [re.sub("<[^>]+>", "", heading) for heading in re.findall(r"<h[12][^>]*>(.*?)</h[12]>", text)]
    headings = [heading for heading in headings if heading]
    assert len(headings) > 8
    assert [heading for heading in headings if not HANGUL.search(heading)] == []
    assert "주장" in text
