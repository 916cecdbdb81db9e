// A torch device of its own whose kernels are the CPU's.
//
// Its tensors have memory of their own, and every operator ends in `run_on_cpu`: there
// the arguments are seen as CPU tensors over the same memory, so that what a kernel
// writes, declared or not, is in place. What CUDA refuses is refused: an argument or a
// random generator of another device. (`.numpy()` is refused by torch itself.)
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/GeneratorForPrivateuseone.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/TensorBody.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <atomic>
#include <cstdlib>
#include <utility>
#include <vector>

namespace {

using at::Tensor;
using c10::IValue;
constexpr auto TYPE = c10::DeviceType::PrivateUse1;
const c10::Device SECOND(TYPE, 0);
constexpr c10::DispatchKeySet OURS(c10::DispatchKey::PrivateUse1);
constexpr c10::DispatchKeySet THEIRS(c10::DispatchKey::CPU);

struct Memory final : c10::Allocator {
  std::atomic<int64_t> count{0};
  c10::DataPtr allocate(size_t bytes) override {
    ++count;
    void* p = nullptr;
    if (bytes && posix_memalign(&p, 64, bytes)) throw std::bad_alloc();
    return {p, p, &std::free, SECOND};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
} memory;
REGISTER_ALLOCATOR(TYPE, &memory)

// A CPU generator that says it is of this device.
struct Dice final : c10::GeneratorImpl {
  at::Generator cpu;
  explicit Dice(at::Generator cpu)
      : GeneratorImpl(SECOND, OURS), cpu(std::move(cpu)) {}
  void set_current_seed(uint64_t seed) override { cpu.set_current_seed(seed); }
  void set_offset(uint64_t offset) override { cpu.set_offset(offset); }
  uint64_t get_offset() const override { return cpu.get_offset(); }
  uint64_t current_seed() const override { return cpu.current_seed(); }
  uint64_t seed() override { return cpu.unsafeGetGeneratorImpl()->seed(); }
  void set_state(const c10::TensorImpl& state) override {
    cpu.unsafeGetGeneratorImpl()->set_state(state);
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return cpu.unsafeGetGeneratorImpl()->get_state();
  }
  Dice* clone_impl() const override { return new Dice(cpu.clone()); }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    static const auto dice =
        at::make_generator<Dice>(at::detail::getDefaultCPUGenerator());
    return dice;
  }
  at::Generator getNewGenerator(c10::DeviceIndex) const override {
    return at::make_generator<Dice>(at::detail::createCPUGenerator());
  }
} hooks;
const bool registered = (at::RegisterPrivateUse1HooksInterface(&hooks), true);

struct Guard final : c10::impl::NoOpDeviceGuardImpl<TYPE> {
  c10::Device getDevice() const override { return SECOND; }
  c10::Device exchangeDevice(c10::Device) const override { return SECOND; }
  c10::Stream getStream(c10::Device) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, SECOND);
  }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

Tensor over(c10::Storage storage, c10::DispatchKeySet keys, const Tensor& like) {
  auto made = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), keys, like.dtype());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(
      like.sizes(), like.strides(), like.storage_offset());
  return made;
}

Tensor seen_by_cpu(const Tensor& t) {
  c10::DataPtr data(t.storage().mutable_data(), c10::kCPU);
  c10::Storage same(
      c10::Storage::use_byte_size_t(), t.storage().nbytes(), std::move(data),
      c10::GetCPUAllocator(), /*resizable=*/true);
  return over(std::move(same), THEIRS, t);
}

c10::Storage moved_here(const Tensor& t) {
  const auto bytes = t.storage().nbytes();
  auto data = memory.clone(t.storage().data(), bytes);
  return {c10::Storage::use_byte_size_t(), bytes, std::move(data), &memory,
          /*resizable=*/true};
}

using Pairs = std::vector<std::pair<Tensor, Tensor>>;  // ours, and as the CPU sees it

Tensor to_cpu(
    const Tensor& t, bool written, const c10::FunctionSchema& schema, Pairs& pairs) {
  if (!t.defined()) return t;
  if (t.device().type() != TYPE) {
    // As on CUDA: a CPU tensor without dimensions may be read, as a number.
    TORCH_CHECK(
        t.dim() == 0 && !written,
        "Expected all tensors to be on the same device, but found at least two ",
        "devices, ", SECOND, " and ", t.device(), ", in ", schema.operator_name());
    return t;
  }
  for (const auto& [ours, theirs] : pairs)
    if (ours.is_same(t)) return theirs;
  pairs.emplace_back(t, seen_by_cpu(t));
  return pairs.back().second;
}

