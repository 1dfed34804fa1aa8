// Random programs for the clock under sanitizers: copies, products and vector instructions in loops, with flags that may be missing.
// A program has one time or stands still; its pipes work no longer than it takes; leaving out rounds that are alike changes little.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <stdexcept>

#include "davinci/clock.h"

using namespace al::davinci;

namespace {

enum Op : int64_t { kAdd_, kCast_, kCopy_, kMmad_, kFix_, kLoad_, kSet_, kWait_, kBar_, kNumOps };
constexpr int kFloat = 8, kHalf = 6;

Model model() {
  Model m;
#define AL_ONE(name) m.name = 1;
  AL_CLOCK_CONSTANTS(AL_ONE)
#undef AL_ONE
  m.cycle_ns = 0.54, m.cube_cores = 24, m.vector_cores = 48, m.l2_bytes = 1 << 20, m.line_bytes = 512, m.sector_bytes = 128, m.block_align_bytes = 32;
  m.hbm_rate = 1480, m.hbm_write_rate = 960, m.l2_rate = 5500, m.line_readers_rate = 3000, m.transfer_align_bytes = 512, m.unaligned_share = 0.7;
  m.in_ub_hit_rate = m.in_ub_miss_rate = m.in_l1_hit_rate = m.in_l1_miss_rate = m.out_rate = 60, m.around_rate = 11, m.queue_depth = 32;
  m.l0a_rate = 256, m.l0b_rate = 128, m.vector_bytes = 256, m.bank_bytes = 4096, m.banks = 48, m.bank_groups = 16, m.fix_gm_elements = 10;
  for (const char* name : {"add", "cast"}) m.vector[name] = {13, {1, 1, 1, 2}, 18};
  m.macs[kHalf] = 4096;
  return m;
}

class Maker {
 public:
  explicit Maker(uint64_t seed) : random_(seed) {}

  Program make() {
    const std::vector<Declaration> declarations = {
        {"Add", "add", "add", kV, kNoSync},           {"Cast", "cast", "cast", kV, kNoSync},          {"DataCopy", "copy", "copy", kMTE2, kNoSync},
        {"Mmad", "mmad", "mmad", kM, kNoSync},        {"Fixpipe", "fixpipe", "fixpipe", kFIX, kNoSync}, {"LoadData", "load2d", "load_l0", kMTE1, kNoSync},
        {"SetFlag", "none", "sync", kS, kSetFlag},    {"WaitFlag", "none", "sync", kS, kWaitFlag},    {"PipeBarrier", "none", "barrier", kS, kBarrier}};
    cube_ = pick(2);
    return Program("fuzz", cube_ ? kCubeProgram : kVectorProgram, declarations, words_, cube_ ? code() : none_, cube_ ? none_ : code(), {1 << 20, 1 << 20}, 2, 1);
  }

 private:
  int64_t pick(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }

  int64_t node(int64_t op, int64_t a = 0, int64_t b = 0) {
    words_.insert(words_.end(), {op, a, b, 0});
    return static_cast<int64_t>(words_.size() / 4) - 1;
  }
  int64_t number(int64_t x) { return node(kConst, x); }

  std::vector<int64_t> code() {
    std::vector<int64_t> c;
    const bool loop = pick(4) != 0;
    int64_t index = number(0);
    if (loop) {
      c.insert(c.end(), {kLoop, 0, number(0), number(pick(200)), number(1)});
      index = node(kLoopIndex, 0);
    }
    for (int64_t n = 1 + pick(12); n > 0; --n) one(c, index);
    if (loop) c.push_back(kEnd);
    return c;
  }

  void region(std::vector<int64_t>& c, Memory memory, Access access, int dtype, int64_t base, int64_t bytes) {
    c.insert(c.end(), {memory, access, dtype, memory == kGM ? pick(2) : 0, base, number(bytes), 0});
  }
  void arguments(std::vector<int64_t>& c, std::vector<int64_t> args) {
    c.push_back(static_cast<int64_t>(args.size()));
    for (int64_t a : args) c.push_back(number(a));
    c.push_back(0);
  }
  void head(std::vector<int64_t>& c, int64_t op, int64_t pipe, int64_t operands) { c.insert(c.end(), {kInstr, op, pipe, pick(30), operands}); }

  void vector(std::vector<int64_t>& c, int64_t op) {
    const int64_t count = 1 + pick(4096), mode = pick(2), sources = op == kAdd_ ? 2 : 1;
    head(c, op, kV, 1 + sources);
    region(c, kUB, kWrite, kFloat, number(pick(1024) * 32), count * 4);
    for (int64_t s = 0; s < sources; ++s) region(c, kUB, kRead, op == kCast_ ? kHalf : kFloat, number(pick(1024) * 32), count * 4);
    arguments(c, {mode, mode ? 1 + pick(64) : count, 0, 1 + pick(255), pick(20), pick(20), pick(20), pick(9), pick(9), pick(9), 0, 0});
  }

