//! What the process has used of the machine.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// A look at what the process has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    /// Bytes given to write calls; `None` where the system does not tell.
    pub(crate) written_bytes: Option<u64>,
}

impl Usage {
    pub(crate) fn now() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            written_bytes: number_in("/proc/self/io", "wchar:"),
        }
    }

    /// What was used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            written_bytes: self
                .written_bytes
                .zip(before.written_bytes)
                .map(|(now, then)| now - then),
        }
    }
}

/// The most memory that the process has had; `None` where the system does not tell.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    number_in("/proc/self/status", "VmHWM:").map(|kib| kib * 1024)
}

fn number_in(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
