// Products of matrices on a CPU with weights that are packed once and used often. Included once a
// format; see heed/ops/compiled.py. Static functions with `omp for` are called by all threads of a
// region.

#ifndef COLUMNS
#if defined(__AVX512F__)
#define VECTOR 64
#define ROWS 8  // of sums that stay in registers: two vectors each
#elif defined(__AVX__)
#define VECTOR 32
#define ROWS 6
#elif defined(__ARM_NEON)
#define VECTOR 16
#define ROWS 8
#else
#define VECTOR 16
#define ROWS 6
#endif
#define WIDE (VECTOR / 4)
#define COLUMNS (2 * WIDE)  // of a panel
#define STRIP 256           // rows of a panel's product that are computed at a time, at most
#define DEPTH 256           // of a panel that stays in the nearest cache
#define PACKED 32           // inputs of an output that are packed at a time
typedef float vec __attribute__((vector_size(VECTOR), aligned(4), may_alias));
typedef uint32_t bits __attribute__((vector_size(VECTOR), aligned(4), may_alias));
typedef uint16_t halves __attribute__((vector_size(VECTOR / 2), aligned(2), may_alias));

// A linear layer, as `kernels.py` describes it: packed weights [out, in], and a bias or none.
typedef struct {
  const void *weights;
  const float *bias;
  int64_t in, out;
} Linear;

#include <omp.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif
#if defined(__AMX_BF16__) && defined(__AVX512F__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#define TILES 1
// Whether this process may use the tiles of AMX: Linux wants to be asked.
static int tiles_allowed;
__attribute__((constructor)) static void ask_for_tiles(void) {
  tiles_allowed = syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18) == 0;
}
#endif
#endif

// Weights [out, in] stand in panels of COLUMNS outputs, an input after the other: [panels, in,
// COLUMNS] in float32. In bfloat16 two inputs of an output stand side by side, which is what
// instructions for it take: [panels, in / 2, COLUMNS, 2], `in` even.
#ifdef BF16
#define SIDE 2
#else
#define SIDE 1
#endif

// A vector of numbers in float32.
static inline vec NAME(wide)(const T *x) {
#ifdef BF16
  return (vec)(__builtin_convertvector(*(const halves *)x, bits) << 16);
#else
  return *(const vec *)x;
#endif
}

// Packs weights [out, in], of float32 (`wide`) or of this format, as outputs from `first` on of a
// matrix of all outputs; with `last` what is left of the last panel becomes zeros.
void NAME(pack)(const void *weights, int64_t wide, T *to, int64_t in, int64_t out, int64_t first,
                int64_t last) {
  int64_t end = first + out, until = last ? (end + COLUMNS - 1) / COLUMNS * COLUMNS : end;
#pragma omp parallel for schedule(static)
  for (int64_t p = first / COLUMNS; p < (until + COLUMNS - 1) / COLUMNS; p++) {
    int64_t from = p * COLUMNS < first ? first : p * COLUMNS;
    int64_t stop = (p + 1) * COLUMNS < until ? (p + 1) * COLUMNS : until;
    for (int64_t k = 0; k < in; k += PACKED)
      for (int64_t o = from; o < stop; o++) {
        int64_t at = (o - first) * in + k, count = in - k < PACKED ? in - k : PACKED;
        T some[PACKED] = {0}, *place = to + p * COLUMNS * in + (k * COLUMNS + (o % COLUMNS) * SIDE);
        if (o < end && wide)
          for (int64_t d = 0; d < count; d++) some[d] = STORE(((const float *)weights)[at + d]);
        else if (o < end)
          memcpy(some, (const T *)weights + at, count * sizeof(T));
        for (int64_t d = 0; d < count; d += SIDE)  // four bytes at a time in either format
          memcpy(place + d * COLUMNS, some + d, SIDE * sizeof(T));
      }
  }
}

