// Training on a CPU: what stands between the matrix products of a layer, forward and backward, one
// pass each. Included once a format; see compiled.py. N tokens stand end to end, document by
// document; sums run in float32. `parts` are pieces of N whose sums are kept apart, so that the
// number of threads changes no result.

#ifndef LANES
#define LANES 16
#define UP(n, to) (((n) + (to)-1) / (to) * (to))

// A register's bytes, and how many of them a tile is wide: four rows of sums and what they are made
// of have to fit into the registers (32 with AVX-512 and on ARM, else 16), or each goes by memory.
#if defined(__AVX512F__)
#define VECTOR 64
#define MOST 4
#elif defined(__AVX__)
#define VECTOR 32
#define MOST 2
#elif defined(__ARM_NEON)
#define VECTOR 16
#define MOST 4
#else
#define VECTOR 16
#define MOST 2
#endif
#define WIDE (VECTOR / 4)
typedef float vec __attribute__((vector_size(VECTOR), aligned(4), may_alias));

// c [4, `vecs` registers] (+)= a [4, depth] b [depth, `vecs` registers]; a's rows and columns lie
// `row` and `column` apart. Inlined with a known `vecs`, so that the sums stay in registers.
static inline __attribute__((always_inline)) void tile(
    const float *a, int64_t row, int64_t column, const float *b, int64_t b_row, float *c,
    int64_t c_row, int64_t depth, int vecs, int add) {
  vec sum[4][MOST];
  for (int i = 0; i < 4; i++)
    for (int v = 0; v < vecs; v++)
      sum[i][v] = add ? *(const vec *)(c + i * c_row + v * WIDE) : (vec){0};
  for (int64_t k = 0; k < depth; k++) {
    vec right[MOST];
    for (int v = 0; v < vecs; v++) right[v] = *(const vec *)(b + k * b_row + v * WIDE);
    for (int i = 0; i < 4; i++) {
      float left = a[i * row + k * column];
      for (int v = 0; v < vecs; v++) sum[i][v] += left * right[v];
    }
  }
  for (int i = 0; i < 4; i++)
    for (int v = 0; v < vecs; v++) *(vec *)(c + i * c_row + v * WIDE) = sum[i][v];
}

// c [rows, columns] (+)= a [rows, depth] b [depth, columns]; rows a multiple of 4, columns of 16.
static void product(const float *a, int64_t row, int64_t column, const float *b, int64_t b_row,
                    float *c, int64_t c_row, int64_t rows, int64_t columns, int64_t depth,
                    int add) {
  for (int64_t j = 0; j < columns; j += MOST * WIDE) {
    int64_t vecs = (columns - j) / WIDE;
    for (int64_t i = 0; i < rows; i += 4) {
#define TILE(known)                                                                      \
  tile(a + i * row, row, column, b + j, b_row, c + i * c_row + j, c_row, depth, known, add)
      if (vecs >= MOST) TILE(MOST);
#if MOST * WIDE > LANES  // else every tile is a whole one
      else if (vecs == 3) TILE(3);
      else if (vecs == 2) TILE(2);
      else TILE(1);
#endif
#undef TILE
    }
  }
}

// The transpose of TURN.
static inline void turn_back(float *restrict x, const float *restrict cosines,
                             const float *restrict sines, int64_t width) {
  int64_t half = cosines ? width / 2 : 0;
  for (int64_t d = 0; d < half; d++) {
    float a = x[d], b = x[d + half];
    x[d] = a * cosines[d] + b * sines[d + half];
    x[d + half] = b * cosines[d + half] + a * sines[d];
  }
}

static void transpose(const float *x, int64_t rows, int64_t columns, int64_t x_row, float *y,
                      int64_t y_row) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) y[c * y_row + r] = x[r * x_row + c];
}

#define BLOCK 16  // queries at a time

// Scores that a query may not see, in a block of them from `begin` on and keys from `from` on: those
// of keys behind it, and of keys further back than the window. What it sees is [*first, *last).
static inline void seen_by(int64_t query, int64_t from, int64_t window, int64_t *first,
                           int64_t *last) {
  int64_t start = window > 0 && query + 1 > window ? query + 1 - window : 0;
  *first = start - from;
  *last = query + 1 - from;
}

// Where the keys of a block of queries begin, on a whole vector.
static inline int64_t begin_of(int64_t begin, int64_t window) {
  int64_t start = window > 0 && begin + 1 > window ? begin + 1 - window : 0;
  return start / LANES * LANES;
}
#endif

