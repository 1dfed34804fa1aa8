#include "davinci/group.h"

#include <algorithm>

#include "davinci/in_place.h"
#include "float8.h"

namespace al::davinci {
namespace {

int64_t footprint(const Instr& i) {
  int64_t all = 0;
  for (int k = 0; k < i.nregions; ++k) {
    int64_t bytes = i.regions[k].bytes;
    for (int d = 0; d < i.regions[k].ndim; ++d) bytes *= i.regions[k].count[d];
    all += bytes;
  }
  return all;
}

// The first argument names something that is known when a program is made.
void constant_below(const Program& program, const Code& code, const Statement& s, const char* what, int64_t limit) {
  const Expr& e = program.exprs[code.arg_nodes[s.first_arg]];
  if (e.op == kConst && e.a >= 0 && e.a < limit) return;
  throw std::invalid_argument(program.declarations[s.opcode].name + ": its " + what + (e.op == kConst ? " is " + std::to_string(e.a) : " is no constant") + "; it must be one below " + std::to_string(limit));
}

// 0: the cube core, 1 and 2: the vector cores.
int place_in_group(const GroupCore& core) { return core.kind == kAIC ? 0 : 1 + core.vector; }

}  // namespace

void check_bounds(const Program& program, const Instr& i) {
  for (int k = 0; k < i.nregions; ++k) {
    const Region& r = i.regions[k];
    if (r.memory == kGM && (r.tensor < 0 || r.tensor >= static_cast<int64_t>(program.tensor_bytes.size())))
      throw std::out_of_range(program.declarations[i.opcode].name + ": operand " + std::to_string(k) + " is in GM but belongs to no argument");
    const int64_t room = r.memory == kGM ? program.tensor_bytes[r.tensor] : kMemoryBytes[r.memory];
    const Extent taken = extent_of(r).moved(r.base);
    if (!taken.within(0, room))
      throw std::out_of_range(program.declarations[i.opcode].name + ": operand " + std::to_string(k) + " takes bytes " + taken.text() + " of " +
                              std::to_string(room) + "; check the kernel to see where");
  }
}

void check_syncs(const Program& program) {
  struct Needs { int args, operands; };
  constexpr Needs needs[] = {{0, 0}, {2, 0}, {2, 0}, {0, 0}, {2, 0}, {1, 0}, {1, 0}, {3, 1}, {0, 0}};  // by Sync
  static_assert(std::size(needs) == kCacheClean + 1);
  for (const Code* code : {&program.cube, &program.vector})
    for (const Statement& s : code->statements) {
      if (s.kind != kInstr) continue;
      const Declaration& d = program.declarations[s.opcode];
      if (s.nargs < needs[d.sync].args || s.noperands < needs[d.sync].operands)
        throw std::invalid_argument(d.name + ": it has " + std::to_string(s.nargs) + " arguments and " + std::to_string(s.noperands) + " operands; it needs " +
                                    std::to_string(needs[d.sync].args) + " and " + std::to_string(needs[d.sync].operands));
      if (d.sync == kSetFlag || d.sync == kWaitFlag) constant_below(program, *code, s, "pipe", kNumPipes);
      if (d.sync == kGetValue) constant_below(program, *code, s, "scalar slot", program.scalars);
    }
}

std::vector<Meaning> meanings_of(const Program& program) {
  std::vector<Meaning> all;
  for (const Declaration& d : program.declarations) {
    const Meaning meaning = d.sync == kNoSync ? find_meaning(d.meaning) : nullptr;
    if (d.sync == kNoSync && !meaning) throw std::invalid_argument(d.name + ": the executor has no meaning '" + d.meaning + "'");
    all.push_back(meaning);
  }
  return all;
}

Place place_of(const Region& r, int64_t scale) {
  return {r.memory == kGM ? int32_t(kNumMemories) + r.tensor : int32_t(r.memory), r.base * scale};
}

Scalar load_scalar(const char* at, int held_format) {
  Scalar s{};
  if (dispatch_integer_format(held_format, [&]<class T>(Type<T>) {
        T x;
        std::memcpy(&x, at, sizeof x);
        s.integer = static_cast<int64_t>(x);
        s.real = static_cast<double>(x);
      }))
    return s;
  const bool known = dispatch_types<float, double, bfloat16, float16, float8_e4m3fn, float8_e5m2, hifloat8>(held_format, [&]<class T>(Type<T>) {
    T x;
    std::memcpy(&x, at, sizeof x);
    s.real = to_compute(x);
    s.integer = float_to_int<int64_t>(s.real);
  });
  if (!known) throw std::invalid_argument(std::string("GetValue: no scalar can hold ") + format_name(held_format));
  return s;
}

Group::Group(const Program& program, const Numerics& numerics, int64_t block, const std::vector<int64_t>& pointers,
             const std::vector<LocalMemories*>& memories)
    : program_(program), numerics_(numerics), meanings_(meanings_of(program)), flags_(program.vectors_per_group()) {
  auto add = [&](CoreKind kind, int vector) {
    GroupCore core{kind, vector, Walker(program, kind, block, vector, pointers), {}, {}, {}, {}, {}, {}};
    for (int m = 0; m < kNumMemories; ++m) core.state.bases.push_back(memories[cores_.size()]->at(m));
    for (int64_t p : pointers) core.state.bases.push_back(reinterpret_cast<char*>(p));
    cores_.push_back(std::move(core));
  };
  if (program.has_cube()) add(kAIC, 0);
  for (int v = 0; v < program.vectors_per_group(); ++v) add(kAIV, v);
}

bool Group::done() const {
  return std::all_of(cores_.begin(), cores_.end(), [](const GroupCore& c) { return c.halt == Halt::kDone; });
}

bool Group::overflow() const {
  return std::any_of(cores_.begin(), cores_.end(), [](const GroupCore& c) { return c.state.overflow; });
}

std::vector<Core*> Group::states() {
  std::vector<Core*> all;
  for (GroupCore& c : cores_) all.push_back(&c.state);
  return all;
}

std::string Group::stuck() const {
  std::string text;
  for (const GroupCore& c : cores_) {
    text += c.kind == kAIC ? " AIC" : " AIV" + std::to_string(c.vector);
    if (c.halt == Halt::kDone) text += " is done,";
    else if (c.halt == Halt::kGlobal) text += " waits for the other groups,";
    else text += " waits for flag " + std::to_string(c.flag) + ",";
  }
  if (!text.empty()) text.pop_back();
  return text;
}

bool Group::advance(const Released& released, GroupSteps* keep) {
  keep_ = keep;
  bool moved = false, again = true;
  while (again) {
    again = false;
    for (size_t i = 0; i < cores_.size(); ++i) again |= move(static_cast<int>(i), released);
    moved |= again;
  }
  if (keep && !done()) keep->segments.push_back({-1, 0, 0});
  return moved;
}

// Runs one core until it halts; false when it could not start.
bool Group::move(int index, const Released& released) {
  GroupCore& core = cores_[index];
  if (core.halt == Halt::kDone || (core.halt != Halt::kNone && !passes(core, released))) return false;
  core.halt = Halt::kNone;
  Steps& steps = keep_ ? keep_->steps : scratch_;
  begin_ = steps.size();
  Instr i;
  while (core.halt == Halt::kNone) {
    if (!core.walker.next(i)) {
      core.halt = Halt::kDone;
      break;
    }
    switch (i.sync) {
      case kNoSync: collect(index, i); break;
      case kGetValue: {
        flush(index);
        const Scalar s = read_scalar(program_, core.state, i, numerics_);
        core.walker.set_scalar(static_cast<int>(i.args[0]), s.integer, s.real);
        break;
      }
      case kCrossSet:
        build_collected(index, false);
        set_flag(index, i.args[0], i.args[1]);
        break;
      case kCrossWait:
      case kSyncAll:
        if (i.sync == kSyncAll) ++(i.args[0] ? core.arrived.kind : core.arrived.all);
        core.pending = i;
        if (!passes(core, released)) core.flag = static_cast<int>(i.args[0]);
        break;
      default: break;  // flags and barriers of one core: its steps run in program order
    }
  }
  build_collected(index, core.halt == Halt::kDone);
  flush(index);
  return true;
}

constexpr size_t kCollected = 4096;  // 3.4 MB

void Group::collect(int index, const Instr& i) {
  if (!keep_ || !keep_->in_place) return build(index, i);
  collected_.push_back(i);
  if (collected_.size() >= kCollected) build_collected(index, false);
}

// Builds what was collected since the core last waited for another.
void Group::build_collected(int index, bool ends) {
  if (collected_.empty()) return;
  for (const Instr& i : collected_) check_bounds(program_, i);
  use_in_place(program_, collected_, ends);
  for (const Instr& i : collected_) build(index, i);
  collected_.clear();
}

void Group::build(int index, const Instr& i) {
  Steps& steps = keep_ ? keep_->steps : scratch_;
  check_bounds(program_, i);
  if (keep_) keep_->bytes += footprint(i);
  if (observer_) observer_->before(index, i);
  const double* scalars = cores_[index].walker.scalars();
  Building b{program_, i, numerics_, scalars, steps};
  meanings_[i.opcode](b);
  if (!observer_) return;
  flush(index);
  observer_->after(index, i, scalars);
}

// Runs what was built since the last flush.
void Group::flush(int index) {
  Steps& steps = keep_ ? keep_->steps : scratch_;
  if (steps.size() > begin_) {
    steps.run(cores_[index].state, begin_, steps.size());
    if (keep_) keep_->segments.push_back({index, begin_, steps.size()});
  }
  if (!keep_) steps.clear();
  begin_ = steps.size();
}

Scalar read_scalar(const Program& program, const Core& core, const Instr& i, const Numerics& numerics) {
  check_bounds(program, i);
  if (!Extent(item_size(i.regions[0].dtype)).within(extent_of(i.regions[0])))
    throw std::invalid_argument("GetValue: its operand has " + std::to_string(i.regions[0].bytes) + " bytes; a " + format_name(i.regions[0].dtype) + " is larger");
  const Scalar s = load_scalar(core.at(place_of(i.regions[0], numerics.scale())), numerics.held(i.regions[0].dtype));
  if (!is_float_format(i.regions[0].dtype) && (s.integer < i.args[1] || s.integer > i.args[2]))
    throw std::out_of_range("GetValue: the value is " + std::to_string(s.integer) + ", but the kernel declares " + std::to_string(i.args[1]) +
                            ".." + std::to_string(i.args[2]) + "; correct the data or the declared range" + program.where(i.site));
  return s;
}

void Group::set_flag(int index, int64_t mode, int64_t id) {
  const int flag = checked_flag("CrossCoreSetFlag", id);
  if (mode == 0) ++cores_[index].arrived.flags[flag];
  else flags_.set(place_in_group(cores_[index]), mode, flag);
}

bool Group::take_global(GroupCore& core, int flag, const Released& released) {
  if (core.arrived.flags[flag] <= core.waited[flag]) return false;
  core.halt = Halt::kGlobal;
  if (released.of[core.kind].flags[flag] <= core.waited[flag]) return false;
  ++core.waited[flag];
  return true;
}

// Whether the wait that a core stopped at is over; says in core.halt what for if not.
bool Group::passes(GroupCore& core, const Released& released) {
  core.halt = Halt::kFlag;
  bool over;
  if (core.pending.sync == kSyncAll) {
    core.halt = Halt::kGlobal;
    over = core.pending.args[0] ? released.of[core.kind].kind >= core.arrived.kind : released.all >= core.arrived.all;
  } else {
    const int flag = checked_flag("CrossCoreWaitFlag", core.pending.args[0]);
    over = flags_.take(place_in_group(core), flag) || take_global(core, flag, released);
  }
  if (over) core.halt = Halt::kNone;
  return over;
}

}  // namespace al::davinci
