// What compiled functions share: numbers in bfloat16, and e^x. A source is included once a format,
// with T, LOAD, STORE and NAME defined; see compiled.py.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
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
    _Pragma("omp simd")                                                           \
    for (int64_t d = 0; d < half; d++) {                                          \
      float a = LOAD((x)[d]), b = LOAD((x)[d + half]);                            \
      (y)[d] = a * (cosines)[d] + b * (sines)[d];                                 \
      (y)[d + half] = b * (cosines)[d + half] + a * (sines)[d + half];            \
    }                                                                             \
  } else {                                                                        \
    for (int64_t d = 0; d < (width); d++) (y)[d] = LOAD((x)[d]);                  \
  }

