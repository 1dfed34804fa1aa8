#include "davinci/events.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace al::events {
namespace {
constexpr double kNever = std::numeric_limits<double>::infinity();
}

int Engine::add_resource(double capacity) {
  if (!(capacity > 0)) throw std::invalid_argument("events: a resource needs a capacity above 0");
  capacity_.push_back(capacity);
  delivered_.push_back(0);
  return static_cast<int>(capacity_.size()) - 1;
}

int Engine::add_class(double rate_limit, std::vector<Use> uses) {
  if (!(rate_limit > 0)) throw std::invalid_argument("events: a flow needs a rate limit above 0");
  FlowClass c;
  c.limit = rate_limit;
  for (const Use& use : uses)
    if (use.charge > 0) c.uses.push_back(use);
  classes_.push_back(std::move(c));
  return static_cast<int>(classes_.size()) - 1;
}

void Engine::start_flow(int flow_class, double amount, int64_t token) {
  FlowClass& c = classes_[flow_class];
  if (c.ends.empty()) active_.push_back(flow_class), std::sort(active_.begin(), active_.end()), c.served = 0;
  c.ends.push({c.served + amount, order_++, token});
  stale_ = true;
}

void Engine::start_timer(double time, int64_t token) { timers_.push({std::max(time, now_), order_++, token}); }

// Max-min fairness by filling: all rates rise together; a class stops at its limit or where one of its resources is full.
void Engine::share() {
  left_ = capacity_;
  for (int id : active_) classes_[id].round = 0;
  int round = 0;
  for (size_t open = active_.size(); open > 0;) {
    ++round;
    weight_.assign(capacity_.size(), 0);
    double level = kNever;
    for (int id : active_) {
      const FlowClass& c = classes_[id];
      if (c.round) continue;
      level = std::min(level, c.limit);
      for (const Use& use : c.uses) weight_[use.resource] += use.charge * static_cast<double>(c.ends.size());
    }
    for (size_t r = 0; r < left_.size(); ++r)
      if (weight_[r] > 0) level = std::min(level, std::max(left_[r], 0.0) / weight_[r]);
    const double full = level * (1 + 1e-12);
    for (int id : active_) {
      FlowClass& c = classes_[id];
      if (c.round) continue;
      bool stops = c.limit <= full;
      for (const Use& use : c.uses) stops = stops || left_[use.resource] <= full * weight_[use.resource];
      if (!stops) continue;
      c.round = round, c.rate = level, --open;
    }
    for (int id : active_) {
      FlowClass& c = classes_[id];
      if (c.round != round) continue;
      for (const Use& use : c.uses) left_[use.resource] -= level * use.charge * static_cast<double>(c.ends.size());
    }
  }
  stale_ = false;
}

void Engine::advance(double time) {
  const double step = time - now_;
  if (step > 0)
    for (int id : active_) {
      FlowClass& c = classes_[id];
      c.served += c.rate * step;
      for (const Use& use : c.uses) delivered_[use.resource] += c.rate * step * use.charge * static_cast<double>(c.ends.size());
    }
  now_ = std::max(now_, time);
}

bool Engine::next(int64_t& token) {
  if (stale_) share();
  int first = -1;
  double when = kNever;
  for (int id : active_) {
    const FlowClass& c = classes_[id];
    const double end = now_ + std::max(0.0, c.ends.top().at - c.served) / c.rate;
    if (end < when) when = end, first = id;
  }
  if (!timers_.empty() && timers_.top().at <= when) {
    advance(timers_.top().at);
    token = timers_.top().token;
    timers_.pop();
    return true;
  }
  if (first < 0) return false;
  advance(when);
  FlowClass& c = classes_[first];
  c.served = c.ends.top().at;
  token = c.ends.top().token;
  c.ends.pop();
  if (c.ends.empty()) active_.erase(std::find(active_.begin(), active_.end(), first));
  stale_ = true;
  return true;
}

}  // namespace al::events
