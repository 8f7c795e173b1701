// A decoder's whole step on a CPU, and its cache. Included once a format, behind products.c; see
// heed/ops/compiled.py. Static functions with `omp for` are called by all threads of a region.

#ifndef DECODER
#define DECODER
#define NEAR 2  // the cache into which is fetched what comes next: not the nearest, it is full
// A decoder as `kernels.py` describes it: the same fields in the same order.
typedef struct {  // of rows: x / sqrt(mean(x^2) + epsilon) * weight, or where `centred` LayerNorm
  const float *weight, *offset;
  int64_t centred;
  float epsilon;
} Norm;
typedef struct {
  Norm attention_norm, query_norm, key_norm, mlp_norm;  // queries' and keys' may have no weight
  Linear projections, output, up, down;
  void *keys, *values;  // [slots, K] of keys in blocks and of values [capacity, W]
  int64_t query_heads, key_heads, width, window, rotary, gated;
  float scale;
} Layer;
typedef struct {
  const Layer *layers;
  int64_t count, hidden, capacity;  // the capacity a whole number of vectors
  Norm norm;
  Linear head;
  const float *cosines, *sines;  // [capacity, W], the sines with rotate_half's sign; or none
} Decoder;

// Keys of a row's head stand in blocks of as many tokens as a vector has numbers, [capacity / WIDE,
// width, WIDE]: where the number `d` of token `t` is.
static inline int64_t key_at(int64_t t, int64_t d, int64_t width) {
  return (t / WIDE * width + d) * WIDE + t % WIDE;
}
#endif

// Scores of a query [width] with `vecs` blocks of keys, of which those `ahead` are asked for meanwhile.
// Inlined with a number that the compiler knows: then the sums stay in registers.
static inline __attribute__((always_inline)) void NAME(score)(
    const float *query, const T *keys, float *scores, int64_t width, int64_t ahead, int vecs) {
  vec sum[4];
  for (int v = 0; v < vecs; v++) sum[v] = (vec){0};
  for (int64_t d = 0; d < width; d++)
    for (int v = 0; v < vecs; v++) {
      const T *own = keys + (v * width + d) * WIDE;
      __builtin_prefetch(own + ahead, 0, NEAR);
      sum[v] += query[d] * NAME(wide)(own);
    }
  for (int v = 0; v < vecs; v++) *(vec *)(scores + v * WIDE) = sum[v];
}

// out (`vecs` vectors) = the mean of so many values, one every `width`, by their shares; likewise.
static inline __attribute__((always_inline)) void NAME(mix)(
    const float *shares, float factor, const T *values, T *out, int64_t count, int64_t width,
    int64_t ahead, int vecs) {
  vec sum[4];
  for (int v = 0; v < vecs; v++) sum[v] = (vec){0};
  for (int64_t t = 0; t < count; t++)
    for (int v = 0; v < vecs; v++) {
      const T *own = values + t * width + v * WIDE;
      __builtin_prefetch(own + ahead, 0, NEAR);
      sum[v] += shares[t] * NAME(wide)(own);
    }
  for (int v = 0; v < vecs; v++)
    for (int i = 0; i < WIDE; i++) out[v * WIDE + i] = STORE(sum[v][i] * factor);
}

// One key head of one row: the new key and value go into its cache at `here`, keys in blocks and
// values [capacity, width], and its `group` queries [group, width] see what is there from
// `first` on. Scores are computed in whole vectors: those of what is not seen are overwritten.
static void NAME(head)(const T *queries, const T *new_key, const T *new_value, T *key, T *value,
                       const float *cosine, const float *sine, T *out, int64_t group,
                       int64_t width, int64_t capacity, int64_t here, int64_t first, float scale) {
  int64_t begin = first / WIDE * WIDE, end = (here + WIDE) / WIDE * WIDE, count = here + 1 - first;
  float query[width], scores[end];
  TURN(LOAD, new_key, cosine, sine, width, query)
  for (int64_t d = 0; d < width; d++) key[key_at(here, d, width)] = STORE(query[d]);
  memcpy(value + here * width, new_value, width * sizeof(T));
  for (int64_t g = 0; g < group; g++, out += width) {
    float most = -INFINITY, total = 0.0f;
    TURN(LOAD, queries + g * width, cosine, sine, width, query)
    for (int64_t d = 0; d < width; d++) query[d] *= scale;
    int64_t t = begin;
#define SCORE(vecs)                                \
  for (; end - t >= vecs * WIDE; t += vecs * WIDE) \
    NAME(score)(query, key + t * width, scores + t, width, width * capacity, vecs);
    SCORE(4)
    SCORE(2)
    SCORE(1)
#undef SCORE
    for (t = begin; t < first; t++) scores[t] = -INFINITY;
    for (t = here + 1; t < end; t++) scores[t] = -INFINITY;
    for (t = begin; t < end; t += WIDE)
#pragma omp simd reduction(max : most)
      for (int64_t i = t; i < t + WIDE; i++) most = scores[i] > most ? scores[i] : most;
    for (t = begin; t < end; t += WIDE)
#pragma omp simd reduction(+ : total)
      for (int64_t i = t; i < t + WIDE; i++) {
        scores[i] = exponential(scores[i] - most);
        total += scores[i];
      }
    int64_t d = 0;
#define MIX(vecs)                                    \
  for (; width - d >= vecs * WIDE; d += vecs * WIDE) \
    NAME(mix)(scores + first, 1.0f / total, value + first * width + d, out + d, count, width, \
              width * capacity, vecs);
    MIX(4)
    MIX(2)
    MIX(1)
#undef MIX
    for (; d < width; d++) {
      float mixed = 0.0f;
      for (t = first; t <= here; t++) mixed += scores[t] * LOAD(value[t * width + d]);
      out[d] = STORE(mixed / total);
    }
  }
}

