// What several sources do with one row, once a format; see compiled.py.

// out = x / sqrt(mean(x^2) + epsilon) * weight, RMSNorm of x [width]; returns what x was multiplied by.
static inline float NAME(norm)(const float *x, const float *weight, T *out, int64_t width,
                               float epsilon) {
  float total = 0.0f;
#pragma omp simd reduction(+ : total)
  for (int64_t d = 0; d < width; d++) total += x[d] * x[d];
  float factor = 1.0f / sqrtf(total / (float)width + epsilon);
#pragma omp simd
  for (int64_t d = 0; d < width; d++) out[d] = STORE(x[d] * factor * weight[d]);
  return factor;
}

// out = silu(gate) * up, all [width].
static inline void NAME(gate)(const T *gate, const T *up, T *out, int64_t width) {
#pragma omp simd
  for (int64_t d = 0; d < width; d++) {
    float g = LOAD(gate[d]);
    out[d] = STORE(g / (1.0f + exponential(-g)) * LOAD(up[d]));
  }
}
