"""Trains the letter-to-sound network that src/letter_to_sound.bin holds.

It learns from the misaki dictionaries (Apache-2.0), American and British together: two bidirectional GRU layers over
the letters of a word, each letter yielding two slots of a CTC alphabet of phonemes that carry their stress mark.
Words whose hash falls into the held-out class (see `held_out`; the crate's accuracy test takes the same words)
are never trained on.

    python -m venv v && . v/bin/activate && pip install torch numpy
    cargo vendor vendored            # its misaki-rs/data holds {us,gb}_{gold,silver}.json
    python letter_to_sound.py train vendored/misaki-rs/data model.pt
    python letter_to_sound.py export model.pt ../src/letter_to_sound.bin

The committed table was trained so on the dictionaries of the crate misaki-rs 0.8.0 (misaki's, with corrections), which
took a quarter of an hour on one CPU core. Its last epoch's phoneme error rate on held-out words was, for American gold
and silver and British gold and silver, 6.4, 3.9, 6.6 and 3.1 % (stress aside).
"""

import argparse
import json
import math
import random
import re
import struct
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SLOTS = 2  # phonemes that one letter can yield
TOKEN = re.compile("[ˈˌ]?.ː?")
RARE = 40  # tokens seen less often are not learnt, nor are the words that hold them
HELD_OUT_IN = 40


def content_hash(word):
    """FNV-1a over the word and a closing 0xff, as `stentor_types::content_hash(&[word])`."""
    value = 0xCBF29CE484222325
    for byte in word.encode() + b"\xff":
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def held_out(word):
    return content_hash(word) % HELD_OUT_IN == 0


def read_dictionaries(folder):
    """(word, accent 0=US 1=GB, phoneme tokens, is_gold) for words of plain letters, lower-cased."""
    entries = {}
    for accent, name in enumerate(("us", "gb")):
        for grade in ("silver", "gold"):  # gold overwrites silver
            for word, value in json.loads((Path(folder) / f"{name}_{grade}.json").read_text()).items():
                if isinstance(value, dict):
                    value = value.get("DEFAULT")
                if value and re.fullmatch("[A-Za-z][a-z]+", word):
                    entries[word.lower(), accent] = (TOKEN.findall(value), grade == "gold")
    return [(word, accent, tokens, gold) for (word, accent), (tokens, gold) in entries.items()]


class Network(nn.Module):
    def __init__(self, vocabulary, embedding=32, hidden=96):
        super().__init__()
        self.vocabulary = vocabulary
        self.letter = nn.Embedding(len(LETTERS), embedding)
        self.accent = nn.Embedding(2, embedding)
        self.gru = nn.GRU(embedding, hidden, num_layers=2, bidirectional=True, batch_first=True)
        self.output = nn.Linear(2 * hidden, SLOTS * (len(vocabulary) + 1))
        self.drop = nn.Dropout(0.05)

    def forward(self, letters, accents):
        """letters [B, T], accents [B] -> log probabilities [B, SLOTS*T, 1+V]; token 0 is CTC's blank."""
        x = self.letter(letters) + self.accent(accents)[:, None]
        x, _ = self.gru(x)
        x = self.output(self.drop(x))
        return x.view(len(letters), SLOTS * letters.shape[1], -1).log_softmax(-1)


def batches(data, size, shuffle):
    """Batches of words of one length, so that nothing is padded."""
    by_length = {}
    for item in data:
        by_length.setdefault(len(item[0]), []).append(item)
    result = []
    for items in by_length.values():
        if shuffle:
            random.shuffle(items)
        result += [items[i : i + size] for i in range(0, len(items), size)]
    if shuffle:
        random.shuffle(result)
    return result


def decode(log_probabilities):
    best = log_probabilities.argmax(-1).tolist()
    return [[t for i, t in enumerate(row) if t and (i == 0 or row[i - 1] != t)] for row in best]


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def evaluate(model, data):
    """Phoneme error rate without stress marks, and the share of words that are right with and without them."""
    model.eval()
    errors = total = exact = exact_phonemes = 0
    with torch.no_grad():
        for batch in batches(data, 512, shuffle=False):
            log_probabilities = model(*tensors(batch))
            for item, found in zip(batch, decode(log_probabilities)):
                want = [model.vocabulary[t - 1] for t in item[2]]
                found = [model.vocabulary[t - 1] for t in found]
                exact += want == found
                want, found = ([t.lstrip("ˈˌ") for t in tokens] for tokens in (want, found))
                errors += distance(want, found)
                exact_phonemes += want == found
                total += len(want)
    model.train()
    return errors / total, exact / len(data), exact_phonemes / len(data)


def tensors(batch):
    letters = torch.tensor([[LETTERS.index(c) for c in item[0]] for item in batch])
    return letters, torch.tensor([item[1] for item in batch])


