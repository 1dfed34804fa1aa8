// The Hurwitz zeta function and the incomplete gamma functions, in double.
#include <cmath>
#include <limits>

#include "loops.h"

namespace al {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();
constexpr double kEps = std::numeric_limits<double>::epsilon();

// Euler and Maclaurin's sum for q > 0: Abramowitz and Stegun, 23.1.30 (applied to the terms from q + n on).
double zeta_above(double s, double q) {
  // (2k)! / B_2k
  constexpr double c[] = {12.0, -720.0, 30240.0, -1209600.0, 47900160.0, -1307674368000.0 / 691, 74724249600.0, -10670622842880000.0 / 3617,
                          5109094217170944000.0 / 43867, -802857662698291200000.0 / 174611};
  double sum = 0;
  int k = 0;
  for (; k < 9 || q + k <= 9; ++k) {
    double term = std::pow(q + k, -s);
    sum += term;
    if (term < kEps * sum) return sum;
  }
  double w = q + k, power = std::pow(w, -s);
  sum += power * w / (s - 1) + 0.5 * power;
  double factor = s, order = 0;
  power /= w;
  for (double constant : c) {
    double term = factor * power / constant;
    sum += term;
    if (std::fabs(term) < kEps * std::fabs(sum)) break;
    factor *= (s + order + 1) * (s + order + 2);
    power /= w * w;
    order += 2;
  }
  return sum;
}

double zeta(double s, double q) {
  if (s == 1) return kInf;
  if (!(s > 1) || std::isnan(q)) return kNaN;
  if (q > 0) return std::isinf(q) ? 0 : zeta_above(s, q);
  double whole = std::floor(q);
  if (q == whole) return kInf;
  if (s != std::floor(s)) return kNaN;
  // the terms below zero are a finite sum, itself a difference of two infinite ones
  double f = q - whole, sign = std::fmod(s, 2) == 0 ? 1 : -1;
  return zeta_above(s, f) + sign * (zeta_above(s, 1 - f) - zeta_above(s, 1 - f - whole));
}

// Temme's expansion for large a: N. Temme, "The asymptotic expansion of the incomplete gamma functions" (1979), first two terms;
// side: 1 for Q, -1 for P.
double of_large(double a, double x, double side) {
  double l = x / a, d = l - 1, half = d - std::log1p(d), eta = std::copysign(std::sqrt(2 * std::fmax(half, 0)), d);
  double c0 = std::fabs(eta) < 0.05 ? -1.0 / 3 + eta * (1.0 / 12 + eta * (-2.0 / 135 + eta * (1.0 / 864 + eta / 2835))) : 1 / d - 1 / eta;
  double rest = std::exp(-a * half) / std::sqrt(2 * 3.14159265358979323846 * a) * (c0 - 1.0 / 540 / a);
  return 0.5 * std::erfc(side * eta * std::sqrt(a / 2)) + side * rest;
}

double scale(double a, double x) {  // x^a e^-x / gamma(a)
  int sign;
  return std::exp(a * std::log(x) - x - ::lgamma_r(a, &sign));
}

double lower_series(double a, double x) {
  double term = 1 / a, sum = term;
  for (double k = a + 1; term > kEps * sum; k += 1) sum += term *= x / k;
  return sum * scale(a, x);
}

double upper_fraction(double a, double x) {  // Lentz's evaluation of Abramowitz and Stegun, 6.5.31
  double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (int k = 1; k < 20000; ++k) {
    double n = -k * (k - a);
    b += 2;
    d = n * d + b;
    c = b + n / c;
    d = 1 / (d == 0 ? 1e-300 : d);
    double step = d * c;
    h *= step;
    if (std::fabs(step - 1) < kEps) break;
  }
  return h * scale(a, x);
}

// P and Q for what is no ordinary case; NaN there means: not such a case, unless `known`.
double edge(double a, double x, bool upper, bool& known) {
  known = true;
  if (!(a >= 0) || !(x >= 0) || (a == 0 && x == 0) || (std::isinf(a) && std::isinf(x))) return kNaN;
  if (a == 0 || std::isinf(x)) return upper ? 0 : 1;
  if (x == 0 || std::isinf(a)) return upper ? 1 : 0;
  known = false;
  return kNaN;
}

double igamma(double a, double x) {
  bool known;
  double y = edge(a, x, false, known);
  if (known) return y;
  if (a > 2e4 && std::fabs(x - a) < 0.5 * a) return of_large(a, x, -1);
  return x > 1 && x > a ? 1 - upper_fraction(a, x) : lower_series(a, x);
}

double igammac(double a, double x) {
  bool known;
  double y = edge(a, x, true, known);
  if (known) return y;
  if (a > 2e4 && std::fabs(x - a) < 0.5 * a) return of_large(a, x, 1);
  return x > 1 && x > a ? upper_fraction(a, x) : 1 - lower_series(a, x);
}

template <double (*f)(double, double)> struct InDouble {
  template <class T> T operator()(T a, T b) const { return T(f(double(a), double(b))); }
};

AL_REGISTER() {
  on_floats<2>("zeta", InDouble<zeta>{});
  on_floats<2>("igamma", InDouble<igamma>{});
  on_floats<2>("igammac", InDouble<igammac>{});
}

}  // namespace
}  // namespace al
