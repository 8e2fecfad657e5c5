//! Names and texts as both databases read them in SQL.

pub(crate) use forebay::sql::quoted;

/// Names, with commas between them.
pub(crate) fn named<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<_> = names.iter().map(|name| quoted(name.as_ref())).collect();
    names.join(", ")
}

/// A text, as a value.
pub(crate) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