// sums [rows, COLUMNS] (+)= x [rows, depth] with a panel's inputs; at most ROWS rows, inlined with
// a number that the compiler knows: then the sums stay in registers.
static inline __attribute__((always_inline)) void NAME(block)(
    const T *x, int64_t stride, const T *panel, float *sums, int64_t depth, int rows, int add) {
  vec sum[ROWS][2];
  for (int i = 0; i < rows; i++)
    for (int v = 0; v < 2; v++)
      sum[i][v] = add ? *(const vec *)(sums + i * COLUMNS + v * WIDE) : (vec){0};
  for (int64_t k = 0; k < depth; k += SIDE, panel += COLUMNS * SIDE)
    for (int v = 0; v < 2; v++) {
#if !defined(BF16)
      vec own = *(const vec *)(panel + v * WIDE);
      for (int i = 0; i < rows; i++) sum[i][v] += x[i * stride + k] * own;
#elif defined(__AVX512BF16__) && !defined(__AMX_BF16__)  // with AMX this instruction is a slow one
      __m512bh own = (__m512bh)_mm512_loadu_si512(panel + v * WIDE * 2);
      for (int i = 0; i < rows; i++) {
        int both;
        memcpy(&both, x + i * stride + k, 4);
        sum[i][v] = (vec)_mm512_dpbf16_ps((__m512)sum[i][v], (__m512bh)_mm512_set1_epi32(both), own);
      }
#else
      bits own = *(const bits *)(panel + v * WIDE * 2);
      vec even = (vec)(own << 16), odd = (vec)(own & 0xffff0000u);
      for (int i = 0; i < rows; i++) {
        sum[i][v] += LOAD(x[i * stride + k]) * even;
        sum[i][v] += LOAD(x[i * stride + k + 1]) * odd;
      }
#endif
    }
  for (int i = 0; i < rows; i++)
    for (int v = 0; v < 2; v++) *(vec *)(sums + i * COLUMNS + v * WIDE) = sum[i][v];
}

// The same for any number of rows and any depth.
static void NAME(strip)(const T *x, int64_t stride, const T *panel, float *sums, int64_t rows,
                        int64_t in) {
  for (int64_t k = 0; k < in; k += DEPTH) {
    const T *own = panel + k * COLUMNS;
    int64_t depth = in - k < DEPTH ? in - k : DEPTH, i = 0;
#define BLOCK(count)                                                                      \
  for (; rows - i >= count; i += count)                                                   \
    NAME(block)(x + i * stride + k, stride, own, sums + i * COLUMNS, depth, count, k > 0);
    BLOCK(ROWS)
    BLOCK(4)
    BLOCK(2)
    BLOCK(1)
#undef BLOCK
  }
}

