//! A wall clock that jumps, forwards and backwards, while a buffer waits for one time or another.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use support::{Scratch, Seen, Trial};

/// Where Debian's package `faketime` has the library; the dynamic linker knows what `$LIB` is.
const LIBRARY: &str = "/usr/$LIB/faketime/libfaketime.so.1";

/// Rows of the child's task.
const ROWS: i64 = 50;

/// Sets the clock of the process that looks at this file so many seconds off.
fn set(file: &Path, seconds: i64) {
    let next = file.with_extension("next");
    fs::write(&next, format!("{seconds:+}\n")).unwrap();
    fs::rename(next, file).unwrap();
}

/// Has the clock jump until the process has ended.
fn jump(file: &Path, ended: &AtomicBool) {
    let year = 365 * 24 * 3_600;
    while !ended.load(Ordering::Relaxed) {
        set(file, fastrand::i64(-year..year));
        thread::park_timeout(Duration::from_millis(3));
    }
}

#[test]
fn a_clock_that_jumps_changes_no_linger_no_receipt_no_retry_and_no_close() {
    let how = "faketime sets the wall clock up to a year forwards or backwards every 3 ms";
    Trial::of(16, "clock jumps", how).rounds(3, 50).run(|_| {
        let scratch = Scratch::new(Seen::SCHEMA);
        let file = scratch.path().with_extension("clock");
        set(&file, 0);
        let mut command = Command::new(env!("CARGO_BIN_EXE_fault-child"));
        command
            .arg("clock")
            .arg(scratch.path())
            .env("LD_PRELOAD", LIBRARY)
            .env("FAKETIME_TIMESTAMP_FILE", &file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let ended = AtomicBool::new(false);
        let output = thread::scope(|scope| {
            scope.spawn(|| jump(&file, &ended));
            let mut child = command.spawn().unwrap();
            // It ends when nobody holds this any more.
            let _input = child.stdin.take();
            let output = child.wait_with_output();
            ended.store(true, Ordering::Relaxed);
            output.unwrap()
        });
        let [said, complained] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{complained}");
        let jumps: u64 = said.lines().last().unwrap().parse().unwrap();
        assert!(
            jumps > 0,
            "the clock did not jump: `benches/install faketime`, as root, installs what sets it"
        );
        let ids = (0..ROWS).filter(|id| id % 10 < 6);
        Seen { rows: 30, ..Seen::in_table(&scratch.path(), ids) }
    });
}
