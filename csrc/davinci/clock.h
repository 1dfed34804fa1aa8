// When each instruction of a launch begins and ends. Times in nanoseconds from the launch.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "davinci/costs.h"
#include "davinci/l2.h"

namespace al::davinci {

// Why a pipe stood still. The first seven: for the flag of that pipe.
enum Cause : uint8_t { kBarrierCause = kNumPipes, kIssueCause, kCrossCause, kSyncAllCause, kStartCause, kNumCauses };

struct PipeTime {
  double busy = 0, stall[kNumCauses] = {};
  double contended = 0;  // of busy: longer than the copies would take alone
  double conflicts = 0;  // of busy: bank conflicts
  double work = 0;       // cube: multiply-adds, vector: elements
  int64_t instructions = 0;
};

struct CoreTime {
  uint8_t kind = 0;
  int slot = 0, sub = 0;  // which core of the chip: group and place in it
  int64_t blocks = 0;
  double begin = 0, end = 0;
  PipeTime pipes[kNumPipes];
};

struct Span {  // one instruction, for pictures
  int core;
  uint8_t pipe;
  uint16_t opcode;
  int32_t site;
  double begin, end;
};

struct Wait {  // all waits of one pipe at one source line for one cause
  uint8_t kind, pipe, cause;
  int32_t site;
  double ns;
};

struct Timeline {
  double total_ns = 0, launch_ns = 0;
  std::vector<CoreTime> cores;
  std::vector<Span> spans;
  std::vector<Wait> waits;
  double read_bytes = 0, written_bytes = 0, missed_bytes = 0, evicted_bytes = 0;
  double hbm_bytes = 0, hbm_write_bytes = 0, l2_bytes = 0;  // moved within the launch
  int64_t instructions = 0;
  int64_t rounds_left_out = 0;  // of each core's outermost loop: timed by those around them
};

struct Request {
  int64_t blocks = 0;
  std::vector<int64_t> bases;   // address of each GM argument
  std::vector<bool> past_l2;    // arguments whose writes go around the cache
  std::vector<int> spans_of;    // cores whose instructions are kept
  std::vector<std::pair<int, int>> free_flags;  // what-if: flags of these (source, destination) pipes are never waited for
  bool free_barriers = false;                   // what-if: barriers of one pipe cost nothing
  bool in_full = false;                         // every round of every loop
};

Timeline schedule(const Program& program, const Model& model, L2& l2, const Request& request);

}  // namespace al::davinci
