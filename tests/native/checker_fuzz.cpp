// Programs without sense, for the hazard check under sanitizers: any operand, flag, loop and scalar. It may find what it likes;
// it must not fail.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "davinci/checker.h"

using namespace al::davinci;

namespace {

constexpr int kNames = 8;
const char* const kMeanings[kNames] = {"add", "cast", "transpose", "mmad", "fixpipe", "copy", "reduce_repeat", "select"};

class Maker {
 public:
  explicit Maker(uint64_t seed) : random_(seed) {}

  Program make() {
    kind_ = pick(3);
    for (int i = 0; i < 30; ++i) node();
    std::vector<Declaration> declarations;
    for (int i = 0; i < kNames; ++i)
      declarations.push_back({kMeanings[i], kMeanings[i], "none", static_cast<uint8_t>(kV), kNoSync});
    for (int s = kSetFlag; s <= kCacheClean; ++s)
      declarations.push_back({"sync", "none", "none", static_cast<uint8_t>(kS), static_cast<uint8_t>(s)});
    std::vector<int64_t> cube = kind_ == kVectorProgram ? std::vector<int64_t>{} : code(),
                         vector = kind_ == kCubeProgram ? std::vector<int64_t>{} : code();
    return Program("fuzz", static_cast<uint8_t>(kind_), declarations, words_, cube, vector, {4096, 4096, 1 << 16}, kLoops,
                   kSlots);
  }

 private:
  static constexpr int kLoops = 3, kSlots = 3;

  int pick(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }
  bool chance(int percent) { return pick(100) < percent; }

  int64_t number() {
    static constexpr int64_t kOdd[] = {
        0, 1, -1, 7, 15, 16, 255, 256, 4096, 1 << 20, int64_t{1} << 40, -(int64_t{1} << 40), INT64_MAX, INT64_MIN};
    return chance(30) ? kOdd[pick(std::size(kOdd))] : pick(chance(50) ? 64 : 8192) * (chance(60) ? 32 : 1);
  }

  void node() {
    const int nodes = static_cast<int>(words_.size() / 4);
    if (nodes < 12 || chance(50))
      words_.insert(words_.end(), {kConst, number(), 0, 0});
    else if (chance(30))
      words_.insert(words_.end(), {kBlock + pick(2), 0, 0, 0});
    else if (chance(30))
      words_.insert(words_.end(), {kLoopIndex, pick(kLoops), 0, 0});
    else if (chance(40))
      words_.insert(words_.end(), {kScalar, pick(kSlots), 0, 0});
    else {
      int64_t op = kAdd + pick(kNumExprOps - kAdd), b = pick(nodes);
      if (op == kFloorDiv || op == kMod) op = kAdd;  // a divisor must be a constant
      words_.insert(words_.end(), {op, pick(nodes), b, pick(nodes)});
    }
  }

  int64_t any() { return pick(static_cast<int>(words_.size() / 4)); }
  int64_t small() {  // a node that is a small constant
    for (int tries = 0; tries < 200; ++tries)
      if (int64_t n = any(); words_[4 * n] == kConst && words_[4 * n + 1] >= 0 && words_[4 * n + 1] < 20) return n;
    words_.insert(words_.end(), {kConst, pick(20), 0, 0});
    return static_cast<int64_t>(words_.size() / 4) - 1;
  }

  std::vector<int64_t> code() {
    std::vector<int64_t> c;
    int depth = 0;
    std::vector<bool> loops;
    for (int i = pick(80); i > 0; --i) {
      if (chance(8) && depth < kLoops) {
        const bool loop = chance(60);
        if (loop)
          c.insert(c.end(), {kLoop, depth, small(), small(), one()});
        else
          c.insert(c.end(), {kIf, any()});
        ++depth;
      } else if (chance(8) && depth) {
        c.push_back(kEnd);
        --depth;
      } else {
        instruction(c);
      }
    }
    for (; depth; --depth) c.push_back(kEnd);
    return c;
  }

  int64_t one() {
    words_.insert(words_.end(), {kConst, 1, 0, 0});
    return static_cast<int64_t>(words_.size() / 4) - 1;
  }

  void instruction(std::vector<int64_t>& c) {
    const bool sync = chance(40);
    const int opcode = sync ? kNames + pick(kCacheClean) : pick(kNames), pipe = pick(kNumPipes), operands = pick(5);
    c.insert(c.end(), {kInstr, opcode, pipe, pick(40), operands});
    for (int o = 0; o < operands; ++o) {
      const int dims = pick(kMaxRegionDims + 1);
      c.insert(c.end(), {pick(kNumMemories), pick(12), pick(16), pick(5), any(), any(), dims});
      for (int d = 0; d < 2 * dims; ++d) c.push_back(any());
    }
    const int args = sync ? 3 : 14;
    c.push_back(args);
    for (int a = 0; a < args; ++a) c.push_back(chance(70) ? small() : any());
    c.push_back(0);
  }

  std::mt19937_64 random_;
  std::vector<int64_t> words_;
  int kind_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const int programs = argc > 1 ? std::atoi(argv[1]) : 500;
  Limits limits{{0, 196608, 524288, 65536, 65536, 131072, 1024, 7168}, {1, 32, 32, 512, 512, 64, 64, 64}, {24, 48}};
  limits.most_instructions = 1000;  // of nested loops over operands with thousands of rows
  int64_t findings = 0;
  for (int seed = 0; seed < programs; ++seed) {
    Maker maker(static_cast<uint64_t>(seed));
    const Program program = maker.make();
    const bool shared = seed % 3 == 0;
    const auto report = check(program, 1 + seed % 4, limits, shared ? std::vector<int64_t>{0, 0, 1} : std::vector<int64_t>{},
                              shared ? std::vector<int64_t>{0, 64, 0} : std::vector<int64_t>{});
    findings += static_cast<int64_t>(report.findings.size());
  }
  std::printf("checked %d programs: %lld findings\n", programs, static_cast<long long>(findings));
  return 0;
}
