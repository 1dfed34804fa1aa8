// Reductions of the vector unit. Sums are trees of neighbours, rounded to the format at each level, as the manual describes them.
#include "davinci/vector.h"

namespace al::davinci {
namespace {

enum ReduceArg : int { kOp = kHeadEnd, kOrder };
enum Order : int64_t { kValueIndex, kIndexValue, kOnlyValue, kOnlyIndex };

struct ReduceStep {
  LoopFn loop;  // data: value, numbers, index; sizes: op
  Lanes lanes;
  Elements src;
  Place dst;
  int64_t op, order;
  int64_t dst_repeat, dst_step, dst_item, index_bytes;  // scaled bytes
  int64_t neutral;  // the number that changes no result, in the held format
  int32_t format;
};

// The lanes of a repeat side by side, those off the mask neutral.
const char* numbers_of(Core& core, const ReduceStep& s, int64_t repeat, int64_t begin, int64_t n, char* buffer) {
  const char* from = core.at(s.src.place) + repeat * s.src.repeat;
  if (s.src.direct && !s.lanes.masked) return from + begin * s.src.item;
  gather_lanes(s.src, from, begin, n, buffer);
  for (int64_t i = 0; s.lanes.masked && i < n; ++i)
    if (!s.lanes.active(begin + i)) std::memcpy(buffer + i * s.src.item, &s.neutral, static_cast<size_t>(s.src.item));
  return buffer;
}

struct Reduced {
  int64_t value;  // bytes of the held format
  int64_t index;
};

Reduced reduce(Core& core, const ReduceStep& s, const char* numbers, int64_t n) {
  Reduced r{};
  char* data[] = {reinterpret_cast<char*>(&r.value), const_cast<char*>(numbers), s.index_bytes ? reinterpret_cast<char*>(&r.index) : nullptr};
  s.loop(data, &s.op, n);
  if (s.format >= 0 && saturate(s.format, data[0], 1)) core.overflow = true;
  return r;
}

void run_reduce_repeat(Core& core, const ReduceStep& s) {
  alignas(64) char buffer[kRepeatBytes * 8];
  for (int64_t r = 0; r < s.lanes.repeats; ++r)
    for (int64_t begin = 0; begin < s.lanes.lanes; begin += 128) {
      const Reduced got = reduce(core, s, numbers_of(core, s, r, begin, std::min<int64_t>(128, s.lanes.lanes - begin), buffer),
                                 std::min<int64_t>(128, s.lanes.lanes - begin));
      char* to = core.at(s.dst) + r * s.dst_repeat;
      const bool value_first = s.order != kIndexValue;
      if (s.order != kOnlyIndex) std::memcpy(to + (value_first ? 0 : s.dst_step), &got.value, static_cast<size_t>(s.dst_item));
      if (s.order != kOnlyValue)
        std::memcpy(to + (s.order == kValueIndex ? s.dst_step : 0), &got.index, static_cast<size_t>(s.index_bytes));
    }
}

void run_block_reduce(Core& core, const ReduceStep& s) {
  alignas(64) char buffer[kRepeatBytes * 8];
  for (int64_t r = 0; r < s.lanes.repeats; ++r)
    for (int64_t begin = 0; begin < s.lanes.lanes; begin += s.src.per_block) {
      const int64_t n = std::min<int64_t>(s.src.per_block, s.lanes.lanes - begin);
      bool any = false;
      for (int64_t i = 0; i < n; ++i) any = any || s.lanes.active(begin + i);
      if (!any) continue;
      const Reduced got = reduce(core, s, numbers_of(core, s, r, begin, n, buffer), n);
      std::memcpy(core.at(s.dst) + r * s.dst_repeat + begin / s.src.per_block * s.dst_step, &got.value, static_cast<size_t>(s.dst_item));
    }
}

// Whole blocks of float, side by side.
void run_reduce_eights(Core& core, const ReduceStep& s) {
  for (int64_t r = 0; r < s.lanes.repeats; ++r) {
    char* data[] = {core.at(s.dst) + r * s.dst_repeat, core.at(s.src.place) + r * s.src.repeat};
    s.loop(data, &s.op, s.lanes.lanes / 8);
  }
}

void run_pair_reduce(Core& core, const ReduceStep& s) {
  alignas(64) char buffer[kRepeatBytes * 8];
  for (int64_t r = 0; r < s.lanes.repeats; ++r)
    for (int64_t begin = 0; begin < s.lanes.lanes; begin += 2) {
      if (!s.lanes.active(begin) && !s.lanes.active(begin + 1)) continue;
      const Reduced got = reduce(core, s, numbers_of(core, s, r, begin, 2, buffer), 2);
      std::memcpy(core.at(s.dst) + r * s.dst_repeat + begin / 2 * s.dst_step, &got.value, static_cast<size_t>(s.dst_item));
    }
}

// A whole tensor: repeats, then their results as repeats, until one is left.
void run_reduce_all(Core& core, const ReduceStep& s) {
  const int64_t item = s.src.item, lanes = s.order;  // order: elements of a repeat
  thread_local std::vector<char> level;
  thread_local std::vector<int64_t> indices;
  alignas(64) char buffer[kRepeatBytes * 8];
  int64_t n = s.lanes.lanes;
  level.resize(static_cast<size_t>((n + lanes - 1) / lanes * item));
  indices.resize(static_cast<size_t>((n + lanes - 1) / lanes));
  for (bool first = true; first || n > 1; first = false) {
    int64_t results = 0;
    for (int64_t at = 0; at < n; at += lanes, ++results) {
      const int64_t some = std::min(lanes, n - at);
      const Reduced got = reduce(core, s, first ? numbers_of(core, s, 0, at, some, buffer) : level.data() + at * item, some);
      std::memcpy(level.data() + results * item, &got.value, static_cast<size_t>(item));
      indices[results] = first ? at + got.index : indices[at + got.index];
    }
    n = results;
  }
  char* to = core.at(s.dst);
  std::memcpy(to, level.data(), static_cast<size_t>(item));
  if (s.index_bytes) std::memcpy(to + s.dst_step, &indices[0], static_cast<size_t>(s.index_bytes));
}

ReduceStep reduction(const Building& b, int source) {
  const int format = b.region(source).dtype, held = b.numerics.held(format);
  ReduceStep s{};
  s.op = b.arg(kOp);
  s.loop = s.op >= 0 && s.op < 3 ? find_loop("davinci.reduce", held) : nullptr;
  if (!s.loop) b.refuse(std::string("does not reduce ") + format_name(format) + " by operation " + std::to_string(s.op));
  s.lanes = lanes_of(b, item_size(format));
  s.src = elements_of(b, s.lanes, source, kHeadSrc0Block, kHeadSrc0Rep);
  s.dst_step = item_size(format) * b.numerics.scale(), s.dst_item = item_size(held);
  s.format = b.numerics.saturates() && format == kFloat16 ? format : -1;
  const double infinity = __builtin_inf();
  store_number(reinterpret_cast<char*>(&s.neutral), held, s.op == 0 ? 0.0 : s.op == 1 ? -infinity : infinity, 0, false);
  return s;
}

// What a repeat writes, for all of them.
Extent results(const ReduceStep& s, const Extent& each, int64_t stride) { return s.lanes.lanes > 0 ? each.times(s.lanes.repeats, stride) : Extent(); }

void reduce_repeat(Building& b) {
  ReduceStep s = reduction(b, 1);
  s.order = b.arg(kOrder);
  const bool pair = s.order == kValueIndex || s.order == kIndexValue;
  const int64_t item = item_size(b.region(1).dtype), lone_index = 4;  // an index alone is a u32 whatever the format
  s.dst_repeat = b.arg(kHeadDstRep) * (s.order == kOnlyIndex ? s.dst_step * lone_index / item : s.dst_step * (pair ? 2 : 1));
  s.index_bytes = s.order == kOnlyValue ? 0 : s.order == kOnlyIndex ? lone_index : item;
  const int64_t each = s.order == kOnlyIndex ? lone_index : item * (pair ? 2 : 1);
  s.dst = b.place(0, results(s, Extent(each), b.stride(kHeadDstRep) * each));
  if (s.lanes.repeats > 0 && s.lanes.lanes > 0) b.add<run_reduce_repeat>(s);
}
void block_reduce(Building& b) {
  ReduceStep s = reduction(b, 1);
  s.dst_repeat = b.arg(kHeadDstRep) * s.dst_step * 8;
  const int64_t item = item_size(b.region(1).dtype);
  s.dst = b.place(0, results(s, Extent(item).times((s.lanes.lanes + s.src.per_block - 1) / s.src.per_block, item), b.stride(kHeadDstRep) * item * 8));
  const bool whole = s.src.direct && !s.lanes.masked && s.lanes.lanes % 8 == 0;
  if (LoopFn eights = whole && !b.numerics.wide() && b.region(1).dtype == kFloat32 ? find_loop("davinci.reduce_eights", kFloat32) : nullptr) {
    s.loop = eights;
    if (s.lanes.repeats > 0 && s.lanes.lanes > 0) b.add<run_reduce_eights>(s);
    return;
  }
  if (s.lanes.repeats > 0 && s.lanes.lanes > 0) b.add<run_block_reduce>(s);
}
void pair_reduce(Building& b) {
  ReduceStep s = reduction(b, 1);
  s.dst_repeat = b.arg(kHeadDstRep) * 128 * b.numerics.scale();
  const int64_t item = item_size(b.region(1).dtype);
  s.dst = b.place(0, results(s, Extent(item).times((s.lanes.lanes + 1) / 2, item), b.stride(kHeadDstRep) * 128));
  if (s.lanes.repeats > 0 && s.lanes.lanes > 0) b.add<run_pair_reduce>(s);
}
void reduce_all(Building& b) {
  ReduceStep s = reduction(b, b.instr.nregions - 1);
  s.order = kRepeatBytes / item_size(b.region(0).dtype);
  s.index_bytes = b.arg(kHeadEnd + 1) ? item_size(b.region(0).dtype) : 0;
  s.dst = b.place(0, Extent(s.lanes.lanes > 0 ? item_size(b.region(0).dtype) + s.index_bytes : 0));
  if (s.lanes.lanes > 0) b.add<run_reduce_all>(s);
}

constexpr MeaningEntry kEntries[] = {{"reduce_repeat", reduce_repeat, true},
                                     {"block_reduce", block_reduce, true},
                                     {"pair_reduce", pair_reduce, true},
                                     {"reduce_all", reduce_all, true}};
const MeaningTable table(kEntries);

}  // namespace
}  // namespace al::davinci
