//! `forebay bench` as a person or a pipeline meets it: what it prints, keeps, refuses, and how it ends.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;

use assert_cmd::cargo::cargo_bin;
use insta::assert_snapshot;

/// A run that is soon over.
const SHORT: &str = "--contender direct,forebay@10 --rounds 1 --seconds 0.1 --workers 3";

/// A folder that commands run in, and which is removed in the end.
struct Folder(tempfile::TempDir);

struct Ran {
    code: Option<i32>,
    out: String,
    errors: String,
}

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn run(&self, line: &str) -> Ran {
        let ran = Command::new(cargo_bin("forebay"))
            .args(line.split_whitespace())
            .current_dir(self.0.path())
            .env("FOREBAY", cargo_bin("forebay"))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: ran.status.code(), out: text(ran.stdout), errors: text(ran.stderr) }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    /// All that is in it.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Ran {
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.errors);
        self
    }
}

#[test]
fn help_has_examples_columns_and_exit_codes() {
    let folder = Folder::new();
    assert_snapshot!("short_help", folder.run("bench -h").exits(0).out);
    assert_snapshot!("long_help", folder.run("bench --help").exits(0).out);
}

#[test]
fn a_run_is_a_table_on_standard_output_and_files_where_they_were_asked_for() {
    let folder = Folder::new();
    fs::write(folder.0.path().join("old.json"), "x".repeat(100_000)).unwrap();
    // Of two values the last counts, as scripts with a default need it.
    let line = format!(
        "bench --rounds 9 --seconds 600 {SHORT} -o a/b --json old.json --fail-below forebay@10=0.000001"
    );
    let ran = folder.run(&line).exits(0);
    for told in
        ["hot: 400 topics", "3 threads; 1 round", "rows/s", "\npush\n", "\nawait\n", "  forebay@10"]
    {
        assert!(ran.out.contains(told), "{told} is not in {}", ran.out);
    }
    assert_eq!(folder.names(), ["a", "old.json"]);
    let json: serde_json::Value = serde_json::from_str(&folder.read("old.json")).unwrap();
    assert_eq!(json["entries"].as_array().unwrap().len(), 4);
    assert_eq!(folder.read("a/b/results.json"), folder.read("old.json"));
    assert_eq!(folder.read("a/b/results.csv").lines().count(), 5);
    assert!(folder.read("a/b/results.md").contains("| forebay@10 |"));
    assert!(folder.read("a/b/index.html").contains("</html>"));
    let made = |name: &str| folder.0.path().join("a/b").join(name).exists();
    for chart in ["rates-push.svg", "rates-await.svg", "latency-await.svg"] {
        roxmltree::Document::parse(&folder.read(&format!("a/b/{chart}"))).unwrap();
    }
    assert!(!made("batch-sizes.svg"), "there is one batch size");
}

#[test]
fn results_on_standard_output_are_alone_there() {
    let folder = Folder::new();
    let ran = folder.run(&format!("bench {SHORT} --csv - --mode await")).exits(0);
    assert!(ran.out.starts_with("mode,contender,") && ran.out.lines().count() == 3, "{}", ran.out);
    assert!(ran.errors.contains("  forebay@10"), "{}", ran.errors);
}

#[test]
fn another_checkpoint_and_other_producers_take_part_beside_the_usual_ones() {
    let folder = Folder::new();
    let contenders =
        "limit@10,limit@10+default-checkpoint,forebay@10+coalesce+unordered,forebay@10+spool";
    let ran = folder.run(&format!(
        "bench --contender {contenders} --workers 3 --mode push --rounds 1 --seconds 0.1"
    ));
    let out = ran.exits(0).out;
    assert!(out.contains("those with +default-checkpoint)"), "{out}");
    assert!(contenders.split(',').all(|name| out.contains(name)), "{out}");
}

#[test]
fn workers_that_are_processes_are_told_as_such() {
    let folder = Folder::new();
    let line =
        "bench --contender direct,limit@10 --as processes --workers 2 --rounds 1 --seconds 0.1";
    let ran = folder.run(&format!("{line} --mode push --json bench.json")).exits(0);
    let json: serde_json::Value = serde_json::from_str(&folder.read("bench.json")).unwrap();
    let kinds = [0, 1].map(|entry| json["entries"][entry]["figures"]["worker_kind"].clone());
    assert_eq!(kinds, ["processes", "threads"]);
    assert!(!ran.out.contains("workers are threads"), "limit is one thread always: {}", ran.out);
}

