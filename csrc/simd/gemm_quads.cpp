// int8 products by fours: an instruction (vpdpbusd) multiplies four neighbours of k and adds them to a 32-bit sum. It takes the left
// ones as unsigned, so they are taken as x + 128, and the sums of a column start from -128 times the sum of its values. Where the
// machine lacks it the same loops run on an emulation, which the tests use.
#include "kernel.h"
#include "simd/gemm_block.h"

namespace al::gemm {

namespace {

enum class By { kInstruction, kEmulation };

constexpr uint32_t kOffset = 0x80808080u;  // 128 in each of four bytes

template <By by>
struct Quads {
  using Acc = uint32_t;
  using Packed = uint32_t;
  static constexpr int step = 4;
  static constexpr bool offset = true;

  static AL_INLINE Vec<uint32_t> apply(Vec<uint32_t> a, Vec<uint32_t> b, Vec<uint32_t> sum) {
#if defined(__AVX512F__)
    if constexpr (by == By::kInstruction) {
      asm("vpdpbusd %2, %1, %0"
          : "+v"(sum)
          : "v"(a), "v"(b));  // by hand: the file is compiled for machines without it too
      return sum;
    }
#endif
    for (int shift = 0; shift < 32; shift += 8)
      sum += (a >> shift & 0xffu) * (Vec<uint32_t>)((Vec<int32_t>)(b << (24 - shift)) >> 24);
    return sum;
  }

  // Step s of a line holds k = 4s to 4s + 3, the first in its lowest byte; what is beyond `valid` is zero.
  static void pack(const int8_t* src, int64_t line_stride, int64_t k_stride, int lines, int64_t depth, uint32_t* dst, int pitch,
                   int64_t valid) {
    const int64_t whole = std::min(depth, valid / step);
    const bool words = k_stride == 1 && line_stride % step == 0 && uintptr_t(src) % step == 0;  // they lie in memory as they are wanted
    if (words && lines > 1)
      pack_across<std::max(kRows, kCols<Quads>)>(reinterpret_cast<const uint32_t*>(src), line_stride / step, lines, whole, dst, pitch);
    else
      for (int64_t s = 0; s < whole; s++) interleave(src + s * step * k_stride, line_stride, k_stride, lines, dst + s * pitch, pitch);
    if (whole == depth) return;
    const int8_t* rest = src + whole * step * k_stride;
    for (int i = 0; i < pitch; i++) {
      uint32_t word = 0;
      for (int64_t k = 0; i < lines && k < valid - whole * step; k++) word |= uint32_t(uint8_t(rest[i * line_stride + k * k_stride])) << 8 * k;
      dst[whole * pitch + i] = word;
    }
  }

  static void interleave(const int8_t* src, int64_t stride, int64_t k_stride, int lines, uint32_t* dst, int pitch) {
    const auto word = [&](int64_t i) {
      const auto byte = [&](int64_t k) { return uint32_t(uint8_t(src[i + k * k_stride])); };
      return byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
    };
    if (stride == 1) {
      for (int i = 0; i < lines; i++) dst[i] = word(i);
    } else {
      for (int i = 0; i < lines; i++) dst[i] = word(i * stride);
    }
    for (int i = lines; i < pitch; i++) dst[i] = 0;
  }

  static AL_INLINE Vec<uint32_t> with_offset(Vec<uint32_t> left) { return left ^ kOffset; }
  static void add_offset(uint32_t* left, int64_t n) {
    for (int64_t i = 0; i < n; i++) left[i] ^= kOffset;
  }
  // The line behind `depth` lines of a panel.
  template <int C>
  static void start_sums(uint32_t* panel, int64_t depth) {
    constexpr int width = Lanes<uint32_t>::width;
    for (int j = 0; j < C; j += width) {
      Vec<uint32_t> sum{};
      for (int64_t s = 0; s < depth; s++) sum = apply(splat(kOffset), load(panel + s * C + j), sum);
      store(panel + depth * C + j, -sum);
    }
  }
};

template <By by>
void by_quads(const Problem& p) {
  if (p.out_dtype == kInt32)
    multiply<Quads<by>, int8_t, int32_t>(p);
  else
    multiply<Quads<by>, int8_t, int8_t>(p);
}

}  // namespace

#if defined(__AVX512F__)
bool quads_in_hardware() { return __builtin_cpu_supports("avx512vnni"); }

void native_quads(const Problem& p) {
  static const bool instruction = quads_in_hardware();
  if (instruction)
    by_quads<By::kInstruction>(p);
  else
    by_quads<By::kEmulation>(p);
}
#else
#if defined(AL_WIDE_BY_HALVES)
bool quads_in_hardware() { return true; }  // the road of a machine that has it, emulated
#else
bool quads_in_hardware() { return false; }
#endif

void native_quads(const Problem& p) { by_quads<By::kEmulation>(p); }
#endif

}  // namespace al::gemm
