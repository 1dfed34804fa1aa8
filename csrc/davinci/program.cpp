#include "davinci/program.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "davinci/formats.h"

namespace al::davinci {
namespace {

int64_t floor_div(int64_t a, int64_t b) {
  if (b == -1) return static_cast<int64_t>(0 - static_cast<uint64_t>(a));  // the least number has no counterpart
  int64_t q = a / b;
  return q * b != a && (a < 0) != (b < 0) ? q - 1 : q;
}

int arity(int64_t op) { return op <= kScalar ? 0 : op == kSelect ? 3 : 2; }

// Reads the words that the tracer wrote, with the bounds checked once here.
class Reader {
 public:
  Reader(const std::vector<int64_t>& words, size_t nodes) : words_(words), nodes_(nodes) {}
  bool done() const { return at_ == words_.size(); }
  int64_t word() {
    if (done()) throw std::invalid_argument("program: the code ends within a statement");
    return words_[at_++];
  }
  int64_t below(int64_t limit, const char* what) {
    int64_t w = word();
    if (w < 0 || w >= limit) throw std::invalid_argument(std::string("program: ") + what + " " + std::to_string(w) + " is not below " + std::to_string(limit));
    return w;
  }
  int32_t node() { return static_cast<int32_t>(below(static_cast<int64_t>(nodes_), "expression node")); }

