"""The function that runs instructions, as LLVM code, to be compiled for the processor at hand.

It needs only `llvmlite`, which takes a fifth of the time of numba to load, and a third of the
memory that processes cannot share. It is small and compiled in less than a tenth of a second, so
there is no cache, nor a directory that nobody else may write to.

Source of the multiplication: Koç, Acar and Kaliski, "Analyzing and Comparing Montgomery
Multiplication Algorithms", IEEE Micro 1996 (CIOS). p has a free bit, so no carry leaves the highest
word.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from dragon_sequencer.machine.instructions import Operation
from dragon_sequencer.tower import P

WORDS: Final = 4  # of 64 bits in a register
_P: Final = [P >> 64 * at & (1 << 64) - 1 for at in range(WORDS)]
_MINUS_P_INVERSE: Final = -pow(P, -1, 1 << 64) % (1 << 64)


class _Body:
    """The code of one function. Names of values are returned; operands are names or numbers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names: Iterator[int] = itertools.count()

    def emit(self, instruction: str) -> str:
        """Append an instruction. Returns the name of its result."""
        name = f"%v{next(self._names)}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def words(self, pointer: str) -> list[str]:
        """Load the four words of a register, each extended to 128 bits."""
        found = []
        for at in range(WORDS):
            place = self.emit(f"getelementptr i64, ptr {pointer}, i64 {at}")
            found.append(self.wide(self.emit(f"load i64, ptr {place}, align 8")))
        return found

    def wide(self, word: str) -> str:
        return self.emit(f"zext i64 {word} to i128")

    def low(self, double: str) -> str:
        """The low word, extended."""
        return self.emit(f"and i128 {double}, {(1 << 64) - 1}")

    def high(self, double: str) -> str:
        """The high word, extended."""
        return self.emit(f"lshr i128 {double}, 64")

    def sum(self, *doubles: str) -> str:
        total = doubles[0]
        for double in doubles[1:]:
            total = self.emit(f"add nuw i128 {total}, {double}")
        return total

    def product(self, a: str, b: str | int) -> str:
        return self.emit(f"mul nuw i128 {a}, {b}")

    def joined(self, words: list[str]) -> str:
        """The number of 256 bits that has these words."""
        total = self.emit(f"zext i128 {words[0]} to i256")
        for at, word in enumerate(words[1:], 1):
            shifted = self.emit(f"shl i256 {self.emit(f'zext i128 {word} to i256')}, {64 * at}")
            total = self.emit(f"or i256 {total}, {shifted}")
        return total

    def store_reduced(self, number: str) -> None:
        """Store a number below 2·p, less p unless it is below p."""
        reduced = self.emit(f"call i256 @reduced(i256 {number})")
        self.lines.append(f"  store i256 {reduced}, ptr %target, align 8")

    def function(self, name: str) -> str:
        arguments = "ptr %target, ptr %a, ptr %b"
        return "\n".join(
            [f"define internal void @{name}({arguments}) noinline nounwind {{", *self.lines,
             "  ret void", "}"]
        )  # fmt: skip


def _multiply() -> str:
    """a·b / 2²⁵⁶ modulo p."""
    body = _Body()
    a, b = body.words("%a"), body.words("%b")
    total = ["0"] * WORDS
    for factor in b:
        first = body.sum(body.product(a[0], factor), total[0])
        carry, low = body.high(first), body.low(first)
        wanted = body.low(body.product(low, _MINUS_P_INVERSE))
        borrowed = body.high(body.sum(body.product(wanted, _P[0]), low))
        for at in range(1, WORDS):
            term = body.sum(body.product(a[at], factor), total[at], carry)
            carry = body.high(term)
            reduced = body.sum(body.product(wanted, _P[at]), body.low(term), borrowed)
            borrowed, total[at - 1] = body.high(reduced), body.low(reduced)
        total[WORDS - 1] = body.sum(carry, borrowed)
    body.store_reduced(body.joined(total))
    return body.function("multiply")


