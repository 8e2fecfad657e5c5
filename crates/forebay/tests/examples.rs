//! The examples are true: what they print at the end they have compared.

#[allow(dead_code, unreachable_pub)]
#[path = "../examples/package_states.rs"]
mod package_states;
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/topic_status.rs"]
mod topic_status;

use std::path::Path;

#[test]
fn every_package_has_the_state_of_its_last_line_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/dpkg.log"));
    let mut out = Vec::new();
    let report = package_states::run(log, &folder.path().join("packages.db"), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("equal: every one of the 649 packages"), "{text}");
    assert_eq!((report.packages, report.status_lines, report.differing), (649, 3_748, 0));
    assert_eq!(report.stats.committed, 3_748);
}

#[test]
fn every_topic_ends_as_its_worker_left_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut out = Vec::new();
    let report = topic_status::run(&folder.path().join("topics.db"), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("equal: every one of the 32000 topics"), "{text}");
    assert_eq!((report.differing, report.errors), (0, 0));
    assert_eq!(report.stats.committed, 160_000);
}
