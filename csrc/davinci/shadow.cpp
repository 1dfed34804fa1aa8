#include "davinci/shadow.h"

#include "davinci/executor.h"

#include <algorithm>
#include <cmath>

namespace al::davinci {
namespace {

// Below this magnitude a difference is taken as it is: what cancels to almost nothing has no relative error worth a line.
constexpr double kSmall = 1e-6;

double relative_error(double got, double exact) {
  if (std::isnan(got) && std::isnan(exact)) return 0;
  if (got == exact) return 0;
  const double error = std::fabs(got - exact) / std::max(std::fabs(exact), kSmall);
  return std::isnan(error) ? INFINITY : error;
}

// Calls f(byte offset) for each element of a region.
template <class F>
void for_elements(const Region& r, int size, F&& f) {
  int64_t count[kMaxRegionDims] = {1, 1, 1}, stride[kMaxRegionDims] = {};
  for (int d = 0; d < r.ndim; ++d) count[d] = r.count[d], stride[d] = r.stride[d];
  for (int64_t a = 0; a < count[0]; ++a)
    for (int64_t b = 0; b < count[1]; ++b)
      for (int64_t c = 0; c < count[2]; ++c)
        for (int64_t at = 0; at + size <= r.bytes; at += size) f(r.base + r.lead + a * stride[0] + b * stride[1] + c * stride[2] + at);
}

class Comparison : public Observer {
 public:
  Comparison(const Program& program, const Numerics& device, const Numerics& exact, std::vector<Core*> device_cores, std::vector<Core>& exact_cores,
             std::map<int, SiteError>& sites)
      : program_(program), device_(device), exact_(exact), meanings_(meanings_of(program)), device_cores_(std::move(device_cores)),
        exact_cores_(exact_cores), sites_(sites) {}

  void before(int core, const Instr& i) override { into_ = largest(core, i, kRead).first; }
  void after(int core, const Instr& i, const double* scalars) override {
    Steps steps;
    Building b{program_, i, exact_, scalars, steps};
    meanings_[i.opcode](b);
    steps.run(exact_cores_[core], 0, steps.size());
    const auto [out, elements] = largest(core, i, kWrite);
    SiteError& s = sites_[i.site];
    s.into = std::max(s.into, into_), s.out = std::max(s.out, out), s.growth = std::max(s.growth, out - into_);
    s.elements += elements, s.opcode = i.opcode;
  }

 private:
  std::pair<double, int64_t> largest(int core, const Instr& i, int access) const {
    double error = 0;
    int64_t elements = 0;
    for (int k = 0; k < i.nregions; ++k) {
      const Region& r = i.regions[k];
      if (!(r.access & access) || !is_float_format(r.dtype) || is_packed(r.dtype)) continue;
      const int32_t slot = place_of(r, 1).slot;
      for_elements(r, item_size(r.dtype), [&](int64_t at) {
        const double got = load_scalar(device_cores_[core]->bases[slot] + at, r.dtype).real;
        const double exact = load_scalar(exact_cores_[core].bases[slot] + at * exact_.scale(), kFloat64).real;
        error = std::max(error, relative_error(got, exact));
        ++elements;
      });
    }
    return {error, elements};
  }

  const Program& program_;
  const Numerics &device_, &exact_;
  std::vector<Meaning> meanings_;
  std::vector<Core*> device_cores_;
  std::vector<Core>& exact_cores_;
  std::map<int, SiteError>& sites_;
  double into_ = 0;
};

std::vector<char> widened(const char* from, int64_t bytes, int format, int64_t scale) {
  std::vector<char> wide(static_cast<size_t>(bytes * scale));
  const int size = item_size(format);
  for (int64_t at = 0; at + size <= bytes; at += size) {
    if (is_float_format(format) && !is_packed(format)) store_number(&wide[at * scale], kFloat64, load_scalar(from + at, format).real, 0, false);
    else std::memcpy(&wide[at * scale], from + at, static_cast<size_t>(size));
  }
  return wide;
}

}  // namespace

ShadowRun::ShadowRun(const Program& program, int options, int64_t blocks, const std::vector<int64_t>& pointers, const std::vector<int>& formats)
    : program_(program), device_{kDevice, options}, exact_{kDouble, options}, blocks_(blocks), pointers_(pointers) {
  if (formats.size() > pointers.size() || formats.size() != program.tensor_bytes.size())
    throw std::invalid_argument("shadow: " + std::to_string(formats.size()) + " formats for " + std::to_string(program.tensor_bytes.size()) +
                                " arguments; give one for each");
  for (size_t t = 0; t < formats.size(); ++t)
    wide_.push_back(widened(reinterpret_cast<const char*>(pointers[t]), program.tensor_bytes[t], formats[t], exact_.scale()));
}

std::map<int, SiteError> ShadowRun::run() {
  std::map<int, SiteError> sites;
  const int n = Group::cores_of(program_);
  std::vector<BorrowedMemories> near, far;
  std::vector<LocalMemories*> held;
  for (int64_t i = 0; i < n * blocks_; ++i) near.emplace_back(device_.scale()), far.emplace_back(exact_.scale());
  std::vector<Group> groups;
  groups.reserve(blocks_);
  std::vector<std::vector<Core>> exact(blocks_);
  std::vector<std::unique_ptr<Comparison>> observers;
  for (int64_t b = 0; b < blocks_; ++b) {
    held.clear();
    for (int64_t c = b * n; c < (b + 1) * n; ++c) {
      held.push_back(&*near[c]);
      Core core;
      for (int m = 0; m < kNumMemories; ++m) core.bases.push_back(far[c]->at(m));
      for (auto& w : wide_) core.bases.push_back(w.data());
      exact[b].push_back(std::move(core));
    }
    groups.emplace_back(program_, device_, b, pointers_, held);
    observers.push_back(std::make_unique<Comparison>(program_, device_, exact_, groups.back().states(), exact[b], sites));
    groups.back().observe(observers.back().get());
  }
  run_phases(program_, groups, nullptr, true);
  return sites;
}

}  // namespace al::davinci
