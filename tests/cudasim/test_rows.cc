/* Runs all rows of the test_opcodes*.cu: launches each kernel over its inputs and compares. */
#include "test_rows.h"

#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <memory>

#include "test_inputs.h"

/* ---- types */
template <class T>
static std::string show(const void *pointer) {
  const T x = *static_cast<const T *>(pointer);
  char s[80];
  if constexpr (std::is_same_v<T, f32>)
    snprintf(s, sizeof s, "%.9g (0x%08x)", x, bits_to<u32>(x));
  else if constexpr (std::is_same_v<T, f64>)
    snprintf(s, sizeof s, "%.17g (0x%016llx)", x, bits_to<u64>(x));
  else if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
    snprintf(s, sizeof s, "%.6Lg (0x%04x)", value(x), x);
  else if constexpr (std::is_signed_v<T>)
    snprintf(s, sizeof s, "%lld (0x%llx)", s64(x), u64(x));
  else
    snprintf(s, sizeof s, "0x%llx", u64(x));
  return s;
}
template <class T>
static void randomize(void *pointer) {
  *static_cast<T *>(pointer) = random_value<T>();
}
#define TYPE(T)                                                                                \
  template <>                                                                                  \
  const Type *type_of<T>() {                                                                   \
    static const std::vector<T> values = edges<T>();                                           \
    static const Type type = {sizeof(T), values.size(), values.data(), randomize<T>, show<T>}; \
    return &type;                                                                              \
  }
TYPE(u8)
TYPE(s8)
TYPE(u16)
TYPE(s16)
TYPE(u32)
TYPE(s32)
TYPE(u64)
TYPE(s64)
TYPE(f16)
TYPE(bf16)
TYPE(f16x2)
TYPE(bf16x2)
TYPE(tf32)
TYPE(f32)
TYPE(f64)

/* ---- comparing */
Near ulps(exact x, int n) {
  const int exponent = x == 0 || !std::isfinite(x) ? -126 : std::max(std::ilogb(x), -126);
  return {x, n * std::ldexp(exact(1), exponent - 23)};
}
bool close(exact got, const Near &want, exact largest) {
  if (std::isnan(want.wanted)) return std::isnan(got);
  if (got == want.wanted) return true;
  if (std::isinf(got))
    return std::signbit(got) == std::signbit(want.wanted) &&
           std::fabs(want.wanted) + want.error > largest;
  return std::fabs(got - want.wanted) <= want.error;
}
std::string text(const Near &want) {
  char s[80];
  snprintf(s, sizeof s, "%.9Lg within %.3Lg", want.wanted, want.error);
  return s;
}

/* ---- rows */
struct Listed : Row {
  const char *section;
};
static const char *current_section = "";
Section::Section(const char *title) {
  current_section = title;
}
static std::vector<Listed> &rows() {
  static std::vector<Listed> all;
  return all;
}
AddRow::AddRow(const Row &row) {
  rows().push_back({row, current_section});
}

/* Shared with the children: a fault ends one, and the next goes on behind the row that faulted. */
struct Progress {
  size_t next, comparisons, failures, failed_rows, refused;
};
static Progress *progress;
static size_t failures_of_row;

static void print_failure(const char *how) {
  const Listed &row = rows()[progress->next - 1];
  printf("FAIL %s (%s, %s:%d): %s\n", row.opcode, row.section, row.file, row.line, how);
  fflush(stdout);
}
void agreed(size_t comparisons) {
  progress->comparisons += comparisons;
}
void failed(const std::string &inputs, const std::string &got, const std::string &expected) {
  progress->failures++;
  if (++failures_of_row <= 4)
    print_failure(("inputs " + inputs + ": got " + got + ", expected " + expected).c_str());
}

/* One input alone: all its edges; two or three: all pairs or triples of the first edges; then
 * random ones. As many as fill whole blocks. */
