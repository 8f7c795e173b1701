// Drawing one token a row by the inverse of the cumulative distribution, on a CPU: two passes over
// a row that stays in the cache. Included once a format; see heed/ops/compiled.py.

#ifndef SUMMED
#define SUMMED 128  // tokens that are summed up together
// e^l for l <= 0, nothing where nothing is left of it: what is impossible is not drawn.
static inline float share_of(float l) { return l < -87.0f ? 0.0f : exponential(l); }
#endif

// tokens [rows]: the first whose cumulative share of exp(factor logits) exceeds uniform [rows], and
// the logarithms of their shares. Sums of blocks are added up in double: in float the tail of a large
// vocabulary would vanish. Returns how many rows are no distribution; their tokens are whatever.
int64_t NAME(draw)(const T *logits, const double *uniform, int64_t *tokens, float *logprobs,
                int64_t rows, int64_t width, float factor) {
  int64_t blocks = (width + SUMMED - 1) / SUMMED, broken = 0;
#pragma omp parallel for schedule(static) reduction(+ : broken)
  for (int64_t row = 0; row < rows; row++) {
    const T *x = logits + row * width;
    double sums[blocks], total = 0.0;
    float most = -INFINITY;
#pragma omp simd reduction(max : most)
    for (int64_t v = 0; v < width; v++) {
      float l = LOAD(x[v]) * factor;
      most = l > most ? l : most;
    }
    for (int64_t block = 0; block < blocks; block++) {
      int64_t first = block * SUMMED, end = first + SUMMED < width ? first + SUMMED : width;
      float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
      for (int64_t v = first; v < end; v++) sum += share_of(LOAD(x[v]) * factor - most);
      total += sums[block] = sum;
    }
    // A number next to 1 must not reach the total itself, which no token exceeds.
    double reach = fmin(uniform[row] * total, nextafter(total, 0.0)), below = 0.0;
    int64_t block = 0;
    while (block < blocks - 1 && !(below + sums[block] > reach)) below += sums[block++];
    // Summed in another order the block may be a little more than its tokens: then its last one.
    int64_t token = block * SUMMED, last = token;
    int64_t end = token + SUMMED < width ? token + SUMMED : width;
    for (; token < end; token++) {
      float share = share_of(LOAD(x[token]) * factor - most);
      if (share > 0.0f) last = token;
      below += share;
      if (below > reach) break;
    }
    tokens[row] = token < end ? token : last;
    logprobs[row] = LOAD(x[tokens[row]]) * factor - most - (float)log(total);
    broken += !(total > 0.0 && total < INFINITY);
  }
  return broken;
}
