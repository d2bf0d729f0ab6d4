/* xattn_tensor_copy between host and device. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support_cuda.h"

static const int64_t shape[4] = {3, 5, 7, 9};

START_TEST(round_trips_of_every_layout) {
  xattn_handle *handle = cuda_handle();
  rng r = {31};
  for (int32_t rank = 1; rank <= 4; rank++)
    for (int code = 0; code < 4 * 3 * 3; code++) {
      const layout from = (layout)(code % 4), to = (layout)(code / 4 % 3),
                   end = (layout)(code / 12);
      if (rank == 1 && from == BROADCAST) continue;
      guarded host = guarded_new(from, rank, shape), middle = guarded_new(to, rank, shape);
      guarded dense = guarded_new(end, rank, shape), wanted = guarded_new(end, rank, shape);
      guarded_fill(&host, &r, 1.0);
      ASSERT_OK(NULL, xattn_tensor_convert(&host.t, &wanted.t));
      device_tensor d = device_new(handle, &middle.t, XATTN_F32, 0);
      ASSERT_OK(handle, xattn_tensor_copy(handle, &host.t, &d.t));
      device_check(&d, "dst on the device");
      ASSERT_OK(handle, xattn_tensor_copy(handle, &d.t, &dense.t)); /* filled at return */
      check_same_bits(&dense, &wanted, "round trip");
      device_free(&d);
      guarded_free(&host);
      guarded_free(&middle);
      guarded_free(&dense);
      guarded_free(&wanted);
    }
  xattn_destroy(handle);
}
END_TEST

START_TEST(device_to_device_of_every_layout) {
  static const xattn_dtype dtypes[] = {XATTN_F32, XATTN_F16, XATTN_BF16};
  xattn_handle *handle = cuda_handle();
  rng r = {32};
  for (int t = 0; t < 3; t++)
    for (int code = 0; code < 4 * 3; code++) {
      guarded host = guarded_new((layout)(code % 4), 4, shape);
      guarded like = guarded_new((layout)(code / 4), 4, shape);
      guarded got = guarded_new(DENSE, 4, shape), wanted = guarded_new(DENSE, 4, shape);
      guarded_fill(&host, &r, 1.0);
      quantise(&host.t, dtypes[t]);
      ASSERT_OK(NULL, xattn_tensor_convert(&host.t, &wanted.t));
      device_tensor from = device_copy(handle, &host.t, dtypes[t]);
      device_tensor to = device_new(handle, &like.t, dtypes[t], 3);
      ASSERT_OK(handle, xattn_tensor_copy(handle, &from.t, &to.t));
      device_get(&to, &got.t);
      check_same_bits(&got, &wanted, xattn_dtype_name(dtypes[t]));
      device_check(&to, "dst");
      device_check(&from, "src");
      device_free(&from);
      device_free(&to);
      guarded_free(&host);
      guarded_free(&like);
      guarded_free(&got);
      guarded_free(&wanted);
    }
  xattn_destroy(handle);
}
END_TEST

/* What arrives has the bits of xattn_tensor_convert: rounding, overflow, NaN and subnormals. */
START_TEST(uploads_convert) {
  enum { COUNT = 3000 };
  static const xattn_dtype dtypes[] = {XATTN_F32, XATTN_F16, XATTN_BF16, XATTN_F64};
  xattn_handle *handle = cuda_handle();
  double values[COUNT] = {0.0, -0.0, 1e30, -1e30, 65504.0, 65520.0, 1e-8, 6e-8, INFINITY, NAN};
  rng r = {33};
  for (int i = 10; i < COUNT; i++) values[i] = rng_uniform(&r) * pow(2.0, 40.0 * rng_uniform(&r));
  const xattn_tensor exact = XATTN_TENSOR(values, XATTN_F64, 3, 1000);
  for (int from = 0; from < 4; from++)
    for (int to = 0; to < 3; to++) { /* not F64 */
      double source[COUNT], wanted[COUNT], got[COUNT];
      const xattn_tensor src = XATTN_TENSOR(source, dtypes[from], 3, 1000);
      const xattn_tensor right = XATTN_TENSOR(wanted, dtypes[to], 3, 1000);
      ASSERT_OK(NULL, xattn_tensor_convert(&exact, &src));
      ASSERT_OK(NULL, xattn_tensor_convert(&src, &right));
      device_tensor d = device_new(handle, &src, dtypes[to], 0);
      ASSERT_OK(handle, xattn_tensor_copy(handle, &src, &d.t));
      ASSERT_OK(handle, xattn_synchronize(handle));
      CUDA_OK(
          cudaMemcpy(got, d.t.data, COUNT * xattn_dtype_size(dtypes[to]), cudaMemcpyDeviceToHost));
      ck_assert_msg(memcmp(got, wanted, COUNT * xattn_dtype_size(dtypes[to])) == 0, "%s to %s",
                    xattn_dtype_name(dtypes[from]), xattn_dtype_name(dtypes[to]));
      device_check(&d, "dst");
      device_free(&d);
    }
  xattn_destroy(handle);
}
END_TEST

