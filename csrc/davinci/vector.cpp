#include "davinci/vector.h"

#include "davinci/blocks.h"

#include "kernel.h"

namespace al::davinci {
namespace {

// Elements with a gap between them (wide memories).
template <class T>
void gather_items(const char* from, int64_t step, int64_t n, T* to) {
  for (int64_t i = 0; i < n; ++i) std::memcpy(to + i, from + i * step, sizeof(T));
}
template <class T>
void scatter_items(char* to, int64_t step, int64_t n, const T* from) {
  for (int64_t i = 0; i < n; ++i) std::memcpy(to + i * step, from + i, sizeof(T));
}

template <class F>
void by_width(int bytes, F&& f) {
  switch (bytes) {
    case 1: return f(Type<uint8_t>{});
    case 2: return f(Type<uint16_t>{});
    case 4: return f(Type<uint32_t>{});
    default: return f(Type<uint64_t>{});
  }
}

// Calls f(offset of the first element, lane - begin, number of elements) for each block's part of [begin, begin + n).
template <class F>
void for_blocks(const Elements& e, int64_t begin, int64_t n, F&& f) {
  for (int64_t lane = begin; lane < begin + n;) {
    const int64_t block = lane / e.per_block, within = lane % e.per_block;
    const int64_t some = std::min(e.per_block - within, begin + n - lane);
    f(block * e.block + within * e.step, lane - begin, some);
    lane += some;
  }
}

}  // namespace

Lanes lanes_of(const Building& b, int widest) {
  const int64_t per_repeat = kRepeatBytes / widest, mode = b.arg(kHeadMode);
  Lanes l{1, b.arg(kHeadCount), false, {0, 0}};
  if (mode == 0) return l;
  l.repeats = b.arg(kHeadRepeat);
  if (mode == 1) {
    if (l.lanes > per_repeat) b.refuse(std::to_string(l.lanes) + " lanes of a mask; a repeat has " + std::to_string(per_repeat));
    return l;
  }
  l.mask[0] = static_cast<uint64_t>(b.arg(kHeadCount));
  l.mask[1] = static_cast<uint64_t>(b.arg(kHeadMaskHigh));
  if (per_repeat <= 64) l.mask[1] = 0;
  l.lanes = l.mask[1] ? 128 - __builtin_clzll(l.mask[1]) : l.mask[0] ? 64 - __builtin_clzll(l.mask[0]) : 0;
  const uint64_t full[2] = {l.lanes >= 64 ? ~uint64_t(0) : (uint64_t(1) << l.lanes) - 1,
                            l.lanes <= 64 ? 0 : l.lanes == 128 ? ~uint64_t(0) : (uint64_t(1) << (l.lanes - 64)) - 1};
  l.masked = l.mask[0] != full[0] || l.mask[1] != full[1];
  return l;
}

int widest_of(const Building& b, int n) {
  int widest = 1;
  for (int k = 0; k < n; ++k) {
    if (is_packed(b.region(k).dtype)) b.refuse(std::string("does not work on ") + format_name(b.region(k).dtype));
    widest = std::max(widest, item_size(b.region(k).dtype));
  }
  return widest;
}

Extent reach_of(const Lanes& lanes, int item, int64_t block, int64_t repeat) {
  const int64_t per_block = kBlockBytes / item, whole = lanes.lanes > 0 ? (lanes.lanes - 1) / per_block : 0;
  const Extent last(__int128{lanes.lanes - whole * per_block} * item, __int128{whole} * block);
  return Extent(kBlockBytes).times(whole, block).with(last).times(lanes.repeats, repeat);
}

Elements elements_of(const Building& b, const Lanes& lanes, int i, int block_arg, int repeat_arg) {
  const int format = b.region(i).dtype;
  const int64_t scale = b.numerics.scale();
  const int size = item_size(format);
  Elements e{};
  const bool count = b.arg(kHeadMode) == 0;
  const int64_t block = (count ? 1 : b.stride(block_arg)) * kBlockBytes, repeat = (count ? 0 : b.stride(repeat_arg)) * kBlockBytes;
  e.place = b.place(i, reach_of(lanes, size, block, repeat));
  e.block = block * scale, e.repeat = repeat * scale;
  e.per_block = kBlockBytes / size;
  e.step = static_cast<int32_t>(size * scale);
  e.item = item_size(b.numerics.held(format));
  e.direct = e.step == e.item && (e.block == kBlockBytes * scale || lanes.lanes <= e.per_block);
  return e;
}

void merge_repeats(Lanes& lanes, Elements* all, int n) {
  if (lanes.repeats <= 1 || lanes.masked) return;
  for (int k = 0; k < n; ++k)
    if (!all[k].direct || all[k].repeat != lanes.lanes * all[k].item) return;
  lanes.lanes *= lanes.repeats;
  lanes.repeats = 1;
}

void gather_lanes(const Elements& e, const char* from, int64_t begin, int64_t n, char* to) {
  if (e.step == e.item && e.block == kBlockBytes) {
    std::memcpy(to, from + begin * e.item, static_cast<size_t>(n * e.item));
    return;
  }
  if (e.step == e.item && begin % e.per_block == 0 && n % e.per_block == 0) {  // whole blocks
    const char* block = from + begin / e.per_block * e.block;
    for (int64_t i = 0; i < n; i += e.per_block, block += e.block, to += kBlockBytes) std::memcpy(to, block, kBlockBytes);
    return;
  }
  for_blocks(e, begin, n, [&](int64_t offset, int64_t at, int64_t some) {
    by_width(e.item, [&]<class T>(Type<T>) { gather_items(from + offset, e.step, some, reinterpret_cast<T*>(to) + at); });
  });
}

void scatter_lanes(const Elements& e, const Lanes& lanes, char* to, int64_t begin, int64_t n, const char* from) {
  for_blocks(e, begin, n, [&](int64_t offset, int64_t at, int64_t some) {
    by_width(e.item, [&]<class T>(Type<T>) {
      const T* values = reinterpret_cast<const T*>(from) + at;
      if (!lanes.masked) return scatter_items(to + offset, e.step, some, values);
      for (int64_t i = 0; i < some; ++i)
        if (lanes.active(begin + at + i)) std::memcpy(to + offset + i * e.step, values + i, sizeof(T));
    });
  });
}

LoopFn find_loop(const char* name, int format) {
  return runtime->entry(name)->loops[as_tensor_dtype(format)];
}

LoopFn find_mover(int format) {
  constexpr int by_log_width[] = {kUInt8, kInt16, kInt32, kInt64};
  return find_loop("davinci.same", by_log_width[__builtin_ctz(static_cast<unsigned>(item_size(format)))]);
}

bool saturate(int format, char* values, int64_t n) {
  static const KernelEntry* entry = runtime->entry("davinci.saturate");
  char overflowed = 0;
  char* data[] = {values, &overflowed};
  entry->loops[format](data, nullptr, n);
  return overflowed != 0;
}

namespace {

void run_blockwise(Core& core, const BlockwiseStep& s) {
  char* data[] = {core.at(s.operands[0]), core.at(s.operands[1]), core.at(s.operands[2])};
  s.loop(data, s.sizes, 0);
}

}  // namespace

bool add_blockwise(Building& b, const std::string& loop_name) {
  if (b.numerics.wide() || b.arg(kHeadMode) != 1) return false;
  for (int k = 0; k < 3; ++k)
    if (b.region(k).dtype != kFloat32) return false;
  BlockwiseStep s{};
  s.loop = find_loop(("davinci.blocks " + loop_name).c_str(), kFloat32);
  const Lanes lanes = lanes_of(b, sizeof(float));
  if (!s.loop || lanes.lanes % 8 || lanes.lanes <= 0 || lanes.repeats <= 0) return false;
  s.sizes[kBlocksRepeats] = lanes.repeats, s.sizes[kBlocksPerRepeat] = lanes.lanes / 8;
  constexpr int blocks[] = {kHeadDstBlock, kHeadSrc0Block, kHeadSrc1Block}, repeats[] = {kHeadDstRep, kHeadSrc0Rep, kHeadSrc1Rep};
  for (int k = 0; k < 3; ++k) {
    s.operands[k] = elements_of(b, lanes, k, blocks[k], repeats[k]).place;
    s.sizes[kBlocksDstBlock + k] = b.arg(blocks[k]) * kBlockBytes, s.sizes[kBlocksDstRepeat + k] = b.arg(repeats[k]) * kBlockBytes;
  }
  b.add<run_blockwise>(s);
  return true;
}

template <int N>
void add_elementwise(Building& b, LoopFn loop, int scalars, bool in_place, int scalar_format) {
  constexpr int blocks[] = {kHeadDstBlock, kHeadSrc0Block, kHeadSrc1Block}, repeats[] = {kHeadDstRep, kHeadSrc0Rep, kHeadSrc1Rep};
  Elementwise<N> e{};
  if (N > 2) b.same_width(1, 2);
  e.loop = loop;
  e.lanes = lanes_of(b, widest_of(b, N));
  if (e.lanes.repeats <= 0 || e.lanes.lanes <= 0) return;
  for (int k = 0; k < N; ++k) e.operands[k] = elements_of(b, e.lanes, k, blocks[k], repeats[k]);
  merge_repeats(e.lanes, e.operands, N);
  const int out = b.region(0).dtype;
  e.saturate = b.numerics.saturates() && (out == kFloat16 || out == kBFloat16) ? out : -1;
  e.scalars = scalars;
  e.in_place = in_place;
  const int held = scalar_format >= 0 ? scalar_format : b.numerics.held(N > 1 ? b.region(1).dtype : out);
  for (int s = 0; s < scalars; ++s)
    store_number(reinterpret_cast<char*>(&e.scalar[s]), held, b.real(s), b.arg(kHeadScalar), s == 0 && b.arg(kHeadScalarKind) == 1);
  b.add<run_elementwise<N>>(e);
}
template void add_elementwise<1>(Building&, LoopFn, int, bool, int);
template void add_elementwise<2>(Building&, LoopFn, int, bool, int);
template void add_elementwise<3>(Building&, LoopFn, int, bool, int);

}  // namespace al::davinci
