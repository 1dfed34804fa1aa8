// The emulated cube: a product of two operands in fractal layout, on the register tiles of the matrix products.
// An element's sum over k is made in order in float (or int32) and added to C once: the card's order within an Mmad is not
// published.
#include "davinci/cube.h"
#include "davinci/formats.h"
#include "float8.h"
#include "kernel.h"
#include "simd/davinci_pairs.h"
#include "simd/gemm_pack.h"

#include <string>

namespace al::davinci {
namespace {

using gemm::MultiplyAdd;
using gemm::TileArgs;
constexpr int kSide = 16, kRowBytes = 32, kFractalBytes = kSide * kRowBytes;

struct Int4x2 { uint8_t bits; };
struct Fp4 { uint8_t bits; };       // e2m1, two a byte
struct Fp4Wide { uint8_t bits; };   // e1m2, two a byte

AL_INLINE float e1m2_to_float(uint8_t nibble) {  // 0 0.25 .. 1.75: an integer in quarters
  const float value = float(nibble & 7u) * 0.25f;
  return nibble & 8u ? -value : value;
}

// Numbers of one 32-byte row, and how they are unpacked.
template <class T> constexpr bool two_a_byte = std::is_same_v<T, Int4x2> || std::is_same_v<T, Fp4> || std::is_same_v<T, Fp4Wide>;
template <class T> constexpr int kRowNumbers = two_a_byte<T> ? 64 : kRowBytes / int(sizeof(T));

template <class T, class Acc> AL_INLINE void unpack(const T* row, Acc* to, int n) {
  if constexpr (std::is_same_v<T, Int4x2>) {
    for (int i = 0; i < n; i++) to[i] = Acc(int32_t(uint32_t(row[i / 2].bits >> (i & 1) * 4) << 28) >> 28);
  } else if constexpr (std::is_same_v<T, Fp4>) {
    for (int i = 0; i < n; i++) to[i] = e2m1_to_float(row[i / 2].bits >> (i & 1) * 4 & 15);
  } else if constexpr (std::is_same_v<T, Fp4Wide>) {
    for (int i = 0; i < n; i++) to[i] = e1m2_to_float(row[i / 2].bits >> (i & 1) * 4 & 15);
  } else if constexpr (std::is_integral_v<T>) {
    for (int i = 0; i < n; i++) to[i] = Acc(int32_t(row[i]));
  } else {
    load_floats(row, to, n);
  }
}

// Inputs as the cube reads them in HF32: 10 bits of mantissa.
void cut_to_hf32(float* x, int64_t n, int64_t mode) {
  if (mode == 0) return;
  for (int64_t i = 0; i < n; i++) {
    const uint32_t u = float_bits(x[i]), odd = mode == 1 ? u >> 13 & 1u : 0u;
    const bool finite = (u & 0x7f800000u) != 0x7f800000u;
    x[i] = bits_float(finite ? (u + 0xfffu + odd) & 0xffffe000u : u);
  }
}
template <class Acc> void cut_to_hf32(Acc*, int64_t, int64_t) {}

// A as rows of `ld` values.
template <class T, class Acc> void unpack_a(const char* a, const int64_t* size, Acc* to, int64_t ld) {
  constexpr int c0 = kRowNumbers<T>;
  const int64_t m = size[kMmadM], k = size[kMmadK], k_blocks = (k + c0 - 1) / c0, m_blocks = (m + kSide - 1) / kSide;
  for (int64_t i = 0; i < m_blocks; i++)
    for (int64_t j = 0; j < k_blocks; j++) {
      const char* fractal = a + (size[kMmadByColumn] ? j * m_blocks + i : i * k_blocks + j) * kFractalBytes;
      const int rows = int(std::min<int64_t>(kSide, m - i * kSide));
      for (int r = 0; r < rows; r++)
        unpack(reinterpret_cast<const T*>(fractal + r * kRowBytes), to + (i * kSide + r) * ld + j * c0, c0);
    }
}

// 16 columns of B as a panel of k steps.
template <class T, class Acc> void unpack_b(const char* b, const int64_t* size, int64_t column, Acc* panel) {
  constexpr int c0 = kRowNumbers<T>;
  const int64_t k = size[kMmadK], n_blocks = (size[kMmadN] + kSide - 1) / kSide;
  constexpr bool direct = std::is_same_v<Acc, float> && (is_half<T> || std::is_same_v<T, float>);
  for (int64_t j = 0; j * c0 < k; j++, panel += c0 * kSide) {
    const char* fractal = b + (j * n_blocks + column) * kFractalBytes;
    const int64_t depth = std::min<int64_t>(c0, k - j * c0);
    if constexpr (direct) {
      gemm::pack_across<kSide>(reinterpret_cast<const T*>(fractal), c0, kSide, depth, panel, kSide);
    } else {
      Acc rows[kSide * c0];
      for (int r = 0; r < kSide; r++) unpack(reinterpret_cast<const T*>(fractal + r * kRowBytes), rows + r * c0, c0);
      gemm::pack_across<kSide>(rows, c0, kSide, depth, panel, kSide);
    }
  }
}

// All rows of A times one panel, into a column of C's blocks.
template <class Acc> void times_panel(const Acc* a, int64_t ld, int64_t m, const Acc* panel, int64_t k, Acc* c, bool add) {
  constexpr int width = Lanes<Acc>::width, vecs = std::min(gemm::kVecs, kSide / width), step = vecs * width;
  const int tile = int((m + (m + gemm::kRows - 1) / gemm::kRows - 1) / ((m + gemm::kRows - 1) / gemm::kRows));
  for (int64_t i = 0; i < m; i += tile) {
    const int rows = int(std::min<int64_t>(tile, m - i));
    for (int x = 0; x < kSide; x += step)
      gemm::run_tile<MultiplyAdd<Acc>, gemm::Reads::kRows>(rows, vecs, {k, a + i * ld, ld, 1, panel + x, kSide, c + i * kSide + x, kSide, add});
  }
}

template <class A, class B, class Acc> void mmad(char* const* data, const int64_t* size, int64_t) {
  constexpr int c0 = kRowNumbers<A>;
  static_assert(c0 == kRowNumbers<B>);
  if constexpr (std::is_same_v<A, bfloat16>)
    if (mmad_by_pairs(data, size)) return;
  const int64_t m = size[kMmadM], n = size[kMmadN], k = size[kMmadK], ld = (k + c0 - 1) / c0 * c0, m16 = (m + kSide - 1) / kSide * kSide;
  Scratch<Acc> a(m * ld), panel(ld * kSide + gemm::kSlack);
  unpack_a<A>(data[1], size, a.data, ld);
  cut_to_hf32(a.data, m * ld, size[kMmadHf32]);
  auto* c = reinterpret_cast<Acc*>(data[0]);
  for (int64_t j = 0; j * kSide < n; j++) {
    unpack_b<B>(data[2], size, j, panel.data);
    cut_to_hf32(panel.data, k * kSide, size[kMmadHf32]);
    times_panel(a.data, ld, m, panel.data, k, c + j * m16 * kSide, size[kMmadAdd]);
  }
}

// Wide memories: values lie `scale` times as far apart, held as T.
template <class T, class Acc> void mmad_wide(char* const* data, const int64_t* size, int64_t item) {
  const int64_t m = size[kMmadM], n = size[kMmadN], k = size[kMmadK], scale = size[kMmadScale], c0 = kRowBytes / item, step = item * scale;
  const int64_t k_blocks = (k + c0 - 1) / c0, n_blocks = (n + kSide - 1) / kSide, m_blocks = (m + kSide - 1) / kSide;
  Scratch<Acc> a(m * k), panel(k * kSide + gemm::kSlack), sums(m * kSide);
  const auto value = [](const char* at) { return Acc(*reinterpret_cast<const T*>(at)); };
  for (int64_t r = 0; r < m; r++)
    for (int64_t x = 0; x < k; x++) {
      const int64_t i = r / kSide, j = x / c0, fractal = size[kMmadByColumn] ? j * m_blocks + i : i * k_blocks + j;
      a[r * k + x] = value(data[1] + (fractal * kFractalBytes + r % kSide * kRowBytes) * scale + x % c0 * step);
    }
  const int64_t c_step = int64_t(sizeof(float)) * scale;  // f32 or i32
  for (int64_t j = 0; j < n_blocks; j++) {
    for (int64_t x = 0; x < k; x++)
      for (int64_t q = 0; q < kSide; q++)
        panel[x * kSide + q] = value(data[2] + ((x / c0 * n_blocks + j) * kFractalBytes + q * kRowBytes) * scale + x % c0 * step);
    char* c = data[0] + j * m_blocks * kSide * kSide * c_step;
    for (int64_t i = 0; i < m * kSide; i++) sums[i] = *reinterpret_cast<const Acc*>(c + i * c_step);
    times_panel(a.data, k, m, panel.data, k, sums.data, size[kMmadAdd]);
    for (int64_t i = 0; i < m * kSide; i++) *reinterpret_cast<Acc*>(c + i * c_step) = sums[i];
  }
}

template <class A, class B, class Acc> void add_mmad(const char* formats) {
  runtime->entry((std::string("davinci.mmad ") + formats).c_str())->loops[0] = mmad<A, B, Acc>;
}
template <class A, class B, class Acc> void add_wide(const char* formats) {
  static_assert(std::is_same_v<A, B>);
  runtime->entry((std::string("davinci.mmad_wide ") + formats).c_str())->loops[0] = mmad_wide<A, Acc>;
}

AL_REGISTER() {
  add_mmad<float16, float16, float>("float16 float16");
  add_mmad<bfloat16, bfloat16, float>("bfloat16 bfloat16");
  add_mmad<float, float, float>("float32 float32");
  add_mmad<float8_e4m3fn, float8_e4m3fn, float>("float8_e4m3fn float8_e4m3fn");
  add_mmad<float8_e4m3fn, float8_e5m2, float>("float8_e4m3fn float8_e5m2");
  add_mmad<float8_e5m2, float8_e4m3fn, float>("float8_e5m2 float8_e4m3fn");
  add_mmad<float8_e5m2, float8_e5m2, float>("float8_e5m2 float8_e5m2");
  add_mmad<hifloat8, hifloat8, float>("hifloat8 hifloat8");
  add_mmad<Fp4, Fp4, float>("float4_e2m1fn_x2 float4_e2m1fn_x2");
  add_mmad<Fp4Wide, Fp4Wide, float>("float4_e1m2x2 float4_e1m2x2");
  add_mmad<int8_t, int8_t, uint32_t>("int8 int8");
  add_mmad<uint8_t, uint8_t, uint32_t>("uint8 uint8");
  add_mmad<uint8_t, int8_t, uint32_t>("uint8 int8");
  add_mmad<Int4x2, Int4x2, uint32_t>("int4x2 int4x2");
  add_wide<float, float, float>("float32 float32");
  add_wide<double, double, double>("float64 float64");
  add_wide<int8_t, int8_t, uint32_t>("int8 int8");
  add_wide<uint8_t, uint8_t, uint32_t>("uint8 uint8");
}

}  // namespace
}  // namespace al::davinci
