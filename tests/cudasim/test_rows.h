/* The table of opcodes. A row is one instruction, forced by inline PTX, over arrays of inputs,
 * beside the value that the PTX ISA defines for it:
 *
 *   SECTION("Integer Arithmetic Instructions")      the section of the ISA, of the rows below
 *   BINARY("sub.u32", u32, u32, u32, a - b)          sub.u32 d, a, b;  d, a, b are of type u32
 *   UNARY_ASM("immediate", "add.u32 %0, %1, 5;", u32, u32, a + 5)
 *
 * The expected expression sees a, b, c, and may give
 *   - a value: must agree to the bit, but any NaN agrees with any NaN;
 *   - near(x, e): within e of x;
 *   - nothing, by UNLESS(undefined, x): the ISA leaves the result open for these inputs.
 *
 * A CASE is a test in plain C++ for what no row can say (warps, memory). */
#ifndef CUDASIM_TEST_ROWS_H
#define CUDASIM_TEST_ROWS_H

#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "test_device.cuh"
#include "test_numbers.h"

/* ---- types of operands, erased so that a row costs the compiler little */
struct Type {
  size_t size;
  size_t edge_count;
  const void *edges;
  void (*random)(void *);
  std::string (*text)(const void *);
};
template <class T>
const Type *type_of(); /* in test_rows.cc, for every type of test_numbers.h */
template <class T>
std::string text(const T &x) {
  return type_of<T>()->text(&x);
}

struct Row {
  const char *opcode, *file;
  int line;
  const void *kernel;   /* result array, then the inputs' */
  const Type *types[4]; /* of the result, then of the inputs */
  bool (*agrees)(const void *got, const void *const *inputs, std::string *expected);
  void (*run)(); /* of a case, instead of the five above */
};
struct AddRow {
  explicit AddRow(const Row &row);
};
struct Section {
  explicit Section(const char *title);
};

/* Comparisons of the row that runs. A failure is printed (the first few of a row). */
void agreed(size_t comparisons);
void failed(const std::string &inputs, const std::string &got, const std::string &expected);

/* ---- comparing */
struct Near {
  exact wanted, error;
};
inline Near near(exact wanted, exact error = 0) {
  return {wanted, error};
}
inline Near relative(exact wanted, exact error) {
  return {wanted, std::fabs(wanted) * error};
}
/* n units in the last place of a 32-bit number as large as x. */
Near ulps(exact x, int n);
/* x as it was, largest: of the result's format. */
bool close(exact got, const Near &want, exact largest);
std::string text(const Near &want);

#define UNLESS(undefined, ...) \
  ((undefined) ? std::nullopt : std::optional<std::decay_t<decltype(__VA_ARGS__)>>(__VA_ARGS__))

/* The same bits, lane by lane for packed types; a NaN is a NaN. */
template <class T>
bool same(T got, T want) {
  if (memcmp(&got, &want, sizeof got) == 0) return true;
  if constexpr (std::is_same_v<T, f16x2>) {
    return same(f16(got & 0xffff), f16(want & 0xffff)) && same(f16(got >> 16), f16(want >> 16));
  } else if constexpr (std::is_same_v<T, bf16x2>) {
    return same(bf16(got & 0xffff), bf16(want & 0xffff)) && same(bf16(got >> 16), bf16(want >> 16));
  } else if constexpr (std::is_floating_point_v<T> || std::is_enum_v<T>) {
    return std::isnan(value(got)) && std::isnan(value(want));
  }
  return false;
}
/* `expected` is written if they do not agree. */
template <class T, class Want>
bool agree(T got, const Want &want, std::string *expected) {
  bool good;
  if constexpr (std::is_same_v<Want, Near>) {
    good = close(value(got), want, value(rounded<T>(std::numeric_limits<exact>::max(), RZ)));
    if (!good) *expected = text(want);
  } else {
    const T wanted = T(want);
    good = same(got, wanted);
    if (!good) *expected = text(wanted);
  }
  return good;
}
template <class T, class Want>
bool agree(T got, const std::optional<Want> &want, std::string *expected) {
  return !want || agree(got, *want, expected);
}
/* Whole arrays, for cases. */
template <class T, class Want>
void compare(const std::vector<T> &got, const std::vector<Want> &want, const char *what) {
  std::string expected;
  for (size_t i = 0; i < want.size(); i++)
    if (!agree(got[i], want[i], &expected))
      failed(std::string(what) + "[" + std::to_string(i) + "]", text(got[i]), expected);
  agreed(want.size());
}

