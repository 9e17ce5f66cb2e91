"""Small tokenizer files in the published layouts, trained on a few sentences: `make_tokenizers.py OUT_FOLDER`.

`english.json` and `multilingual.json` have the published sizes (704 and 2454 entries, [STOP] 0, [UNK] 1, [SPACE] 2,
[START] 255); `gpt2/` is a byte-level vocabulary with its merges and the cues that Turbo adds at its end; `cangjie.json` has the
layout of `Cangjie5_TC.json`.
"""

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from text_cases import CUES, LANGUAGES, SENTENCES

SPECIAL = ["[STOP]", "[UNK]", "[SPACE]", "[START]", "[PAD]", "[SEP]", "[CLS]", "[MASK]"]
START = 255

CANGJIE = [
    "你\tonf", "好\tvnd", "世\tpt", "界\twll", "今\toin", "天\tmk", "气\tomn", "中\tl", "国\twmgi", "人\to",
    "入\to", "八\to", "不\tmf", "日\ta", "曰\ta", "明\tab", "，\tzxab", "。\tzxac", "很\thoav", "我\thqi",
]


def grapheme(out: Path, size: int, special: list[str], corpus: list[str]) -> None:
    """A BPE over words, its specials first except [START]."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, show_progress=False, min_frequency=2, max_token_length=6
    )
    tokenizer.train_from_iterator(corpus, trainer)
    layout = json.loads(tokenizer.to_str())
    vocabulary = layout["model"]["vocab"]
    for index in range(len(vocabulary), size):
        vocabulary[f"<unused{index}>"] = index
    moved = next(token for token, index in vocabulary.items() if index == START)
    vocabulary[moved], vocabulary["[START]"] = vocabulary["[START]"], START
    for added in layout["added_tokens"]:
        added["id"] = vocabulary[added["content"]]
    layout["added_tokens"].sort(key=lambda added: added["id"])
    layout["model"]["vocab"] = dict(sorted(vocabulary.items(), key=lambda item: item[1]))
    assert len(vocabulary) == size and sorted(vocabulary.values()) == list(range(size))
    out.write_text(json.dumps(layout, ensure_ascii=False, separators=(",", ":")))


def gpt2(folder: Path, corpus: list[str]) -> None:
    """A byte-level BPE as four files; the cues have the ids behind its own."""
    folder.mkdir(exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    end = "<|endoftext|>"
    vocabulary[end] = len(vocabulary)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False, separators=(",", ":")))
    merges = [" ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    added = {cue: len(vocabulary) + index for index, cue in enumerate(CUES)}
    (folder / "added_tokens.json").write_text(json.dumps(added, indent=1))
    config = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False, "model_max_length": 1024}
    config |= {key: end for key in ("bos_token", "eos_token", "unk_token")}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def main(out: Path) -> None:
    text = {language: [s.lower() for s in rows] for language, rows in SENTENCES.items()}
    import unicodedata

    every = [unicodedata.normalize("NFKD", s) for rows in text.values() for s in rows]
    upper = [s for s in SENTENCES["en"]] + text["en"]
    grapheme(out / "english.json", 704, SPECIAL, upper * 2 + [chr(c) for c in range(33, 127)] * 2)
    codes = [f"[cj_{c}]" for c in "abcdefghijklmnopqrstuvwxyz0123456789."]
    grapheme(out / "multilingual.json", 2454, [*SPECIAL, *(f"[{l}]" for l in LANGUAGES), *codes], every * 2)
    gpt2(out / "gpt2", SENTENCES["en"] * 2)
    words = ["你好 300 l", "世界 200 n", "今天 200 t", "天气 150 n", "中国 400 ns", "国人 20 n", "天天 30 d"]
    (out / "words.txt").write_text("\n".join([*words, *(f"{c} 90" for c in "今天气中国人不明我很好日")]) + "\n")
    (out / "cangjie.json").write_text(json.dumps(CANGJIE, ensure_ascii=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
