"""What the reference's tokenizers make of `text_cases.SENTENCES`: `dump_text.py DATA_FOLDER`, which holds `make_tokenizers.py`'s
files and gets `ids.tsv`: family, language, the text as a JSON string, ids.
"""

import json
import sys
from pathlib import Path

import common  # noqa: F401  (stands in for a package that is not needed)
import chatterbox.models.tokenizers.tokenizer as tokenizer_module
from chatterbox import mtl_tts, tts, tts_turbo
from chatterbox.models.tokenizers import EnTokenizer, MTLTokenizer
from transformers import AutoTokenizer

from text_cases import CHINESE_WORDS, CUES, SENTENCES


class Segmenter:
    """Stands for the reference's model: the words of these sentences are known."""

    def cut(self, text):
        return CHINESE_WORDS[text].split()


def main(folder: Path) -> None:
    rows = []

    def row(family, language, text, ids):
        rows.append("\t".join([family, language, json.dumps(text), " ".join(map(str, ids))]) + "\n")

    english = EnTokenizer(str(folder / "english.json"))
    tokenizer_module.hf_hub_download = lambda **_: str(folder / "cangjie.json")
    multilingual = MTLTokenizer(str(folder / "multilingual.json"))
    turbo = AutoTokenizer.from_pretrained(folder / "gpt2")
    for cue, index in json.loads((folder / "gpt2" / "added_tokens.json").read_text()).items():
        assert turbo.convert_tokens_to_ids(cue) == index and cue in CUES, (cue, turbo.convert_tokens_to_ids(cue))
    parted = MTLTokenizer(str(folder / "multilingual.json"))
    parted.cangjie_converter.segmenter = Segmenter()
    for text in SENTENCES["zh"]:
        ids = parted.encode(mtl_tts.punc_norm(text), language_id="zh")
        row("words", "zh", text, [255, *ids, 0])
    for text in SENTENCES["en"]:
        row("english", "en", text, [255, *english.encode(tts.punc_norm(text)), 0])
        row("turbo", "en", text, turbo(tts_turbo.punc_norm(text), truncation=True).input_ids)
    for language, texts in SENTENCES.items():
        for text in texts:
            ids = multilingual.encode(mtl_tts.punc_norm(text), language_id=language)
            row("multilingual", language, text, [255, *ids, 0])
    (folder / "ids.tsv").write_text("".join(rows))
    print(len(rows), "rows")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
