// Kernels that put elements elsewhere: cat, flip, roll, pad_constant, tril, diag_embed. They know sizes of
// elements, not numbers.
#include "strided.h"

namespace al {
namespace {

char* element(const View& v, int64_t offset) { return v.data + offset * item_size(v.dtype); }

// ints: dim. Inputs of any strides, each copied into its slice of y.
void cat(const Call& call) {
  const View& y = *call.views[0];
  const int64_t dim = call.ints[0];
  int64_t position = 0;
  for (int k = 1; k < call.nviews; k++) {
    const View& x = *call.views[k];
    if (numel(x) == 0) continue;
    Walk w;
    for (int i = 0; i < x.ndim; i++) w.add(x.shape[i], y.strides[i], x.strides[i]);
    copy_walk(element(y, position * y.strides[dim]), x.data, w, y.dtype);
    position += x.shape[dim];
  }
}

// ints: a tuple of distinct dims.
void flip(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1];
  if (numel(y) == 0) return;
  bool reversed[kMaxDims] = {};
  for (int64_t i = 0; i < call.ints[0]; i++) reversed[call.ints[1 + i]] = true;
  Walk w;
  int64_t start = 0;
  for (int i = 0; i < y.ndim; i++) {
    int64_t stride = x.strides[i];
    if (reversed[i]) start += (y.shape[i] - 1) * stride, stride = -stride;
    w.add(y.shape[i], y.strides[i], stride);
  }
  copy_walk(y.data, element(x, start), w, y.dtype);
}

// Copies the block of y that starts at `from` and has `shape`, reading x from `source`.
void copy_block(const View& y, const View& x, const int64_t* from, const int64_t* source,
                const int64_t* shape) {
  Walk w;
  int64_t to_offset = 0, from_offset = 0;
  for (int i = 0; i < y.ndim; i++) {
    if (shape[i] <= 0) return;
    to_offset += from[i] * y.strides[i], from_offset += source[i] * x.strides[i];
    w.add(shape[i], y.strides[i], x.strides[i]);
  }
  copy_walk(element(y, to_offset), element(x, from_offset), w, y.dtype);
}

// ints: a shift in [0, size) for each dim, as a tuple. Each shifted dim cuts the tensor in two.
void roll(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1];
  if (numel(y) == 0) return;
  const int64_t* shift = call.ints.from(1, y.ndim);
  for (int64_t corner = 0; corner < (int64_t{1} << y.ndim); corner++) {
    int64_t from[kMaxDims], source[kMaxDims], shape[kMaxDims];
    for (int i = 0; i < y.ndim; i++) {
      bool wrapped = corner >> i & 1;  // the head of y comes from the tail of x
      from[i] = wrapped ? 0 : shift[i];
      source[i] = wrapped ? y.shape[i] - shift[i] : 0;
      shape[i] = wrapped ? shift[i] : y.shape[i] - shift[i];
    }
    copy_block(y, x, from, source, shape);
  }
}

// Views: y, x, value (0-d). ints: elements added before each dim, as a tuple; negative ones crop.
void pad_constant(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1], &value = *call.views[2];
  const int64_t n = numel(y);
  if (n == 0) return;
  with_bits(y.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T v = *ptr<T>(value);
    parallel_for(n, 32768, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) ptr<T>(y)[i] = v;
    });
  });
  int64_t from[kMaxDims], source[kMaxDims], shape[kMaxDims];
  for (int i = 0; i < y.ndim; i++) {
    const int64_t before = call.ints[1 + i];
    from[i] = before > 0 ? before : 0;
    source[i] = before < 0 ? -before : 0;
    const int64_t left = x.shape[i] - source[i], room = y.shape[i] - from[i];
    shape[i] = left < room ? left : room;
  }
  copy_block(y, x, from, source, shape);
}

// ints: diagonal, upper. Keeps the elements of each matrix on one side of the diagonal, zeros the others.
void triangle(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1];
  const int64_t rows = y.shape[y.ndim - 2], columns = y.shape[y.ndim - 1], item = item_size(y.dtype);
  const int64_t diagonal = call.ints[0];
  const bool upper = call.ints[1];
  if (numel(y) == 0) return;
  const int64_t grain = 65536 / (columns * item) + 1;
  parallel_for(numel(y) / columns, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      int64_t cut = r % rows + diagonal + (upper ? 0 : 1);  // the first column of the right-hand part
      cut = cut < 0 ? 0 : cut > columns ? columns : cut;
      char* to = y.data + r * columns * item;
      const char* from = x.data + r * columns * item;
      const int64_t keep_from = upper ? cut : 0, keep_to = upper ? columns : cut;
      std::memset(to, 0, size_t(keep_from * item));
      std::memcpy(to + keep_from * item, from + keep_from * item, size_t((keep_to - keep_from) * item));
      std::memset(to + keep_to * item, 0, size_t((columns - keep_to) * item));
    }
  });
}

// ints: offset, dim1, dim2 of y. The last dim of x becomes a diagonal over two dims of y.
void diag_embed(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1];
  if (numel(y) == 0) return;
  const int64_t offset = call.ints[0], dim1 = call.ints[1], dim2 = call.ints[2];
  std::memset(y.data, 0, size_t(numel(y) * item_size(y.dtype)));
  Walk w;
  int source = 0;
  for (int i = 0; i < y.ndim; i++) {
    if (i == dim1 || i == dim2) continue;
    w.add(y.shape[i], y.strides[i], x.strides[source++]);
  }
  w.add(x.shape[source], y.strides[dim1] + y.strides[dim2], x.strides[source]);
  const int64_t start = offset >= 0 ? offset * y.strides[dim2] : -offset * y.strides[dim1];
  copy_walk(element(y, start), x.data, w, y.dtype);
}

AL_KERNEL("cat", cat);
AL_KERNEL("flip", flip);
AL_KERNEL("roll", roll);
AL_KERNEL("pad_constant", pad_constant);
AL_KERNEL("triangle", triangle);
AL_KERNEL("diag_embed", diag_embed);

}  // namespace
}  // namespace al