/* Larger than the pinned buffers together, so that each is used twice, with a last piece that is not full;
 * and unaligned in host memory. */
START_TEST(copies_in_several_pieces) {
  enum { ROWS = 1301, COLUMNS = 2003 };
  xattn_handle *handle = cuda_handle();
  float *host = malloc((ROWS * COLUMNS + 1) * sizeof *host);
  float *back = malloc((ROWS * COLUMNS + 1) * sizeof *back);
  ck_assert(host && back);
  xattn_tensor from = XATTN_TENSOR((char *)host + 1, XATTN_F32, ROWS, COLUMNS);
  xattn_tensor to = XATTN_TENSOR(back, XATTN_F32, COLUMNS, ROWS);
  for (int32_t i = 0; i < ROWS * COLUMNS; i++) memcpy((char *)host + 1 + 4 * i, &i, sizeof i);
  device_tensor d = device_new(handle, &from, XATTN_F32, 0);
  ASSERT_OK(handle, xattn_tensor_copy(handle, &from, &d.t));
  memset(host, 0, ROWS * COLUMNS * sizeof *host); /* may be used again at return */
  xattn_tensor turned = d.t;
  turned.shape[0] = COLUMNS;
  turned.shape[1] = ROWS;
  turned.strides[0] = 1;
  turned.strides[1] = COLUMNS;
  ASSERT_OK(handle, xattn_tensor_copy(handle, &turned, &to));
  for (int32_t i = 0; i < ROWS; i++)
    for (int32_t j = 0; j < COLUMNS; j++) {
      int32_t bits;
      memcpy(&bits, &back[j * ROWS + i], sizeof bits);
      ck_assert_msg(bits == i * COLUMNS + j, "[%d, %d] is %d", i, j, bits);
    }
  device_free(&d);
  free(back);
  free(host);
  xattn_destroy(handle);
}
END_TEST

START_TEST(copies_that_are_refused) {
  xattn_handle *handle = cuda_handle();
  float host[24] = {0};
  const xattn_tensor h = XATTN_TENSOR(host, XATTN_F32, 4, 6),
                     turned = XATTN_TENSOR(host, XATTN_F32, 6, 4);
  device_tensor d = device_copy(handle, &h, XATTN_F32);
  xattn_tensor wrong = d.t;
#define REFUSED(src, dst, status, text) \
  ASSERT_FAILS(handle, xattn_tensor_copy(handle, (src), (dst)), status, text)
  REFUSED(&turned, &d.t, XATTN_ERROR_SHAPE, "dst: shape is [4, 6], that of src is [6, 4]");
  REFUSED(NULL, &d.t, XATTN_ERROR_ARGUMENT, "src: is NULL");
  REFUSED(&h, NULL, XATTN_ERROR_ARGUMENT, "dst: is NULL");
  wrong.dtype = XATTN_F16;
  REFUSED(&wrong, &h, XATTN_ERROR_DTYPE, "dst: dtype is F32, that of src is F16");
  REFUSED(&wrong, &d.t, XATTN_ERROR_DTYPE, "dtype");
  wrong.dtype = XATTN_I32;
  REFUSED(&h, &wrong, XATTN_ERROR_DTYPE, "dst: dtype is I32");
  wrong.dtype = XATTN_F64; /* the device has none */
  REFUSED(&h, &wrong, XATTN_ERROR_DTYPE, "dst: dtype is F64, must be F32, F16 or BF16");
  REFUSED(&wrong, &wrong, XATTN_ERROR_DTYPE, "dtype is F64");
  wrong = d.t;
  wrong.device_index = 1;
  REFUSED(&h, &wrong, XATTN_ERROR_LAYOUT, "dst: lies on device 1, the handle's is 0");
  REFUSED(&wrong, &h, XATTN_ERROR_LAYOUT, "src: lies on device 1");
  wrong = d.t;
  wrong.strides[0] = 0;
  REFUSED(&h, &wrong, XATTN_ERROR_LAYOUT, "dst: strides[0]");
  wrong = d.t;
  wrong.data = (float *)wrong.data + 1;
  REFUSED(&d.t, &wrong, XATTN_ERROR_OVERLAP, "dst");
  wrong = XATTN_TENSOR(d.t.data, XATTN_F32, 1, 1, 1, 4, 6);
  wrong.device_type = XATTN_CUDA;
  const xattn_tensor deep = XATTN_TENSOR(host, XATTN_F32, 1, 1, 1, 4, 6);
  REFUSED(&deep, &wrong, XATTN_ERROR_UNSUPPORTED, "rank is 5");
  ASSERT_FAILS(NULL, xattn_tensor_copy(NULL, &h, &d.t), XATTN_ERROR_ARGUMENT, "handle");
  device_check(&d, "dst");
  device_free(&d);
  xattn_destroy(handle);
}
END_TEST

