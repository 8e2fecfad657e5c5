//! Settings on standard output, figures on standard error, and files that show them.

use forebay::Config;

use crate::support::Folder;
use crate::{SCHEMA, SHORT, files, folders};

#[test]
fn settings_for_rows_that_are_pushed_are_printed_and_load() {
    let folder = Folder::with(SCHEMA);
    let before = files(&folder);
    let ran =
        folder.run(&format!("forebay tune --db app.db --table topics --p99 1h {SHORT}")).exits(0);
    let config: Config = toml::from_str(&ran.out).unwrap();
    config.check().unwrap();
    assert_eq!(config.batch_size, config.max_transaction_rows);
    assert_eq!(config.linger.as_millis(), 100, "an hour has room for the longest");
    for told in [
        "copied `topics` with 300 rows",
        "trying 12 batch sizes",
        "trying 2 settings",
        "transaction",
        "linger  ",
        "→ ",
        "rows/s by rows in a batch",
        "rows/s by time until a row is committed: two transactions",
        "The settings were tried as they are",
        "40 of the 300 copied rows of `topics`, written back by `id` over and over",
        "4 workers, nobody waits for commits; 1 round of 10 ms",
    ] {
        assert!(ran.errors.contains(told), "{told:?} is not in {}", ran.errors);
    }
    assert_eq!((files(&folder), folders(&folder)), (before, vec![]));
}

#[test]
fn settings_for_workers_that_wait_are_printed_and_say_which_trigger_fires() {
    let folder = Folder::with(SCHEMA);
    let ran = folder
        .run(&format!("forebay tune --db app.db --table topics --await --durability full {SHORT}"))
        .exits(0);
    let config: Config = toml::from_str(&ran.out).unwrap();
    assert_eq!(
        (config.linger, config.durability),
        (Config::default().linger, forebay::Durability::Full)
    );
    assert!(ran.errors.contains(" cannot fill with 4 workers that wait"), "{}", ran.errors);
    assert!(ran.errors.contains("Linger does not matter where all wait"), "{}", ran.errors);
}

#[test]
fn a_budget_that_cannot_be_kept_is_told_and_settings_are_printed_all_the_same() {
    let folder = Folder::with(SCHEMA);
    for mode in ["--push", "--await"] {
        let ran = folder
            .run(&format!("forebay tune --db app.db --table topics {mode} --p99 1ns {SHORT}"))
            .exits(1);
        assert!(
            ran.errors.contains("The budget cannot be kept: no batch size keeps"),
            "{}",
            ran.errors
        );
        assert!(ran.out.contains("# These do NOT keep the budget"), "{}", ran.out);
        toml::from_str::<Config>(&ran.out).unwrap();
    }
    assert_eq!(folders(&folder), [""; 0]);
}

#[test]
fn rows_are_inserted_where_there_is_no_key() {
    let folder = Folder::with(SCHEMA);
    let ran = folder
        .run(&format!("forebay tune --db app.db --table log --insert {SHORT} --p99 1h"))
        .exits(0);
    for told in ["copied `log` with 1 row;", "the only copied row of `log`, inserted over and over"]
    {
        assert!(ran.errors.contains(told), "{told:?} is not in {}", ran.errors);
    }
    assert_eq!(folder.count("log"), 1);
}

