//! Where the password comes from, and that it is nowhere to be seen.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ::support::Cluster;

use super::{Folder, Ran};

const PASSWORD: &str = "s3cret:with\\all&of%it";

/// A server that asks for the password.
fn server() -> Cluster {
    let server = Cluster::private(&[("fsync", "off")]);
    let role =
        format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; CREATE DATABASE app OWNER app");
    let mut client = server.config("postgres").connect(::postgres::NoTls).unwrap();
    for statement in role.split("; ") {
        client.batch_execute(statement).unwrap();
    }
    let mut client = server.config("app").connect(::postgres::NoTls).unwrap();
    client.batch_execute("DROP TABLE _forebay, _forebay_rejected").unwrap();
    server.admit("local all app scram-sha-256\nhost all app 127.0.0.1/32 scram-sha-256\nlocal all all trust\n");
    server
}

#[test]
fn it_is_taken_from_the_environment_or_a_file_and_never_shown() {
    let server = server();
    let folder = Folder::with("CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
    let url = server.tcp_url("app").replace("postgres@", "app@");
    let port = server.address().port();
    let escaped = PASSWORD.replace('\\', r"\\").replace(':', r"\:");
    let line = format!(
        "# of all servers\n127.0.0.1:{port}:other:app:wrong\n127.0.0.1:{port}:app:*:{escaped}\n"
    );
    fs::write(folder.path("pgpass"), line).unwrap();
    let file = folder.path("pgpass");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let copy = format!("forebay copy app.db '{url}' --table t");
    let file_of = format!("PGPASSFILE={} ", file.display());
    let right = format!("PGPASSWORD='{PASSWORD}' ");
    let cases = [
        ("PGPASSFILE=/dev/null ", 3),
        ("PGPASSFILE=/dev/null PGPASSWORD=wr0ng ", 3),
        (right.as_str(), 0),
        (file_of.as_str(), 0),
    ];
    for (environment, code) in cases {
        let Ran { code: ended, out, errors } =
            folder.run_script(&format!("unset PGPASSWORD; {environment}{copy}"));
        assert_eq!(ended, Some(code), "{environment}: {errors}");
        assert!(!format!("{out}{errors}").contains("s3cret"), "{out}{errors}");
        assert!(!errors.contains("wr0ng"), "{errors}");
        assert!(code == 0 || errors.contains("password"), "{errors}");
    }
    // What others can read is no secret, and no password.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    folder.run_script(&format!("unset PGPASSWORD; {file_of}{copy}")).exits(3);
}
