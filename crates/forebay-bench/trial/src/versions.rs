//! Which libraries a program was built with.

use std::collections::BTreeMap;

/// The versions of these packages in a `Cargo.lock`: that of the program, by `include_str!`.
pub fn locked_versions(lock: &str, packages: &[&str]) -> BTreeMap<String, String> {
    let value = |line: &str, key: &str| {
        let value = line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')?;
        Some(value.to_owned())
    };
    let lines = lock.lines().zip(lock.lines().skip(1));
    lines
        .filter_map(|(first, second)| Some((value(first, "name")?, value(second, "version")?)))
        .filter(|(name, _)| packages.contains(&name.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_are_those_of_the_lock_file() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"ab\"\n\
                    version = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n";
        let found = locked_versions(lock, &["a", "c"]);
        assert_eq!(found, BTreeMap::from([("a".to_owned(), "1.2.3".to_owned())]));
    }
}
