// Decoding on a CPU: what stands between the matrix products of a layer, one pass each.
// Included once a format; see heed/ops/compiled.py.

// One key head of one row: the new key and value go into its cache at `here`, keys [width, capacity]
// and values [capacity, width], and its `group` queries [group, width] see what is there from
// `first` on. Inlined with a width that the compiler knows: then the sums stay in registers.
static inline __attribute__((always_inline)) void NAME(head)(
    const T *queries, const T *new_key, const T *new_value, T *key, T *value, const float *cosine,
    const float *sine, T *out, int64_t group, int64_t width, int64_t capacity, int64_t here,
    int64_t first, float scale) {
  float query[width], mixed[width], scores[here + 1];
  TURN(LOAD, new_key, cosine, sine, width, query)
  for (int64_t d = 0; d < width; d++) key[d * capacity + here] = STORE(query[d]);
  memcpy(value + here * width, new_value, width * sizeof(T));
  for (int64_t g = 0; g < group; g++) {
    TURN(LOAD, queries + g * width, cosine, sine, width, query)
    float most = -INFINITY, total = 0.0f;
    for (int64_t t = first; t <= here; t++) scores[t] = 0.0f;
    for (int64_t d = 0; d < width; d++) {
      const T *k = key + d * capacity;
      float q = query[d] * scale;
#pragma omp simd
      for (int64_t t = first; t <= here; t++) scores[t] += q * LOAD(k[t]);
    }
#pragma omp simd reduction(max : most)
    for (int64_t t = first; t <= here; t++) most = scores[t] > most ? scores[t] : most;
#pragma omp simd reduction(+ : total)
    for (int64_t t = first; t <= here; t++) {
      scores[t] = exponential(scores[t] - most);
      total += scores[t];
    }
    for (int64_t d = 0; d < width; d++) mixed[d] = 0.0f;
    for (int64_t t = first; t <= here; t++) {
      const T *v = value + t * width;
#pragma omp simd
      for (int64_t d = 0; d < width; d++) mixed[d] += scores[t] * LOAD(v[d]);
    }
    for (int64_t d = 0; d < width; d++) out[g * width + d] = STORE(mixed[d] / total);
  }
}

// heads [rows, H + 2 K, W]: queries, keys, values of one new token a row. They are turned, keys and
// values go into the cache, [slots, K, W, capacity] and [slots, K, capacity, W], at the row's place,
// and out [rows, H, W] is the attention of the queries to all that the row has there (window > 0: to
// the last so many).
void NAME(attend)(const T *heads, T *keys, T *values, const int64_t *at, const float *cosines,
                  const float *sines, T *out, int64_t rows, int64_t query_heads,
                  int64_t key_heads, int64_t width, int64_t capacity, float scale,
                  int64_t window) {
  int64_t group = query_heads / key_heads;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < rows * key_heads; i++) {
    int64_t row = i / key_heads, head = i % key_heads, here = at[row];
    int64_t first = window > 0 && here + 1 > window ? here + 1 - window : 0;
    const T *all = heads + row * (query_heads + 2 * key_heads) * width;
    const T *new_key = all + (query_heads + head) * width;
    const float *cosine = cosines ? cosines + here * width : 0;
    const float *sine = sines ? sines + here * width : 0;
#define HEAD(known)                                                                              \
  NAME(head)(all + head * group * width, new_key, new_key + key_heads * width,                   \
             keys + i * capacity * width, values + i * capacity * width, cosine, sine,           \
             out + (row * query_heads + head * group) * width, group, known, capacity, here,      \
             first, scale)
    if (width == 64) HEAD(64);
    else if (width == 32) HEAD(32);
    else if (width == 128) HEAD(128);
    else HEAD(width);
#undef HEAD
  }
}
