/* The interface of ptx.h, as far as it does not run anything. */
#include <mutex>

#include "module_text.h"

namespace cudasim {

struct Module::State {
  std::string text;
  ModuleText found;
  ModuleMemory memory;
  std::mutex lock; /* of the kernels parsed so far */
  std::map<std::string, std::unique_ptr<Kernel>> kernels;
};

Module::Module(std::string text) : state_(new State) {
  state_->text = std::move(text);
  state_->found = scan_module(state_->text);
}

Module::~Module() = default;

bool Module::has(const std::string &kernel) const {
  return state_->found.kernels.count(kernel) != 0;
}

const Kernel &Module::kernel(const std::string &name) {
  std::lock_guard<std::mutex> guard(state_->lock);
  std::unique_ptr<Kernel> &kernel = state_->kernels[name];
  if (!kernel) {
    if (!has(name)) throw Fault("the module has no kernel " + name);
    kernel = parse_kernel(name, state_->found, state_->memory);
  }
  return *kernel;
}

const std::vector<Parameter> &parameters(const Kernel &kernel) {
  return kernel.parameters;
}

size_t static_shared_bytes(const Kernel &kernel) {
  return kernel.static_shared;
}

unsigned max_threads(const Kernel &kernel) {
  return kernel.max_threads;
}

std::string Kernel::register_name(uint32_t number) const {
  for (const RegisterRange &range : register_names)
    if (number >= range.first_number && number - range.first_number < std::max(range.count, 1u))
      return std::string(range.prefix) +
             (range.count ? std::to_string(number - range.first_number) : "");
  return "a register";
}

std::string Kernel::place(const Instruction &instruction) const {
  std::string text = format("PTX line %d: ", instruction.line);
  bool blank = false; /* a run of white space in the source becomes one blank */
  for (char c : instruction.text) {
    bool white = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (white && !blank) text += ' ';
    if (!white) text += c;
    blank = white;
  }
  if (instruction.location < 0) return text;
  auto named = [this](int number) {
    auto file = files->find(number);
    return file == files->end() ? "file " + std::to_string(number) : file->second;
  };
  const Location &at = locations[instruction.location];
  text += format(", source %s:%d", named(at.file).c_str(), at.line);
  if (at.outer_line)
    text += format(", inlined at %s:%d", named(at.outer_file).c_str(), at.outer_line);
  return text;
}

}  // namespace cudasim