void to_cpu(
    IValue& value, bool written, const c10::FunctionSchema& schema, Pairs& pairs) {
  if (value.isTensor()) {
    value = to_cpu(value.toTensor(), written, schema, pairs);
  } else if (value.isTensorList()) {
    c10::List<Tensor> list;
    for (const Tensor& t : value.toTensorVector())
      list.push_back(to_cpu(t, written, schema, pairs));
    value = list;
  } else if (value.isOptionalTensorList()) {
    // Indices, the only such argument, may be on the CPU, as on CUDA.
    c10::List<std::optional<Tensor>> list;
    for (std::optional<Tensor> t : value.toOptionalTensorVector()) {
      if (t && t->defined() && !t->is_cpu()) t = to_cpu(*t, false, schema, pairs);
      list.push_back(t);
    }
    value = list;
  } else if (value.isDevice()) {
    value = c10::Device(c10::kCPU);
  } else if (value.isGenerator()) {
    auto generator = value.toGenerator();
    TORCH_CHECK(
        generator.device().type() == TYPE, "Expected a '", SECOND,
        "' device type for generator but found '", generator.device(), "'");
    value = generator.get<Dice>()->cpu;
  }
}

Tensor from_cpu(const Tensor& t, const Pairs& pairs) {
  if (!t.defined()) return t;
  for (const auto& [ours, theirs] : pairs)
    if (theirs.is_same(t)) return ours;
  const void* data = t.storage().data();
  for (const auto& [ours, theirs] : pairs)  // a view
    if (data && theirs.storage().data() == data)
      return over(ours.storage(), OURS, t);
  return over(moved_here(t), OURS, t);
}

void from_cpu(IValue& value, const Pairs& pairs) {
  if (value.isTensor()) {
    value = from_cpu(value.toTensor(), pairs);
  } else if (value.isTensorList()) {
    c10::List<Tensor> list;
    for (const Tensor& t : value.toTensorVector()) list.push_back(from_cpu(t, pairs));
    value = list;
  }
}

// An `out` may have been resized, which can give it another memory.
void follow(const Tensor& ours, const Tensor& theirs) {
  const auto& storage = theirs.storage();
  if (ours.storage().data() != storage.data()) {
    auto data = memory.clone(storage.data(), storage.nbytes());
    ours.storage().set_data_ptr_noswap(std::move(data));
    ours.storage().set_nbytes(storage.nbytes());
  }
  if (ours.sizes() != theirs.sizes() || ours.strides() != theirs.strides())
    ours.unsafeGetTensorImpl()->set_sizes_and_strides(
        theirs.sizes(), theirs.strides(), theirs.storage_offset());
}

void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  at::AutoDispatchBelowAutograd guard;
  Pairs pairs;
  IValue* given = stack->data() + stack->size() - schema.arguments().size();
  for (const auto& argument : schema.arguments()) {
    const auto* alias = argument.alias_info();
    to_cpu(*given++, alias && alias->isWrite(), schema, pairs);
  }
  op.redispatchBoxed(THEIRS, stack);
  for (const auto& [ours, theirs] : pairs) follow(ours, theirs);
  IValue* returned = stack->data() + stack->size() - schema.returns().size();
  for (size_t i = 0; i < schema.returns().size(); ++i) from_cpu(*returned++, pairs);
}

Tensor empty(
    at::IntArrayRef size, std::optional<at::ScalarType> dtype,
    std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>,
    std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(
      size, &memory, OURS, c10::dtype_or_default(dtype), format);
}

Tensor empty_strided(
    at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype,
    std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(
      size, stride, &memory, OURS, c10::dtype_or_default(dtype));
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  at::AutoDispatchBelowAutograd guard;
  auto here = [](const Tensor& t) { return t.is_cpu() ? t : seen_by_cpu(t); };
  here(to).copy_(here(from));
  return to;
}

Tensor& set_storage(
    Tensor& self, at::Storage source, c10::SymInt offset, c10::SymIntArrayRef size,
    c10::SymIntArrayRef stride) {
  auto* impl = self.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(std::move(source));
  impl->set_sizes_and_strides(size, stride, std::move(offset));
  return self;
}

Tensor& set_whole_storage(Tensor& self, at::Storage source) {
  const auto n = static_cast<int64_t>(source.nbytes() / self.element_size());
  return set_storage(self, std::move(source), 0, {n}, {1});
}

Tensor& set_tensor(Tensor& self, const Tensor& source) {
  return set_storage(
      self, source.storage(), source.sym_storage_offset(), source.sym_sizes(),
      source.sym_strides());
}

}  // namespace

extern "C" int64_t allocations() { return memory.count; }

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_copy_from", &copy_from);
  m.impl("set_.source_Storage_storage_offset", &set_storage);
  m.impl("set_.source_Storage", &set_whole_storage);
  m.impl("set_.source_Tensor", &set_tensor);
  // These choose a kernel by the device before they dispatch.
  for (const char* name : {"convolution", "convolution_backward"})
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());
}
