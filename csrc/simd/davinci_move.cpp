// The emulated core's layout changes that are worth vectors: fractals transposed, results of the cube written out.
#include "davinci/cube.h"
#include "davinci/formats.h"
#include "kernel.h"
#include "simd/davinci_cast.h"

#include <string>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace al::davinci {
namespace {

constexpr int kSide = 16;

// 16 x 16 elements of two bytes.
void turn(const char* from, char* to) {
#if defined(__SSE2__)
  __m128i x[16], y[16];
  for (int half = 0; half < 2; half++) {  // eight columns of the source: eight rows of the result
    for (int r = 0; r < 16; r++) x[r] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + r * 32 + half * 16));
    for (int pass = 0; pass < 4; pass++) {  // four passes of a perfect shuffle of the 16 rows
      for (int i = 0; i < 8; i++) {
        y[2 * i] = _mm_unpacklo_epi16(x[i], x[i + 8]);
        y[2 * i + 1] = _mm_unpackhi_epi16(x[i], x[i + 8]);
      }
      for (int i = 0; i < 16; i++) x[i] = y[i];
    }
    for (int i = 0; i < 16; i++) _mm_storeu_si128(reinterpret_cast<__m128i*>(to + half * 256 + i * 16), x[i]);
  }
#else
  uint16_t in[kSide * kSide], out[kSide * kSide];
  std::memcpy(in, from, sizeof in);
  for (int r = 0; r < kSide; r++)
    for (int c = 0; c < kSide; c++) out[c * kSide + r] = in[r * kSide + c];
  std::memcpy(to, out, sizeof out);
#endif
}

void turn_many(char* const* data, const int64_t* size, int64_t n) {
  for (int64_t i = 0; i < n; i++) turn(data[1] + i * size[kTurnSrc], data[0] + i * size[kTurnDst]);
}

// 8 x 8 elements of four bytes: half a fractal.
void turn_words(char* const* data, const int64_t* size, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t in[64], out[64];
    std::memcpy(in, data[1] + i * size[kTurnSrc], sizeof in);
    for (int r = 0; r < 8; r++)
      for (int c = 0; c < 8; c++) out[r * 8 + c] = in[c * 8 + r];
    std::memcpy(data[0] + i * size[kTurnDst], out, sizeof out);
  }
}

template <class Acc, class Out> AL_INLINE Out finish_one(Acc x) {
  if constexpr (std::is_integral_v<Out>) return std::is_integral_v<Acc> && sizeof(Out) == 4 ? Out(x) : to_integer<Out, kRint>(float(x));
  else return from_float<Out>(float(x));
}

// One row of results, n <= 4096 columns, converted into `to`.
template <class Acc, class Out>
void finish_row(const Acc* src, const int64_t* size, const float* scales, float* wide, Out* to) {
  const int64_t n = size[kFixN], block = size[kFixSrcRows] * kSide, quant = size[kFixQuant];
  for (int64_t x = 0; x < n; x += kSide) {
    const Acc* from = src + x / kSide * block;
    for (int i = 0; i < kSide; i++) wide[x + i] = float(from[i]);
  }
  if (size[kFixRelu])
    for (int64_t x = 0; x < n; x++) wide[x] = wide[x] < 0 ? 0 : wide[x];
  if (quant == kQuantScale)
    for (int64_t x = 0; x < n; x++) wide[x] *= scales[0];
  if (quant == kQuantColumns)
    for (int64_t x = 0; x < n; x++) wide[x] *= scales[x];
  if constexpr (std::is_same_v<Out, float> || is_half<Out>) {
    store_floats(wide, to, n);
  } else {
    for (int64_t x = 0; x < n; x++) to[x] = finish_one<float, Out>(wide[x]);
  }
}
// int32 results that stay so are not sent through float.
template <> void finish_row<int32_t, int32_t>(const int32_t* src, const int64_t* size, const float*, float*, int32_t* to) {
  for (int64_t x = 0; x < size[kFixN]; x++) {
    const int32_t v = src[x / kSide * size[kFixSrcRows] * kSide + x % kSide];
    to[x] = size[kFixRelu] && v < 0 ? 0 : v;
  }
}

