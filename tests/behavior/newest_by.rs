//! With `newest_by` an older row never overwrites a newer one; which columns cannot say which is older.

use forebay::ErrorKind;
use support::Scratch;

#[test]
fn a_column_that_takes_any_type_cannot_be_compared() {
    for table in [
        "t(id INTEGER PRIMARY KEY, at)",
        "t(id INTEGER PRIMARY KEY, at BLOB)",
        "t(id INTEGER PRIMARY KEY, at ANY) STRICT",
    ] {
        let scratch = Scratch::new(&format!("CREATE TABLE {table}"));
        let buffer = scratch.buffer();
        let error = buffer.table("t").upsert(["id"]).newest_by("at").producer().unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Schema, Some("at")), "{table}");
        let message = error.to_string();
        assert!(message.contains("`at`") && message.contains("INTEGER"), "{message}");
        let error = buffer.table("t").upsert(["id"]).newest_by("when").producer().unwrap_err();
        assert!(error.to_string().contains("`when`"), "{error}");
        assert!(error.to_string().contains("id, at"), "{error}");
    }
}
