//! Configuration of the engine. The compile child and the host must agree on every setting that affects compiled code;
//! they differ in the allocation of instances, which does not.

use std::num::NonZeroUsize;

use fusebox_core::{
    function::RunLimits,
    limits::{TABLE_ELEMENTS_MAX, WASM_STACK_BYTES},
};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OperatorCost, PoolingAllocationConfig, Strategy};

use crate::SandboxError;

/// Memory of a slot that stays resident between runs and is cleared by writing: below this size, clearing is cheaper
/// than requesting fresh pages from the kernel and faulting them in.
const KEEP_RESIDENT_BYTES: usize = 1 << 20;
/// Size of a module's state in addition to memory and tables: 1.4 MiB at the maximum number of functions and globals
/// with every function in a table. Only address space; pages are allocated on use.
const INSTANCE_BYTES_MAX: usize = 2 << 20;

/// Returns the host's engine. Its slots are reserved at start, so a run allocates nothing from the system.
pub(crate) fn pooled(slots: u32, ceiling: &RunLimits) -> Result<Engine, SandboxError> {
    let memory_bytes_max = usize::try_from(ceiling.memory_bytes).unwrap_or(usize::MAX);
    let mut pool = PoolingAllocationConfig::new();
    // One more than the number of slots, since a run's store is dropped just after its answer is sent.
    let slots = slots.saturating_add(1);
    pool.total_core_instances(slots)
        .total_memories(slots)
        .total_tables(slots)
        .total_stacks(0)
        .max_memory_size(memory_bytes_max)
        .table_elements(usize::try_from(TABLE_ELEMENTS_MAX).unwrap_or(usize::MAX))
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_memories_per_module(1)
        .max_tables_per_module(1)
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
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .consume_fuel(true)
        .operator_cost(cost)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .wasm_backtrace_max_frames(NonZeroUsize::new(16))
        // Makes output bits independent of the machine.
        .cranelift_nan_canonicalization(true)
        .memory_init_cow(true)
        // Proposals that no common toolchain requires only add attack surface.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
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
