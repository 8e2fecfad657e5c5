//! What kind of filesystem a folder lies on.

use std::path::Path;

/// The name of the network filesystem that a folder lies on, if it does.
#[cfg(not(target_os = "linux"))]
pub(crate) fn network_filesystem(_: &Path) -> Option<&'static str> {
    None
}

/// The name of the network filesystem that a folder lies on, if it does.
#[cfg(target_os = "linux")]
pub(crate) fn network_filesystem(folder: &Path) -> Option<&'static str> {
    // The magic numbers of statfs(2).
    let kind = match rustix::fs::statfs(folder).ok()?.f_type as u32 {
        0x6969 => "NFS",
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => "SMB",
        0x0102_1997 => "9P",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x00C3_6400 => "Ceph",
        0x0BD0_0BD0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x7375_7245 => "Coda",
        _ => return None,
    };
    Some(kind)
}
