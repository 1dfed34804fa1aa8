// Comparisons that write bits, selections that read them, and vectors made of nothing: sequences and random words.
#include "davinci/vector.h"

namespace al::davinci {
namespace {

// ---- bits ----

// Eight bytes of 0 or 1 as the bits of one.
uint8_t pack_bits(const char* flags) {
  uint64_t x;
  std::memcpy(&x, flags, 8);
  return static_cast<uint8_t>(x * 0x0102040810204080ull >> 56);
}

struct CompareStep {
  LoopFn loop, bits;     // bits: writes whole bytes at once, where they lie side by side
  Lanes lanes;
  Elements operands[2];
  int32_t inputs;        // 2, or 1 and the scalar
  int32_t per_repeat;    // bits of a repeat
  Place dst;
  int64_t byte_step;     // of dst
  int64_t scalar;
};

void store_bits(char* dst, int64_t step, int64_t first, int64_t n, const char* flags, const Lanes& lanes, int64_t lane) {
  int64_t i = 0;
  if (!lanes.masked && first % 8 == 0)
    for (; i + 8 <= n; i += 8) dst[(first + i) / 8 * step] = static_cast<char>(pack_bits(flags + i));
  for (; i < n; ++i) {
    if (!lanes.active(lane + i)) continue;
    char& byte = dst[(first + i) / 8 * step];
    const int bit = static_cast<int>((first + i) % 8);
    byte = static_cast<char>((byte & ~(1 << bit)) | (flags[i] & 1) << bit);
  }
}

void run_compare(Core& core, const CompareStep& s) {
  alignas(64) char flags[kChunk], buffers[2][kChunk * 8];
  for (int64_t r = 0; r < s.lanes.repeats; ++r)
    for (int64_t begin = 0; begin < s.lanes.lanes; begin += kChunk) {
      const int64_t n = std::min(kChunk, s.lanes.lanes - begin);
      char* data[3] = {flags, nullptr, reinterpret_cast<char*>(const_cast<int64_t*>(&s.scalar))};
      int64_t strides[3] = {1, 0, 0};
      for (int k = 0; k < s.inputs; ++k) {
        const Elements& o = s.operands[k];
        char* base = core.at(o.place) + r * o.repeat;
        data[k + 1] = o.direct ? base + begin * o.item : buffers[k];
        strides[k + 1] = o.item;
        if (!o.direct) gather_lanes(o, base, begin, n, buffers[k]);
      }
      if (s.bits) {  // repeats and chunks begin at whole bytes
        data[0] = core.at(s.dst) + (r * s.per_repeat + begin) / 8;
        const int64_t one_number = s.inputs == 1;
        s.bits(data, &one_number, n);
        continue;
      }
      s.loop(data, strides, n);
      store_bits(core.at(s.dst), s.byte_step, r * s.per_repeat + begin, n, flags, s.lanes, begin);
    }
}

// Bytes of a bit for each lane, `per_repeat` bits from one repeat's to the next.
Extent bits_of(const Lanes& lanes, int64_t per_repeat) { return Extent((__int128{lanes.repeats - 1} * per_repeat + lanes.lanes + 7) / 8); }

void add_compare(Building& b, int inputs) {
  constexpr const char* names[] = {"lt", "gt", "eq", "le", "ge", "ne"};
  constexpr const char* unsigned_names[] = {"davinci.lt_u", "davinci.gt_u", "eq", "davinci.le_u", "davinci.ge_u", "ne"};
  const int64_t op = b.arg(kHeadEnd);
  if (op < 0 || op > 5) b.refuse("the comparison is " + std::to_string(op) + "; it must be 0..5");
  const int format = b.region(1).dtype, held = b.numerics.held(format);
  CompareStep s{};
  s.loop = find_loop(is_unsigned(format) && format != kUInt8 ? unsigned_names[op] : names[op], held);
  if (!s.loop) b.refuse(std::string("does not compare ") + format_name(format));
  const int size = item_size(format);
  s.lanes = lanes_of(b, size);
  if (s.lanes.repeats <= 0 || s.lanes.lanes <= 0) return;
  s.inputs = inputs, s.per_repeat = kRepeatBytes / size, s.dst = b.place(0, bits_of(s.lanes, s.per_repeat)), s.byte_step = b.numerics.scale();
  if (format == kFloat32 && !b.numerics.wide() && !s.lanes.masked) s.bits = find_loop("davinci.compare_bits", static_cast<int>(op));
  s.operands[0] = elements_of(b, s.lanes, 1, kHeadSrc0Block, kHeadSrc0Rep);
  if (inputs == 2) b.same_width(1, 2);
  if (inputs == 2) s.operands[1] = elements_of(b, s.lanes, 2, kHeadSrc1Block, kHeadSrc1Rep);
  else store_number(reinterpret_cast<char*>(&s.scalar), held, b.real(0), b.arg(kHeadScalar), b.arg(kHeadScalarKind) == 1);
  b.add<run_compare>(s);
}
void compare(Building& b) { add_compare(b, 2); }
void compare_scalar(Building& b) { add_compare(b, 1); }

enum SelectMode : int64_t { kSameBits, kScalarElse, kMoreBits };

struct SelectStep {
  LoopFn loop, bits;  // bits: from the mask's bytes at once, where they lie side by side
  Lanes lanes;
  Elements operands[3];
  Place mask;
  int64_t byte_step, mode, scalar;
  int32_t per_repeat;
};

template <int N>
void run_select(Core& core, const SelectStep& s) {
  alignas(64) char flags[kChunk];
  Elements operands[N];
  std::copy(s.operands, s.operands + N, operands);
  for_runs(core, s.lanes, operands, false, [&](char* const* data, int64_t r, int64_t begin, int64_t n) {
    char* mask = core.at(s.mask);
    if (s.bits) {  // repeats and chunks begin at whole bytes
      const int64_t first = (s.mode == kSameBits ? 0 : r * s.per_repeat) + begin, one_number = N == 2;
      char* all[4] = {data[0], mask + first / 8, data[1], N == 3 ? data[N - 1] : reinterpret_cast<char*>(const_cast<int64_t*>(&s.scalar))};
      return s.bits(all, &one_number, n);
    }
    const int64_t item = operands[0].item, strides[4] = {item, 1, item, N == 3 ? item : 0};
    for (int64_t done = 0; done < n; done += kChunk) {  // a direct run may be longer than the flags
      const int64_t first = (s.mode == kSameBits ? 0 : r * s.per_repeat) + begin + done, m = std::min(kChunk, n - done);
      for (int64_t i = 0; i < m; ++i) flags[i] = mask[(first + i) / 8 * s.byte_step] >> ((first + i) % 8) & 1;
      char* other = N == 3 ? data[N - 1] + done * item : reinterpret_cast<char*>(const_cast<int64_t*>(&s.scalar));
      char* all[4] = {data[0] + done * item, flags, data[1] + done * item, other};
      s.loop(all, strides, m);
    }
  });
}

void select(Building& b) {
  const int format = b.region(0).dtype, size = item_size(format);
  SelectStep s{};
  b.same_width(0, 2);
  constexpr int by_log_width[] = {kUInt8, kInt16, kInt32, kInt64};
  const int held = b.numerics.held(format);
  s.loop = find_loop("davinci.select", by_log_width[__builtin_ctz(static_cast<unsigned>(item_size(held)))]);
  if (!b.numerics.wide()) s.bits = find_loop("davinci.select_bits", by_log_width[__builtin_ctz(static_cast<unsigned>(size))]);
  s.lanes = lanes_of(b, size);
  if (s.lanes.repeats <= 0 || s.lanes.lanes <= 0) return;
  s.mode = b.arg(kHeadEnd), s.byte_step = b.numerics.scale(), s.per_repeat = kRepeatBytes / size;
  s.mask = b.place(1, bits_of(s.lanes, s.mode == kSameBits ? 0 : s.per_repeat));
  s.operands[0] = elements_of(b, s.lanes, 0, kHeadDstBlock, kHeadDstRep);
  s.operands[1] = elements_of(b, s.lanes, 2, kHeadSrc0Block, kHeadSrc0Rep);
  if (s.mode == kScalarElse) {
    store_number(reinterpret_cast<char*>(&s.scalar), held, b.real(0), b.arg(kHeadScalar), b.arg(kHeadScalarKind) == 1);
    return b.add<run_select<2>>(s);
  }
  b.same_width(0, 3);
  s.operands[2] = elements_of(b, s.lanes, 3, kHeadSrc1Block, kHeadSrc1Rep);
  b.add<run_select<3>>(s);
}

// ---- sequences and random words ----

struct MadeStep {
  LoopFn loop;
  Lanes lanes;
  Elements dst[1];
  int64_t first, step;  // integers, or the bits of doubles
  int32_t format, integer, per_repeat;  // integer: of random words, their stream
};

void run_arange(Core& core, const MadeStep& s) {
  const double first = __builtin_bit_cast(double, s.first), step = __builtin_bit_cast(double, s.step);
  for_runs(core, s.lanes, s.dst, false, [&](char* const* data, int64_t r, int64_t begin, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t index = r * s.per_repeat + begin + i;
      store_number(data[0] + i * s.dst[0].item, s.format, first + static_cast<double>(index) * step,
                   static_cast<int64_t>(uint64_t(s.first) + uint64_t(index) * uint64_t(s.step)), s.integer);  // numbers of 64 bits wrap around
    }
  });
}

void run_philox(Core& core, const MadeStep& s) {
  for_runs(core, s.lanes, s.dst, false, [&](char* const* data, int64_t r, int64_t begin, int64_t n) {
    const int64_t sizes[] = {s.first, s.step + r * s.per_repeat + begin, s.integer};
    s.loop(data, sizes, n);
  });
}

MadeStep made(const Building& b) {
  MadeStep s{};
  const int size = item_size(b.region(0).dtype);
  s.lanes = lanes_of(b, size);
  s.dst[0] = elements_of(b, s.lanes, 0, kHeadDstBlock, kHeadDstRep);
  s.format = b.numerics.held(b.region(0).dtype), s.per_repeat = kRepeatBytes / size;
  return s;
}

void arange(Building& b) {
  enum Arg : int { kStepKind = kHeadEnd, kStep };
  MadeStep s = made(b);
  s.integer = !is_float_format(s.format);
  const bool whole_first = b.arg(kHeadScalarKind) == 1, whole_step = b.arg(kStepKind) == 1;
  const double first = whole_first ? static_cast<double>(b.arg(kHeadScalar)) : b.real(0);
  const double step = whole_step ? static_cast<double>(b.arg(kStep)) : b.real(1);
  s.first = s.integer ? (whole_first ? b.arg(kHeadScalar) : static_cast<int64_t>(first)) : __builtin_bit_cast(int64_t, first);
  s.step = s.integer ? (whole_step ? b.arg(kStep) : static_cast<int64_t>(step)) : __builtin_bit_cast(int64_t, step);
  if (s.lanes.repeats > 0 && s.lanes.lanes > 0) b.add<run_arange>(s);
}

void philox(Building& b) {
  MadeStep s = made(b);
  if (s.dst[0].item != 4) b.refuse(std::string("random words are uint32, not ") + format_name(b.region(0).dtype));
  s.loop = find_loop("davinci.philox", 0);
  s.first = b.arg(kHeadEnd), s.step = b.arg(kHeadEnd + 1), s.integer = int32_t(b.arg(kHeadEnd + 2));
  if (s.lanes.repeats > 0 && s.lanes.lanes > 0) b.add<run_philox>(s);
}

constexpr MeaningEntry kEntries[] = {{"compare", compare, true},
                                     {"compare_scalar", compare_scalar, true},
                                     {"select", select, true},
                                     {"arange", arange, true},
                                     {"philox", philox, true}};
const MeaningTable table(kEntries);

}  // namespace
}  // namespace al::davinci