// heads [rows, H + 2 K, W]: queries, keys, values of one new token a row. They are turned, keys and
// values go into the cache at the row's place, and out [rows, H, W] is the attention of the queries
// to all that the row has there (with a window: to the last so many).
static void NAME(attention)(const Decoder *decoder, const Layer *layer, const T *heads,
                            const int64_t *at, T *out, int64_t rows) {
  int64_t query_heads = layer->query_heads, key_heads = layer->key_heads, width = layer->width;
  int64_t group = query_heads / key_heads, window = layer->window, capacity = decoder->capacity;
#pragma omp for schedule(static)
  for (int64_t i = 0; i < rows * key_heads; i++) {
    int64_t row = i / key_heads, head = i % key_heads, here = at[row];
    int64_t first = window > 0 && here + 1 > window ? here + 1 - window : 0;
    const T *all = heads + row * (query_heads + 2 * key_heads) * width;
    const T *new_key = all + (query_heads + head) * width;
    const float *cosine = layer->rotary ? decoder->cosines + here * width : 0;
    const float *sine = layer->rotary ? decoder->sines + here * width : 0;
    NAME(head)(all + head * group * width, new_key, new_key + key_heads * width,
               (T *)layer->keys + i * capacity * width, (T *)layer->values + i * capacity * width,
               cosine, sine, out + (row * query_heads + head * group) * width, group, width,
               capacity, here, first, layer->scale);
  }
}

// Attention of one layer alone.
void NAME(attend)(const Decoder *decoder, int64_t place, const T *heads, const int64_t *at, T *out,
                  int64_t rows) {
#pragma omp parallel
  NAME(attention)(decoder, decoder->layers + place, heads, at, out, rows);
}

// Keys and values [tokens, 2 K, W] of prompts that stand end to end, into a layer's slots from
// `first` on: slot first + i gets prompt index[i], which begins at starts[index[i]].
void NAME(fill)(const Decoder *decoder, int64_t place, const T *heads, const int64_t *starts,
                const int64_t *index, int64_t count, int64_t first) {
  const Layer *layer = decoder->layers + place;
  int64_t key_heads = layer->key_heads, width = layer->width, capacity = decoder->capacity;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count * key_heads; i++) {
    int64_t prompt = index[i / key_heads], cell = (first * key_heads + i) * capacity * width;
    int64_t start = starts[prompt], length = starts[prompt + 1] - start;
    const T *own = heads + (start * 2 * key_heads + i % key_heads) * width;
    T *key = (T *)layer->keys + cell, *value = (T *)layer->values + cell;
    for (int64_t t = 0; t < length; t++, own += 2 * key_heads * width) {
      const float *cosine = layer->rotary ? decoder->cosines + t * width : 0;
      const float *sine = layer->rotary ? decoder->sines + t * width : 0;
      float turned[width];
      TURN(LOAD, own, cosine, sine, width, turned)
      for (int64_t d = 0; d < width; d++) key[key_at(t, d, width)] = STORE(turned[d]);
      memcpy(value + t * width, own + key_heads * width, width * sizeof(T));
    }
  }
}

// Copies rows of so many tokens from some slots to others that are none of these, in all layers.
void NAME(move)(const Decoder *decoder, const int64_t *from, const int64_t *to,
                const int64_t *lengths, int64_t count) {
#pragma omp parallel for collapse(2) schedule(static)
  for (int64_t place = 0; place < decoder->count; place++)
    for (int64_t i = 0; i < count; i++) {
      const Layer *layer = decoder->layers + place;
      int64_t heads = layer->key_heads, width = layer->width, capacity = decoder->capacity;
      int64_t whole = (lengths[i] + WIDE - 1) / WIDE * WIDE, bytes = whole * width * sizeof(T);
      T *key = (T *)layer->keys, *value = (T *)layer->values;
      for (int64_t head = 0; head < heads; head++) {
        int64_t source = (from[i] * heads + head) * width * capacity;
        int64_t target = (to[i] * heads + head) * width * capacity;
        memcpy(key + target, key + source, bytes);
        memcpy(value + target, value + source, bytes);
      }
    }
}