constexpr size_t kThreads = 128;
static std::vector<std::vector<char>> columns_of(const std::vector<const Type *> &types) {
  static const size_t most_edges[] = {1000, 40, 10};
  const size_t most = most_edges[types.size() - 1];
  size_t rows = 1;
  for (const Type *type : types) rows *= std::min(type->edge_count, most);
  const size_t padded = (rows + 400 + kThreads - 1) / kThreads * kThreads;
  std::vector<std::vector<char>> columns;
  size_t repeat = 1;
  for (const Type *type : types) {
    const size_t n = std::min(type->edge_count, most), size = type->size;
    std::vector<char> column(padded * size);
    for (size_t i = 0; i < rows; i++)
      memcpy(&column[i * size], static_cast<const char *>(type->edges) + i / repeat % n * size,
             size);
    for (size_t i = rows; i < padded; i++) type->random(&column[i * size]);
    columns.push_back(column);
    repeat *= n;
  }
  return columns;
}

static void run_row(const Row &row) {
  const std::vector<const Type *> in(row.types + 1,
                                     std::find(row.types + 1, row.types + 4, nullptr));
  const std::vector<std::vector<char>> columns = columns_of(in);
  const size_t size = row.types[0]->size, count = columns[0].size() / in[0]->size;
  Array<char> result(count * size);
  std::vector<void *> pointers(1, result.data());
  std::vector<std::unique_ptr<Array<char>>> on_device;
  for (const std::vector<char> &column : columns) {
    on_device.emplace_back(new Array<char>(column));
    pointers.push_back(on_device.back()->data());
  }
  std::vector<void *> arguments;
  for (void *&pointer : pointers) arguments.push_back(&pointer);
  CUDA_OK(cudaLaunchKernel(row.kernel, dim3(unsigned(count / kThreads)), dim3(kThreads),
                           arguments.data(), 0, nullptr));
  const std::vector<char> got = result.get();
  std::string expected;
  for (size_t i = 0; i < count; i++) {
    std::vector<const void *> inputs;
    for (size_t k = 0; k < in.size(); k++) inputs.push_back(&columns[k][i * in[k]->size]);
    if (row.agrees(&got[i * size], inputs.data(), &expected)) continue;
    std::string shown;
    for (size_t k = 0; k < in.size(); k++) shown += in[k]->text(inputs[k]) + "  ";
    failed(shown, row.types[0]->text(&got[i * size]), expected);
  }
  agreed(count);
}
static void run_rows(const char *only) {
  while (progress->next < rows().size()) {
    const Listed &row = rows()[progress->next++];
    if (only && !strstr(row.opcode, only)) continue;
    const std::string first_word(row.opcode, strcspn(row.opcode, " ,:"));
    may_refuse() = strstr(row.section, "may be refused by name") ? first_word.c_str() : nullptr;
    failures_of_row = 0;
    if (row.run)
      row.run();
    else
      run_row(row);
    if (failures_of_row) progress->failed_rows++;
    fflush(stdout);
  }
}

/* Each child starts where the last one ended. An argument runs only the rows whose opcode
 * contains it. */
int main(int arguments, char **argument) {
  progress = static_cast<Progress *>(
      mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  while (progress->next < rows().size()) {
    const pid_t child = fork();
    if (child == 0) {
      if (!freopen("/dev/null", "w", stderr)) _exit(kFailed); /* faults are printed by cuda_ok */
      run_rows(arguments > 1 ? argument[1] : nullptr);
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (status == 0) continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == kRefused) {
      progress->refused++;
      continue;
    }
    print_failure(WIFEXITED(status) ? "a call failed" : strsignal(WTERMSIG(status)));
    progress->failures++, progress->failed_rows++;
  }
  printf(
      "%zu opcodes (%zu of them refused by name), %zu comparisons, %zu failures in %zu opcodes\n",
      rows().size(), progress->refused, progress->comparisons, progress->failures,
      progress->failed_rows);
  return progress->failures != 0;
}
