// What a vocabulary's logits say of one token and of their spread, and their gradient, on a CPU: one
// pass each over a row that stays in the cache. Included once a format; see compiled.py.

// Takes logits [N, V] times `factor` of one part of the vocabulary, from `first` on, into running
// figures of every row: the largest, m; s = sum exp(l - m); u = sum exp(l - m) (l - m); the target's
// own, where it is in this part. m starts at -infinity, s and u at 0.
void NAME(take)(const T *logits, const int64_t *targets, float *m, float *s, float *u, float *own,
                int64_t rows, int64_t width, int64_t first, float factor) {
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows; row++) {
    const T *x = logits + row * width;
    float top = m[row], sum = 0.0f, spread = 0.0f;
#pragma omp simd reduction(max : top)
    for (int64_t v = 0; v < width; v++) {
      float l = LOAD(x[v]) * factor;
      top = l > top ? l : top;
    }
#pragma omp simd reduction(+ : sum, spread)
    for (int64_t v = 0; v < width; v++) {
      float l = LOAD(x[v]) * factor - top, e = exponential(l);
      sum += e;
      spread += e * l;
    }
    if (s[row] > 0.0f) {  // before the first part there is nothing to be rescaled
      float drop = m[row] - top, share = expf(drop);
      sum += s[row] * share;
      spread += (u[row] + s[row] * drop) * share;
    }
    m[row] = top;
    s[row] = sum;
    u[row] = spread;
    int64_t at = targets[row] - first;
    if (at >= 0 && at < width) own[row] = LOAD(x[at]) * factor;
  }
}

// The gradient of logits [N, V], from that of the targets' log-probs, `pull`, and of the
// entropies, `spread` (or none), both divided by the temperature: with lp = l factor - normaliser,
//   g = [target] pull - exp(lp) (pull + spread (lp + entropy)).
void NAME(give)(const T *logits, T *gradient, const int64_t *targets, const float *normaliser,
                const float *entropy, const float *pull, const float *spread, int64_t rows, int64_t width, int64_t first,
                float factor) {
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows; row++) {
    const T *x = logits + row * width;
    T *to = gradient + row * width;
    float norm = normaliser[row], all = pull[row], slope = spread ? spread[row] : 0.0f;
    float base = all + slope * entropy[row];
    int64_t at = targets[row] - first;
    int own = at >= 0 && at < width;
    float kept = own ? LOAD(x[at]) * factor - norm : 0.0f;
#pragma omp simd
    for (int64_t v = 0; v < width; v++) {
      float lp = LOAD(x[v]) * factor - norm;
      to[v] = STORE(-exponential(lp) * (base + slope * lp));
    }
    if (own) to[at] = STORE(all - exponential(kept) * (base + slope * kept));
  }
}