// One head of a document into [length, padded] of float32, turned, times `scale`; what is beyond
// the document and the width stays as it is.
static void NAME(load)(const T *restrict from, int64_t stride, int64_t length, int64_t width,
                       int64_t padded, const float *cosines, const float *sines, float scale,
                       float *restrict to) {
  for (int64_t t = 0; t < length; t++) {
    const float *restrict cosine = cosines ? cosines + t * width : 0;
    const float *restrict sine = sines ? sines + t * width : 0;
    float *restrict y = to + t * padded;
    TURN(LOAD, from + t * stride, cosine, sine, width, y)
    for (int64_t d = 0; d < width; d++) y[d] *= scale;
  }
}

// The same back: turned back, times `scale`, rounded.
static void NAME(store)(float *restrict from, int64_t padded, int64_t length, int64_t width,
                        int64_t stride, const float *cosines, const float *sines, float scale,
                        T *restrict to) {
  for (int64_t t = 0; t < length; t++) {
    float *x = from + t * padded;
    if (cosines) turn_back(x, cosines + t * width, sines + t * width, width);
    for (int64_t d = 0; d < width; d++) to[t * stride + d] = STORE(x[d] * scale);
  }
}

// heads [N, H + 2 K, W]: queries, keys and values of tokens. out [N, H, W]: attention of every token
// to itself and those before it in its document (window > 0: to the last so many); normalisers
// [N, H]: the logarithms of the sums of the scores' exponentials. `starts` [documents + 1]; a table of
// cosines and sines [longest, W] turns queries and keys by their places (sines with rotate_half's
// sign), or none. Returns 0 where there is no memory.
int64_t NAME(attention)(const T *heads, const int64_t *starts, const float *cosines,
                        const float *sines, T *out, float *normalisers, int64_t documents,
                        int64_t longest, int64_t query_heads, int64_t key_heads, int64_t width,
                        float scale, int64_t window) {
  int64_t group = query_heads / key_heads, stride = (query_heads + 2 * key_heads) * width;
  int64_t padded = UP(width, LANES), room = UP(longest, LANES), failed = 0;
#pragma omp parallel
  {
    int64_t size = room * padded;
    float *scratch = aligned_alloc(64, sizeof(float) * (3 * size + BLOCK * (room + padded)));
    if (!scratch) {
#pragma omp atomic write
      failed = 1;
    }
#pragma omp barrier
    if (!failed) {
      float *keys = scratch, *values = keys + size, *queries = values + size;
      float *scores = queries + size, *mixed = scores + BLOCK * room;
#pragma omp for schedule(dynamic)
      for (int64_t task = 0; task < documents * key_heads; task++) {
        int64_t start = starts[task / key_heads], head = task % key_heads;
        int64_t length = starts[task / key_heads + 1] - start, all = UP(length, LANES);
        const T *from = heads + start * stride;
        memset(queries, 0, sizeof(float) * all * padded);
        NAME(load)(from + (query_heads + head) * width, stride, length, width, padded, cosines,
                   sines, 1.0f, queries);
        transpose(queries, all, padded, padded, keys, all);
        memset(values, 0, sizeof(float) * all * padded);
        NAME(load)(from + (query_heads + key_heads + head) * width, stride, length, width, padded,
                   0, 0, 1.0f, values);
        for (int64_t g = 0; g < group; g++) {
          int64_t own = head * group + g;
          NAME(load)(from + own * width, stride, length, width, padded, cosines, sines, scale,
                     queries);
          for (int64_t begin = 0; begin < length; begin += BLOCK) {
            int64_t left = begin_of(begin, window), columns = begin + BLOCK - left;
            product(queries + begin * padded, padded, 1, keys + left, all, scores, columns, BLOCK,
                    columns, width, 0);
            for (int64_t i = 0; i < BLOCK; i++) {
              float *row = scores + i * columns, most = -INFINITY, sum = 0.0f;
              int64_t first, last;
              seen_by(begin + i, left, window, &first, &last);
#pragma omp simd reduction(max : most)
              for (int64_t t = first; t < last; t++) most = row[t] > most ? row[t] : most;
              for (int64_t t = 0; t < first; t++) row[t] = 0.0f;
#pragma omp simd reduction(+ : sum)
              for (int64_t t = first; t < last; t++) {
                row[t] = exponential(row[t] - most);
                sum += row[t];
              }
              for (int64_t t = last; t < columns; t++) row[t] = 0.0f;
              float share = 1.0f / sum;
#pragma omp simd
              for (int64_t t = first; t < last; t++) row[t] *= share;
              if (begin + i < length)
                normalisers[(start + begin + i) * query_heads + own] = most + logf(sum);
            }
            product(scores, columns, 1, values + left * padded, padded, mixed, padded, BLOCK,
                    padded, columns, 0);
            int64_t rows = length - begin < BLOCK ? length - begin : BLOCK;
            NAME(store)(mixed, padded, rows, width, query_heads * width, 0, 0, 1.0f,
                        out + ((start + begin) * query_heads + own) * width);
          }
        }
      }
    }
    free(scratch);
  }
  return !failed;
}