/* ---- rows */
#define REG_u16 "h"
#define REG_s16 "h"
#define REG_f16 "h"
#define REG_bf16 "h"
#define REG_u32 "r"
#define REG_s32 "r"
#define REG_f16x2 "r"
#define REG_bf16x2 "r"
#define REG_tf32 "r"
#define REG_u64 "l"
#define REG_s64 "l"
#define REG_f32 "f"
#define REG_f64 "d"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define ROW_NAME(kind) JOIN(kind, __LINE__)
#define INDEX (blockIdx.x * blockDim.x + threadIdx.x)
#define INPUT(T, i) (*static_cast<const T *>(inputs[i]))

/* Kernel, expectation and registration of one row, by an identifier of its own. */
#define ROW_(id, opcode, R, kernel_inputs, asm_inputs, assembly, types, values, ...)             \
  static __global__ void JOIN(kernel_, id) kernel_inputs {                                       \
    R r;                                                                                         \
    asm volatile(assembly : "=" REG_##R(r) : asm_inputs);                                        \
    d[INDEX] = r;                                                                                \
  }                                                                                              \
  static bool JOIN(agrees_, id)(const void *got, const void *const *inputs, std::string *text) { \
    values return agree(*static_cast<const R *>(got), __VA_ARGS__, text);                        \
  }                                                                                              \
  static AddRow JOIN(                                                                            \
      row_, id)({opcode, __FILE__, __LINE__, reinterpret_cast<const void *>(JOIN(kernel_, id)),  \
                 types, JOIN(agrees_, id), nullptr});
#define LIST(...) __VA_ARGS__
#define UNARY_ID(id, opcode, assembly, R, A, ...)                                           \
  ROW_(id, opcode, R, (R * d, const A *as), LIST(REG_##A(as[INDEX])), assembly,             \
       LIST({type_of<R>(), type_of<A>()}), LIST([[maybe_unused]] const A a = INPUT(A, 0);), \
       __VA_ARGS__)
#define BINARY_ID(id, opcode, assembly, R, A, B, ...)                                             \
  ROW_(id, opcode, R, (R * d, const A *as, const B *bs),                                          \
       LIST(REG_##A(as[INDEX]), REG_##B(bs[INDEX])), assembly,                                    \
       LIST({type_of<R>(), type_of<A>(), type_of<B>()}),                                          \
       LIST([[maybe_unused]] const A a = INPUT(A, 0); [[maybe_unused]] const B b = INPUT(B, 1);), \
       __VA_ARGS__)
#define TERNARY_ID(id, opcode, assembly, R, A, B, C, ...)                                       \
  ROW_(id, opcode, R, (R * d, const A *as, const B *bs, const C *cs),                           \
       LIST(REG_##A(as[INDEX]), REG_##B(bs[INDEX]), REG_##C(cs[INDEX])), assembly,              \
       LIST({type_of<R>(), type_of<A>(), type_of<B>(), type_of<C>()}),                          \
       LIST([[maybe_unused]] const A a = INPUT(A, 0); [[maybe_unused]] const B b = INPUT(B, 1); \
            [[maybe_unused]] const C c = INPUT(C, 2);),                                         \
       __VA_ARGS__)

#define UNARY_ASM(opcode, ...) UNARY_ID(__LINE__, opcode, __VA_ARGS__)
#define BINARY_ASM(opcode, ...) BINARY_ID(__LINE__, opcode, __VA_ARGS__)
#define TERNARY_ASM(opcode, ...) TERNARY_ID(__LINE__, opcode, __VA_ARGS__)
#define UNARY(opcode, ...) UNARY_ASM(opcode, opcode " %0, %1;", __VA_ARGS__)
#define BINARY(opcode, ...) BINARY_ASM(opcode, opcode " %0, %1, %2;", __VA_ARGS__)
#define TERNARY(opcode, ...) TERNARY_ASM(opcode, opcode " %0, %1, %2, %3;", __VA_ARGS__)
/* A comparison, as 1 or 0. */
#define COMPARE(opcode, ...) COMPARE_ID(__LINE__, opcode, __VA_ARGS__)
#define COMPARE_ID(id, opcode, A, ...)                                                           \
  BINARY_ID(id, opcode, "{ .reg .pred p; " opcode " p, %1, %2; selp.u32 %0, 1, 0, p; }", u32, A, \
            A, u32(__VA_ARGS__))
/* The body follows. */
#define CASE(title)                                                        \
  static void ROW_NAME(case_)();                                           \
  static AddRow ROW_NAME(row_)(                                            \
      {title, __FILE__, __LINE__, nullptr, {}, nullptr, ROW_NAME(case_)}); \
  static void ROW_NAME(case_)()
#define SECTION(title) static Section ROW_NAME(section_)(title);

#endif
