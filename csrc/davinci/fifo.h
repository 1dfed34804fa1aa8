// A first-in first-out queue that keeps its memory: pipes and flags of the clock take and give millions of times.
#pragma once
#include <cstddef>
#include <utility>
#include <vector>

namespace al::davinci {

template <class T>
class Fifo {
 public:
  bool empty() const { return count_ == 0; }
  size_t size() const { return count_; }
  T& front() { return items_[first_]; }
  const T& front() const { return items_[first_]; }
  T& push() {  // a place at the end, with what was left there
    if (count_ == items_.size()) grow();
    T& place = items_[(first_ + count_) & (items_.size() - 1)];
    ++count_;
    return place;
  }
  void push(T item) { push() = std::move(item); }
  void pop() {
    first_ = (first_ + 1) & (items_.size() - 1);
    --count_;
  }

 private:
  void grow() {  // sizes are powers of two
    std::vector<T> more(items_.empty() ? 4 : items_.size() * 2);
    for (size_t k = 0; k < count_; ++k) more[k] = std::move(items_[(first_ + k) & (items_.size() - 1)]);
    items_.swap(more);
    first_ = 0;
  }
  std::vector<T> items_;
  size_t first_ = 0, count_ = 0;
};

}  // namespace al::davinci
