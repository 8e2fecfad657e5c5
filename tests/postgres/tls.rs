//! TLS: who the server is has to be proven where it is asked for, and what is sent is encrypted then.

use std::fs;
use std::path::Path;

use forebay::{Config, ErrorKind, WriteBuffer};
use forebay_postgres::PostgresOptions;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::Cluster;

/// A certificate of an authority of its own, for a server of this name.
struct Certified {
    authority: String,
    certificate: String,
    key: String,
}

impl Certified {
    fn server(name: &str) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let certificate = server.signed_by(&key, &issuer).unwrap().pem();
        Self { authority: authority_pem, certificate, key: key.serialize_pem() }
    }

    /// A server that has it, and takes no connection by TCP that is not encrypted.
    fn serve(&self) -> Cluster {
        let cluster = Cluster::private(&[("fsync", "off")]);
        cluster.put("server.crt", &self.certificate);
        cluster.put("server.key", &self.key);
        cluster.set("ssl", "on");
        cluster.admit("local all all trust\nhostssl all all 127.0.0.1/32 trust\n");
        // A reload is enough, but says nothing of when it is done.
        cluster.stop_immediate();
        cluster.start();
        cluster
    }

    fn trusted(&self, folder: &Path) -> PostgresOptions {
        let path = folder.join("root.pem");
        fs::write(&path, &self.authority).unwrap();
        PostgresOptions { root_certificate: Some(path), ..PostgresOptions::default() }
    }
}

#[test]
fn rows_are_written_over_an_encrypted_connection_to_a_server_that_is_trusted() {
    let certified = Certified::server("127.0.0.1");
    let cluster = certified.serve();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}?sslmode=require", cluster.tcp_url("postgres"));
    let sink = certified.trusted(folder.path()).connect(&url).unwrap();
    let buffer = WriteBuffer::with_sink(sink, Config::default()).unwrap();
    buffer.execute("CREATE TABLE t(encrypted BOOLEAN)").unwrap();
    let sql = "INSERT INTO t SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let nothing = std::collections::HashMap::<String, i64>::new();
    buffer.statement(sql).unwrap().write(&nothing).unwrap();
    let mut client = cluster.config("postgres").connect(postgres::NoTls).unwrap();
    let encrypted: bool = client.query_one("SELECT encrypted FROM t", &[]).unwrap().get(0);
    assert!(encrypted);
}

#[test]
fn a_server_that_is_not_trusted_or_is_another_or_has_no_tls_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let certified = Certified::server("127.0.0.1");
    let cluster = certified.serve();
    let url = cluster.tcp_url("postgres");
    let required = format!("{url}?sslmode=require");
    let refused = |options: &PostgresOptions, url: &str, said: &str| {
        let error = options.connect(url).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Open, "{error:#}");
        assert!(format!("{error:#}").contains(said), "{error:#}");
    };
    let stranger = Certified::server("127.0.0.1").trusted(folder.path());
    refused(&stranger, &required, "sslrootcert");
    let trusted = certified.trusted(folder.path());
    drop(trusted.connect(&required).unwrap());
    // Where nothing is encrypted the server takes no connection.
    refused(&trusted, &url, "pg_hba.conf");

    let another = Certified::server("db.example");
    let cluster = another.serve();
    let required = format!("{}?sslmode=require", cluster.tcp_url("postgres"));
    refused(&another.trusted(folder.path()), &required, "certificate for this host");

    let required = format!("{}?sslmode=require", Cluster::shared().tcp_url("postgres"));
    refused(&PostgresOptions::default(), &required, "ssl = on");

    let missing = PostgresOptions {
        root_certificate: Some(folder.path().join("nowhere.pem")),
        ..PostgresOptions::default()
    };
    refused(&missing, &required, "nowhere.pem");
}
