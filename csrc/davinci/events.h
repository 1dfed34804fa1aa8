// A general event engine: timers, and flows that share resources fairly. Knows no core and no link: pipes, memories and
// networks are built on it. Deterministic: what falls on one instant is reported in the order in which it was started.
#pragma once
#include <cstdint>
#include <queue>
#include <utility>
#include <vector>

namespace al::events {

// What a flow takes from a resource: `charge` units for each of its own units.
struct Use {
  int resource;
  double charge;
};

// Times in nanoseconds; amounts in bytes (any unit will do); rates in bytes a nanosecond.
class Engine {
 public:
  int add_resource(double capacity);
  // Flows of a class have the same rate limit and take the same from resources: at any time they run at one rate.
  int add_class(double rate_limit, std::vector<Use> uses);
  void start_flow(int flow_class, double amount, int64_t token);
  void start_timer(double time, int64_t token);
  // Goes on to the next end of a flow or timer and gives its token; false when nothing is left.
  bool next(int64_t& token);
  double now() const { return now_; }
  double delivered(int resource) const { return delivered_[resource]; }  // what its flows have taken so far

 private:
  struct End {
    double at;  // timers: time; flows: what each flow of the class has got since the start of the class
    int64_t order, token;
    bool operator>(const End& o) const { return at != o.at ? at > o.at : order > o.order; }
  };
  using Ends = std::priority_queue<End, std::vector<End>, std::greater<End>>;
  struct FlowClass {
    double limit, rate = 0, served = 0;
    std::vector<Use> uses;
    Ends ends;
    int round = 0;  // of the filling in which its rate was found; 0: not yet
  };

  void share();
  void advance(double time);

  double now_ = 0;
  int64_t order_ = 0;
  bool stale_ = false;
  std::vector<double> capacity_, delivered_, left_, weight_;
  std::vector<FlowClass> classes_;
  std::vector<int> active_;
  Ends timers_;
};

}  // namespace al::events
