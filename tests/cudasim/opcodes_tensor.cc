/* Tensor operations on fragments spread over the warp: PTX ISA 9.7.14. The products are exact and
 * are summed in float, in the order of k; hardware sums in an order and a rounding of its own. */
#include "address_space.h"
#include "floats.h"
#include "opcodes.h"

namespace cudasim {

namespace {

/* ---------- ldmatrix, stmatrix: 8x8 matrices of 16-bit elements; lanes give rows' addresses */

/* Of one matrix, lane l has the elements 2*(l%4) and 2*(l%4)+1 of row l/4; transposed, of column
 * l/4. */
template <bool transposed>
int element_index(int row, int column) {
  return transposed ? (column * 4 + row / 2) * 2 + row % 2
                    : (row * 4 + column / 2) * 2 + column % 2;
}

/* Lanes 8k to 8k+7 address the rows of matrix k. */
Accesses row_accesses(Warp &warp, const Instruction &i, const Operand &address) {
  Accesses rows;
  rows.space = Space::shared;
  rows.size = 16;
  rows.strong = false;
  rows.mask = i.choice == 4 ? kAllLanes : (1u << (8 * i.choice)) - 1;
  warp.addresses(address, rows.mask, rows.address);
  return rows;
}

template <bool transposed>
void load_matrices(Warp &warp, const Instruction &i, uint32_t) {
  uint16_t rows[kLanes][8];
  uint8_t data[kLanes * 16];
  read_lanes(warp, row_accesses(warp, i, i.operands[1]), data);
  memcpy(rows, data, sizeof rows);
  for (int matrix = 0; matrix < i.choice; matrix++) {
    auto d = warp.lanes<uint16_t>(i.operands[0].parts[matrix]);
    for (int row = 0; row < 8; row++)
      for (int column = 0; column < 8; column++)
        d.set(element_index<transposed>(row, column), rows[8 * matrix + row][column]);
  }
}

template <bool transposed>
void store_matrices(Warp &warp, const Instruction &i, uint32_t) {
  uint16_t rows[kLanes][8] = {};
  for (int matrix = 0; matrix < i.choice; matrix++) {
    auto a = warp.lanes<uint16_t>(i.operands[1].parts[matrix]);
    for (int row = 0; row < 8; row++)
      for (int column = 0; column < 8; column++)
        rows[8 * matrix + row][column] = a.get(element_index<transposed>(row, column));
  }
  uint8_t data[kLanes * 16];
  memcpy(data, rows, sizeof data);
  write_lanes(warp, row_accesses(warp, i, i.operands[0]), data);
}

void note_matrices(Instruction &i) {
  i.choice = i.has(".x4") ? 4 : i.has(".x2") ? 2 : 1;
  i.space = Space::shared;
  i.access_bytes = 16;
}

Operation choose_load_matrices(Instruction &i) {
  note_matrices(i);
  return i.has(".trans") ? load_matrices<true> : load_matrices<false>;
}

Operation choose_store_matrices(Instruction &i) {
  note_matrices(i);
  return i.has(".trans") ? store_matrices<true> : store_matrices<false>;
}

/* ---------- mma: d = a * b + c; a is 16 x kDepth, b is kDepth x 8, c and d are 16 x 8 */

float value_of(Half element) {
  return half_value(element.bits);
}
float value_of(Bfloat element) {
  return bfloat_value(element.bits);
}
struct Tf32 {
  uint32_t bits;
};
float value_of(Tf32 element) {
  return float_of(element.bits & 0xffffe000); /* hardware does not look at the other bits */
}

/* Registers of a fragment hold `kPer` elements of type T a lane. Lane l belongs to the group l/4
 * and is number l%4 there (the figures of 9.7.14). */
template <class T, int kDepth>
void multiply_add(Warp &warp, const Instruction &i, float c[16][8]) {
  constexpr int kPer = 4 / sizeof(T),
                kColumns = 4 * kPer; /* of a that one register of the warp covers */
  float a[16][kDepth], b[kDepth][8];
  for (int part = 0; part < kDepth / kColumns; part++) {
    for (int half = 0; half < 2; half++) {
      auto values = warp.lanes<T>(i.operands[1].parts[2 * part + half]);
      for (int lane = 0; lane < kLanes; lane++)
        for (int k = 0; k < kPer; k++)
          a[lane / 4 + 8 * half][part * kColumns + lane % 4 * kPer + k] =
              value_of(values.get(lane * kPer + k));
    }
    auto values = warp.lanes<T>(i.operands[2].parts[part]);
    for (int lane = 0; lane < kLanes; lane++)
      for (int k = 0; k < kPer; k++)
        b[part * kColumns + lane % 4 * kPer + k][lane / 4] = value_of(values.get(lane * kPer + k));
  }
  for (int row = 0; row < 16; row++) {
    float sum[8] = {};
    for (int k = 0; k < kDepth; k++)
      for (int column = 0; column < 8; column++) sum[column] += a[row][k] * b[k][column];
    for (int column = 0; column < 8; column++) c[row][column] += sum[column];
  }
}

/* Of c and d, a lane has two neighbours in row l/4 and two in row l/4 + 8. */
template <class T, int kDepth>
void mma_float(Warp &warp, const Instruction &i, uint32_t) {
  warp.block->counters.tensor_operations++;
  float c[16][8];
  for (int part = 0; part < 4; part++) {
    auto values = warp.lanes<float>(i.operands[3].parts[part]);
    for (int lane = 0; lane < kLanes; lane++)
      c[lane / 4 + 8 * (part / 2)][lane % 4 * 2 + part % 2] = values.get(lane);
  }
  multiply_add<T, kDepth>(warp, i, c);
  for (int part = 0; part < 4; part++) {
    auto values = warp.lanes<float>(i.operands[0].parts[part]);
    for (int lane = 0; lane < kLanes; lane++)
      values.set(lane, c[lane / 4 + 8 * (part / 2)][lane % 4 * 2 + part % 2]);
  }
}

template <int kDepth>
void mma_half(Warp &warp, const Instruction &i, uint32_t) {
  warp.block->counters.tensor_operations++;
  float c[16][8];
  for (int half = 0; half < 2; half++) {
    auto values = warp.lanes<Half>(i.operands[3].parts[half]);
    for (int k = 0; k < 2 * kLanes; k++) c[k / 8 + 8 * half][k % 8] = value_of(values.get(k));
  }
  multiply_add<Half, kDepth>(warp, i, c);
  for (int half = 0; half < 2; half++) {
    auto values = warp.lanes<Half>(i.operands[0].parts[half]);
    for (int k = 0; k < 2 * kLanes; k++) values.set(k, Half{half_bits(c[k / 8 + 8 * half][k % 8])});
  }
}

template <Operation operation>
Operation always(Instruction &) {
  return operation;
}

#define LDMATRIX ".sync .aligned .m8n8 "
#define SHARED " [.trans] [.shared|.shared::cta] .b16"
#define MMA(shape) ".sync .aligned " shape " .row .col "

const Opcode kRows[] = {
    {"ldmatrix", LDMATRIX ".x1" SHARED, "b32*1= addr", "9.7.14", choose_load_matrices,
     Flow::all_lanes},
    {"ldmatrix", LDMATRIX ".x2" SHARED, "b32*2= addr", "9.7.14", choose_load_matrices,
     Flow::all_lanes},
    {"ldmatrix", LDMATRIX ".x4" SHARED, "b32*4= addr", "9.7.14", choose_load_matrices,
     Flow::all_lanes},
    {"stmatrix", LDMATRIX ".x1" SHARED, "addr b32*1", "9.7.14", choose_store_matrices,
     Flow::all_lanes},
    {"stmatrix", LDMATRIX ".x2" SHARED, "addr b32*2", "9.7.14", choose_store_matrices,
     Flow::all_lanes},
    {"stmatrix", LDMATRIX ".x4" SHARED, "addr b32*4", "9.7.14", choose_store_matrices,
     Flow::all_lanes},
    {"mma", MMA(".m16n8k16") ".f32 .f16 .f16 .f32", "f32*4= b32*4 b32*2 f32*4", "9.7.14",
     always<mma_float<Half, 16>>, Flow::all_lanes},
    {"mma", MMA(".m16n8k16") ".f32 .bf16 .bf16 .f32", "f32*4= b32*4 b32*2 f32*4", "9.7.14",
     always<mma_float<Bfloat, 16>>, Flow::all_lanes},
    {"mma", MMA(".m16n8k16") ".f16 .f16 .f16 .f16", "b32*2= b32*4 b32*2 b32*2", "9.7.14",
     always<mma_half<16>>, Flow::all_lanes},
    {"mma", MMA(".m16n8k8") ".f32 .f16 .f16 .f32", "f32*4= b32*2 b32*1 f32*4", "9.7.14",
     always<mma_float<Half, 8>>, Flow::all_lanes},
    {"mma", MMA(".m16n8k8") ".f32 .bf16 .bf16 .f32", "f32*4= b32*2 b32*1 f32*4", "9.7.14",
     always<mma_float<Bfloat, 8>>, Flow::all_lanes},
    {"mma", MMA(".m16n8k8") ".f16 .f16 .f16 .f16", "b32*2= b32*2 b32*1 b32*2", "9.7.14",
     always<mma_half<8>>, Flow::all_lanes},
    {"mma", MMA(".m16n8k8") ".f32 .tf32 .tf32 .f32", "f32*4= b32*4 b32*2 f32*4", "9.7.14",
     always<mma_float<Tf32, 8>>, Flow::all_lanes},
    {"mma", MMA(".m16n8k4") ".f32 .tf32 .tf32 .f32", "f32*4= b32*2 b32*1 f32*4", "9.7.14",
     always<mma_float<Tf32, 4>>, Flow::all_lanes},
};

}  // namespace

CUDASIM_TABLE(kTensorOpcodes, kRows);

}  // namespace cudasim
