"""BLAKE2s (RFC 7693) of sixteen messages at once, or of one: unkeyed, with 32-byte digests.

Word j of the sixteen messages or digests is stored at 16·j … 16·j + 15. A word is a number; on the
wire its bytes are in little-endian order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from dragon.stark.prover.kernels.formulas import element, outlined
from dragon.stark.prover.kernels.jit import Words32, inline, intrinsic

MESSAGES: Final = 16
BLOCK_WORDS: Final = 16  # 64 bytes
DIGEST_WORDS: Final = 8  # 32 bytes
_BLOCK_BYTES: Final = 64
_WORD: Final = ir.IntType(32)
_VECTOR: Final = ir.VectorType(_WORD, MESSAGES)
_DOUBLE: Final = ir.IntType(64)
_INITIAL: Final = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)  # fmt: skip
_PARAMETERS: Final = 0x01010020  # 32-byte digest, no key, no tree mode
_SCHEDULE: Final = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
_MIXES: Final = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip


def _splat(builder: Any, word: Any, kind: Any = _VECTOR) -> Any:
    """The word in every message; `kind` is the type of one word of all messages."""
    if kind == _WORD:
        return word
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, word, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(first, undefined, _constant(0))


def _constant(word: int, kind: Any = _VECTOR) -> Any:
    return ir.Constant(kind, word if kind == _WORD else [word] * MESSAGES)


def _vector(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """A pointer to the sixteen words, or sixteen double words, that start at an index."""
    data = context.make_array(array_type)(context, builder, array).data
    wide = array_type.dtype == types.uint64
    kind = ir.VectorType(_DOUBLE, MESSAGES) if wide else _VECTOR
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _load(builder: Any, pointer: Any) -> Any:
    value = builder.load(pointer)
    value.align = 4
    return value


def _store(builder: Any, value: Any, pointer: Any) -> None:
    builder.store(value, pointer).align = 4


def _mix(builder: Any, rotate: Any, v: list[Any], places: tuple[int, ...], x: Any, y: Any) -> None:
    """The function G of RFC 7693."""
    a, b, c, d = places
    for word, first, second in ((x, 16, 12), (y, 8, 7)):
        v[a] = builder.add(builder.add(v[a], v[b]), word)
        v[d] = rotate(builder.xor(v[d], v[a]), first)
        v[c] = builder.add(v[c], v[d])
        v[b] = rotate(builder.xor(v[b], v[c]), second)


def _permutation(kind: Any) -> Callable[..., None]:
    """The function F of RFC 7693 for sixteen messages, or for one if `kind` is a word."""

    def permute(builder: Any, states: Any, words: Any, length: Any, final: Any) -> None:
        h = [builder.gep(states, [ir.Constant(_WORD, i)]) for i in range(DIGEST_WORDS)]
        m = [
            _load(builder, builder.gep(words, [ir.Constant(_WORD, i)])) for i in range(BLOCK_WORDS)
        ]
        name = "llvm.fshr.i32" if kind == _WORD else "llvm.fshr.v16i32"
        shift = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), name
        )

        def rotate(x: Any, bits: int) -> Any:
            return builder.call(shift, [x, x, _constant(bits, kind)])

        before = [_load(builder, pointer) for pointer in h]
        v = before + [_constant(word, kind) for word in _INITIAL]
        v[12] = builder.xor(v[12], _splat(builder, builder.trunc(length, _WORD), kind))
        v[14] = builder.xor(v[14], _splat(builder, builder.trunc(final, _WORD), kind))
        for order in _SCHEDULE:
            for k, places in enumerate(_MIXES):
                _mix(builder, rotate, v, places, m[order[2 * k]], m[order[2 * k + 1]])
        for i, pointer in enumerate(h):
            _store(builder, builder.xor(before[i], builder.xor(v[i], v[i + 8])), pointer)

    return permute


@intrinsic
def _compress(_typing: Any, state: Any, message: Any, at: Any, length: Any, final: Any) -> Any:
    """The function F of RFC 7693 on the state at 0 and the block at `at`."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        zero = ir.Constant(_DOUBLE, 0)
        states = _vector(context, builder, signature.args[0], values[0], zero)
        words = _vector(context, builder, signature.args[1], values[1], values[2])
        arguments = (states, words, values[3], values[4])
        outlined(builder, "dragon_blake2s", ir.VoidType(), arguments, _permutation(_VECTOR))
        return context.get_dummy_value()

    return types.void(state, message, types.int64, types.int64, types.int64), generate