# Every operation has a block of its name.
_FOLLOWING: Final = ", ".join(f"[ %following, %{each.name} ]" for each in Operation)
_LABELS: Final = " ".join(f"i64 {each.value}, label %{each.name}" for each in Operation)
_REST: Final = f"""
define internal i256 @reduced(i256 %number) alwaysinline nounwind {{
  %less = sub i256 %number, {P}
  %negative = icmp slt i256 %less, 0
  %result = select i1 %negative, i256 %number, i256 %less
  ret i256 %result
}}

define internal void @add(ptr %target, ptr %a, ptr %b) alwaysinline nounwind {{
  %x = load i256, ptr %a, align 8
  %y = load i256, ptr %b, align 8
  %sum = add nuw i256 %x, %y
  %result = call i256 @reduced(i256 %sum)
  store i256 %result, ptr %target, align 8
  ret void
}}

define internal void @subtract(ptr %target, ptr %a, ptr %b) alwaysinline nounwind {{
  %x = load i256, ptr %a, align 8
  %y = load i256, ptr %b, align 8
  %difference = sub i256 %x, %y
  %more = add i256 %difference, {P}
  %negative = icmp slt i256 %difference, 0
  %result = select i1 %negative, i256 %more, i256 %difference
  store i256 %result, ptr %target, align 8
  ret void
}}

define internal void @triple(ptr %target, ptr %a) alwaysinline nounwind {{
  %x = load i256, ptr %a, align 8
  %sum = add nuw i256 %x, %x
  %double = call i256 @reduced(i256 %sum)
  %more = add nuw i256 %double, %x
  %result = call i256 @reduced(i256 %more)
  store i256 %result, ptr %target, align 8
  ret void
}}

define internal void @copy(ptr %target, ptr %a) alwaysinline nounwind {{
  %x = load i256, ptr %a, align 8
  store i256 %x, ptr %target, align 8
  ret void
}}

define internal void @power(ptr %target, ptr %a, ptr %b) noinline nounwind {{
entry:
  %base = alloca i256, align 8
  %result = alloca i256, align 8
  call void @copy(ptr %base, ptr %a)
  call void @copy(ptr %result, ptr %a)
  %exponent = load i256, ptr %b, align 8
  %zeros = call i256 @llvm.ctlz.i256(i256 %exponent, i1 false)
  %top = sub i256 255, %zeros
  br label %next
next:
  %bit = phi i256 [ %top, %entry ], [ %lower, %squared ], [ %lower, %multiplied ]
  %more = icmp sgt i256 %bit, 0
  br i1 %more, label %squared, label %done
squared:
  %lower = sub i256 %bit, 1
  call void @multiply(ptr %result, ptr %result, ptr %result)
  %shifted = lshr i256 %exponent, %lower
  %set = trunc i256 %shifted to i1
  br i1 %set, label %multiplied, label %next
multiplied:
  call void @multiply(ptr %result, ptr %result, ptr %base)
  br label %next
done:
  call void @copy(ptr %target, ptr %result)
  ret void
}}

define void @run(ptr %code, ptr %calls, i64 %count, ptr %registers) nounwind {{
entry:
  br label %next_call
next_call:
  %call = phi i64 [ 0, %entry ], [ %following_call, %next ]
  %more_calls = icmp ult i64 %call, %count
  br i1 %more_calls, label %begin, label %done
begin:
  %start_at = getelementptr [3 x i32], ptr %calls, i64 %call
  %stop_at = getelementptr i32, ptr %start_at, i64 1
  %base_at = getelementptr i32, ptr %start_at, i64 2
  %start_32 = load i32, ptr %start_at, align 4
  %stop_32 = load i32, ptr %stop_at, align 4
  %base_32 = load i32, ptr %base_at, align 4
  %start = zext i32 %start_32 to i64
  %stop = zext i32 %stop_32 to i64
  %base = zext i32 %base_32 to i64
  %moved = getelementptr i256, ptr %registers, i64 %base
  %following_call = add i64 %call, 1
  br label %next
next:
  %at = phi i64 [ %start, %begin ], {_FOLLOWING}
  %following = add i64 %at, 1
  %more = icmp ult i64 %at, %stop
  br i1 %more, label %decode, label %next_call
decode:
  %place = getelementptr i64, ptr %code, i64 %at
  %word = load i64, ptr %place, align 8
  %operation = and i64 %word, 65535
  %shifted_1 = lshr i64 %word, 16
  %shifted_2 = lshr i64 %word, 32
  %target_number = and i64 %shifted_1, 65535
  %a_number = and i64 %shifted_2, 65535
  %b_number = lshr i64 %word, 48
  %target = getelementptr i256, ptr %registers, i64 %target_number
  %a = getelementptr i256, ptr %registers, i64 %a_number
  %b = getelementptr i256, ptr %registers, i64 %b_number
  switch i64 %operation, label %unknown [
    {_LABELS}
  ]
ADD:
  call void @add(ptr %target, ptr %a, ptr %b)
  br label %next
SUBTRACT:
  call void @subtract(ptr %target, ptr %a, ptr %b)
  br label %next
MULTIPLY:
  call void @multiply(ptr %target, ptr %a, ptr %b)
  br label %next
TRIPLE:
  call void @triple(ptr %target, ptr %a)
  br label %next
POWER:
  call void @power(ptr %target, ptr %a, ptr %b)
  br label %next
COPY:
  call void @copy(ptr %target, ptr %a)
  br label %next
LOAD:
  %from = getelementptr i256, ptr %moved, i64 %a_number
  call void @copy(ptr %target, ptr %from)
  br label %next
STORE:
  %to = getelementptr i256, ptr %moved, i64 %target_number
  call void @copy(ptr %to, ptr %a)
  br label %next
unknown:
  unreachable
done:
  ret void
}}

declare i256 @llvm.ctlz.i256(i256, i1)
"""

SOURCE: Final = _multiply() + _REST
