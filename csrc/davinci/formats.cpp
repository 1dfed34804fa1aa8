#include "davinci/formats.h"

#include <stdexcept>
#include <string>

#include "float8.h"

namespace al::davinci {

void store_number(char* at, int format, double real, int64_t integer, bool use_integer) {
  const int64_t whole = use_integer ? integer : float_to_int<int64_t>(real);
  const double value = use_integer ? static_cast<double>(integer) : real;
  if (dispatch_integer_format(format, [&]<class T>(Type<T>) {
        const T x = static_cast<T>(whole);
        std::memcpy(at, &x, sizeof x);
      }))
    return;
  const bool known = dispatch_types<float, double, bfloat16, float16, float8_e4m3fn, float8_e5m2, float8_e8m0fnu, hifloat8>(
      format, [&]<class T>(Type<T>) {
        const T x = from_float<T>(static_cast<compute_t<T>>(value));
        std::memcpy(at, &x, sizeof x);
      });
  if (!known) throw std::invalid_argument(std::string("a number cannot be written as ") + format_name(format) + "; use a format of whole bytes");
}

}  // namespace al::davinci
