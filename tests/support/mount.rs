//! Filesystems that a test needs to be full or read-only, mounted for it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mount that is undone in the end. To mount takes root.
pub struct Mount {
    at: PathBuf,
    _folder: Option<tempfile::TempDir>,
}

impl Mount {
    /// A filesystem of its own in memory, with room for `bytes`.
    ///
    /// # Panics
    ///
    /// When it cannot be mounted.
    pub fn tmpfs(bytes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder to mount on");
        let at = folder.path().to_owned();
        let options = format!("size={bytes}");
        mount(&["-t", "tmpfs", "-o", &options, "forebay"].map(OsStr::new), &at);
        Self { at, _folder: Some(folder) }
    }

    /// Makes a folder or a file read-only, for root too.
    ///
    /// # Panics
    ///
    /// When it cannot be mounted.
    pub fn read_only(at: &Path) -> Self {
        let at = at.to_owned();
        mount(&["--bind".as_ref(), at.as_os_str()], &at);
        let mounted = Self { at, _folder: None };
        mount(&["-o".as_ref(), "remount,bind,ro".as_ref()], &mounted.at);
        mounted
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: what is still open in it must not keep it mounted. A failure shows in the next test.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn mount(arguments: &[&OsStr], at: &Path) {
    let why = match Command::new("mount").args(arguments).arg(at).output() {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!(
        "this test needs root, to mount a filesystem (TESTS_WITHOUT_ROOT=1 tests/run leaves such tests \
         out): {why}"
    );
}