  void copy(std::vector<int64_t>& c, int64_t index) {
    const bool in = pick(2) || cube_;
    const int64_t bytes = 1 + pick(20000), place = node(kMul, index, number(pick(3) * 4096));
    head(c, kCopy_, in ? kMTE2 : kMTE3, 2);
    for (const bool global : {!in, in}) region(c, global ? kGM : cube_ ? kL1 : kUB, global == in ? kRead : kWrite, kHalf, global ? place : number(0), bytes);
    arguments(c, {1, 1, bytes, 0, 0, 0, 0, 0, 0, 0, 0});
  }

  void product(std::vector<int64_t>& c, int64_t op) {
    const int64_t m = 1 + pick(128), n = 1 + pick(256), k = 16 * (1 + pick(4));
    head(c, op, op == kMmad_ ? kM : op == kFix_ ? kFIX : kMTE1, op == kMmad_ ? 3 : 2);
    if (op == kMmad_) {
      region(c, kL0C, kWrite, kFloat, number(0), m * n * 4);
      region(c, kL0A, kRead, kHalf, number(0), m * k * 2);
      region(c, kL0B, kRead, kHalf, number(0), k * n * 2);
      return arguments(c, {m, n, k, pick(2), 0, 0, 0});
    }
    region(c, op == kFix_ ? kGM : kL0A, kWrite, kHalf, number(0), m * n * 2);
    region(c, op == kFix_ ? kL0C : kL1, kRead, op == kFix_ ? kFloat : kHalf, number(0), m * n * 2);
    arguments(c, op == kFix_ ? std::vector<int64_t>{m, n, n * 2, m, 0, 0, 0, 0, 0, 1, 0, 0} : std::vector<int64_t>{1, 1, 0, 2});
  }

  void one(std::vector<int64_t>& c, int64_t index) {
    const int64_t choice = pick(10);
    if (choice < 3) return copy(c, index);
    if (choice < 6 && !cube_) return vector(c, pick(2));
    if (choice < 6) return product(c, kMmad_ + pick(3));
    const int64_t from = 1 + pick(6), to = 1 + pick(6), id = pick(8);
    if (choice == 9) {
      head(c, kBar_, from, 0);
      return arguments(c, {0});
    }
    head(c, kSet_, from, 0);
    arguments(c, {to, id});
    if (pick(40) == 0) return;  // sometimes nobody waits
    head(c, kWait_, to, 0);
    arguments(c, {from, pick(60) ? id : (id + 1) % 8});
  }

  std::mt19937_64 random_;
  std::vector<int64_t> words_;
  const std::vector<int64_t> none_;
  int64_t cube_ = 0;
};

Timeline timed(const Program& program, const Model& m, int64_t blocks, bool in_full) {
  L2 l2(1 << 20, 512);
  return schedule(program, m, l2, {blocks, {0, 1 << 22}, {false, blocks % 2 == 0}, {}, {}, false, in_full});
}

void require(bool holds, int seed, const char* what) {
  if (holds) return;
  std::printf("program %d: %s\n", seed, what);
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  const int programs = argc > 1 ? std::atoi(argv[1]) : 400;
  const Model m = model();
  int still = 0, cut = 0;
  for (int seed = 0; seed < programs; ++seed) {
    const Program program = Maker(static_cast<uint64_t>(seed)).make();
    const int64_t blocks = 1 + seed % 60;
    try {
      const Timeline a = timed(program, m, blocks, false), b = timed(program, m, blocks, false), full = timed(program, m, blocks, true);
      require(std::isfinite(a.total_ns) && a.total_ns > 0, seed, "no time");
      require(a.total_ns == b.total_ns && a.hbm_bytes == b.hbm_bytes, seed, "two times");
      require(std::fabs(a.total_ns - full.total_ns) <= 0.03 * full.total_ns, seed, "other times when rounds are left out");
      require(a.instructions == full.instructions, seed, "other instructions when rounds are left out");
      for (const CoreTime& core : full.cores)
        for (const PipeTime& pipe : core.pipes) require(pipe.busy <= (core.end - core.begin) * (1 + 1e-9) + 1e-6, seed, "a pipe works longer than its core");
      cut += a.rounds_left_out > 0;
    } catch (const std::invalid_argument&) {
      ++still;
    }
  }
  std::printf("timed %d programs: %d stand still, of %d rounds were left out\n", programs, still, cut);
  require(still < programs * 9 / 10, -1, "too few programs say anything");
  return 0;
}
