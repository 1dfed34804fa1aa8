// Gamma and Bessel functions (in double, by recurrences and asymptotic series), divisors, parts of floats.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "loops.h"

namespace al {
namespace {

constexpr double kPi = 3.14159265358979323846;

// x^-2 powers times `c`, Horner from the last.
template <int n> double series(double x2, const double (&c)[n]) {
  double sum = 0;
  for (int k = n; k-- > 0;) sum = sum * x2 + c[k];
  return sum;
}

// x less the nearest integer, exactly: less the one below, a small negative x would round to 1.
double from_integer(double x) { return x - std::round(x); }

double digamma(double x) {
  if (x == 0) return std::copysign(std::numeric_limits<double>::infinity(), -x);
  if (x < 0) {
    if (x == std::floor(x)) return std::nan("");
    return digamma(1 - x) - kPi / std::tan(kPi * from_integer(x));
  }
  double sum = 0;
  for (; x < 10; x += 1) sum -= 1 / x;
  // B_2k / 2k
  constexpr double c[] = {1.0 / 12, -1.0 / 120, 1.0 / 252, -1.0 / 240, 1.0 / 132, -691.0 / 32760, 1.0 / 12};
  double x2 = 1 / (x * x);
  return sum + std::log(x) - 0.5 / x - x2 * series(x2, c);
}

double trigamma(double x) {
  if (x < 0.5) {
    double s = std::sin(kPi * from_integer(x));
    return kPi * kPi / (s * s) - trigamma(1 - x);
  }
  double sum = 0;
  for (; x < 10; x += 1) sum += 1 / (x * x);
  // B_2k
  constexpr double c[] = {1.0 / 6, -1.0 / 30, 1.0 / 42, -1.0 / 30, 5.0 / 66, -691.0 / 2730, 7.0 / 6};
  double x2 = 1 / (x * x);
  return sum + 1 / x + 0.5 * x2 + x2 * series(x2, c) / x;
}

// The modified Bessel function of order 0 or 1 of x >= 0; `scaled`: times e^-x, which has no overflow.
double bessel(int order, double x, bool scaled = false) {
  if (!(x <= 40)) {  // Hankel's series: its terms fall until k = 2 x, far below one rounding
    double mu = 4.0 * order * order, term = 1, sum = 1;
    for (int k = 1; k < 30; k++) {
      term *= -(mu - (2.0 * k - 1) * (2 * k - 1)) / (k * 8 * x);
      sum += term;
    }
    const double rest = sum / std::sqrt(2 * kPi * x);
    return scaled ? rest : std::exp(x / 2) * rest * std::exp(x / 2);
  }
  double q = x * x / 4, term = order ? x / 2 : 1, sum = term;
  for (int k = 1; term > sum * 1e-17; k++) {  // positive terms: nothing cancels
    term *= q / (double(k) * (k + order));
    sum += term;
  }
  return scaled ? sum * std::exp(-x) : sum;
}

template <double (*f)(double)> struct InDouble {
  template <class T> T operator()(T x) const { return T(f(double(x))); }
};

double lgamma(double x) {
  int sign;  // not libm's global one: loops run on many threads
  return ::lgamma_r(x, &sign);
}
double i0(double x) { return bessel(0, std::fabs(x)); }
double i1(double x) { return std::copysign(bessel(1, std::fabs(x)), x); }
double i0e(double x) { return std::isinf(x) ? 0 : bessel(0, std::fabs(x), true); }
double i1e(double x) { return std::copysign(std::isinf(x) ? 0 : bessel(1, std::fabs(x), true), x); }

// Where the normal density has the area p below it: Hastings' approximation (Abramowitz and Stegun, 26.2.23), then Halley's steps on
// erfc, which is exact in the tail. Of p > 1/2 the area above is taken, which loses nothing more.
double ndtri(double p) {
  if (!(p >= 0 && p <= 1)) return std::nan("");
  const double q = std::min(p, 1 - p);
  if (q == 0) return std::copysign(std::numeric_limits<double>::infinity(), p - 0.5);
  if (q == 0.5) return 0;
  const double t = std::sqrt(-2 * std::log(q));
  double x = (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t;
  for (int k = 0; k < 3; k++) {
    const double excess = 0.5 * std::erfc(-x / std::sqrt(2.0)) / q - 1;
    const double step = excess * std::sqrt(2 * kPi) * std::exp(std::log(q) + 0.5 * x * x);
    x -= step / (1 + 0.5 * x * step);
  }
  return p < 0.5 ? x : -x;
}

AL_REGISTER() {
  on_floats<1>("ndtri", InDouble<ndtri>{});
  on_floats<1>("lgamma", InDouble<lgamma>{});
  on_floats<1>("digamma", InDouble<digamma>{});
  on_floats<1>("trigamma", InDouble<trigamma>{});
  on_floats<1>("i0", InDouble<i0>{});
  on_floats<1>("i1", InDouble<i1>{});
  on_floats<1>("i0e", InDouble<i0e>{});
  on_floats<1>("i1e", InDouble<i1e>{});
}

// The magnitude of the least integer is itself when wrapped, as in torch.
template <class T> uint64_t magnitude(T x) { return x < 0 ? -uint64_t(int64_t(x)) : uint64_t(x); }

struct Gcd {
  template <class T> T operator()(T a, T b) const { return T(std::gcd(magnitude(a), magnitude(b))); }
};
struct Lcm {
  template <class T> T operator()(T a, T b) const {
    uint64_t g = std::gcd(magnitude(a), magnitude(b));
    return g ? T(magnitude(T(a / T(g) * b))) : T(0);
  }
};
struct Mantissa {
  template <class T> T operator()(T x) const {
    int exponent;
    return std::frexp(x, &exponent);
  }
};
struct Exponent {
  template <class T> T operator()(T x) const {
    int exponent = 0;
    if (std::isfinite(x)) std::frexp(x, &exponent);
    return T(exponent);
  }
};

AL_REGISTER() {
  on_ints<2>("gcd", Gcd{});
  on_ints<2>("lcm", Lcm{});
  on_floats<1>("mantissa", Mantissa{});
  on_floats<1>("exponent", Exponent{});
}

}  // namespace
}  // namespace al
