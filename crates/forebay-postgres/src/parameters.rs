//! Parameters with names, `:at`, as the numbers that PostgreSQL has instead, `$1`.

/// A statement with numbered parameters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) sql: String,
    /// The names that have become numbers, in the order of these.
    pub(crate) names: Vec<Option<String>>,
    /// Whether there were parameters of both kinds, so that the numbers are not to be trusted.
    pub(crate) is_mixed: bool,
}

/// Replaces each `:name` outside of texts, quoted names and comments. One that comes again is the same parameter.
pub(crate) fn numbered(sql: &str) -> Numbered {
    let mut numbered =
        Numbered { sql: String::with_capacity(sql.len()), names: Vec::new(), is_mixed: false };
    let mut has_numbers = false;
    let mut rest = sql;
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '\'' => text_length(rest, before),
            '"' => quoted_length(rest, '"', false),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => comment_length(rest),
            '$' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                has_numbers = true;
                1
            }
            '$' if !is_part_of_name(before) => dollar_length(rest),
            ':' if rest.starts_with("::") => 2,
            ':' if name_length(&rest[1..]) > 0 => {
                let length = 1 + name_length(&rest[1..]);
                let name = &rest[1..length];
                let known = numbered.names.iter().position(|other| other.as_deref() == Some(name));
                let number = known.unwrap_or_else(|| {
                    numbered.names.push(Some(name.to_owned()));
                    numbered.names.len() - 1
                });
                numbered.sql.push_str(&format!("${}", number + 1));
                before = 'x';
                rest = &rest[length..];
                continue;
            }
            other => other.len_utf8(),
        };
        numbered.sql.push_str(&rest[..length]);
        before = rest[..length].chars().next_back().unwrap_or(' ');
        rest = &rest[length..];
    }
    numbered.is_mixed = has_numbers && !numbered.names.is_empty();
    numbered
}

fn is_part_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn name_length(rest: &str) -> usize {
    if !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return 0;
    }
    rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len())
}

/// A text, in which a backslash escapes if an E stands before it.
fn text_length(rest: &str, before: char) -> usize {
    quoted_length(rest, '\'', matches!(before, 'e' | 'E'))
}

/// Up to the closing quote, where two quotes are none.
fn quoted_length(rest: &str, quote: char, escapes: bool) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((index, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return index + 1;
        }
    }
    rest.len()
}

/// Comments may be within one another.
fn comment_length(rest: &str) -> usize {
    let mut depth = 0;
    let mut index = 0;
    while index < rest.len() {
        let here = &rest[index..];
        if here.starts_with("/*") {
            depth += 1;
            index += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            index += 2;
            if depth == 0 {
                return index;
            }
        } else {
            index += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// A text between two equal tags, such as `$body$`; or only the dollar sign.
fn dollar_length(rest: &str) -> usize {
    let Some(end) = rest[1..].find('$') else { return 1 };
    let tag = &rest[..end + 2];
    let name = &tag[1..tag.len() - 1];
    if !name.is_empty() && name_length(name) != name.len() {
        return 1;
    }
    match rest[tag.len()..].find(tag) {
        Some(close) => close + 2 * tag.len(),
        None => rest.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str, names: &[&str]) {
        let numbered = numbered(sql);
        let names: Vec<_> = names.iter().map(|name| Some((*name).to_owned())).collect();
        assert_eq!((numbered.sql.as_str(), numbered.names), (expected, names), "{sql}");
    }

    #[test]
    fn names_become_numbers_and_the_same_name_the_same_number() {
        check(
            "INSERT INTO audit(at, what) VALUES (:at, :what)",
            "INSERT INTO audit(at, what) VALUES ($1, $2)",
            &["at", "what"],
        );
        check(
            "UPDATE t SET a = :a, b = :b WHERE c = :a",
            "UPDATE t SET a = $1, b = $2 WHERE c = $1",
            &["a", "b"],
        );
    }

    #[test]
    fn casts_texts_names_and_comments_stay_as_they_are() {
        for sql in [
            "UPDATE t SET a = b::int",
            "UPDATE t SET a = ':x'",
            "UPDATE t SET a = 'it''s :x'",
            "UPDATE t SET a = E'\\':x'",
            "UPDATE t SET \"a:x\" = 1",
            "UPDATE t SET a = 1 -- :x",
            "UPDATE t SET a = 1 /* /* :x */ :y */",
            "UPDATE t SET a = $$ :x $$",
            "UPDATE t SET a = $tag$ :x $$ :y $tag$",
            "UPDATE t SET a = $1, b = $2",
            "UPDATE t SET a = 'open :x",
        ] {
            check(sql, sql, &[]);
        }
        check(
            "UPDATE t SET a = :a::int, é = ':b' || :c",
            "UPDATE t SET a = $1::int, é = ':b' || $2",
            &["a", "c"],
        );
    }

    #[test]
    fn names_beside_numbers_are_told() {
        assert!(numbered("UPDATE t SET a = $1 WHERE b = :b").is_mixed);
        assert!(!numbered("UPDATE t SET a = $1 WHERE b = $2").is_mixed);
        assert!(!numbered("UPDATE t SET a = :a").is_mixed);
    }
}
