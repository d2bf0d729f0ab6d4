/* What the kernels of test_checks.cu have in common. */
#ifndef CUDASIM_TEST_CHECKS_CUH
#define CUDASIM_TEST_CHECKS_CUH

/* All kernels: d, the result, and a, the input 10 i + 1, have as many numbers as there are
 * threads; so has scratch, which was never written. `mended` is what makes the kernel right. */
#define KERNEL(name)                                                                  \
  template <bool mended>                                                              \
  static __global__ void name([[maybe_unused]] int *d, [[maybe_unused]] const int *a, \
                              [[maybe_unused]] int *scratch)
#define ASYNC_COPY(to, from) /* 4 bytes */                                                      \
  asm volatile(                                                                                 \
      "cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(unsigned(__cvta_generic_to_shared(to))), \
      "l"(from)                                                                                 \
      : "memory")
#define ASYNC_COMMIT() asm volatile("cp.async.commit_group;" ::: "memory")
#define ASYNC_WAIT(n) asm volatile("cp.async.wait_group " #n ";" ::: "memory")

#endif