#[test]
fn a_run_opens_as_many_files_as_the_system_lets_it() {
    let folder = Folder::new();
    let line = "bench --contender direct --as processes --workers 20 --rounds 1 --seconds 0.1";
    let ran = Command::new("sh")
        .args(["-c", &format!("ulimit -Sn 32; exec \"$0\" {line}")])
        .arg(cargo_bin("forebay"))
        .current_dir(folder.0.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn a_ratio_below_its_threshold_ends_with_code_1() {
    let folder = Folder::new();
    let line = format!("bench {SHORT} --mode push --fail-below forebay@10=100000");
    let ran = folder.run(&line).exits(1);
    let line = ran.errors.lines().last().unwrap();
    assert!(line.starts_with("forebay@10, push: ") && line.ends_with("below 100000"), "{line}");
}

#[test]
fn a_contender_that_fails_has_no_figures_and_ends_with_code_3() {
    let folder = Folder::new();
    let ran = folder.run(&format!("bench {SHORT} --rival broken=/bin/false")).exits(3);
    let broken = ran.out.lines().find(|line| line.starts_with("  broken")).unwrap();
    assert!(broken.split_whitespace().skip(2).all(|cell| cell == "–"), "{broken}");
    assert!(
        ran.errors.contains("error: broken failed: broken has ended without an answer"),
        "{}",
        ran.errors
    );
}

#[test]
fn a_contender_whose_database_does_not_hold_what_it_said_is_void_and_ends_with_code_1() {
    let folder = Folder::new();
    let program =
        |name: &str| format!("{name}={}/tests/contenders/{name}", env!("CARGO_MANIFEST_DIR"));
    for (name, why) in [
        ("loser", "30 topics not as acknowledged: topic 0 is not there, and update 0 was"),
        ("inventor", "1 topic not as acknowledged: topic "),
    ] {
        let line = format!(
            "bench {SHORT} --workload append --mode await --rival {} --json {name}.json",
            program(name)
        );
        let ran = folder.run(&line).exits(1);
        let shown = ran.out.lines().find(|line| line.starts_with(&format!("  {name} "))).unwrap();
        let mut cells = shown.split_whitespace().skip(1);
        assert_eq!(cells.next(), Some("void"), "{shown}");
        assert!(cells.all(|cell| cell == "–"), "{shown}");
        let told = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(&format!("{name} is void in await: {why}")), "{told}");
        let json: serde_json::Value =
            serde_json::from_str(&folder.read(&format!("{name}.json"))).unwrap();
        let entries = json["entries"].as_array().unwrap();
        let (void, valid): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry["contender"] == name);
        assert_eq!((void.len(), valid.len()), (1, 2));
        assert_eq!(void[0]["verdict"]["is"], "void");
        assert!(void[0]["verdict"]["why"].as_str().unwrap().starts_with(why), "{}", void[0]);
        assert!(void[0]["figures"].is_null(), "{}", void[0]);
        assert!(valid.iter().all(|entry| entry["verdict"]["is"] == "valid"), "{json}");
    }
}

#[test]
fn ctrl_c_ends_a_run_and_no_contender_seems_to_have_failed() {
    let folder = Folder::new();
    let mut command = Command::new(cargo_bin("forebay"));
    let line = "bench --contender direct --seconds 3600 -o report";
    command.args(line.split(' ')).current_dir(folder.0.path()).stderr(Stdio::piped());
    // A terminal sends it to all processes of the group.
    let child = command.process_group(0).spawn().unwrap();
    while !folder.names().iter().any(|name| name.starts_with(".forebay-bench-")) {
        thread::yield_now();
    }
    let kill = Command::new("kill").args(["-INT", "--", &format!("-{}", child.id())]).status();
    assert!(kill.unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let errors = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(errors, "stopped before the first round was over: there are no results\n");
    assert_eq!(ended.status.code(), Some(130));
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn what_cannot_be_done_is_told_before_anything_is_run() {
    let folder = Folder::new();
    fs::write(folder.0.path().join("file"), "kept").unwrap();
    fs::create_dir(folder.0.path().join("folder")).unwrap();
    let mut said = String::new();
    for (line, code) in [
        ("bench --quick --json missing/bench.json", 3),
        ("bench --quick --markdown folder", 3),
        ("bench --quick -o file", 3),
        ("bench --quick -o new/folder --json missing/bench.json", 3),
        ("bench --quick -o new --csv new/results.csv", 3),
        ("bench --quick -o folder --csv folder/results.csv", 2),
        ("bench --quick --json - --csv -", 2),
        ("bench --quick --mode push -o new --fail-below await:forebay@400=2", 2),
        ("bench --quick -o new --fail-below forebay=fast", 2),
        ("bench --quick -o new --contender forebay,direct --fail-below forebay@400=2", 2),
        ("bench --quick -o new --workload cold", 2),
        ("bench --quick -o new --rounds 0", 2),
        ("bench --quick -o new --workers 0", 2),
        ("bench --quick -o new --as processes --workers 1001", 2),
        ("bench --quick -o new --seconds -1", 2),
        ("bench --quick -o new --seconds nan", 2),
        ("bench --quick -o new --seconds 1e9", 2),
        ("bench --quick -o new --rate -1", 2),
        ("bench --quick -o new --rate 1e-300", 2),
    ] {
        let ran = folder.run(line).exits(code);
        assert_eq!(ran.out, "");
        said.push_str(&format!("$ forebay {line}\n{}\n", ran.errors));
    }
    assert_snapshot!("refusals", said);
    folder.run("bench --quick -o new/folder --csv bench.csv --dir missing").exits(3);
    assert_eq!(folder.names(), ["file", "folder"]);
    assert_eq!(folder.read("file"), "kept");
    assert_eq!(fs::read_dir(folder.0.path().join("folder")).unwrap().count(), 0);
}