#if defined(BF16) && defined(TILES)
// sums [32, COLUMNS] (+)= x [32, depth] with a panel's inputs by tiles of 16 rows or columns and 32
// inputs: two of rows, the second with fewer or none (`lower`), with two of columns.
static inline void NAME(tiles)(const T *x, int64_t stride, const T *panel, float *sums,
                               int64_t depth, int lower, int add) {
  float *below = sums + 16 * COLUMNS;
  if (add) {
    _tile_loadd(0, sums, COLUMNS * 4);
    _tile_loadd(1, sums + 16, COLUMNS * 4);
  } else {
    _tile_zero(0);
    _tile_zero(1);
  }
  if (add && lower) {
    _tile_loadd(2, below, COLUMNS * 4);
    _tile_loadd(3, below + 16, COLUMNS * 4);
  } else {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t k = 0; k < depth; k += 32) {
    _tile_loadd(4, x + k, stride * 2);
    _tile_loadd(6, panel + k * COLUMNS, COLUMNS * 4);
    _tile_loadd(7, panel + k * COLUMNS + 32, COLUMNS * 4);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (lower) {
      _tile_loadd(5, x + 16 * stride + k, stride * 2);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums, COLUMNS * 4);
  _tile_stored(1, sums + 16, COLUMNS * 4);
  if (lower) {
    _tile_stored(2, below, COLUMNS * 4);
    _tile_stored(3, below + 16, COLUMNS * 4);
  }
}

// As `strip`, `in` a multiple of 32.
static void NAME(tiled)(const T *x, int64_t stride, const T *panel, float *sums, int64_t rows,
                        int64_t in) {
  struct {
    uint8_t palette, start, none[14];
    uint16_t bytes[16];
    uint8_t rows[16];
  } shape = {.palette = 1, .bytes = {64, 64, 64, 64, 64, 64, 64, 64}};
  int configured = -1;
  for (int64_t k = 0; k < in; k += DEPTH)
    for (int64_t i = 0; i < rows; i += 32) {
      int upper = rows - i < 16 ? rows - i : 16, lower = rows - i < 32 ? rows - i - upper : 16;
      if (upper + lower != configured) {
        uint8_t of_tiles[8] = {upper, upper, lower, lower, upper, lower, 16, 16};
        for (int tile = 0; tile < 8; tile++) shape.rows[tile] = of_tiles[tile] ? of_tiles[tile] : 16;
        // not by _tile_loadconfig, which in older compilers says that it reads 8 of the 64 bytes
        __asm__ volatile("ldtilecfg %0" ::"m"(shape));
        configured = upper + lower;
      }
      NAME(tiles)(x + i * stride + k, stride, panel + k * COLUMNS, sums + i * COLUMNS,
                  in - k < DEPTH ? in - k : DEPTH, lower, k > 0);
    }
  _tile_release();
}
#endif

// A linear layer of x [rows, in]: [rows, out] into y, or, where there is no y, added to `more`.
static void NAME(product)(const T *x, const Linear *linear, T *y, float *more, int64_t rows) {
  int64_t in = linear->in, out = linear->out;
  int64_t panels = (out + COLUMNS - 1) / COLUMNS, strips = (rows + STRIP - 1) / STRIP;
  int64_t tiles = (rows + 31) / 32;  // strips are whole tiles, as equal as they can be
  // With many threads strips are as many as give work to all of them.
  while (strips < tiles && strips * panels < 2 * omp_get_num_threads())
    strips = 2 * strips < tiles ? 2 * strips : tiles;
#pragma omp for collapse(2) schedule(static)
  for (int64_t s = 0; s < strips; s++)
    for (int64_t p = 0; p < panels; p++) {
      float sums[STRIP * COLUMNS] __attribute__((aligned(64)));
      int64_t first = tiles * s / strips * 32, end = tiles * (s + 1) / strips * 32;
      int64_t count = (end < rows ? end : rows) - first;
      int64_t columns = out - p * COLUMNS < COLUMNS ? out - p * COLUMNS : COLUMNS;
      const T *panel = (const T *)linear->weights + p * COLUMNS * in;
#if defined(BF16) && defined(TILES)
      if (in % 32 == 0 && tiles_allowed)
        NAME(tiled)(x + first * in, in, panel, sums, count, in);
      else
#endif
        NAME(strip)(x + first * in, in, panel, sums, count, in);
      for (int64_t i = 0; i < count; i++) {
        float *sum = sums + i * COLUMNS;
        int64_t at = (first + i) * out + p * COLUMNS;
        if (linear->bias)
          for (int64_t o = 0; o < columns; o++) sum[o] += linear->bias[p * COLUMNS + o];
        if (y)
          for (int64_t o = 0; o < columns; o++) y[at + o] = STORE(sum[o]);
        else
          for (int64_t o = 0; o < columns; o++) more[at + o] += sum[o];
      }
    }
}

// One product alone.
void NAME(multiply)(const Linear *linear, const T *x, T *y, int64_t rows) {
#pragma omp parallel
  NAME(product)(x, linear, y, 0, rows);
}
#undef SIDE