// The gradient of `attention`: from that of out, [N, H, W], to that of heads, [N, H + 2 K, W].
//   P = exp(Q K - normalisers), dV = P^T dO, dP = dO V^T, dS = P (dP - rowsum(P dP)), dQ = dS K,
//   dK = dS^T Q                                      (Dao et al. 2022, arXiv:2205.14135, appendix B)
int64_t NAME(attention_back)(const T *heads, const int64_t *starts, const float *cosines,
                             const float *sines, const float *normalisers, const T *pull, T *gradient,
                             int64_t documents, int64_t longest, int64_t query_heads,
                             int64_t key_heads, int64_t width, float scale, int64_t window) {
  int64_t group = query_heads / key_heads, stride = (query_heads + 2 * key_heads) * width;
  int64_t padded = UP(width, LANES), room = UP(longest, LANES), failed = 0;
#pragma omp parallel
  {
    int64_t size = room * padded;
    float *scratch = aligned_alloc(64, sizeof(float) * (7 * size + BLOCK * (2 * room + padded)));
    if (!scratch) {
#pragma omp atomic write
      failed = 1;
    }
#pragma omp barrier
    if (!failed) {
      float *keys = scratch, *columns_of_keys = keys + size, *columns_of_values = keys + 2 * size;
      float *queries = keys + 3 * size, *pulls = keys + 4 * size, *of_keys = keys + 5 * size;
      float *of_values = keys + 6 * size, *shares = keys + 7 * size;
      float *pulled = shares + BLOCK * room, *of_queries = pulled + BLOCK * room;
#pragma omp for schedule(dynamic)
      for (int64_t task = 0; task < documents * key_heads; task++) {
        int64_t start = starts[task / key_heads], head = task % key_heads;
        int64_t length = starts[task / key_heads + 1] - start, all = UP(length, LANES);
        const T *from = heads + start * stride;
        T *to = gradient + start * stride;
        int64_t key = (query_heads + head) * width, value = key + key_heads * width;
        memset(keys, 0, sizeof(float) * all * padded);
        NAME(load)(from + value, stride, length, width, padded, 0, 0, 1.0f, keys);
        transpose(keys, all, padded, padded, columns_of_values, all);
        NAME(load)(from + key, stride, length, width, padded, cosines, sines, 1.0f, keys);
        transpose(keys, all, padded, padded, columns_of_keys, all);
        memset(of_keys, 0, sizeof(float) * all * padded);
        memset(of_values, 0, sizeof(float) * all * padded);
        memset(queries, 0, sizeof(float) * all * padded);
        memset(pulls, 0, sizeof(float) * all * padded);
        for (int64_t g = 0; g < group; g++) {
          int64_t own = head * group + g;
          NAME(load)(from + own * width, stride, length, width, padded, cosines, sines, scale,
                     queries);
          NAME(load)(pull + (start * query_heads + own) * width, query_heads * width, length, width,
                     padded, 0, 0, 1.0f, pulls);
          for (int64_t begin = 0; begin < length; begin += BLOCK) {
            int64_t left = begin_of(begin, window), columns = begin + BLOCK - left;
            const float *query = queries + begin * padded, *pulled_out = pulls + begin * padded;
            product(query, padded, 1, columns_of_keys + left, all, shares, columns, BLOCK, columns,
                    width, 0);
            product(pulled_out, padded, 1, columns_of_values + left, all, pulled, columns, BLOCK,
                    columns, width, 0);
            for (int64_t i = 0; i < BLOCK; i++) {
              float *share = shares + i * columns, *slope = pulled + i * columns, sum = 0.0f;
              int64_t first, last;
              seen_by(begin + i, left, window, &first, &last);
              if (begin + i >= length) first = last = 0;
              float normaliser =
                  last ? normalisers[(start + begin + i) * query_heads + own] : 0.0f;
              for (int64_t t = 0; t < first; t++) share[t] = slope[t] = 0.0f;
#pragma omp simd reduction(+ : sum)
              for (int64_t t = first; t < last; t++) {
                share[t] = exponential(share[t] - normaliser);
                sum += share[t] * slope[t];
              }
#pragma omp simd
              for (int64_t t = first; t < last; t++) slope[t] = share[t] * (slope[t] - sum);
              for (int64_t t = last; t < columns; t++) share[t] = slope[t] = 0.0f;
            }
            product(shares, 1, columns, pulled_out, padded, of_values + left * padded, padded,
                    columns, padded, BLOCK, 1);
            product(pulled, 1, columns, query, padded, of_keys + left * padded, padded, columns,
                    padded, BLOCK, 1);
            product(pulled, columns, 1, keys + left * padded, padded, of_queries, padded, BLOCK,
                    padded, columns, 0);
            int64_t rows = length - begin < BLOCK ? length - begin : BLOCK;
            NAME(store)(of_queries, padded, rows, width, stride,
                        cosines ? cosines + begin * width : 0, sines ? sines + begin * width : 0,
                        scale, to + begin * stride + own * width);
          }
        }
        NAME(store)(of_keys, padded, length, width, stride, cosines, sines, 1.0f, to + key);
        NAME(store)(of_values, padded, length, width, stride, 0, 0, 1.0f, to + value);
      }
    }
    free(scratch);
  }
  return !failed;
}