#[test]
fn figures_charts_and_a_page_are_kept() {
    let folder = Folder::with(SCHEMA);
    folder
        .run(&format!("forebay tune --db app.db --table topics -o out --p99 1h {SHORT}"))
        .exits(0);
    let page = folder.read("out/index.html");
    for told in [
        "<svg",
        "forebay tune: topics",
        "recommended\n",
        "\nbatch_size = ",
        "forebay bench --db app.db",
        "<tr class=\"forebay\">",
        "<dt>filesystem</dt>",
        "<dt>SQLite</dt>",
        "rows in a batch, logarithmic",
    ] {
        assert!(page.contains(told), "{told}");
    }
    for name in ["rates.svg", "latency.svg", "linger.svg"] {
        roxmltree::Document::parse(&folder.read(&format!("out/{name}"))).unwrap();
    }
    let tuning: forebay_bench::tune::Tuning =
        serde_json::from_str(&folder.read("out/tuning.json")).unwrap();
    assert_eq!((tuning.format.as_str(), tuning.batches.len()), ("forebay-tune", 12));
    assert_eq!(tuning.confirmed.rows_per_second.rounds.len(), 1);
    folder
        .run(&format!("forebay tune --db app.db --table topics -o out2 --await {SHORT}"))
        .exits(0);
    assert!(folder.path("out2/latency.svg").exists());
    assert!(!folder.path("out2/linger.svg").exists(), "linger does not matter there");
}

#[test]
fn one_row_that_is_far_larger_than_the_others_has_room() {
    let folder = Folder::with(
        "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);
         INSERT INTO notes VALUES (1, 'short'), (2, 'short'), (3, printf('%.*c', 200000, 'x'));",
    );
    let line = format!("forebay tune --db app.db --table notes --p99 1h {SHORT}");
    let tuned = || {
        let ran = folder.run(&line);
        // Whether a transaction of such rows ends in time is up to the machine.
        assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");
        let config: Config = toml::from_str(&ran.out).unwrap();
        config.check().unwrap();
        config
    };
    assert_eq!(tuned().max_row_bytes, Config::default().max_row_bytes);
    folder
        .connection()
        .execute_batch("UPDATE notes SET body = printf('%.*c', 3000000, 'x') WHERE id = 3")
        .unwrap();
    assert_eq!(tuned().max_row_bytes, 4 << 20);
}

#[test]
fn the_command_in_the_settings_tries_them_again() {
    let folder = Folder::with(SCHEMA);
    let ran = folder
        .run(&format!("forebay tune --db app.db --table topics --p99 1h --durability full {SHORT}"))
        .exits(0);
    folder.write("forebay.toml", &ran.out);
    let command = ran.out.lines().find_map(|line| line.strip_prefix("# To try them again: "));
    let command = command.unwrap();
    for option in ["--workers 4", "--keys 40", "--mode push", "--durability full", "--seconds 0.01"]
    {
        assert!(command.contains(option), "{command}");
    }
    let ran = folder.run(&format!("{command} --rounds 1")).exits(0);
    assert!(ran.out.contains("  configured"), "{}", ran.out);
    assert!(ran.out.contains("configured wrote "), "{}", ran.out);
}

#[test]
fn the_settings_can_be_proven_by_a_bench_of_the_table() {
    let folder = Folder::with(SCHEMA);
    let before = files(&folder);
    folder.write("tuned.toml", "batch_size = 20\nmax_transaction_rows = 20\n");
    let ran = folder.run(&format!(
        "forebay bench --db app.db --table topics --contender direct,limit@10,forebay --config tuned.toml \
         --json out.json {SHORT}"
    ));
    let ran = ran.exits(0);
    let results: serde_json::Value = serde_json::from_str(&folder.read("out.json")).unwrap();
    let entries = results["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 8, "{}", ran.errors);
    for entry in entries {
        assert_eq!(entry["verdict"]["is"], "valid", "{entry}");
    }
    assert_eq!(results["workload"]["name"], "table");
    let ran = folder.run(&format!("forebay bench --db app.db --table log --insert --json in.json --contender channel,forebay {SHORT}"));
    ran.exits(0);
    let results: serde_json::Value = serde_json::from_str(&folder.read("in.json")).unwrap();
    assert!(
        results["entries"]
            .as_array()
            .unwrap()
            .iter()
            .all(|entry| entry["verdict"]["is"] == "valid"),
        "{results}"
    );
    assert_eq!(files(&folder)["app.db"], before["app.db"]);
    assert_eq!(folders(&folder), [""; 0]);
}
