// Cast between formats, by every legal rounding; formats of two numbers a byte have a step of their own.
#include <cmath>

#include "davinci/vector.h"
#include "simd/davinci_cast.h"

namespace al::davinci {
namespace {

LoopFn cast_loop(int from, int to, int64_t rounding) {
  const std::string name = std::string("davinci.cast ") + format_name(from) + " " + format_name(to);
  return rounding >= 0 && rounding < kNumRoundings ? find_loop(name.c_str(), static_cast<int>(rounding)) : nullptr;
}

LoopFn wide_loop(const Building& b, int from, int to, int64_t rounding) {
  const int held_from = b.numerics.held(from), held_to = b.numerics.held(to);
  if (is_float_format(from) && is_float_format(to))  // a narrower format is not what limits wide values
    return from == to ? find_loop(held_to == kFloat32 ? "davinci.integral float32" : "davinci.integral float64", static_cast<int>(rounding))
                      : find_mover(held_to);
  if (LoopFn loop = cast_loop(held_from, held_to, rounding)) return loop;
  if (LoopFn loop = cast_loop(held_from, held_to, kNone)) return loop;
  return cast_loop(held_from, held_to, kRint);
}

// ---- two numbers a byte ----

struct PackedCast {
  Place dst, src;
  int64_t count;
  int32_t packed, rounding;
  int32_t other;  // the format of whole bytes
};

float e1m2_to_float(uint8_t nibble) { return (nibble & 8 ? -0.25f : 0.25f) * static_cast<float>(nibble & 7); }

float unpack_one(int format, uint8_t nibble) {
  if (format == kInt4x2) return static_cast<float>(static_cast<int8_t>(nibble << 4) >> 4);
  return format == kFloat4E2M1x2 ? e2m1_to_float(nibble) : e1m2_to_float(nibble);
}

float integral_by(int rounding, float x) {
  switch (rounding) {
    case kFloor: return to_integral<kFloor>(x);
    case kCeil: return to_integral<kCeil>(x);
    case kRound: return to_integral<kRound>(x);
    case kTrunc: return to_integral<kTrunc>(x);
    default: return to_integral<kRint>(x);
  }
}

uint8_t pack_one(int format, int rounding, float x) {
  if (x != x) return 0;
  if (format == kInt4x2) return static_cast<uint8_t>(static_cast<int>(std::clamp(integral_by(rounding, x), -8.0f, 7.0f)) & 15);
  const float magnitude = std::fabs(x);
  // The grid's step at this magnitude; both formats end where the next step would need an exponent they do not have.
  const float step = format == kFloat4E1M2x2 ? 0.25f : magnitude < 2 ? 0.5f : magnitude < 4 ? 1.0f : 2.0f;
  const float largest = format == kFloat4E1M2x2 ? 1.75f : 6.0f;
  const float rounded = std::clamp(integral_by(rounding, x / step) * step, -largest, largest);
  if (format == kFloat4E1M2x2) return static_cast<uint8_t>((std::signbit(x) ? 8 : 0) | static_cast<int>(std::fabs(rounded) * 4));
  return static_cast<uint8_t>((std::signbit(x) ? 8 : 0) | (float_to_e2m1(std::fabs(rounded)) & 7));
}

float load_real(int format, const char* at) { return static_cast<float>(format == kFloat16 ? to_float(*reinterpret_cast<const float16*>(at)) : to_float(*reinterpret_cast<const bfloat16*>(at))); }

void run_packed(Core& core, const PackedCast& c) {
  char *dst = core.at(c.dst), *src = core.at(c.src);
  for (int64_t i = 0; i < c.count; ++i) {
    const int shift = static_cast<int>(i & 1) * 4;
    if (c.packed < 0) {  // into nibbles: the format is -packed - 1
      const int format = -c.packed - 1;
      const uint8_t nibble = pack_one(format, c.rounding, load_real(c.other, src + i * 2));
      const uint8_t keep = i & 1 ? static_cast<uint8_t>(dst[i / 2]) & 15 : 0;
      dst[i / 2] = static_cast<char>(keep | nibble << shift);
    } else {
      store_number(dst + i * 2, c.other, unpack_one(c.packed, static_cast<uint8_t>(src[i / 2]) >> shift & 15), 0, false);
    }
  }
}

void cast_packed(Building& b, int from, int to, int64_t rounding) {
  if (b.numerics.wide()) b.refuse(std::string("has no wide form of ") + format_name(is_packed(from) ? from : to) + "; use the mode \"device\"");
  if (b.arg(kHeadMode) != 0) b.refuse("formats of two numbers a byte are cast in the count form only");
  const int other = is_packed(from) ? to : from;
  if (other != kFloat16 && other != kBFloat16) b.refuse(std::string("no cast from ") + format_name(from) + " to " + format_name(to));
  const int64_t count = std::max<int64_t>(b.arg(kHeadCount), 0);
  const auto bytes = [&](int format) { return Extent(is_packed(format) ? __int128{count} / 2 + count % 2 : __int128{count} * 2); };
  PackedCast c{b.place(0, bytes(to)), b.place(1, bytes(from)), count, is_packed(from) ? from : -to - 1, static_cast<int32_t>(rounding), other};
  if (c.count > 0) b.add<run_packed>(c);
}

void cast(Building& b) {
  const int from = b.region(1).dtype, to = b.region(0).dtype;
  const int64_t rounding = b.arg(kHeadEnd);
  if (is_packed(from) || is_packed(to)) return cast_packed(b, from, to, rounding);
  const int held_to = b.numerics.held(to);
  if (from == kInt32 && to == kFloat16)
    return add_elementwise<2>(b, find_loop("davinci.dequantize", held_to), 1, false, held_to == kFloat64 ? kFloat64 : kFloat32);
  LoopFn loop;
  if (b.numerics.wide()) loop = wide_loop(b, from, to, rounding);
  else if (from == to && from == kFloat32) loop = find_loop("davinci.integral float32", static_cast<int>(rounding));
  else loop = cast_loop(from, to, rounding);
  if (!loop) b.refuse(std::string("no cast from ") + format_name(from) + " to " + format_name(to) + " with rounding " + std::to_string(rounding));
  add_elementwise<2>(b, loop);
}

constexpr MeaningEntry kEntries[] = {{"cast", cast, true}};
const MeaningTable table(kEntries);

}  // namespace
}  // namespace al::davinci