// sum = x + delta (x alone without a delta), out = sum / sqrt(mean(sum^2) + epsilon) * weight, row by
// row; x and sum [N, width] in float32; factors [N], if asked for: what rows
// were divided by, inverted.
void NAME(add_norm)(const float *x, const T *delta, const float *weight, float *sum, T *out,
                    float *factors, int64_t rows, int64_t width, float epsilon) {
#pragma omp parallel for schedule(static) if (rows * width > 65536)
  for (int64_t row = 0; row < rows; row++) {
    const float *from = x + row * width;
    if (delta) {
      float *to = sum + row * width;
      const T *more = delta + row * width;
#pragma omp simd
      for (int64_t d = 0; d < width; d++) to[d] = from[d] + LOAD(more[d]);
      from = to;
    }
    float factor = NAME(norm)(from, weight, out + row * width, width, epsilon);
    if (factors) factors[row] = factor;
  }
}

// Its gradient. With y = sum * factor: of_sum = further + factor (weight pull - y mean(weight pull y)),
// where `further` is the gradient of sum from elsewhere (or none); of_weight [parts, width] = pull y.
// of_delta is of_sum rounded, for formats other than float32.
void NAME(add_norm_back)(const float *sum, const float *factors, const float *weight, const T *pull,
                         const float *further, float *of_sum, T *of_delta, float *of_weight,
                         int64_t rows, int64_t width, int64_t parts) {
#pragma omp parallel for schedule(static)
  for (int64_t part = 0; part < parts; part++) {
    float *own = of_weight + part * width;
    memset(own, 0, sizeof(float) * width);
    for (int64_t row = rows * part / parts; row < rows * (part + 1) / parts; row++) {
      const float *x = sum + row * width, *more = further ? further + row * width : 0;
      const T *slope = pull + row * width;
      float *to = of_sum + row * width, factor = factors[row], total = 0.0f;
#pragma omp simd reduction(+ : total)
      for (int64_t d = 0; d < width; d++) {
        float g = LOAD(slope[d]);
        total += g * weight[d] * x[d];
        own[d] += g * x[d] * factor;
      }
      float along = total / (float)width * factor * factor;
      if (more) {
#pragma omp simd
        for (int64_t d = 0; d < width; d++)
          to[d] = more[d] + factor * (LOAD(slope[d]) * weight[d] - x[d] * along);
      } else {
#pragma omp simd
        for (int64_t d = 0; d < width; d++)
          to[d] = factor * (LOAD(slope[d]) * weight[d] - x[d] * along);
      }
      if (of_delta) {
#pragma omp simd
        for (int64_t d = 0; d < width; d++) of_delta[row * width + d] = STORE(to[d]);
      }
    }
  }
}

// out [rows, width] = silu(gate) * up of x [rows, 2 width], gate first.
void NAME(gated)(const T *x, T *out, int64_t rows, int64_t width) {
#pragma omp parallel for schedule(static) if (rows * width > 65536)
  for (int64_t row = 0; row < rows; row++) {
    const T *own = x + 2 * row * width;
    NAME(gate)(own, own + width, out + row * width, width);
  }
}

// Its gradient, [rows, 2 width]: with s = sigmoid(gate), of_up = pull gate s and
// of_gate = pull up s (1 + gate (1 - s)).
void NAME(gated_back)(const T *x, const T *pull, T *gradient, int64_t rows, int64_t width) {
#pragma omp parallel for schedule(static) if (rows * width > 65536)
  for (int64_t row = 0; row < rows; row++) {
    const T *gate = x + 2 * row * width, *up = gate + width;
    T *of_gate = gradient + 2 * row * width, *of_up = of_gate + width;
#pragma omp simd
    for (int64_t d = 0; d < width; d++) {
      float g = LOAD(gate[d]), p = LOAD(pull[row * width + d]);
      float share = 1.0f / (1.0f + exponential(-g));
      of_gate[d] = STORE(p * LOAD(up[d]) * share * (1.0f + g * (1.0f - share)));
      of_up[d] = STORE(p * g * share);
    }
  }
}
