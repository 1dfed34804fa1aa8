// Order-preserving integer keys of every sortable dtype: NaN is the largest, all NaNs are equal, -0 equals 0.
#pragma once
#include "items.h"

namespace al {

template <class T>
using Key = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

// Float bits to a key. Exponent all ones and a mantissa is NaN; `infinity` is the bits of +inf.
template <class U, class K>
inline K float_key(U bits, U infinity) {
  const U sign = U(U(1) << (sizeof(U) * 8 - 1)), magnitude = U(bits & U(~sign));
  if (magnitude > infinity) return K(U(~U(0)));
  if (magnitude == 0) return K(sign);
  return K(bits & sign ? U(~bits) : U(bits | sign));
}

struct AsUnsigned {
  template <class T>
  static Key<T> key(T v) {
    return Key<T>(v);
  }
};
struct AsSigned {
  template <class T>
  static Key<T> key(T v) {
    return Key<T>(Key<T>(v) ^ (Key<T>(1) << (sizeof(Key<T>) * 8 - 1)));
  }
};
struct AsHalf {
  static uint32_t key(uint16_t v) { return float_key<uint16_t, uint32_t>(v, 0x7c00); }
};
struct AsBFloat {
  static uint32_t key(uint16_t v) { return float_key<uint16_t, uint32_t>(v, 0x7f80); }
};
struct AsFloat {
  static uint32_t key(uint32_t v) { return float_key<uint32_t, uint32_t>(v, 0x7f800000u); }
};
struct AsDouble {
  static uint64_t key(uint64_t v) { return float_key<uint64_t, uint64_t>(v, 0x7ff0000000000000ull); }
};

// Calls f(T{}, Order{}): Order::key(T) gives the key of stored bits.
template <class F>
inline void with_order(const Call& call, const char* op, int32_t dtype, F&& f) {
  switch (dtype) {
    case kBool:
    case kUInt8: return f(uint8_t{}, AsUnsigned{});
    case kInt8: return f(int8_t{}, AsSigned{});
    case kInt16: return f(int16_t{}, AsSigned{});
    case kInt32: return f(int32_t{}, AsSigned{});
    case kInt64: return f(int64_t{}, AsSigned{});
    case kFloat16: return f(uint16_t{}, AsHalf{});
    case kBFloat16: return f(uint16_t{}, AsBFloat{});
    case kFloat32: return f(uint32_t{}, AsFloat{});
    case kFloat64: return f(uint64_t{}, AsDouble{});
    default:
      fail(call, kRuntimeError, "%s: not implemented for dtype code %d on cpu; cast to float32 first", op,
           dtype);
  }
}

// A key with its position: positions make every order total, so that all algorithms agree.
template <class K>
struct Item {
  K key;
  uint32_t at;
  bool operator<(const Item& o) const { return key != o.key ? key < o.key : at < o.at; }
};

}  // namespace al
