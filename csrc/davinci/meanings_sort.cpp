// Sorting: 32 numbers with their indices into 8-byte pairs, and merges of sorted lists of pairs. Largest first, stable.
#include <array>

#include "davinci/group.h"
#include "davinci/vector.h"

namespace al::davinci {
namespace {

constexpr int64_t kPair = 8, kSorted = 32;

struct SortStep {
  Place dst, sources[4];
  int64_t counts[4], lists, repeats, scale, step, item;
  int32_t format;
};

struct Pair {
  double value;
  int64_t bits;  // of the value as it is held
  uint32_t index;
};

// NaN counts as larger than every number, so that the order is total.
bool before(const Pair& a, const Pair& b) {
  const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
  return a_nan || b_nan ? a_nan && !b_nan : a.value > b.value;
}

Pair load_pair(const SortStep& s, const char* value, const char* index) {
  Pair p{load_scalar(value, s.format).real, 0, 0};
  std::memcpy(&p.bits, value, static_cast<size_t>(s.item));
  std::memcpy(&p.index, index, sizeof p.index);
  return p;
}

void store_pair(const SortStep& s, char* to, const Pair& p) {
  std::memcpy(to, &p.bits, static_cast<size_t>(s.item));
  std::memcpy(to + 4 * s.scale, &p.index, sizeof p.index);
}

void run_sort32(Core& core, const SortStep& s) {
  std::array<Pair, kSorted> pairs;
  for (int64_t r = 0; r < s.repeats; ++r) {
    for (int64_t i = 0; i < kSorted; ++i)
      pairs[i] = load_pair(s, core.at(s.sources[0]) + (r * kSorted + i) * s.step, core.at(s.sources[1]) + (r * kSorted + i) * 4 * s.scale);
    std::stable_sort(pairs.begin(), pairs.end(), before);
    for (int64_t i = 0; i < kSorted; ++i) store_pair(s, core.at(s.dst) + (r * kSorted + i) * kPair * s.scale, pairs[i]);
  }
}

void run_merge(Core& core, const SortStep& s) {
  const int64_t step = kPair * s.scale;
  std::vector<Pair> lists[4];
  for (int64_t l = 0; l < s.lists; ++l)
    for (int64_t i = 0; i < s.counts[l]; ++i) {
      const char* at = core.at(s.sources[l]) + i * step;
      lists[l].push_back(load_pair(s, at, at + 4 * s.scale));
    }
  size_t next[4] = {};
  char* to = core.at(s.dst);
  for (;; to += step) {
    int64_t best = -1;
    for (int64_t l = 0; l < s.lists; ++l)
      if (next[l] < lists[l].size() && (best < 0 || before(lists[l][next[l]], lists[best][next[best]]))) best = l;
    if (best < 0) return;
    store_pair(s, to, lists[best][next[best]++]);
  }
}

SortStep sorting(const Building& b, int source) {
  SortStep s{};
  const int format = b.region(source).dtype;
  s.scale = b.numerics.scale(), s.format = b.numerics.held(format);
  s.item = item_size(s.format), s.step = item_size(format) * s.scale;
  return s;
}

void sort32(Building& b) {
  SortStep s = sorting(b, 1);
  s.repeats = b.arg(kHeadMode) == 0 ? b.arg(kHeadCount) / kSorted : b.arg(kHeadRepeat);
  const __int128 all = __int128{kSorted} * s.repeats;
  s.dst = b.place(0, Extent(all * kPair)), s.sources[0] = b.place(1, Extent(all * item_size(b.region(1).dtype))), s.sources[1] = b.place(2, Extent(all * 4));
  if (s.repeats > 0) b.add<run_sort32>(s);
}

void mrgsort(Building& b) {
  SortStep s = sorting(b, 1);
  s.lists = b.arg(kHeadEnd);
  if (s.lists < 1 || s.lists > 4) b.refuse("merges " + std::to_string(s.lists) + " lists; it must be 2..4");
  __int128 all = 0;
  for (int l = 0; l < s.lists; ++l) {
    s.counts[l] = std::max<int64_t>(b.arg(kHeadEnd + 1 + l), 0), all += s.counts[l];
    s.sources[l] = b.place(1 + l, Extent(__int128{s.counts[l]} * kPair));
  }
  s.dst = b.place(0, Extent(all * kPair));
  b.add<run_merge>(s);
}

constexpr MeaningEntry kEntries[] = {{"sort32", sort32}, {"mrgsort", mrgsort}};
const MeaningTable table(kEntries);

}  // namespace
}  // namespace al::davinci
