// Matrix products: c = alpha * (a @ b) + beta * add, for any strides, on a small table of back ends.
// The sum over k of an output element is made in one fixed order: the same for any number of threads, of rows
// and of columns.
#pragma once
#include "abi.h"

namespace al::gemm {

// A window on a matrix: strides in elements, any sign, zero allowed.
struct Matrix {
  char* data = nullptr;
  int64_t row = 0, col = 0;
};

// Changes a run of finished outputs in place, in the type they are computed in (float, or double for
// float64).
using Activation = void (*)(void* values, int64_t n);

struct Problem {
  int32_t dtype;      // of a and b
  int32_t out_dtype;  // of c and add: the same, or int32 for int8
  int64_t m, n, k;
  Matrix a, b;   // (m, k), (k, n)
  Matrix c;      // (m, n); one of its strides is 1
  Matrix add{};  // (m, n), may be absent, broadcast by zero strides, or c itself
  double alpha = 1, beta = 1;
  Activation activation = nullptr;
  bool serial = false;  // the caller runs on one thread of a parallel loop already
};

// kPairs: native, with bfloat16 by pairs and int8 by fours even where that is emulated (for tests).
enum Backend : int32_t { kAuto, kNative, kOpenBlas, kPairs };

void gemm(const Problem& problem);

// Which back end gemm uses. kOpenBlas falls back on native for what the library has not.
void set_backend(Backend backend);
Backend backend();

// Whether the dtypes have a product.
bool supported(int32_t dtype, int32_t out_dtype);

// Whether bfloat16 is multiplied by pairs: the machine has the instruction, or a test asks for it.
bool by_pairs();
bool pairs_in_hardware();

// The back ends, for gemm.cpp only.
void native_float(const Problem& problem);
void native_half(const Problem& problem);
void native_pairs(const Problem& problem);  // bfloat16
void native_quads(const Problem& problem);  // int8
bool quads_in_hardware();
void native_double(const Problem& problem);
void native_integer(const Problem& problem);
bool openblas_load(const char* path);
bool openblas_gemm(const Problem& problem);  // false: absent, or not a product it knows

}  // namespace al::gemm
