//! Configuration of the engine. The compile child and the host must agree on every setting that affects compiled code;
//! they differ in the allocation of instances, which does not.

use std::num::NonZeroUsize;

use fusebox_core::{
    function::RunLimits,
    limits::{
        BACKTRACE_FRAMES_MAX, CORE_INSTANCES_MAX, MEMORIES_MAX, STACKS_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX,
        WASM_STACK_BYTES,
    },
};
use wasmtime::{
    Collector, Config, Enabled, Engine, InstanceAllocationStrategy, OperatorCost, PoolingAllocationConfig, Strategy,
};

use crate::SandboxError;

/// Memory of a slot that stays resident between runs and is cleared by writing: below this size, clearing is cheaper
/// than requesting fresh pages from the kernel and faulting them in.
const KEEP_RESIDENT_BYTES: usize = 1 << 20;
/// Size of a module's state in addition to memory and tables: 1.4 MiB at the maximum number of functions and globals
/// with every function in a table. Only address space; pages are allocated on use.
const INSTANCE_BYTES_MAX: usize = 2 << 20;
/// Size of a component's state: that of its resources and of all its core instances (CPython has 0.5 MiB in 14).
const COMPONENT_BYTES_MAX: usize = 4 << 20;
/// Memories of a run: those of its guest and the heap of its exceptions, which is a memory to the pool.
const POOLED_MEMORIES: u32 = MEMORIES_MAX + 1;
/// Fuel of a throw, the most that there is for one operator. The engine walks the stack for a handler, at 20 to 50 ns a
/// frame; each frame was a call, which has cost fuel as well.
const THROW_FUEL: u8 = u8::MAX;
/// Fuel of a block with handlers, of which it has up to 8: a search looks at each in 10 to 20 ns.
const TRY_FUEL: u8 = 16;

/// Returns the host's engine. Its slots are reserved at start, so a run allocates nothing from the system.
pub(crate) fn pooled(slots: u32, ceiling: &RunLimits) -> Result<Engine, SandboxError> {
    let memory_bytes_max = usize::try_from(ceiling.memory_bytes).unwrap_or(usize::MAX);
    let mut pool = PoolingAllocationConfig::new();
    // One more than the number of slots, since a run's store is dropped just after its answer is sent.
    let slots = slots.saturating_add(1);
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES_MAX))
        .total_memories(slots.saturating_mul(POOLED_MEMORIES))
        .total_gc_heaps(slots)
        .total_tables(slots.saturating_mul(TABLES_MAX))
        // Components run on stacks of their own.
        .total_stacks(slots.saturating_mul(STACKS_MAX))
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_component_instance_size(COMPONENT_BYTES_MAX)
        .max_memory_size(memory_bytes_max)
        .table_elements(usize::try_from(TABLE_ELEMENTS_MAX).unwrap_or(usize::MAX))
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_memories_per_module(1)
        .max_tables_per_module(TABLES_MAX)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        // On Linux 6.7 and later the kernel reports the pages written by a run, and only those are cleared.
        .pagemap_scan(Enabled::Auto);
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).map_err(|error| SandboxError(format!("cannot create the engine: {error:#}")))
}

/// Returns the compile child's engine, which never instantiates a module.
pub(crate) fn compiling() -> Result<Engine, SandboxError> {
    Engine::new(&config()).map_err(|error| SandboxError(format!("cannot create the engine: {error:#}")))
}

fn config() -> Config {
    let mut cost = OperatorCost::new();
    // A failing grow costs 25 ns; at the default cost of 1, a loop of them would run for 25 times its fuel (measured).
    cost.variable.memory_grow_per_page = 255;
    cost.Throw = THROW_FUEL;
    cost.ThrowRef = THROW_FUEL;
    cost.TryTable = TRY_FUEL;
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .consume_fuel(true)
        .operator_cost(cost)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES_MAX))
        // Makes output bits independent of the machine.
        .cranelift_nan_canonicalization(true)
        .memory_init_cow(true)
        // Between the modules of a component; `inspect` refuses it in a module.
        .wasm_multi_memory(true)
        .wasm_tail_call(true)
        .wasm_relaxed_simd(true)
        .relaxed_simd_deterministic(true)
        .wasm_component_model_async(true)
        // Exceptions are objects in a heap of the run. Nothing in it is ever freed before the run ends, so there is no
        // collector in which to find a bug; the heap counts towards the run's memory.
        .wasm_exceptions(true)
        .collector(Collector::Null)
        // Proposals that no common toolchain requires only add attack surface.
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_memory64(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .shared_memory(false);
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};

    #[test]
    fn the_compile_child_and_the_host_compile_alike() {
        let hash = |engine: Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(compiling().unwrap()), hash(pooled(2, &RunLimits::CEILING).unwrap()));
    }
}
