// A kernel as the emulated core sees it: structured code over integer expressions, and the flat instructions that one block runs.
// What the executor, the checker and the clock agree on. Knows no tensor and no Python.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace al::davinci {

enum Memory : uint8_t { kGM, kUB, kL1, kL0A, kL0B, kL0C, kBT, kFB, kNumMemories };
enum Pipe : uint8_t { kS, kV, kM, kMTE1, kMTE2, kMTE3, kFIX, kNumPipes };
enum CoreKind : uint8_t { kAIC, kAIV };
enum Access : uint8_t { kRead = 1, kWrite = 2, kPartial = 4, kAtomic = 8 };  // kPartial: may leave some of the bytes as they were

// What an instruction does to the order of others; everything else about it is in its declaration.
enum Sync : uint8_t {
  kNoSync,
  kSetFlag,       // args: destination pipe, event id; runs on the source pipe
  kWaitFlag,      // args: source pipe, event id; runs on the destination pipe
  kBarrier,       // runs on the pipe it orders; args: 1 for PIPE_ALL (then it runs on S)
  kCrossSet,      // args: mode, flag id; runs on the pipe whose earlier work it waits for
  kCrossWait,     // args: flag id; runs on S and holds back all later instructions of the core
  kSyncAll,       // args: 1 for the cores of this kind only; runs on S
  kGetValue,      // reads a scalar: args: slot, lowest, highest (the declared range)[, a typical value]; runs on S
  kCacheClean,    // scalar writes to GM become visible; runs on S
};

// Integer expressions, evaluated per block and loop iteration. An operand names the node by its index; a node uses earlier nodes only.
enum ExprOp : int64_t {
  kConst,      // a
  kBlock,      // index of the block: 0..blocks-1 on AIC and on pure vector kernels, of the group in the vector code of mixed kernels
  kSubBlock,   // 0 or 1 in the vector code of mixed kernels, else 0
  kLoopIndex,  // of loop a
  kScalar,     // value of the scalar slot a, which a GetValue writes
  kAdd, kSub, kMul, kFloorDiv, kMod, kMin, kMax, kAnd, kOr, kXor, kShl, kShr, kEq, kNe, kLt, kLe,
  kSelect,     // a ? b : c
  kNumExprOps
};
struct Expr { int64_t op, a, b, c; };

// What an instruction is, by the declaration it was traced from.
struct Declaration {
  std::string name;
  std::string meaning;  // the executor's function
  std::string cost;     // the clock's formula
  uint8_t pipe;
  uint8_t sync;
  bool computes = false;  // the walker itself does it: "scalar_math", args: slot, ScalarMath; floats: its operands

  // Index of the unit flag among the arguments of Mmad and Fixpipe (ascendlite/npu/lang declares them); else -1.
  int unit_argument() const { return meaning == "mmad" ? 4 : meaning == "fixpipe" ? 6 : -1; }
};

enum ScalarMath : int64_t { kAddReals, kSubReals, kMulReals, kDivReals, kMinReals, kMaxReals, kSqrtReal, kNumScalarMath };

constexpr int kMaxRegions = 8;   // operands of one instruction
constexpr int kMaxRegionDims = 3;

// Bytes that one operand touches: runs of `bytes`, the first `lead` bytes after the operand's address, repeated count[d] times at
// stride[d] bytes (outermost first).
struct Region {
  uint8_t memory, access;
  uint8_t dtype;   // al::DType
  int8_t ndim;     // of the repetition; 0: one run
  int16_t tensor;  // GM: which argument; else the local buffer it was allocated as (for messages), or -1
  int64_t base;    // byte offset in the memory or the argument: where the operand starts
  int64_t lead;    // 0 but for masks whose first lanes are off
  int64_t bytes;   // length of a run
  int64_t count[kMaxRegionDims], stride[kMaxRegionDims];
};

constexpr int kMaxArgs = 24, kMaxFloats = 4;

// One instruction of one block, all expressions evaluated.
struct Instr {
  uint16_t opcode;  // index of its declaration
  uint8_t pipe, sync;
  uint8_t nregions, nargs, nfloats;
  int32_t site;     // index in the kernel's table of source lines
  Region regions[kMaxRegions];
  int64_t args[kMaxArgs];
  double floats[kMaxFloats];
  int16_t float_slot[kMaxFloats];  // scalar slot, or kMaxScalars + number of a launch parameter, that holds the value at run time; or -1
  double value(int i, const double* scalars) const { return float_slot[i] < 0 ? floats[i] : scalars[float_slot[i]]; }
};

// What a GetValue mostly reads, for those who know no data: what is declared, or the middle of its range.
inline int64_t typical_value(const Instr& i) {
  if (i.nargs > 3) return i.args[3];
  const auto low = static_cast<uint64_t>(i.args[1]), high = static_cast<uint64_t>(i.args[2]);  // the range may be all of 64 bits
  return static_cast<int64_t>(low + (high - low) / 2);
}

constexpr int kMaxScalars = 1024, kMaxParameters = 63;

