//! The machine and the disk that figures come from.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

use crate::results::{Disk, Host};
use crate::spread::Spread;

/// Flushes that are timed.
const FLUSHES: usize = 20;

/// The machine that this runs on.
pub fn host() -> Host {
    let name = rustix::system::uname();
    let (system, release) = (name.sysname().to_string_lossy(), name.release().to_string_lossy());
    let kib = line_of("/proc/meminfo", "MemTotal:")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    Host {
        system: format!("{system} {release}"),
        processor: line_of("/proc/cpuinfo", "model name").map_or_else(
            || name.machine().to_string_lossy().into_owned(),
            |text| text.trim_start_matches([':', ' ', '\t']).to_owned(),
        ),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: kib.map(|kib| kib * 1024),
    }
}

fn line_of(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned())
}

/// The disk that a folder lies on. Blocks for the flushes that are timed.
pub fn disk(folder: &Path) -> Disk {
    Disk { filesystem: filesystem(folder), flush_seconds: flush_seconds(folder) }
}

/// Whether a disk is memory, where flushes cost nothing.
pub(crate) fn is_memory(disk: &Disk) -> bool {
    ["tmpfs", "ramfs"].contains(&disk.filesystem.as_str())
}

/// The filesystem's name: that of the mount whose path is the longest above the folder.
pub fn filesystem(folder: &Path) -> String {
    let unknown = || "unknown".to_owned();
    let Ok(folder) = folder.canonicalize() else { return unknown() };
    let Ok(mounts) = fs::read_to_string("/proc/self/mounts") else { return unknown() };
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind) = (fields.next()?.replace("\\040", " "), fields.next()?);
        folder.starts_with(&path).then_some((path.len(), kind))
    });
    above.max_by_key(|(length, _)| *length).map_or_else(unknown, |(_, kind)| kind.to_owned())
}

fn flush_seconds(folder: &Path) -> Option<Spread> {
    let mut file = tempfile::tempfile_in(folder).ok()?;
    let page = [1_u8; 4_096];
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        let begun = Instant::now();
        file.seek(SeekFrom::Start(0)).ok()?;
        file.write_all(&page).ok()?;
        file.sync_data().ok()?;
        times.push(begun.elapsed().as_secs_f64());
    }
    Spread::of(times)
}
