// Elements moved within UB: broadcast to blocks, gathered and scattered by byte offsets, packed, transposed.
#include "davinci/vector.h"

namespace al::davinci {
namespace {

struct MoveStep {
  Lanes lanes;
  Elements operands[3];  // dst, src, index or mask
  Place counted;         // GatherMask: where the number goes
  int64_t base, low, high;  // scaled: the byte that offsets count from; the table's bytes
  int64_t size;             // of what an offset points to, in bytes of the card
  const Program* program;   // for messages: with its site and the table's operand
  int32_t site, table;
  int16_t buffer;
  uint16_t opcode;
  int64_t scale, pattern, per_repeat;
  int64_t dst_row, src_row, rows, columns;  // Transpose: scaled bytes, elements
  bool counts;
};

// The card would take a neighbour's bytes, which no check of the program could have known, or stop at what is not aligned.
[[noreturn]] void refuse_offset(const MoveStep& s, uint32_t offset) {
  const std::string what = s.program->declarations[s.opcode].name + ": the byte offset " + std::to_string(offset);
  if (offset % s.size != 0)
    throw std::out_of_range(what + " is no multiple of " + std::to_string(s.size) + ", the bytes of what it points to; offsets count bytes" + s.program->where(s.site));
  const auto& names = s.program->vector_buffers;
  const std::string name = s.buffer >= 0 && s.buffer < static_cast<int64_t>(names.size()) ? " (" + names[s.buffer] + ")" : "";
  throw std::out_of_range(what + " leaves " + (s.table ? "src" : "dst") + name + ", which has " + std::to_string((s.high - s.base) / s.scale) +
                          " bytes; keep offsets within the tensor" + s.program->where(s.site));
}

// Where the byte offset of an index points to, refused where that is no element of the table.
int64_t offset_of(const MoveStep& s, const char* index) {
  uint32_t offset;
  std::memcpy(&offset, index, sizeof offset);
  const int64_t at = s.base + static_cast<int64_t>(offset) * s.scale;
  if (at < s.low || at + s.size * s.scale > s.high || (offset & (s.size - 1)) != 0) refuse_offset(s, offset);
  return at;
}

template <class F>
void by_item(int64_t bytes, F&& f) {
  switch (bytes) {
    case 1: return f(Type<uint8_t>{});
    case 2: return f(Type<uint16_t>{});
    case 4: return f(Type<uint32_t>{});
    default: return f(Type<uint64_t>{});
  }
}

// Elements side by side whose table is not wide: all offsets are looked at first, then nothing is in the way of the loop.
template <class T>
void gather_plain(const MoveStep& s, const char* table, const char* indices, int64_t n, char* to) {
  const auto* offsets = reinterpret_cast<const uint32_t*>(indices);
  uint32_t most = 0, bits = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, offsets[i]), bits |= offsets[i];
  if (n > 0) offset_of(s, reinterpret_cast<const char*>(&most));
  if ((bits & (s.size - 1)) != 0)
    for (int64_t i = 0; i < n; ++i) offset_of(s, reinterpret_cast<const char*>(offsets + i));
  for (int64_t i = 0; i < n; ++i) std::memcpy(to + i * sizeof(T), table + s.base + offsets[i], sizeof(T));
}

void run_gather(Core& core, const MoveStep& s) {
  const Elements operands[2] = {s.operands[0], s.operands[2]};
  const char* table = core.bases[s.operands[1].place.slot];
  const int64_t item = s.operands[0].item;
  const bool plain = !s.lanes.masked && s.scale == 1 && s.base >= 0;
  for_runs(core, s.lanes, operands, true, [&](char* const* data, int64_t, int64_t begin, int64_t n) {
    by_item(item, [&]<class T>(Type<T>) {
      if (plain) return gather_plain<T>(s, table, data[1], n, data[0]);
      for (int64_t i = 0; i < n; ++i)
        if (s.lanes.active(begin + i)) std::memcpy(data[0] + i * item, table + offset_of(s, data[1] + i * 4), sizeof(T));
    });
  });
}

void run_scatter(Core& core, const MoveStep& s) {
  char* table = core.bases[s.operands[0].place.slot];
  const int64_t item = s.operands[1].item;
  alignas(64) char values[kChunk * 8], indices[kChunk * 4];
  for (int64_t r = 0; r < s.lanes.repeats; ++r)
    for (int64_t begin = 0; begin < s.lanes.lanes; begin += kChunk) {
      const int64_t n = std::min(kChunk, s.lanes.lanes - begin);
      gather_lanes(s.operands[1], core.at(s.operands[1].place) + r * s.operands[1].repeat, begin, n, values);
      gather_lanes(s.operands[2], core.at(s.operands[2].place) + r * s.operands[2].repeat, begin, n, indices);
      for (int64_t i = 0; i < n; ++i)
        if (s.lanes.active(begin + i))
          std::memcpy(table + offset_of(s, indices + i * 4), values + i * item, static_cast<size_t>(item));
    }
}

void run_gather_blocks(Core& core, const MoveStep& s) {
  const int64_t block = kBlockBytes * s.scale;
  const char* table = core.bases[s.operands[1].place.slot];
  for (int64_t r = 0; r < s.lanes.repeats; ++r)
    for (int64_t j = 0; j < 8; ++j) {
      const char* index = core.at(s.operands[2].place) + (8 * r + j) * 4 * s.scale;
      std::memcpy(core.at(s.operands[0].place) + r * s.operands[0].repeat + j * s.operands[0].block, table + offset_of(s, index),
                  static_cast<size_t>(block));
    }
}

// `elements`: which of the first three operands lie as the lanes do; the others are for the caller to place.
MoveStep moved(const Building& b, int widest, std::initializer_list<int> elements) {
  MoveStep s{};
  s.scale = b.numerics.scale();
  s.lanes = lanes_of(b, widest);
  constexpr int blocks[] = {kHeadDstBlock, kHeadSrc0Block, kHeadSrc1Block}, repeats[] = {kHeadDstRep, kHeadSrc0Rep, kHeadSrc1Rep};
  for (int i : elements) s.operands[i] = elements_of(b, s.lanes, i, blocks[i], repeats[i]);
  return s;
}

// An operand of `rows` rows of so many bytes, in each repeat: dst by its strides, a source by its own.
Elements rows_of(const Building& b, int i, const Extent& row, int64_t rows, int64_t pitch, int64_t repeats, int64_t repeat) {
  const int64_t w = b.numerics.scale();
  const int size = item_size(b.region(i).dtype);
  Elements e{};
  e.place = b.place(i, row.times(rows, pitch).times(repeats, repeat));
  e.block = pitch * w, e.repeat = repeat * w, e.per_block = kBlockBytes / size;
  e.step = static_cast<int32_t>(size * w), e.item = item_size(b.numerics.held(b.region(i).dtype));
  return e;
}

// Offsets count from the start of the table's tensor: `table` names its region. `size`: bytes of what each points to.
void with_table(const Building& b, MoveStep& s, int table, int64_t size) {
  if (item_size(b.region(2).dtype) != 4) b.refuse(std::string("the index is ") + format_name(b.region(2).dtype) + "; it must be uint32 byte offsets");
  s.operands[table].place = b.place(table, {});  // offsets are data: each is looked at when it is used
  const Region& r = b.region(table);
  const Extent bytes = extent_of(r).moved(r.base);
  s.base = (r.base + b.arg_or(kHeadEnd, 0)) * s.scale;
  s.low = bytes.low() * s.scale, s.high = bytes.high() * s.scale;
  s.program = &b.program, s.size = size;
  s.site = b.instr.site, s.table = table, s.buffer = r.memory == kGM ? -1 : r.tensor, s.opcode = b.instr.opcode;
}

void gather(Building& b) {
  MoveStep s = moved(b, item_size(b.region(0).dtype), {0, 2});
  with_table(b, s, 1, item_size(b.region(0).dtype));
  if (s.lanes.repeats > 0 && s.lanes.lanes > 0) b.add<run_gather>(s);
}
void scatter(Building& b) {
  MoveStep s = moved(b, item_size(b.region(1).dtype), {1, 2});
  with_table(b, s, 0, item_size(b.region(1).dtype));
  if (s.lanes.repeats > 0 && s.lanes.lanes > 0) b.add<run_scatter>(s);
}
void gather_blocks(Building& b) {
  MoveStep s = moved(b, item_size(b.region(0).dtype), {});
  with_table(b, s, 1, kBlockBytes);
  const Extent block(kBlockBytes);
  s.operands[0] = rows_of(b, 0, block, 8, b.stride(kHeadDstBlock) * kBlockBytes, s.lanes.repeats, b.stride(kHeadDstRep) * kBlockBytes);
  s.operands[2] = rows_of(b, 2, block, 1, 0, s.lanes.repeats, kBlockBytes);
  if (s.lanes.repeats > 0) b.add<run_gather_blocks>(s);
}

// ---- GatherMask: 0: bits of a mask; 1, 2: every even, odd one; 3-6: one of each four; 7: all ----

bool chosen(const MoveStep& s, const char* mask, int64_t element) {
  if (s.pattern == 0) return mask[element / 8 * s.scale] >> (element % 8) & 1;
  if (s.pattern <= 2) return element % 2 == s.pattern - 1;
  return s.pattern == 7 || element % 4 == s.pattern - 3;
}

void run_gather_mask(Core& core, const MoveStep& s) {
  const Elements &dst = s.operands[0], &src = s.operands[1];
  const char* mask = s.pattern == 0 ? core.at(s.operands[2].place) : nullptr;
  int64_t count = 0;
  for (int64_t r = 0; r < s.lanes.repeats; ++r)
    for (int64_t lane = 0; lane < s.lanes.lanes; ++lane) {
      if (!s.lanes.active(lane) || !chosen(s, mask, r * s.per_repeat + lane)) continue;
      const char* from = core.at(src.place) + r * src.repeat + lane / src.per_block * src.block + lane % src.per_block * src.step;
      std::memcpy(core.at(dst.place) + count++ * dst.step, from, static_cast<size_t>(dst.item));
    }
  const int32_t number = static_cast<int32_t>(count);
  if (s.counts) std::memcpy(core.at(s.counted), &number, sizeof number);
}

void gather_mask(Building& b) {
  enum Arg : int { kPattern = kHeadEnd, kCounted };
  const int size = item_size(b.region(0).dtype);
  b.same_width(0, 1);
  MoveStep s = moved(b, size, {1});
  s.pattern = b.arg(kPattern), s.per_repeat = b.arg(kHeadMode) == 0 ? 0 : kRepeatBytes / size;
  if (s.pattern < 0 || s.pattern > 7) b.refuse("the pattern is " + std::to_string(s.pattern) + "; it must be 0..7");
  s.counts = b.arg_or(kCounted, 0) == 1;
  if (s.counts) s.counted = b.place(b.instr.nregions - 1, Extent(sizeof(int32_t)));
  if (s.lanes.repeats <= 0 || s.lanes.lanes <= 0) return;
  const int64_t one_of = s.pattern == 0 || s.pattern == 7 ? 1 : s.pattern <= 2 ? 2 : 4;
  s.operands[0] = rows_of(b, 0, Extent(size), (s.lanes.lanes + one_of - 1) / one_of * s.lanes.repeats, size, 1, 0);
  if (s.pattern == 0) s.operands[2] = rows_of(b, 2, Extent((__int128{s.lanes.repeats - 1} * s.per_repeat + s.lanes.lanes + 7) / 8), 1, 0, 1, 0);
  b.add<run_gather_mask>(s);
}

// ---- Brcb: element j of a repeat's eight fills block j ----

void run_brcb(Core& core, const MoveStep& s) {
  const Elements &dst = s.operands[0], &src = s.operands[1];
  for (int64_t r = 0; r < s.lanes.repeats; ++r)
    for (int64_t j = 0; j < 8; ++j) {
      const char* from = core.at(src.place) + (r * 8 + j) * src.step;
      char* to = core.at(dst.place) + r * dst.repeat + j * dst.block;
      by_item(src.item, [&]<class T>(Type<T>) {
        T value;
        std::memcpy(&value, from, sizeof value);
        if (s.scale == 1) {
          T block[kBlockBytes / sizeof(T)];
          std::fill_n(block, std::size(block), value);
          std::memcpy(to, block, sizeof block);
          return;
        }
        for (int64_t i = 0; i < dst.per_block; ++i) std::memcpy(to + i * dst.step, &value, sizeof value);
      });
    }
}

void brcb(Building& b) {
  const int64_t size = item_size(b.region(1).dtype);
  b.same_width(0, 1);
  MoveStep s = moved(b, item_size(b.region(0).dtype), {});
  s.lanes.repeats = b.arg(kHeadRepeat);
  s.operands[0] = rows_of(b, 0, Extent(kBlockBytes), 8, b.stride(kHeadDstBlock) * kBlockBytes, s.lanes.repeats, b.stride(kHeadDstRep) * kBlockBytes);
  s.operands[1] = rows_of(b, 1, Extent(size), 8, size, s.lanes.repeats, 8 * size);
  if (s.lanes.repeats > 0) b.add<run_brcb>(s);
}

// ---- Transpose: rows of 32 bytes ----

void run_transpose(Core& core, const MoveStep& s) {
  const Elements &dst = s.operands[0], &src = s.operands[1];
  alignas(64) char rows[32 * kBlockBytes * 8];
  const int64_t row = kBlockBytes * s.scale;
  for (int64_t rep = 0; rep < s.lanes.repeats; ++rep) {
    for (int64_t r = 0; r < s.rows; ++r)
      std::memcpy(rows + r * row, core.at(src.place) + rep * src.repeat + r * s.src_row, static_cast<size_t>(row));
    for (int64_t c = 0; c < s.columns; ++c)
      for (int64_t r = 0; r < s.rows; ++r)
        std::memcpy(core.at(dst.place) + rep * dst.repeat + c * s.dst_row + r * dst.step, rows + r * row + c * src.step, static_cast<size_t>(dst.item));
  }
}

void transpose(Building& b) {
  enum Arg : int { kSrcRow = kHeadEnd, kDstRow };
  const int size = item_size(b.region(0).dtype);
  b.same_width(0, 1);
  MoveStep s = moved(b, size, {});
  s.lanes.repeats = b.arg(kHeadRepeat);
  s.rows = size == 1 ? 32 : 16, s.columns = kBlockBytes / size;
  s.operands[0] = rows_of(b, 0, Extent(s.rows * size), s.columns, b.arg(kDstRow), s.lanes.repeats, b.stride(kHeadDstRep) * kBlockBytes);
  s.operands[1] = rows_of(b, 1, Extent(kBlockBytes), s.rows, b.arg(kSrcRow), s.lanes.repeats, b.stride(kHeadSrc0Rep) * kBlockBytes);
  s.src_row = b.arg(kSrcRow) * s.scale, s.dst_row = b.arg(kDstRow) * s.scale;
  if (s.lanes.repeats > 0) b.add<run_transpose>(s);
}

constexpr MeaningEntry kEntries[] = {{"gather", gather}, {"scatter", scatter}, {"gather_blocks", gather_blocks},
                                     {"gather_mask", gather_mask}, {"brcb", brcb}, {"transpose", transpose}};
const MeaningTable table(kEntries);

}  // namespace
}  // namespace al::davinci
