# SPDX-License-Identifier: MIT
"""Print a large C file: the system's headers, then many functions that give an optimiser work."""
import random
import sys

HEADERS = """ctype errno fcntl inttypes locale math netdb poll pthread pwd signal stdatomic stddef stdio stdlib
string sys/mman sys/resource sys/socket sys/stat sys/time sys/types time unistd wchar wctype""".split()


def expression(rng, depth):
    if depth == 0:
        return rng.choice(["a", "b", "c", "table[i & 63]", str(rng.randrange(1, 1 << 20))])
    left, right = expression(rng, depth - 1), expression(rng, depth - 1)
    return f"({left} {rng.choice(['+', '-', '*', '^', '|', '&'])} {right})"


def function(rng, number):
    print(f"static unsigned work_{number}(unsigned a, unsigned b, unsigned c)\n{{")
    print("    static unsigned table[64];\n    unsigned sum = 0;")
    for _ in range(rng.randrange(2, 5)):
        bound = rng.randrange(4, 64)
        print(f"    for (unsigned i = 0; i < {bound}; i++) {{")
        for _ in range(rng.randrange(1, 6)):
            print(f"        sum += {expression(rng, rng.randrange(1, 4))};")
        print(f"        if (sum & {1 << rng.randrange(0, 20)}u)\n            table[i & 63] = sum;")
        print("    }")
    print("    switch (sum & 15) {")
    for case in rng.sample(range(16), 8):
        callee = f"work_{rng.randrange(number)}(b, c, sum)" if number else "a"
        print(f"    case {case}:\n        return sum + {callee};")
    print("    }\n    return sum;\n}\n")


def main():
    count = int(sys.argv[1])
    rng = random.Random(1)
    for header in HEADERS:
        print(f"#include <{header}.h>")
    for number in range(count):
        function(rng, number)
    print(f"int main(int argc, char **argv)\n{{\n    (void)argv;\n    return (int)work_{count - 1}((unsigned)argc, 1, 2);\n}}")


main()
