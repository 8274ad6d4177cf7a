"""The one loop that a page has in WebAssembly: four rows of numbers, each times a factor, are added to a fifth.

It is written down here in WebAssembly's own text, and assembled here. A page does the same in JavaScript where a
browser has no WebAssembly, in half to a third of the speed.
"""

import re

__all__ = ["ADD_ROWS", "assembled"]

LOCALS = ("out", "count", "a", "b", "c", "d", "va", "vb", "vc", "vd", "stop", "wide")  # ten parameters, then its own
FACTORS = ("va", "vb", "vc", "vd")  # floats; the others are addresses in bytes, and `count`, of floats

# out[i] += va·a[i] + vb·b[i] + vc·c[i] + vd·d[i] for i below count: four at a time, then the rest one by one.
ADD_ROWS = """
    local.get out   local.get count   i32.const 2   i32.shl   i32.add   local.set stop
    local.get out   local.get count   i32.const 2   i32.shr_u   i32.const 4   i32.shl   i32.add   local.set wide
    block   loop
      local.get out   local.get wide   i32.ge_u   br_if 1
      local.get out   local.get out   v128.load
      FOUR(v128.load f32x4 va a)   f32x4.add   FOUR(v128.load f32x4 vb b)   f32x4.add
      FOUR(v128.load f32x4 vc c)   f32x4.add   FOUR(v128.load f32x4 vd d)   f32x4.add
      v128.store
      ON(16 out)   ON(16 a)   ON(16 b)   ON(16 c)   ON(16 d)
      br 0
    end   end
    block   loop
      local.get out   local.get stop   i32.ge_u   br_if 1
      local.get out   local.get out   f32.load
      ONE(va a)   f32.add   ONE(vb b)   f32.add   ONE(vc c)   f32.add   ONE(vd d)   f32.add
      f32.store
      ON(4 out)   ON(4 a)   ON(4 b)   ON(4 c)   ON(4 d)
      br 0
    end   end
    end
"""
MACROS = {
    r"FOUR\((\S+) (\S+) (\S+) (\S+)\)": r"local.get \3  \2.splat  local.get \4  \1  \2.mul",
    r"ONE\((\S+) (\S+)\)": r"local.get \1  local.get \2  f32.load  f32.mul",
    r"ON\((\S+) (\S+)\)": r"local.get \2  i32.const \1  i32.add  local.set \2",
}
CODES = {  # loads and stores with the alignment that may be counted on, four bytes, and no offset
    "local.get": "20", "local.set": "21", "i32.const": "41", "i32.add": "6a", "i32.shl": "74", "i32.shr_u": "76",
    "i32.ge_u": "4f", "block": "02 40", "loop": "03 40", "br": "0c", "br_if": "0d", "end": "0b", "f32.load": "2a 02 00",
    "f32.store": "38 02 00", "f32.add": "92", "f32.mul": "94", "f32x4.splat": "fd 13", "v128.load": "fd 00 02 00",
    "v128.store": "fd 0b 02 00", "f32x4.add": "fd e4 01", "f32x4.mul": "fd e6 01",
}  # fmt: skip
I32, F32 = 0x7F, 0x7D


def assembled() -> bytes:
    """A WebAssembly module that takes a memory, `page.memory`, and gives `add`, which is `ADD_ROWS`."""
    text = ADD_ROWS
    for short, long in MACROS.items():
        text = re.sub(short, long, text)
    body = b"".join(_operation(word) for word in text.split())
    parameters = [F32 if name in FACTORS else I32 for name in LOCALS[:10]]
    own = bytes([1, len(LOCALS) - 10, I32])  # one kind of further locals
    sections = {
        1: bytes([0x60, *_sized(bytes(parameters)), 0]),  # a type: a function of these that returns nothing
        2: _sized(b"page") + _sized(b"memory") + bytes([2, 0, 0]),  # import a memory of any size
        3: bytes([0]),  # a function of the first type
        7: _sized(b"add") + bytes([0, 0]),  # export it
        10: _sized(own + body),
    }
    return b"\0asm\1\0\0\0" + b"".join(bytes([kind]) + _sized(bytes([1]) + part) for kind, part in sections.items())


def _operation(word: str) -> bytes:
    """An operation, or what follows one: a local by its name, or a number below 64."""
    if word in CODES:
        return bytes.fromhex(CODES[word])
    return bytes([LOCALS.index(word) if word in LOCALS else int(word)])


def _sized(content: bytes) -> bytes:
    """Content after its length, seven bits a byte."""
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return length + bytes([size]) + content
