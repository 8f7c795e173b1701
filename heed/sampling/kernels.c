// Decoding on a CPU: what stands between the matrix products of a layer, one pass each.
// Included once a format, with T, LOAD, STORE and NAME defined; see kernels.py.

#ifndef KERNELS_COMMON
#define KERNELS_COMMON
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float from_bf16(uint16_t x) {
  uint32_t bits = (uint32_t)x << 16;
  float y;
  memcpy(&y, &bits, 4);
  return y;
}

static inline uint16_t to_bf16(float x) {  // to nearest, ties to even; NaN stays NaN
  uint32_t bits;
  memcpy(&bits, &x, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0;
  return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// e^x to about 1e-7, in a form that compilers vectorise: 2^n e^r with |r| <= log(2) / 2.
static inline float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 87.0f ? 87.0f : x;
  float n = rintf(x * 1.44269504f);
  float r = x - n * 0.693145752f - n * 1.42860677e-6f;
  float y = 1.98412698e-4f;
  y = y * r + 1.38888889e-3f;
  y = y * r + 8.33333333e-3f;
  y = y * r + 4.16666667e-2f;
  y = y * r + 1.66666667e-1f;
  y = y * r + 0.5f;
  y = y * r + 1.0f;
  y = y * r + 1.0f;
  int32_t bits = ((int32_t)n + 127) << 23;
  float power;
  memcpy(&power, &bits, 4);
  return y * power;
}

// A head turned by its position; `sines` carry rotate_half's sign. Without a table a copy.
#define TURN(LOAD, x, cosines, sines, width, y)                                   \
  if (cosines) {                                                                  \
    int64_t half = (width) / 2;                                                   \
    for (int64_t d = 0; d < half; d++) {                                          \
      float a = LOAD((x)[d]), b = LOAD((x)[d + half]);                            \
      (y)[d] = a * (cosines)[d] + b * (sines)[d];                                 \
      (y)[d + half] = b * (cosines)[d + half] + a * (sines)[d + half];            \
    }                                                                             \
  } else {                                                                        \
    for (int64_t d = 0; d < (width); d++) (y)[d] = LOAD((x)[d]);                  \
  }
#endif

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

// out = x / sqrt(mean(x^2) + epsilon) * weight, row by row; x [rows, width] in float32.
void NAME(rms_norm)(const float *x, const float *weight, T *out, int64_t rows, int64_t width,
                    float epsilon) {
#pragma omp parallel for schedule(static) if (rows * width > 65536)
  for (int64_t row = 0; row < rows; row++) {
    const float *from = x + row * width;
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < width; d++) sum += from[d] * from[d];
    float factor = 1.0f / sqrtf(sum / (float)width + epsilon);
#pragma omp simd
    for (int64_t d = 0; d < width; d++) out[row * width + d] = STORE(from[d] * factor * weight[d]);
  }
}

// out [rows, width] = silu(gate) * up of x [rows, 2 * width], gate first.
void NAME(gated)(const T *x, T *out, int64_t rows, int64_t width) {
#pragma omp parallel for schedule(static) if (rows * width > 65536)
  for (int64_t row = 0; row < rows; row++) {
    const T *gate = x + 2 * row * width, *up = gate + width;
#pragma omp simd
    for (int64_t d = 0; d < width; d++) {
      float g = LOAD(gate[d]);
      out[row * width + d] = STORE(g / (1.0f + exponential(-g)) * LOAD(up[d]));
    }
  }
}
