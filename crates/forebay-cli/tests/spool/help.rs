//! The help, the manual pages and the completions.

use insta::assert_snapshot;

use crate::support::Folder;

#[test]
fn help_has_examples_fields_and_exit_codes() {
    let folder = Folder::with("");
    let mut help = String::new();
    for line in [
        "forebay spool -h",
        "forebay spool inspect --help",
        "forebay spool replay --help",
        "forebay spool salvage --help",
    ] {
        help += &format!("$ {line}\n{}\n", folder.run(line).exits(0).out);
    }
    assert_snapshot!(help);
}

#[test]
fn each_of_its_commands_has_a_manual_page() {
    let folder = Folder::with("");
    let page =
        |name: &str| folder.run(&format!("forebay man {name}")).exits(0).out.replace("\\-", "-");
    for word in ["spool-inspect", "spool-replay", "spool-salvage"] {
        assert!(page("spool").contains(word), "{word}");
        assert!(page(word).contains("Exit codes:"), "{word}");
    }
    assert!(page("spool-salvage").contains("--without-database"));
    let script = folder.run("forebay completions bash").exits(0).out;
    assert!(script.contains("--without-database"), "{script}");
}

#[test]
fn wrong_arguments_end_with_2() {
    let folder = Folder::with("");
    for (line, word) in [
        ("forebay spool", "Usage"),
        ("forebay spool inspect", "<FOLDER>"),
        ("forebay spool mend app.spool", "mend"),
        ("forebay spool salvage app.spool --without-database --replay", "--replay"),
        ("forebay spool salvage app.spool --without-database --database app.db", "--database"),
    ] {
        let ran = folder.run(line).exits(2);
        assert!(ran.errors.contains(word), "{line}: {ran:?}");
    }
}
