//! What this process has allocated, in all of its threads. SQLite's own memory is not among it: that is C's.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that are allocated now.
pub(crate) fn bytes() -> u64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated) as u64
}

/// Allocations so far; one that was made larger or smaller counts again.
pub(crate) fn allocations() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.allocations + stats.reallocations) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_is_counted_with_its_bytes() {
        let before = (allocations(), bytes());
        let held = std::hint::black_box(vec![0_u8; 1 << 28]);
        // Other tests run beside this one.
        assert!(allocations() > before.0 && bytes() > before.1 + (1 << 27));
        drop(held);
    }
}
