# SPDX-License-Identifier: MIT
"""An allocation-heavy program: text, dictionaries, sorting, JSON, compression and byte buffers of many sizes."""
import json
import random
import zlib


def words(rng, count):
    return ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randrange(2, 12))) for _ in range(count)]


def index_text(rng):
    index = {}
    for position, word in enumerate(words(rng, 60000)):
        index.setdefault(word[:3], []).append((position, word))
    return {key: sorted(value, key=lambda item: item[1]) for key, value in index.items()}


def documents(rng, count):
    pages = [{"id": i, "title": " ".join(words(rng, 8)), "tags": words(rng, 5),
              "body": " ".join(words(rng, rng.randrange(20, 2000)))} for i in range(count)]
    text = json.dumps(pages)
    packed = zlib.compress(text.encode(), 6)
    return len(json.loads(zlib.decompress(packed)))


def buffers(rng, rounds):
    live = [bytearray(4096)] * 400
    for _ in range(rounds):
        pages = rng.choice((1, 1, 1, 2, 2, 3, 4, 6, 8, 12, 16, 24, 31, 48))
        live[rng.randrange(len(live))] = bytearray(pages * 4096 - rng.randrange(4096))


def growth(rng, rounds):
    for _ in range(rounds):
        line = bytearray()
        for _ in range(rng.randrange(10, 300)):
            line += bytes(rng.randrange(100, 3000))
        table = list(range(rng.randrange(1000, 60000)))
        table.extend(line)


def main():
    rng = random.Random(1)
    index = index_text(rng)
    for _ in range(6):
        documents(rng, 150)
        buffers(rng, 14000)
        growth(rng, 30)
    print(len(index))


main()