def prepare(folder):
    entries = read_dictionaries(folder)
    counts = {}
    for _, _, tokens, _ in entries:
        for token in tokens:
            counts[token] = counts.get(token, 0) + 1
    vocabulary = sorted(token for token, n in counts.items() if n >= RARE)
    index = {token: i + 1 for i, token in enumerate(vocabulary)}
    train, test = [], []
    for word, accent, tokens, gold in entries:
        ids = [index.get(token) for token in tokens]
        repeats = sum(a == b for a, b in zip(ids, ids[1:]))
        if None in ids or len(ids) + repeats > SLOTS * len(word):
            continue
        (test if held_out(word) else train).append((word, accent, ids, gold))
    # The silver dictionaries hold many inflected forms; every other word of theirs is enough.
    train = [item for item in train if item[3] or content_hash(item[0]) % 2]
    return vocabulary, train, test


def train(args):
    torch.manual_seed(1)
    random.seed(1)
    torch.set_num_threads(args.threads)
    vocabulary, data, test = prepare(args.dictionaries)
    print(len(vocabulary), "tokens,", len(data), "to train on,", len(test), "held out", flush=True)
    model = Network(vocabulary)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=1e-3)
    steps = args.epochs * len(batches(data, args.batch, shuffle=False))
    warm = min(300, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * min(s / steps, 1)))
    )
    for epoch in range(args.epochs):
        start, losses = time.time(), []
        for batch in batches(data, args.batch, shuffle=True):
            log_probabilities = model(*tensors(batch)).transpose(0, 1)
            targets = torch.tensor([t for item in batch for t in item[2]])
            lengths = torch.tensor([len(item[2]) for item in batch])
            inputs = torch.full((len(batch),), log_probabilities.shape[0])
            loss = nn.functional.ctc_loss(log_probabilities, targets, inputs, lengths)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if len(losses) % 100 == 0:
                print(len(losses), f"{np.mean(losses[-100:]):.4f}", f"{time.time() - start:.0f} s", flush=True)
        print(epoch, f"{np.mean(losses):.4f}", f"{time.time() - start:.0f} s", end=" ")
        for accent in (0, 1):
            for grade in (True, False):
                part = [item for item in test if item[1] == accent and item[3] == grade]
                print("us" if accent == 0 else "gb", "gold" if grade else "silver", "%.4f %.3f %.3f" % evaluate(model, part), end=" | ")
        print(flush=True)
        torch.save({"vocabulary": vocabulary, "state": model.state_dict()}, args.model)


def quantized(matrix):
    """Rows of int8, each after its f32 scale."""
    out = b""
    for row in matrix:
        scale = float(np.abs(row).max()) / 127 or 1.0
        out += struct.pack("<f", scale) + np.round(row / scale).clip(-127, 127).astype(np.int8).tobytes()
    return out


def export(args):
    """Little-endian. u16: letters, embedding, hidden, slots, tokens; u32 byte length of the tokens, then the tokens,
    one a line; f32 embedding sums [accent, letter, embedding]; per layer and direction W_ih, b_ih, W_hh, b_hh
    (torch's gate order r z n); output W, b. A matrix is rows of f32 scale and int8 values, a bias is f32."""
    saved = torch.load(args.model)
    state = {name: tensor.numpy() for name, tensor in saved["state"].items()}
    hidden = state["gru.weight_hh_l0"].shape[1]
    tokens = "\n".join(saved["vocabulary"]).encode()
    sums = state["accent.weight"][:, None] + state["letter.weight"][None]
    out = struct.pack("<5H", len(LETTERS), sums.shape[2], hidden, SLOTS, len(saved["vocabulary"]))
    out += struct.pack("<I", len(tokens)) + tokens + sums.astype("<f4").tobytes()
    for layer in ("l0", "l1"):
        for direction in ("", "_reverse"):
            for part in ("ih", "hh"):
                out += quantized(state[f"gru.weight_{part}_{layer}{direction}"])
                out += state[f"gru.bias_{part}_{layer}{direction}"].astype("<f4").tobytes()
    out += quantized(state["output.weight"]) + state["output.bias"].astype("<f4").tobytes()
    Path(args.table).write_bytes(out)
    print(len(out), "bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    sub = commands.add_parser("train")
    sub.add_argument("dictionaries")
    sub.add_argument("model")
    sub.add_argument("--epochs", type=int, default=5)
    sub.add_argument("--batch", type=int, default=256)
    sub.add_argument("--rate", type=float, default=3e-3)
    sub.add_argument("--threads", type=int, default=1)
    sub.set_defaults(run=train)
    sub = commands.add_parser("export")
    sub.add_argument("model")
    sub.add_argument("table")
    sub.set_defaults(run=export)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