 private:
  const std::vector<int64_t>& words_;
  size_t nodes_, at_ = 0;
};

constexpr size_t kFewLoops = 1024;
constexpr int64_t kMostSites = 1 << 18;  // source lines; tables have a row for each

// Added to the number of dimensions where a lead comes before them.
constexpr int64_t kLead = kMaxRegionDims + 1;

OperandTemplate read_operand(Reader& r) {
  OperandTemplate o{};
  o.memory = static_cast<uint8_t>(r.below(kNumMemories, "memory"));
  o.dtype = static_cast<uint8_t>(r.below(kNumFormats, "dtype"));
  if (o.dtype >= kNumDTypes && o.dtype < kU16) throw std::invalid_argument("program: there is no dtype " + std::to_string(o.dtype));
  o.access = static_cast<uint8_t>(r.below(16, "access"));
  o.tensor = static_cast<int16_t>(r.below(1 << 15, "tensor") - 1);  // 0: none
  o.base = r.node();
  o.bytes = r.node();
  const int64_t dims = r.below(2 * kLead, "dimensions");
  o.lead = dims >= kLead ? r.node() : -1;
  o.ndim = static_cast<int8_t>(dims % kLead);
  for (int d = 0; d < o.ndim; ++d) o.count[d] = r.node(), o.stride[d] = r.node();
  return o;
}

// INSTR: 0 opcode pipe site operands.. args.. floats..; LOOP: 1 loop start stop step; IF: 2 condition; ELSE: 3; END: 4.
Statement read_statement(Reader& r, Code& code, const Program& p) {
  Statement s{};
  s.kind = static_cast<StatementKind>(r.below(kEnd + 1, "statement"));
  if (s.kind == kLoop) {
    s.loop = static_cast<int32_t>(r.below(p.loops, "loop"));
    s.a = r.node(), s.b = r.node(), s.c = r.node();
  } else if (s.kind == kIf) {
    s.a = r.node();
  } else if (s.kind == kInstr) {
    s.opcode = static_cast<uint16_t>(r.below(static_cast<int64_t>(p.declarations.size()), "opcode"));
    s.pipe = static_cast<uint8_t>(r.below(kNumPipes, "pipe"));
    s.site = static_cast<int32_t>(r.below(kMostSites, "site"));
    s.noperands = static_cast<int32_t>(r.below(kMaxRegions + 1, "operands"));
    s.first_operand = static_cast<int32_t>(code.operands.size());
    for (int i = 0; i < s.noperands; ++i) code.operands.push_back(read_operand(r));
    s.nargs = static_cast<int32_t>(r.below(kMaxArgs + 1, "arguments"));
    s.first_arg = static_cast<int32_t>(code.arg_nodes.size());
    for (int i = 0; i < s.nargs; ++i) code.arg_nodes.push_back(r.node());
    s.nfloats = static_cast<uint8_t>(r.below(kMaxFloats + 1, "floats"));
    for (int i = 0; i < s.nfloats; ++i) {  // slot + 1, then the bits of the double
      const int64_t slot = r.below(kMaxScalars + kMaxParameters + 1, "scalar slot") - 1;
      if (slot >= p.scalars && slot < kMaxScalars) throw std::invalid_argument("program: unknown scalar slot " + std::to_string(slot));
      s.float_slot[i] = static_cast<int16_t>(slot);
      int64_t bits = r.word();
      std::memcpy(&s.floats[i], &bits, sizeof bits);
    }
  }
  return s;
}

Code decode(const std::vector<int64_t>& words, const Program& p) {
  Code code;
  Reader r(words, p.exprs.size());
  std::vector<int32_t> open;
  while (!r.done()) {
    Statement s = read_statement(r, code, p);
    int32_t here = static_cast<int32_t>(code.statements.size());
    if (s.kind == kElse || s.kind == kEnd) {
      if (open.empty()) throw std::invalid_argument("program: an end without its loop or if");
      if (s.kind == kElse && code.statements[open.back()].kind != kIf) throw std::invalid_argument("program: an else without its if");
      code.statements[open.back()].jump = here;
      if (s.kind == kEnd) s.jump = open.back();
      open.pop_back();
    }
    if (s.kind == kLoop || s.kind == kIf || s.kind == kElse) open.push_back(here);
    code.statements.push_back(s);
  }
  if (!open.empty()) throw std::invalid_argument("program: a loop or if without its end");
  return code;
}

// Per source (loop or scalar slot): the nodes whose value depends on it, in order.
std::vector<std::vector<int32_t>> dependents(const std::vector<Expr>& exprs, int64_t source, int sources) {
  std::vector<std::vector<int32_t>> lists(sources);
  std::vector<std::vector<bool>> depends(exprs.size(), std::vector<bool>(sources));
  for (size_t i = 0; i < exprs.size(); ++i) {
    const Expr& e = exprs[i];
    if (e.op == source) depends[i][e.a] = true;
    const int64_t uses[3] = {e.a, e.b, e.c};
    for (int k = 0; k < arity(e.op); ++k)
      for (int s = 0; s < sources; ++s)
        if (depends[uses[k]][s]) depends[i][s] = true;
    for (int s = 0; s < sources; ++s)
      if (depends[i][s]) lists[s].push_back(static_cast<int32_t>(i));
  }
  return lists;
}

}  // namespace

Program::Program(std::string name_, uint8_t kind_, std::vector<Declaration> declarations_, const std::vector<int64_t>& words,
                 const std::vector<int64_t>& cube_words, const std::vector<int64_t>& vector_words, std::vector<int64_t> tensor_bytes_,
                 int loops_, int scalars_)
    : name(std::move(name_)), kind(kind_), declarations(std::move(declarations_)), tensor_bytes(std::move(tensor_bytes_)), loops(loops_), scalars(scalars_) {
  if (words.size() % 4) throw std::invalid_argument("program: expressions come in fours");
  if (scalars > kMaxScalars) throw std::invalid_argument("kernel: " + std::to_string(scalars) + " scalars are read from memory; at most " + std::to_string(kMaxScalars) + " fit");
  if (kind > kMixedProgram) throw std::invalid_argument("program: there is no kind " + std::to_string(kind) + " of program");
  if (loops < 0 || scalars < 0 || static_cast<size_t>(loops) > std::max<size_t>(cube_words.size() + vector_words.size(), kFewLoops))
    throw std::invalid_argument("program: " + std::to_string(loops) + " loops and " + std::to_string(scalars) + " scalars; loops are no more than the words of the code");
  for (int64_t bytes : tensor_bytes)
    if (bytes < 0) throw std::invalid_argument("program: an argument has " + std::to_string(bytes) + " bytes");
  for (const Declaration& d : declarations)
    if (d.pipe >= kNumPipes || d.sync > kCacheClean) throw std::invalid_argument("program: " + d.name + " has pipe " + std::to_string(d.pipe) + " and sync " + std::to_string(d.sync));
  for (size_t i = 0; i < words.size(); i += 4) {
    Expr e{words[i], words[i + 1], words[i + 2], words[i + 3]};
    if (e.op < 0 || e.op >= kNumExprOps) throw std::invalid_argument("program: unknown expression " + std::to_string(e.op));
    const int64_t uses[3] = {e.a, e.b, e.c};
    for (int k = 0; k < arity(e.op); ++k)
      if (uses[k] < 0 || uses[k] >= static_cast<int64_t>(i / 4)) throw std::invalid_argument("program: an expression uses a later one");
    if ((e.op == kLoopIndex && (e.a < 0 || e.a >= loops)) || (e.op == kScalar && (e.a < 0 || e.a >= scalars)))
      throw std::invalid_argument("program: an expression names an unknown loop or scalar");
    // A constant divisor keeps the evaluation free of traps: the tracer splits a kernel by block where it can't give one.
    if ((e.op == kFloorDiv || e.op == kMod) && (exprs[e.b].op != kConst || exprs[e.b].a == 0))
      throw std::invalid_argument("program: a divisor must be a constant other than 0");
    exprs.push_back(e);
  }
  for (Declaration& d : declarations) d.computes = d.meaning == "scalar_math";
  cube = decode(cube_words, *this);
  vector = decode(vector_words, *this);
  loop_nodes = dependents(exprs, kLoopIndex, loops);
  scalar_nodes = dependents(exprs, kScalar, scalars);
  for (const Code* code : {&cube, &vector})
    for (const Statement& s : code->statements)
      if (s.kind == kInstr && declarations[s.opcode].sync == kGetValue) reads_scalars = true;
}

Walker::Walker(const Program& program, CoreKind core, int64_t block, int64_t sub_block, const std::vector<int64_t>& arguments)
    : program_(program), code_(program.code(core)), block_(block), sub_block_(sub_block), values_(program.exprs.size()),
      index_(program.loops), stop_(program.loops), step_(program.loops), slots_(program.scalars), reals_(kMaxScalars + kMaxParameters) {
  const size_t tensors = program.tensor_bytes.size();
  for (size_t i = tensors; i < arguments.size() && parameters_ < kMaxParameters; ++i)
    std::memcpy(&reals_[kMaxScalars + parameters_++], &arguments[i], sizeof(double));
  for (size_t i = 0; i < values_.size(); ++i) values_[i] = compute(program_.exprs[i]);
}

int64_t Walker::compute(const Expr& e) const {
  const int64_t* v = values_.data();
  // Numbers beyond 64 bits wrap around, as on the card: no address is that large, so the check reports their use.
  const auto u = [v](int64_t node) { return static_cast<uint64_t>(v[node]); };
  const auto wrapped = [](uint64_t x) { return static_cast<int64_t>(x); };
  switch (e.op) {
    case kConst: return e.a;
    case kBlock: return block_;
    case kSubBlock: return sub_block_;
    case kLoopIndex: return index_[e.a];
    case kScalar: return slots_[e.a];
    case kAdd: return wrapped(u(e.a) + u(e.b));
    case kSub: return wrapped(u(e.a) - u(e.b));
    case kMul: return wrapped(u(e.a) * u(e.b));
    case kFloorDiv: return floor_div(v[e.a], v[e.b]);
    case kMod: return v[e.b] == -1 ? 0 : v[e.a] - floor_div(v[e.a], v[e.b]) * v[e.b];
    case kMin: return v[e.a] < v[e.b] ? v[e.a] : v[e.b];
    case kMax: return v[e.a] > v[e.b] ? v[e.a] : v[e.b];
    case kAnd: return v[e.a] & v[e.b];
    case kOr: return v[e.a] | v[e.b];
    case kXor: return v[e.a] ^ v[e.b];
    case kShl: return wrapped(u(e.a) << (v[e.b] & 63));
    case kShr: return v[e.a] >> (v[e.b] & 63);
    case kEq: return v[e.a] == v[e.b];
    case kNe: return v[e.a] != v[e.b];
    case kLt: return v[e.a] < v[e.b];
    case kLe: return v[e.a] <= v[e.b];
    default: return v[e.a] ? v[e.b] : v[e.c];
  }
}

void Walker::evaluate(const std::vector<int32_t>& nodes) {
  for (int32_t node : nodes) values_[node] = compute(program_.exprs[node]);
}

void Walker::set_scalar(int slot, int64_t value, double real) {
  slots_[slot] = value;
  reals_[slot] = real;
  evaluate(program_.scalar_nodes[slot]);
}

void Walker::fill(const Statement& s, Instr& out) const {
  out.opcode = s.opcode;
  out.pipe = s.pipe;
  out.sync = program_.declarations[s.opcode].sync;
  out.site = s.site;
  out.nregions = static_cast<uint8_t>(s.noperands);
  out.nargs = static_cast<uint8_t>(s.nargs);
  out.nfloats = s.nfloats;
  for (int i = 0; i < s.noperands; ++i) {
    const OperandTemplate& o = code_.operands[s.first_operand + i];
    Region& r = out.regions[i];
    r.memory = o.memory, r.access = o.access, r.dtype = o.dtype, r.ndim = o.ndim, r.tensor = o.tensor;
    r.base = values_[o.base], r.bytes = values_[o.bytes], r.lead = o.lead < 0 ? 0 : values_[o.lead];
    for (int d = 0; d < o.ndim; ++d) r.count[d] = values_[o.count[d]], r.stride[d] = values_[o.stride[d]];
  }
  for (int i = 0; i < s.nargs; ++i) out.args[i] = values_[code_.arg_nodes[s.first_arg + i]];
  for (int i = 0; i < s.nfloats; ++i) {
    const bool given = s.float_slot[i] < kMaxScalars + parameters_;
    out.floats[i] = s.floats[i], out.float_slot[i] = given ? s.float_slot[i] : int16_t{-1};
  }
}

// In single precision, as the scalar unit has it.
void Walker::compute_real(const Instr& i) {
  if (i.nargs < 2 || i.nfloats < 2 || i.args[0] < 0 || i.args[0] >= program_.scalars) throw std::invalid_argument("kernel: scalar arithmetic without its slot or operands");
  const float a = static_cast<float>(i.value(0, scalars())), b = static_cast<float>(i.value(1, scalars()));
  const float results[kNumScalarMath] = {a + b, a - b, a * b, a / b, std::min(a, b), std::max(a, b), std::sqrt(a)};
  if (i.args[1] < 0 || i.args[1] >= kNumScalarMath) throw std::invalid_argument("kernel: unknown scalar arithmetic " + std::to_string(i.args[1]));
  set_scalar(static_cast<int>(i.args[0]), 0, results[i.args[1]]);
}

bool Walker::next(Instr& out) {
  const auto& statements = code_.statements;
  while (position_ < statements.size()) {
    const Statement& s = statements[position_];
    switch (s.kind) {
      case kInstr:
        ++position_;
        fill(s, out);
        if (program_.declarations[s.opcode].computes) compute_real(out);
        return true;
      case kLoop: {
        index_[s.loop] = values_[s.a], stop_[s.loop] = values_[s.b], step_[s.loop] = values_[s.c];
        if (step_[s.loop] <= 0) throw std::invalid_argument("kernel: the step of a loop is " + std::to_string(step_[s.loop]) + "; it must be positive");
        if (index_[s.loop] >= stop_[s.loop]) {
          position_ = s.jump + 1;
        } else {
          if (depth_++ == 0) outer_ = s.loop, ++outer_loops_, ++rounds_;
          evaluate(program_.loop_nodes[s.loop]);
          ++position_;
        }
        break;
      }
      case kIf: position_ = values_[s.a] ? position_ + 1 : s.jump + 1; break;
      case kElse: position_ = s.jump + 1; break;
      case kEnd: {
        const Statement& opener = statements[s.jump];
        if (opener.kind != kLoop) {
          ++position_;
          break;
        }
        if (depth_ == 1 && skip_) index_[opener.loop] += skip_ * step_[opener.loop], skip_ = 0;
        int64_t& index = index_[opener.loop];
        if (!__builtin_add_overflow(index, step_[opener.loop], &index) && index < stop_[opener.loop]) {
          if (depth_ == 1) ++rounds_;
          evaluate(program_.loop_nodes[opener.loop]);
          position_ = s.jump + 1;
        } else {
          if (--depth_ == 0) outer_ = -1;
          ++position_;
        }
        break;
      }
    }
  }
  return false;
}

}  // namespace al::davinci
