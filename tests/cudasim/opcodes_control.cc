/* Branches, ends and barriers: PTX ISA 9.7.12 and 9.7.13. What they do with the path is
 * in execute.cc. */
#include "execute.h"
#include "opcodes.h"

namespace cudasim {

namespace {

void nothing(Warp &, const Instruction &, uint32_t) {
}

void arrive_at(Warp &warp, uint32_t barrier, uint32_t threads) {
  warp.barrier = barrier;
  warp.barrier_threads = threads;
  if (warp.barrier > 15) throw Fault(format("barrier %u; there are 16", warp.barrier));
  if (warp.barrier_threads % kLanes)
    throw Fault(
        format("a barrier for %u threads, no multiple of the warp's size", warp.barrier_threads));
}

/* bar.sync barrier[, threads] */
void arrive(Warp &warp, const Instruction &i, uint32_t mask) {
  int lane = __builtin_ctz(mask);
  arrive_at(warp, warp.lanes<uint32_t>(i.operands[0]).get(lane),
            i.operands.size() > 1 ? warp.lanes<uint32_t>(i.operands[1]).get(lane) : 0);
}

/* bar.red result, barrier, predicate: block.cc gives the result. */
void arrive_with_predicate(Warp &warp, const Instruction &i, uint32_t mask) {
  arrive_at(warp, warp.lanes<uint32_t>(i.operands[1]).get(__builtin_ctz(mask)), 0);
  warp.reduction = &i;
}

void trap(Warp &, const Instruction &, uint32_t) {
  throw Fault("trap: the kernel gave up, or an assertion failed");
}

template <Operation operation>
Operation always(Instruction &) {
  return operation;
}

const Opcode kRows[] = {
    {"bra", "[.uni]", "label", "9.7.12.3", always<nothing>, Flow::branch},
    {"brx", ".idx [.uni]", "b32 label", "9.7.12.4", always<nothing>, Flow::indexed_branch},
    {"ret", "[.uni]", "", "9.7.12.6", always<nothing>, Flow::exit},
    {"exit", "", "", "9.7.12.7", always<nothing>, Flow::exit},
    {"bar", "[.cta] .sync", "b32 b32?", "9.7.13", always<arrive>, Flow::barrier},
    {"barrier", "[.cta] .sync [.aligned]", "b32 b32?", "9.7.13", always<arrive>, Flow::barrier},
    {"bar", "[.cta] .red .popc .u32", "T= b32 p", "9.7.13", always<arrive_with_predicate>,
     Flow::barrier},
    {"bar", "[.cta] .red .and|.or .pred", "p= b32 p", "9.7.13", always<arrive_with_predicate>,
     Flow::barrier},
    {"barrier", "[.cta] .red .popc [.aligned] .u32", "T= b32 p", "9.7.13",
     always<arrive_with_predicate>, Flow::barrier},
    {"barrier", "[.cta] .red .and|.or [.aligned] .pred", "p= b32 p", "9.7.13",
     always<arrive_with_predicate>, Flow::barrier},
    {"membar", ".cta|.gl|.sys", "", "9.7.13", always<nothing>},
    {"fence", "[.sc|.acq_rel|.acquire|.release] .cta|.cluster|.gpu|.sys", "", "9.7.13",
     always<nothing>},
    {"griddepcontrol", ".launch_dependents|.wait", "", "9.7.13", always<nothing>},
    {"nanosleep", ".u32", "b32", "9.7.19", always<nothing>},
    {"pmevent", "", "imm", "9.7.19", always<nothing>},
    {"trap", "", "", "9.7.19", always<trap>},
    {"brkpt", "", "", "9.7.19", always<trap>},
};

}  // namespace

CUDASIM_TABLE(kControlOpcodes, kRows);

}  // namespace cudasim