@intrinsic
def _compress_one(_typing: Any, state: Any, message: Any, at: Any, length: Any, final: Any) -> Any:
    """The function F on the eight words of `state` and the sixteen of `message` from `at` on."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        zero = ir.Constant(_DOUBLE, 0)
        states = element(context, builder, signature.args[0], values[0], zero, _WORD)
        words = element(context, builder, signature.args[1], values[1], values[2], _WORD)
        arguments = (states, words, values[3], values[4])
        outlined(builder, "dragon_blake2s_one", ir.VoidType(), arguments, _permutation(_WORD))
        return context.get_dummy_value()

    return types.void(state, message, types.int64, types.int64, types.int64), generate


@intrinsic
def put_numbers(_typing: Any, numbers: Any, index: Any, message: Any, at: Any) -> Any:
    """Write sixteen 64-bit numbers, from `index` on, as two words each: big endian on the wire."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        source = _vector(context, builder, signature.args[0], values[0], values[1])
        target = _vector(context, builder, signature.args[2], values[2], values[3])
        swap = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR]), "llvm.bswap.v16i32"
        )
        wide = _load(builder, source)
        high = builder.lshr(wide, ir.Constant(ir.VectorType(_DOUBLE, MESSAGES), [32] * MESSAGES))
        for k, half in enumerate((high, wide)):
            word = builder.call(swap, [builder.trunc(half, _VECTOR)])
            _store(builder, word, builder.gep(target, [ir.Constant(_WORD, k)]))
        return context.get_dummy_value()

    return types.void(numbers, types.int64, message, types.int64), generate


@intrinsic
def put_pairs(_typing: Any, words: Any, index: Any, message: Any, even_at: Any, odd_at: Any) -> Any:
    """Split 32 words, from `index` on: those at even places go to `even_at`, others to `odd_at`."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        source = _vector(context, builder, signature.args[0], values[0], values[1])
        pair = [_load(builder, builder.gep(source, [ir.Constant(_WORD, k)])) for k in range(2)]
        for parity in range(2):
            target = _vector(context, builder, signature.args[2], values[2], values[3 + parity])
            places = ir.Constant(_VECTOR, list(range(parity, 2 * MESSAGES, 2)))
            _store(builder, builder.shuffle_vector(*pair, places), target)
        return context.get_dummy_value()

    return types.void(words, types.int64, message, types.int64, types.int64), generate


@intrinsic
def put_words(_typing: Any, words: Any, index: Any, message: Any, at: Any) -> Any:
    """Copy one word of each of the sixteen messages."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        source = _vector(context, builder, signature.args[0], values[0], values[1])
        target = _vector(context, builder, signature.args[2], values[2], values[3])
        _store(builder, _load(builder, source), target)
        return context.get_dummy_value()

    return types.void(words, types.int64, message, types.int64), generate


@intrinsic
def put_word(_typing: Any, word: Any, message: Any, at: Any) -> Any:
    """Write the same word into all sixteen messages."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        target = _vector(context, builder, signature.args[1], values[1], values[2])
        _store(builder, _splat(builder, values[0]), target)
        return context.get_dummy_value()

    return types.void(types.uint32, message, types.int64), generate


@intrinsic
def put_counters(_typing: Any, first: Any, message: Any, at: Any) -> Any:
    """Write first, first + 1, …, first + 15 as two big-endian words each."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        wide = ir.VectorType(_DOUBLE, MESSAGES)
        target = _vector(context, builder, signature.args[1], values[1], values[2])
        undefined = ir.Constant(wide, ir.Undefined)
        start = builder.insert_element(undefined, values[0], ir.Constant(_WORD, 0))
        start = builder.shuffle_vector(start, undefined, _constant(0))
        counters = builder.add(start, ir.Constant(wide, list(range(MESSAGES))))
        swap = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR]), "llvm.bswap.v16i32"
        )
        high = builder.lshr(counters, ir.Constant(wide, [32] * MESSAGES))
        for k, half in enumerate((high, counters)):
            word = builder.call(swap, [builder.trunc(half, _VECTOR)])
            _store(builder, word, builder.gep(target, [ir.Constant(_WORD, k)]))
        return context.get_dummy_value()

    return types.void(types.int64, message, types.int64), generate


@intrinsic
def swapped(_typing: Any, word: Any) -> Any:
    """The word with its bytes in reverse order."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.bswap(values[0])

    return types.uint32(types.uint32), generate


@inline
def digest(state: Words32, message: Words32, size: int) -> None:
    """Hash sixteen messages of `size` bytes, padded with zeros to whole blocks, into `state`."""
    for j in range(DIGEST_WORDS):
        put_word(np.uint32(_INITIAL[j]), state, MESSAGES * j)
    put_word(np.uint32(_INITIAL[0] ^ _PARAMETERS), state, 0)
    done, at = 0, 0
    while size - done > _BLOCK_BYTES:
        done += _BLOCK_BYTES
        _compress(state, message, at, done, 0)
        at += MESSAGES * BLOCK_WORDS
    _compress(state, message, at, size, 0xFFFFFFFF)


@inline
def digest_one(state: Words32, message: Words32, size: int) -> None:
    """Hash one message of `size` bytes, padded with zeros to whole blocks, into `state`."""
    for j in range(DIGEST_WORDS):
        state[j] = np.uint32(_INITIAL[j])
    state[0] = np.uint32(_INITIAL[0] ^ _PARAMETERS)
    done, at = 0, 0
    while size - done > _BLOCK_BYTES:
        done += _BLOCK_BYTES
        _compress_one(state, message, at, done, 0)
        at += BLOCK_WORDS
    _compress_one(state, message, at, size, 0xFFFFFFFF)
