// A flat program of launches, walked without Python. Every operand is a base pointer of the call and an offset.
#pragma once
#include <cstring>
#include <deque>
#include <vector>

#include "host.h"

namespace al {

using FusedFn = void (*)(char* const* data, int64_t begin, int64_t end);

struct Place { int32_t slot; int64_t offset; };  // slot -1: an absent operand
struct Patch { int32_t position, draw, part; };  // an int of the call that a draw of random numbers gives

struct Step {
  KernelFn kernel = nullptr;
  LoopFn loop = nullptr;
  FusedFn fused = nullptr;
  std::vector<View> views;
  std::vector<View*> pointers;
  std::vector<Place> places;
  std::vector<int64_t> ints;
  std::vector<double> floats;
  std::vector<Patch> patches;
  std::vector<char*> data;
  std::vector<Pointwise> prepared;  // of a loop: one
  int64_t count = 0, bytes = 0;     // fused: elements; a plain copy: bytes
  int nouts = 0, itemsize = 0;
};

// Launches that follow one another; a deque, since steps hold pointers into themselves.
struct Steps {
  std::deque<Step> steps;

  Step& add() { steps.emplace_back(); return steps.back(); }

  void finish(Step& s, const int* itemsize) {
    for (View& v : s.views) s.pointers.push_back(&v);
    for (size_t i = 0; i < s.places.size(); i++)
      if (s.places[i].slot < 0) s.pointers[i] = nullptr;
    s.data.resize(s.places.size());
    if (s.loop) {
      std::vector<int> sizes;
      for (View& v : s.views) sizes.push_back(itemsize[v.dtype]);
      s.prepared.emplace_back(s.loop, s.pointers.data(), int(s.views.size()), sizes.data());
      s.itemsize = sizes[0];
    }
  }

  static void fused_body(void* context, int64_t begin, int64_t end) {
    auto& s = *static_cast<Step*>(context);
    s.fused(s.data.data(), begin, end);
  }

  static void run_one(Step& s, char* const* bases, const int64_t* draws, Error* error) {
    const size_t n = s.places.size();
    for (size_t i = 0; i < n; i++) {
      const Place& p = s.places[i];
      s.data[i] = p.slot < 0 ? nullptr : bases[p.slot] + p.offset;
    }
    if (s.fused) {
      constexpr int64_t kGrain = 16384;
      if (s.count <= 2 * kGrain) s.fused(s.data.data(), 0, s.count);
      else host.runtime->parallel_for(s.count, kGrain, fused_body, &s);
    } else if (s.bytes) {
      std::memcpy(s.data[0], s.data[1], size_t(s.bytes));
    } else if (s.loop) {
      Pointwise& p = s.prepared[0];
      for (size_t i = 0; i < n; i++) p.data[i] = s.data[i];
      p.launch(s.itemsize);
    } else {
      for (size_t i = 0; i < n; i++) s.views[i].data = s.data[i];
      for (const Patch& p : s.patches) s.ints[p.position] = draws[2 * p.draw + p.part];
      Call call{s.pointers.data(), int32_t(n), s.nouts, s.ints.data(), int32_t(s.ints.size()), s.floats.data(), int32_t(s.floats.size()), error};
      s.kernel(call);
    }
  }

  // Runs steps [first, last); returns the number of the one that failed, or -1.
  int64_t run(char* const* bases, const int64_t* draws, int64_t first, int64_t last, Error* error) {
    error->kind = kOk;
    for (int64_t k = first; k < last; k++) {
      run_one(steps[size_t(k)], bases, draws, error);
      if (error->kind != kOk) return k;
    }
    return -1;
  }
};

}  // namespace al
