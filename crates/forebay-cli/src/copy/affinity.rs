//! What a column of SQLite's is declared to hold.

/// What a declared type says of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Affinity {
    Integer,
    Real,
    Text,
    Blob,
    Boolean,
    /// Nothing: there is none, or it is one that SQLite has no rule for but that numbers are stored as such (dates,
    /// decimals).
    Any,
}

impl Affinity {
    /// By SQLite's own rules, in its order; of those that it counts as numeric, booleans are told apart.
    pub(super) fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let holds = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if holds(&["INT"]) {
            Self::Integer
        } else if holds(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if holds(&["BLOB"]) {
            Self::Blob
        } else if holds(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else if matches!(declared.trim(), "BOOL" | "BOOLEAN") {
            Self::Boolean
        } else {
            Self::Any
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_are_read_as_sqlite_reads_them() {
        for (declared, is) in [
            ("INTEGER", Affinity::Integer),
            ("unsigned big int", Affinity::Integer),
            ("CHARINT", Affinity::Integer),
            ("VARCHAR(255)", Affinity::Text),
            ("clob", Affinity::Text),
            ("BLOB", Affinity::Blob),
            ("DOUBLE PRECISION", Affinity::Real),
            ("float", Affinity::Real),
            ("Boolean", Affinity::Boolean),
            ("DATETIME", Affinity::Any),
            ("DECIMAL(10,5)", Affinity::Any),
            ("", Affinity::Any),
            ("ANY", Affinity::Any),
        ] {
            assert_eq!(Affinity::of(declared), is, "{declared}");
        }
    }
}