// Whole columns of C's blocks to floats in rows: C is read as it lies, 16 results at a time.
template <class Out> void fixpipe_columns(char* const* data, const int64_t* size, int64_t columns) {
  typedef float Results __attribute__((vector_size(64)));
  typedef Results LooseResults __attribute__((aligned(4), may_alias));
  const auto* scales = reinterpret_cast<const float*>(data[2]);
  const int64_t quant = size[kFixQuant];
  for (int64_t x = 0; x < columns; x += kSide) {
    const float* from = reinterpret_cast<const float*>(data[1]) + x * size[kFixSrcRows];
    Results scale = Results{} + 1.0f;
    if (quant == kQuantScale) scale = Results{} + scales[0];
    if (quant == kQuantColumns) scale = *reinterpret_cast<const LooseResults*>(scales + x);
    for (int64_t r = 0; r < size[kFixM]; r++) {
      alignas(64) Results v = *reinterpret_cast<const LooseResults*>(from + r * kSide);
      if (size[kFixRelu]) v = v < 0.0f ? Results{} : v;
      if (quant >= kQuantScale) v *= scale;
      auto* to = reinterpret_cast<Out*>(data[0] + r * size[kFixDstRow]) + x;
      store_floats(reinterpret_cast<const float*>(&v), to, kSide);
      if constexpr (is_half<Out>)
        if (size[kFixSaturate] && saturate_run(to, kSide)) *data[3] = 1;
    }
  }
}

template <class Acc, class Out> void fixpipe(char* const* data, const int64_t* size, int64_t) {
  if constexpr (std::is_same_v<Acc, float> && (is_half<Out> || std::is_same_v<Out, float>))
    if (!size[kFixDstBlock] && size[kFixN] % kSide == 0 && (reinterpret_cast<uintptr_t>(data[0]) | size[kFixDstRow]) % sizeof(Out) == 0)
      return fixpipe_columns<Out>(data, size, size[kFixN]);
  alignas(64) float wide[4096 + kSide];
  alignas(64) Out row[4096];
  const int64_t n = size[kFixN], block = size[kFixDstBlock], c0 = 32 / int64_t(sizeof(Out));
  const auto* src = reinterpret_cast<const Acc*>(data[1]);
  for (int64_t r = 0; r < size[kFixM]; r++) {
    char* to = data[0] + r * size[kFixDstRow];
    Out* into = block || reinterpret_cast<uintptr_t>(to) % sizeof(Out) ? row : reinterpret_cast<Out*>(to);
    finish_row<Acc, Out>(src + r * kSide, size, reinterpret_cast<const float*>(data[2]), wide, into);
    if constexpr (is_half<Out>)
      if (size[kFixSaturate] && saturate_run(into, n)) *data[3] = 1;
    if (!block && into == row) std::memcpy(to, row, size_t(n) * sizeof(Out));
    for (int64_t x = 0; block && x < n; x += c0)
      std::memcpy(to + x / c0 * block, row + x, size_t(std::min(c0, n - x)) * sizeof(Out));
  }
}

template <class Acc, class... Out> void fixpipes() {
  ((runtime->entry((std::string("davinci.fixpipe ") + kDTypeNames[dtype_of<Acc>] + " " + kDTypeNames[dtype_of<Out>]).c_str())->loops[0] =
        fixpipe<Acc, Out>), ...);
}

AL_REGISTER() {
  runtime->entry("davinci.turn16")->loops[0] = turn_many;
  runtime->entry("davinci.turn32")->loops[0] = turn_words;
  fixpipes<float, float, float16, bfloat16, int8_t, float8_e4m3fn, hifloat8>();
  fixpipes<int32_t, int32_t, float16, bfloat16, int8_t>();
}

}  // namespace
}  // namespace al::davinci
