// Bessel functions of orders 0 and 1, Airy's function and orthogonal polynomials: in double whatever the dtype.
#include <cmath>
#include <limits>

#include "loops.h"

namespace al {
namespace {

constexpr double kPi = 3.14159265358979323846, kEuler = 0.57721566490153286061;
constexpr double kInf = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();

// e^x K_order(x) = integral over t >= 0 of e^(-x (cosh t - 1)) cosh(order t) (DLMF 10.32.9), by trapezoids up to where the
// integrand is e^-40; for x >= 0.1 they are exact to the last bits, as the integrand is analytic in a strip.
double k_integral(double order, double x) {
  constexpr int n = 40;
  const double u = 40 / x, step = std::log1p(u + std::sqrt(u * (u + 2))) / n;  // acosh(1 + u), for any x
  double sum = 0.5;
  for (int i = 1; i <= n; i++) {
    const double half = std::sinh(i * step / 2);  // cosh t - 1 without cancellation
    sum += std::exp(-2 * x * half * half) * std::cosh(order * i * step);
  }
  return sum * step;
}

// K of order 0 or 1 for x < 0.1 (DLMF 10.31).
double k_series(int order, double x) {
  const double q = x * x / 4, log_half = std::log(x / 2);
  double term = order ? x / 2 : 1, harmonic = order ? -2 * kEuler + 1 : -kEuler, sum = 0;
  for (int k = 0; k < 8; k++) {
    sum += term * (order ? log_half - harmonic / 2 : harmonic - log_half);
    term *= q / ((k + 1.0) * (k + 1 + order));
    harmonic += order ? 1 / (k + 1.0) + 1 / (k + 2.0) : 1 / (k + 1.0);
  }
  return order ? 1 / x + sum : sum;
}

template <int order, bool scaled> double bessel_k(double x) {
  if (!(x >= 0)) return kNan;
  if (x == 0) return kInf;
  if (std::isinf(x)) return 0;
  if (x < 0.1) return k_series(order, x) * (scaled ? std::exp(x) : 1);
  return k_integral(order, x) * (scaled ? 1 : std::exp(-x));
}

template <double (*f)(double)> double second_kind(double x) { return x < 0 ? kNan : x == 0 ? -kInf : f(x); }

double spherical_j0(double x) { return std::isinf(x) ? 0 : std::fabs(x) < 1e-4 ? 1 - x * x / 6 : std::sin(x) / x; }

// Ai: Maclaurin's series near 0 (DLMF 9.4.1), K_1/3 to the right of it (9.6.2), the asymptotic series to the left (9.7.9).
double airy_near(double x) {
  const long double cube = (long double)x * x * x;
  long double f = 1, g = x, sum_f = 1, sum_g = x;
  for (int k = 1; k < 120; k++) {
    f *= cube / ((3.0L * k - 1) * (3 * k));
    g *= cube / ((3.0L * k) * (3 * k + 1));
    sum_f += f, sum_g += g;
  }
  return double(0.355028053887817239260L * sum_f - 0.258819403792806798405L * sum_g);
}

double airy_left(double x) {  // x is -argument
  const double z = 2 * x * std::sqrt(x) / 3;
  double term = 1, even = 0, odd = 0;
  for (int k = 0; k < 24; k++) {
    (k % 2 ? odd : even) += (k / 2 % 2 ? -term : term);
    const double next = term * (6.0 * k + 1) * (6 * k + 3) * (6 * k + 5) / (216.0 * (k + 1) * (2 * k + 1) * z);
    if (std::fabs(next) > std::fabs(term)) break;
    term = next;
  }
  const double phase = z - kPi / 4;
  return (std::cos(phase) * even + std::sin(phase) * odd) / (std::sqrt(kPi) * std::sqrt(std::sqrt(x)));
}

double airy(double x) {
  if (x != x) return x;
  if (std::isinf(x)) return 0;
  if (x < -8) return airy_left(-x);
  if (x < 2) return airy_near(x);
  const double z = 2 * x * std::sqrt(x) / 3;
  return std::sqrt(x / 3) / kPi * k_integral(1.0 / 3, z) * std::exp(-z);
}

// p_(k+1) from p_k and p_(k-1), up to p_n; torch's values outside: 0 for n < 0.
template <class Next> double recur(double n, double p, double q, Next next) {
  if (!(n >= 1)) return n >= 0 ? p : n < 0 ? 0 : kNan;
  const int64_t last = n < 9e18 ? int64_t(n) : int64_t(9e18);
  for (int64_t k = 1; k < last && q == q; k++) {
    const double r = next(double(k), p, q);
    p = q, q = r;
  }
  return q;
}

enum class Kind { t, u, v, w };

template <Kind kind> double at_end(double x, double n) {  // at x = 1 or -1
  const bool positive = x > 0 || std::fmod(n, 2) == 0;
  if (kind == Kind::t) return positive ? 1 : -1;
  if (kind == Kind::u) return positive ? n + 1 : -(n + 1);
  const bool grows = (kind == Kind::v) != (x > 0);
  return (grows ? 2 * n + 1 : 1) * (positive ? 1 : -1);
}

template <Kind kind> double chebyshev(double x, double n) {
  n = std::trunc(n);
  if (n < 0) return 0;
  if (std::fabs(x) == 1) return at_end<kind>(x, n);
  if (n > (kind == Kind::t ? 6 : 8) && std::fabs(x) < 1) {
    const double angle = std::acos(x);
    if (kind == Kind::t) return std::cos(n * angle);
    if (kind == Kind::u) return std::sin((n + 1) * angle) / std::sin(angle);
    if (kind == Kind::v) return std::cos((n + 0.5) * angle) / std::cos(angle / 2);
    return std::sin((n + 0.5) * angle) / std::sin(angle / 2);
  }
  const double first = kind == Kind::t ? x : kind == Kind::u ? 2 * x : kind == Kind::v ? 2 * x - 1 : 2 * x + 1;
  return recur(n, 1, first, [x](double, double p, double q) { return 2 * x * q - p; });
}

template <Kind kind> double shifted_chebyshev(double x, double n) { return chebyshev<kind>(2 * x - 1, n); }

double hermite_h(double x, double n) {
  return n > 512 ? kNan : recur(std::trunc(n), 1, 2 * x, [x](double k, double p, double q) { return 2 * (x * q - k * p); });
}

double hermite_he(double x, double n) {
  return n > 512 ? kNan : recur(std::trunc(n), 1, x, [x](double k, double p, double q) { return x * q - k * p; });
}

double laguerre(double x, double n) {
  if (x == 0 && n >= 0) return 1;
  return recur(std::trunc(n), 1, 1 - x, [x](double k, double p, double q) { return ((2 * k + 1 - x) * q - k * p) / (k + 1); });
}

double legendre(double x, double n) {
  n = std::trunc(n);
  if (std::fabs(x) == 1 && n >= 0) return x > 0 || std::fmod(n, 2) == 0 ? 1 : -1;
  return recur(n, 1, x, [x](double k, double p, double q) { return ((2 * k + 1) * x * q - k * p) / (k + 1); });
}

template <auto f> struct InDouble {
  template <class... T> auto operator()(T... x) const { return std::common_type_t<T...>(f(double(x)...)); }
};

AL_REGISTER() {
  on_floats<1>("bessel_j0", InDouble<(double (*)(double))::j0>{});
  on_floats<1>("bessel_j1", InDouble<(double (*)(double))::j1>{});
  on_floats<1>("bessel_y0", InDouble<second_kind<::y0>>{});
  on_floats<1>("bessel_y1", InDouble<second_kind<::y1>>{});
  on_floats<1>("modified_bessel_k0", InDouble<bessel_k<0, false>>{});
  on_floats<1>("modified_bessel_k1", InDouble<bessel_k<1, false>>{});
  on_floats<1>("scaled_modified_bessel_k0", InDouble<bessel_k<0, true>>{});
  on_floats<1>("scaled_modified_bessel_k1", InDouble<bessel_k<1, true>>{});
  on_floats<1>("spherical_bessel_j0", InDouble<spherical_j0>{});
  on_floats<1>("airy_ai", InDouble<airy>{});
  on_floats<2>("chebyshev_polynomial_t", InDouble<chebyshev<Kind::t>>{});
  on_floats<2>("chebyshev_polynomial_u", InDouble<chebyshev<Kind::u>>{});
  on_floats<2>("chebyshev_polynomial_v", InDouble<chebyshev<Kind::v>>{});
  on_floats<2>("chebyshev_polynomial_w", InDouble<chebyshev<Kind::w>>{});
  on_floats<2>("shifted_chebyshev_polynomial_t", InDouble<shifted_chebyshev<Kind::t>>{});
  on_floats<2>("shifted_chebyshev_polynomial_u", InDouble<shifted_chebyshev<Kind::u>>{});
  on_floats<2>("shifted_chebyshev_polynomial_v", InDouble<shifted_chebyshev<Kind::v>>{});
  on_floats<2>("shifted_chebyshev_polynomial_w", InDouble<shifted_chebyshev<Kind::w>>{});
  on_floats<2>("hermite_polynomial_h", InDouble<hermite_h>{});
  on_floats<2>("hermite_polynomial_he", InDouble<hermite_he>{});
  on_floats<2>("laguerre_polynomial_l", InDouble<laguerre>{});
  on_floats<2>("legendre_polynomial_p", InDouble<legendre>{});
}

}  // namespace
}  // namespace al