// LayerNorm: (x - mean) / sqrt(variance + epsilon) * weight + offset.
static inline void NAME(centred_norm)(const float *x, const float *weight, const float *offset,
                                      T *out, int64_t width, float epsilon) {
  float mean = 0.0f, total = 0.0f;
#pragma omp simd reduction(+ : mean)
  for (int64_t d = 0; d < width; d++) mean += x[d];
  mean /= (float)width;
#pragma omp simd reduction(+ : total)
  for (int64_t d = 0; d < width; d++) total += (x[d] - mean) * (x[d] - mean);
  float factor = 1.0f / sqrtf(total / (float)width + epsilon);
  for (int64_t d = 0; d < width; d++)
    out[d] = STORE((x[d] - mean) * factor * weight[d] + (offset ? offset[d] : 0.0f));
}

// GELU by tanh, x / (1 + exp(-2 sqrt(2 / pi) (x + .044715 x^3))).
static inline void NAME(gelu)(const T *from, T *out, int64_t width) {
#pragma omp simd
  for (int64_t d = 0; d < width; d++) {
    float x = LOAD(from[d]);
    float u = -1.59576912f * (x + 0.044715f * x * x * x);
    out[d] = STORE(x / (1.0f + exponential(u)));
  }
}

static inline void NAME(one_norm)(const Norm *norm, const float *x, T *out, int64_t width) {
  if (norm->centred) NAME(centred_norm)(x, norm->weight, norm->offset, out, width, norm->epsilon);
  else NAME(norm)(x, norm->weight, out, width, norm->epsilon);
}

static void NAME(norms)(const Norm *norm, const float *x, T *out, int64_t rows, int64_t width) {
#pragma omp for schedule(static)
  for (int64_t row = 0; row < rows; row++)
    NAME(one_norm)(norm, x + row * width, out + row * width, width);
}

// Queries and keys among heads [rows, H + 2 K, W], normed where they are.
static void NAME(head_norms)(const Layer *layer, T *heads, int64_t rows) {
  int64_t normed = layer->query_heads + layer->key_heads, all = normed + layer->key_heads;
#pragma omp for schedule(static)
  for (int64_t i = 0; i < rows * normed; i++) {
    int64_t head = i % normed;
    T *own = heads + (i / normed * all + head) * layer->width;
    float x[layer->width];
    for (int64_t d = 0; d < layer->width; d++) x[d] = LOAD(own[d]);
    const Norm *norm = head < layer->query_heads ? &layer->query_norm : &layer->key_norm;
    NAME(one_norm)(norm, x, own, layer->width);
  }
}

// What `up` gave, [rows, 2 inner] with the gate first or [rows, inner], into [rows, inner].
static void NAME(activations)(const Layer *layer, const T *x, T *out, int64_t rows) {
  int64_t all = layer->up.out, inner = layer->down.in;
#pragma omp for schedule(static)
  for (int64_t row = 0; row < rows; row++)
    if (layer->gated) NAME(gate)(x + row * all, x + row * all + inner, out + row * inner, inner);
    else NAME(gelu)(x + row * all, out + row * inner, inner);
}

// One token a row through all layers: the residual stream x [rows, hidden] becomes the last one's,
// and logits [rows, vocabulary] are the head's of its norm. `room` holds what is between, for each
// row hidden numbers and the widest layer's heads, attention, and MLP.
void NAME(step)(const Decoder *decoder, float *x, const int64_t *at, T *logits, T *room,
                int64_t rows) {
  int64_t hidden = decoder->hidden;
#pragma omp parallel
  for (int64_t place = 0; place <= decoder->count; place++) {
    T *normed = room, *heads = room + rows * hidden;
    if (place == decoder->count) {
      NAME(norms)(&decoder->norm, x, normed, rows, hidden);
      NAME(product)(normed, &decoder->head, logits, 0, rows);
      continue;
    }
    const Layer *layer = decoder->layers + place;
    T *attended = heads + rows * layer->projections.out;
    T *up = attended + rows * layer->output.in, *inner = up + rows * layer->up.out;
    NAME(norms)(&layer->attention_norm, x, normed, rows, hidden);
    NAME(product)(normed, &layer->projections, heads, 0, rows);
    if (layer->query_norm.weight) NAME(head_norms)(layer, heads, rows);
    NAME(attention)(decoder, layer, heads, at, attended, rows);
    NAME(product)(attended, &layer->output, 0, x, rows);
    NAME(norms)(&layer->mlp_norm, x, normed, rows, hidden);
    NAME(product)(normed, &layer->up, up, 0, rows);
    NAME(activations)(layer, up, inner, rows);
    NAME(product)(inner, &layer->down, 0, x, rows);
  }
}
