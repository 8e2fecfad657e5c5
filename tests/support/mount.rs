//! Filesystems that a test needs to be full or read-only, mounted for it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

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

/// An ext4 filesystem in a file, which turns read-only under those who write to it, as one does that finds its disk
/// failing. It needs a loop device, and is unmounted in the end.
pub struct FailingDisk {
    image: tempfile::NamedTempFile,
    mount: Mount,
}

impl FailingDisk {
    /// A filesystem of so many bytes.
    ///
    /// # Panics
    ///
    /// When it cannot be made or mounted.
    pub fn new(bytes: u64) -> Self {
        let image = tempfile::NamedTempFile::new().expect("a file for a filesystem");
        image.as_file().set_len(bytes).expect("a file of that size");
        run("mkfs.ext4", &["-q".as_ref(), image.path().as_os_str()]);
        let folder = tempfile::tempdir().expect("a folder to mount on");
        let disk =
            Self { image, mount: Mount { at: folder.path().to_owned(), _folder: Some(folder) } };
        disk.mount();
        disk
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.mount.path()
    }

    /// The filesystem takes no more writes, from those who have files open either.
    ///
    /// # Panics
    ///
    /// When it cannot be told to.
    pub fn fail(&self) {
        mount(&["-o".as_ref(), "remount,abort".as_ref()], self.path());
    }

    /// Unmounts, repairs and mounts it, for which it waits a moment until nobody has files open.
    ///
    /// # Panics
    ///
    /// When one of that fails.
    pub fn repair(&self) {
        let unmount = || Command::new("umount").arg(self.path()).output();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !unmount().is_ok_and(|output| output.status.success()) {
            assert!(Instant::now() < deadline, "files are open in {}", self.path().display());
            std::thread::park_timeout(Duration::from_millis(10));
        }
        // 1 is its exit code when it has repaired something.
        let check = "e2fsck -p \"$0\" || [ $? = 1 ]";
        run("sh", &["-c".as_ref(), check.as_ref(), self.image.path().as_os_str()]);
        self.mount();
    }

    fn mount(&self) {
        let image = self.image.path().as_os_str();
        mount(&["-o".as_ref(), "loop,errors=remount-ro".as_ref(), image], self.path());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: what is still open in it must not keep it mounted. A failure shows in the next test.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn mount(arguments: &[&OsStr], at: &Path) {
    let arguments: Vec<&OsStr> = arguments.iter().copied().chain([at.as_os_str()]).collect();
    run("mount", &arguments);
}

fn run(program: &str, arguments: &[&OsStr]) {
    let why = match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!(
        "this test needs root, to mount a filesystem (TESTS_WITHOUT_ROOT=1 tests/run leaves such tests \
         out): {program}: {why}"
    );
}
