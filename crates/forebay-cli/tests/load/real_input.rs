//! A real log of Debian's package manager, by the example that the help gives, and by eight loads at once.

use std::collections::BTreeMap;

use crate::support::{Folder, Ran};

const LOG: &str = include_str!("../../../forebay/examples/data/dpkg.log");
const LOADS: usize = 8;

/// Each package with its last status line, as `state version date time`; and how many such lines there are.
fn last_states() -> (BTreeMap<&'static str, String>, u64) {
    let mut states = BTreeMap::new();
    let mut lines = 0;
    for line in LOG.lines() {
        let words: Vec<_> = line.split(' ').collect();
        if let [date, time, "status", state, package, version] = words[..] {
            states.insert(package, format!("{state} {version} {date} {time}"));
            lines += 1;
        }
    }
    (states, lines)
}

/// The same from the table that the example makes.
fn table_of(folder: &Folder) -> BTreeMap<String, String> {
    let connection = folder.connection();
    let mut rows = connection
        .prepare("SELECT package, state || ' ' || version || ' ' || at FROM packages")
        .unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// The first example of `forebay load --help`, which reads `dpkg.log` and writes to `app.db` here.
fn documented(folder: &Folder) -> String {
    folder.write("dpkg.log", LOG);
    let help = folder.run("forebay load --help").exits(0).out;
    let example = help.lines().skip_while(|line| !line.contains("awk"));
    let example: Vec<_> = example.take_while(|line| !line.is_empty()).map(str::trim).collect();
    let example = example.join("\n");
    for there in ["/var/log/dpkg.log", "packages.db"] {
        assert!(example.contains(there), "{example}");
    }
    example.replace("/var/log/dpkg.log", "dpkg.log").replace("packages.db", "app.db")
}

#[test]
fn the_example_of_the_help_ends_with_the_last_state_of_every_package() {
    let folder = Folder::with("");
    let script = documented(&folder);
    let ran = folder.run_script(&format!("{script} --json")).exits(0);
    let (states, lines) = last_states();
    assert_eq!((ran.count("read"), ran.count("committed")), (lines, lines));
    assert!(
        table_of(&folder)
            .iter()
            .map(|(name, state)| (name.as_str(), state))
            .eq(states.iter().map(|(name, state)| (*name, state)))
    );
}

#[test]
fn coalescing_writes_fewer_rows_and_the_same_table() {
    let folder = Folder::with("");
    let script = documented(&folder);
    let ran = folder.run_script(&format!("{script} --json --coalesce")).exits(0);
    let (states, lines) = last_states();
    assert_eq!(
        (ran.count("read"), ran.count("committed") + ran.count("superseded")),
        (lines, lines)
    );
    assert!(ran.count("superseded") > lines / 2, "{ran:?}");
    assert_eq!(
        table_of(&folder).into_values().collect::<Vec<_>>(),
        states.into_values().collect::<Vec<_>>()
    );
}

#[test]
fn eight_loads_at_once_make_one_table_and_none_meets_a_locked_database() {
    let folder = Folder::with("");
    let script = documented(&folder);
    let (awk, _) = script.split_once('|').unwrap();
    let tsv = folder.run_script(&format!("{awk} > status.tsv; wc -l < status.tsv")).exits(0).out;
    let (states, lines) = last_states();
    assert_eq!(tsv.trim().parse(), Ok(lines));

    let lock = folder.lock();
    let line = "forebay load status.tsv --columns package,state,version,at --into app.db --table packages \
                --create --upsert package --json";
    let mut loads: Vec<_> = (0..LOADS).map(|_| folder.start(line)).collect();
    for load in &mut loads {
        load.wait_for("has waited 0.1s for the lock of");
    }
    lock.execute_batch("COMMIT").unwrap();

    let ran: Vec<Ran> = loads.into_iter().map(|load| load.finish().exits(0)).collect();
    let sum = |name| ran.iter().map(|ran| ran.count(name)).sum::<u64>();
    let names = ["read", "committed", "rejected", "unwritten", "unknown"];
    assert_eq!(names.map(sum), [8 * lines, 8 * lines, 0, 0, 0]);
    assert!(ran.iter().all(|ran| ran.count("busy_waits") > 0), "{ran:#?}");
    for ran in &ran {
        assert!(!ran.errors.contains("database is locked"), "{ran:?}");
    }
    assert_eq!(
        table_of(&folder).into_values().collect::<Vec<_>>(),
        states.into_values().collect::<Vec<_>>()
    );
}

#[test]
fn eight_loads_at_once_make_one_database() {
    let folder = Folder::with("");
    folder.write("rows.csv", "id,v\n1,one\n2,two\n");
    let line = "forebay load rows.csv --into fresh.db --table t --create --upsert id --json";
    let loads: Vec<_> = (0..LOADS).map(|_| folder.start(line)).collect();
    for load in loads {
        assert_eq!(load.finish().exits(0).count("committed"), 2);
    }
    let fresh = rusqlite::Connection::open(folder.path("fresh.db")).unwrap();
    let count: u32 = fresh.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2);
}
