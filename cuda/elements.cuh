/* Elements in memory and in registers: loaded as F32, stored with one rounding (to nearest even), one by
 * one or as packs of up to 16 bytes. */
#ifndef XATTN_CUDA_ELEMENTS_CUH
#define XATTN_CUDA_ELEMENTS_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>

__device__ inline float widen(float x) {
  return x;
}
__device__ inline float widen(__half x) {
  return __half2float(x);
}
__device__ inline float widen(__nv_bfloat16 x) {
  return __bfloat162float(x);
}

template <class T>
__device__ inline T narrow(float x);
template <>
__device__ inline float narrow<float>(float x) {
  return x;
}
template <>
__device__ inline __half narrow<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ inline __nv_bfloat16 narrow<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

/* V neighbours, moved by one instruction. The store is an intrinsic (an ordinary, write-back one): where
 * two branches store the same elements, in one piece and one by one, the compiler would make the second of
 * both. */
template <int bytes>
struct bits;
template <>
struct bits<16> {
  typedef uint4 type;
};
template <>
struct bits<8> {
  typedef uint2 type;
};
template <>
struct bits<4> {
  typedef unsigned type;
};
template <>
struct bits<2> {
  typedef unsigned short type;
};

template <class T, int V>
struct pack {
  T element[V];
};

template <int V, class T>
__device__ inline void load(const T *from, float (&to)[V]) {
  typedef typename bits<V * sizeof(T)>::type whole;
  const whole loaded = *reinterpret_cast<const whole *>(from);
  pack<T, V> p;
  memcpy(&p, &loaded, sizeof p);
#pragma unroll
  for (int e = 0; e < V; e++) to[e] = widen(p.element[e]);
}

template <int V, class T>
__device__ inline void store(T *to, const float (&from)[V]) {
  typedef typename bits<V * sizeof(T)>::type whole;
  pack<T, V> p;
#pragma unroll
  for (int e = 0; e < V; e++) p.element[e] = narrow<T>(from[e]);
  whole stored;
  memcpy(&stored, &p, sizeof stored);
  __stwb(reinterpret_cast<whole *>(to), stored);
}

/* Elements j to j + V of a row of which `end` exist: in one piece, or the last of them one by one; what
 * does not exist reads as `missing`. */
template <int V, class T>
__device__ inline void load_until(const T *row, long long j, long long end, float missing,
                                  float (&to)[V]) {
  if (j + V <= end) {
    load<V>(row + j, to);
    return;
  }
#pragma unroll
  for (int e = 0; e < V; e++) to[e] = j + e < end ? widen(row[j + e]) : missing;
}

template <int V, class T>
__device__ inline void store_until(T *row, long long j, long long end, const float (&from)[V]) {
  if (j + V <= end) {
    store<V>(row + j, from);
    return;
  }
#pragma unroll
  for (int e = 0; e < V; e++)
    if (j + e < end) row[j + e] = narrow<T>(from[e]);
}

#endif
