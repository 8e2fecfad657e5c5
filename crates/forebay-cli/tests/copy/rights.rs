//! Rights that are lacking: told at once, by their names, and waited for where they go while rows are written.

use ::support::Database;

use super::Move;
use super::going_on::held;

/// A user who may make tables, and has these rights, too.
fn user(of: &Move, name: &str, rights: &str) {
    of.to.run(&format!(
        "CREATE ROLE {name} LOGIN; GRANT CREATE ON SCHEMA public TO {name}; {}",
        rights.replace("[user]", name)
    ));
}

fn drop_user(of: &Move, name: &str) {
    of.to.run(&format!("DROP OWNED BY {name}; DROP ROLE {name}"));
}

#[test]
fn a_right_that_is_lacking_is_told_before_anything_is_written() {
    for (table, lacking, rights) in [
        ("_forebay", "UPDATE, DELETE", "GRANT SELECT, INSERT ON _forebay TO [user]"),
        (
            "t",
            "INSERT, UPDATE",
            "CREATE TABLE t(id BIGINT PRIMARY KEY); GRANT SELECT ON t TO [user]",
        ),
    ] {
        let of = Move::with("CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)", "");
        let name = format!("writer_without_{}", table.trim_start_matches('_'));
        user(&of, &name, rights);
        let line = of.line("--table t").replace("postgres@", &format!("{name}@"));
        let ran = of.folder.run(&line).exits(3);
        for told in [
            format!("error: {name} has no right to {lacking} in the table {table} in "),
            format!("GRANT {lacking} ON \"{table}\" TO \"{name}\""),
        ] {
            assert!(ran.errors.contains(&told), "{told} is not in {ran:?}");
        }
        of.to.run(&format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON _forebay TO {name};
             DO $$ BEGIN IF to_regclass('t') IS NOT NULL THEN GRANT INSERT, UPDATE ON t TO {name}; END IF; END $$"
        ));
        of.folder.run(&line).exits(0);
        drop_user(&of, &name);
    }
}

#[test]
fn a_right_that_goes_while_rows_are_written_is_waited_for_and_named() {
    let of = held("id INTEGER PRIMARY KEY");
    let name = "writer_that_loses_rights";
    user(&of, name, "GRANT SELECT, INSERT, UPDATE, DELETE ON _forebay, t TO [user]");
    let mut holder = of.to.connect();
    holder.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
    let mut running = of.start_as(name);
    of.to.run(&format!("REVOKE UPDATE ON _forebay FROM {name}"));
    drop(holder);
    running.wait_for("permission denied for table _forebay");
    running.wait_for(
        "waiting for the right to write to _forebay: GRANT SELECT, INSERT, UPDATE, DELETE ON \"_forebay\", and it goes on",
    );
    of.to.run(&format!("GRANT UPDATE ON _forebay TO {name}"));
    let summary = running.finish().exits(0).summary();
    assert_eq!(summary["tables"][0]["compared"]["is_equal"], true, "{summary}");
    drop_user(&of, name);
}
