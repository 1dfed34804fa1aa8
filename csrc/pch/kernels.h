// Headers of others that most kernels read, parsed once for each instruction set. Every source names what it needs
// itself, so that it compiles without this one (-Db_pch=false).
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>