struct OperandTemplate {
  uint8_t memory, access, dtype;
  int8_t ndim;
  int16_t tensor;
  int32_t base, lead, bytes, count[kMaxRegionDims], stride[kMaxRegionDims];  // expression nodes; lead: -1 for none
};

enum StatementKind : uint8_t { kInstr, kLoop, kIf, kElse, kEnd };

struct Statement {
  StatementKind kind;
  uint8_t pipe = 0;     // kInstr: where it runs (sync instructions choose theirs)
  uint8_t nfloats = 0;
  uint16_t opcode = 0;
  int32_t site = 0;
  int32_t first_operand = 0, noperands = 0;  // kInstr: into Code::operands
  int32_t first_arg = 0, nargs = 0;          // kInstr: into Code::arg_nodes
  int32_t a = 0, b = 0, c = 0, loop = -1;    // kLoop: start, stop, step nodes and loop id; kIf: a = condition node
  int32_t jump = -1;                         // kLoop, kIf, kElse: index of the matching kEnd (kIf: of its kElse if there is one); kEnd: of its opener
  double floats[kMaxFloats] = {};
  int16_t float_slot[kMaxFloats] = {-1, -1, -1, -1};
};

struct Code {
  std::vector<Statement> statements;
  std::vector<OperandTemplate> operands;
  std::vector<int32_t> arg_nodes;
  bool empty() const { return statements.empty(); }
};

enum ProgramKind : uint8_t { kCubeProgram, kVectorProgram, kMixedProgram };

class Program {
 public:
  // `exprs`: 4 words a node. `cube`, `vector`: the encoded code of either core kind (see program.cpp), empty where there is none.
  Program(std::string name, uint8_t kind, std::vector<Declaration> declarations, const std::vector<int64_t>& exprs,
          const std::vector<int64_t>& cube, const std::vector<int64_t>& vector, std::vector<int64_t> tensor_bytes, int loops, int scalars);

  std::string name;
  uint8_t kind;
  std::vector<Declaration> declarations;
  std::vector<Expr> exprs;
  Code cube, vector;
  std::vector<int64_t> tensor_bytes;  // sizes of the GM arguments
  int loops, scalars;
  bool reads_scalars = false;         // some GetValue: the flat instructions depend on data
  std::vector<std::string> lines, vector_buffers;  // for messages: of the kernel's source, by site; names of local buffers in the vector code
  // The line of a site, as the end of a message.
  std::string where(int32_t site) const { return site >= 0 && site < static_cast<int64_t>(lines.size()) ? "\n  --> " + lines[site] : ""; }
  std::vector<std::vector<int32_t>> loop_nodes, scalar_nodes;  // nodes to evaluate again when a loop index or a scalar changes

  const Code& code(CoreKind core) const { return core == kAIC ? cube : vector; }
  // Vector cores in a group (a block of the launch): 2 in mixed kernels, 1 in vector kernels, 0 in cube kernels.
  int vectors_per_group() const { return kind == kMixedProgram ? 2 : kind == kVectorProgram ? 1 : 0; }
  bool has_cube() const { return kind != kVectorProgram; }
};

// Walks the instructions of one core of one block in program order.
class Walker {
 public:
  // `arguments`: a launch's: the address of each tensor, then the bits of its parameters. A parameter that is not given is what it was traced with.
  Walker(const Program& program, CoreKind core, int64_t block, int64_t sub_block, const std::vector<int64_t>& arguments = {});
  // The next instruction, false at the end. After a kGetValue the caller sets its slot before it calls again
  // (else the slot keeps its last value; 0 at first).
  bool next(Instr& out);
  void set_scalar(int slot, int64_t value, double real);
  const double* scalars() const { return reals_.data(); }
  const Code& code() const { return code_; }
  const Statement& last() const { return code_.statements[position_ - 1]; }  // of the instruction that next() gave
  int64_t value(int32_t node) const { return values_[node]; }                // now

  // Rounds of outermost loops: how many such loops have begun, how many rounds in all, and how many the present loop has left.
  int64_t outer_loops() const { return outer_loops_; }
  int64_t rounds() const { return rounds_; }
  int64_t rounds_left() const { return outer_ < 0 ? 0 : (stop_[outer_] - index_[outer_] + step_[outer_] - 1) / step_[outer_] - 1; }
  // Leaves out `rounds` rounds of the present outermost loop after the present one.
  void skip(int64_t rounds) { skip_ = rounds; }

 private:
  void evaluate(const std::vector<int32_t>& nodes);
  int64_t compute(const Expr& e) const;
  void fill(const Statement& s, Instr& out) const;
  void compute_real(const Instr& i);

  const Program& program_;
  const Code& code_;
  int64_t block_, sub_block_;
  size_t position_ = 0;
  int depth_ = 0, outer_ = -1;  // loops around the position; the outermost of them
  int64_t outer_loops_ = 0, rounds_ = 0, skip_ = 0;
  std::vector<int64_t> values_, index_, stop_, step_, slots_;
  std::vector<double> reals_;  // of scalar slots, then parameters
  int parameters_ = 0;
};

}  // namespace al::davinci