START_TEST(nothing_and_host_to_host) {
  xattn_handle *handle = cuda_handle();
  float from[6] = {1, 2, 3, 4, 5, 6}, to[6];
  const xattn_tensor a = XATTN_TENSOR(from, XATTN_F32, 2, 3), b = XATTN_TENSOR(to, XATTN_F32, 2, 3);
  ASSERT_OK(handle, xattn_tensor_copy(handle, &a, &b));
  ck_assert(memcmp(from, to, sizeof from) == 0);
  xattn_tensor none = XATTN_TENSOR(NULL, XATTN_F32, 0, 3), there = none;
  there.device_type = XATTN_CUDA;
  ASSERT_OK(handle, xattn_tensor_copy(handle, &none, &there));
  ASSERT_OK(handle, xattn_tensor_copy(handle, &there, &none));
  xattn_destroy(handle);
}
END_TEST

/* A scalar, rank 0. */
START_TEST(a_single_element) {
  xattn_handle *handle = cuda_handle();
  float from = 2.5F, to = 0.0F;
  const xattn_tensor a = xattn_tensor_dense(&from, XATTN_F32, 0, NULL);
  const xattn_tensor b = xattn_tensor_dense(&to, XATTN_F32, 0, NULL);
  device_tensor d = device_copy(handle, &a, XATTN_F32);
  ASSERT_OK(handle, xattn_tensor_copy(handle, &d.t, &b));
  ck_assert(to == from);
  device_free(&d);
  xattn_destroy(handle);
}
END_TEST

/* An unaligned device tensor cannot be read by any kernel: it is refused, not tried. */
START_TEST(unaligned_device_memory_is_refused) {
  xattn_handle *handle = cuda_handle();
  float host[8] = {0};
  const xattn_tensor h = XATTN_TENSOR(host, XATTN_F32, 8);
  device_tensor d = device_new(handle, &h, XATTN_F32, 4);
  xattn_tensor wrong = d.t;
  wrong.data = (char *)wrong.data + 1;
  ASSERT_FAILS(handle, xattn_tensor_copy(handle, &h, &wrong), XATTN_ERROR_LAYOUT, "dst: data");
  ASSERT_FAILS(handle, xattn_tensor_copy(handle, &wrong, &h), XATTN_ERROR_LAYOUT, "src: data");
  device_free(&d);
  xattn_destroy(handle);
}
END_TEST

Suite *suite_cuda_copy(void) {
  Suite *suite = suite_create("cuda-copy");
  TCase *tests = cuda_tests("copy");
  tcase_add_test(tests, round_trips_of_every_layout);
  tcase_add_test(tests, device_to_device_of_every_layout);
  tcase_add_test(tests, uploads_convert);
  tcase_add_test(tests, copies_in_several_pieces);
  tcase_add_test(tests, copies_that_are_refused);
  tcase_add_test(tests, nothing_and_host_to_host);
  tcase_add_test(tests, a_single_element);
  tcase_add_test(tests, unaligned_device_memory_is_refused);
  suite_add_tcase(suite, tests);
  return suite;
}
