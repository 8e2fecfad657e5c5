//! What the workspace is built from: licences, sources, and how many versions of each.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// What a program may be made of without a duty but to name it.
const LICENCES: [&str; 10] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages under a licence that asks for their own source, changed or not, to be had: of the command, and of no library.
const OTHERWISE_LICENSED: [&str; 1] = ["colored"];

/// What only the feature `failpoints` takes, which is for the tests.
const FAILPOINTS: &str = "fail";

/// What the library asks for itself. Every user compiles it, or, where a feature needs it, may; the models and the
/// failpoints are for the tests.
const LIBRARY: [&str; 16] = [
    "crc32c",
    "deadpool",
    FAILPOINTS,
    "fastrand",
    "hashbrown",
    "humantime-serde",
    "loom",
    "memmap2",
    "metrics",
    "parking_lot",
    "rusqlite",
    "rustix",
    "serde",
    "serde_json",
    "shuttle",
    "tracing",
];

/// Packages that the command, the bench and the tests need in two versions, until those who ask for the older one
/// follow.
const TWICE: [&str; 11] = [
    "fallible-iterator",
    "getrandom",
    "hashbrown",
    "r-efi",
    "rand",
    "rand_chacha",
    "rand_core",
    "syn",
    "wasi",
    "windows-sys",
    "winnow",
];

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(super::root().join("Cargo.toml")).features(CargoOpt::AllFeatures);
    command.other_options(["--locked".to_owned()]).exec().expect("cargo metadata")
}

fn others(metadata: &Metadata) -> impl Iterator<Item = &Package> {
    metadata.packages.iter().filter(|package| package.source.is_some())
}

/// Whether an expression of licences leaves a choice of which all are on the list: parts that all hold, each a choice.
fn is_free(expression: &str) -> bool {
    let is_listed = |licence: &str| LICENCES.contains(&licence.trim());
    expression.split(" AND ").all(|part| {
        let part = part.trim().trim_start_matches('(').trim_end_matches(')');
        part.replace('/', " OR ").split(" OR ").any(is_listed)
    })
}

#[test]
fn every_dependency_may_be_used_freely() {
    for package in others(&metadata()) {
        let licence = package.license.as_deref().unwrap_or("none that is named");
        let known = OTHERWISE_LICENSED.contains(&package.name.as_str());
        assert!(known != is_free(licence), "{} has the licence {licence}", package.name);
    }
    let metadata = metadata();
    let library = library(&metadata);
    let otherwise = |package: &&Package| OTHERWISE_LICENSED.contains(&package.name.as_str());
    let excepted = metadata.packages.iter().filter(otherwise);
    assert_eq!(excepted.filter(|package| library.contains(&package.id)).count(), 0);
    assert!(is_free("(MIT OR GPL-3.0) AND Unicode-3.0") && !is_free("MIT AND GPL-3.0"));
}

#[test]
fn every_dependency_comes_from_the_default_registry() {
    for package in others(&metadata()) {
        let source = package.source.as_ref().expect("it has one");
        assert!(source.is_crates_io(), "{} comes from {source}", package.name);
    }
}

/// The packages that a user's build of the library is made of, whatever its features and platform.
fn library(metadata: &Metadata) -> BTreeSet<&PackageId> {
    let nodes = &metadata.resolve.as_ref().expect("a resolved graph").nodes;
    let node = |id: &PackageId| nodes.iter().find(|node| node.id == *id).expect("a node");
    let library = metadata.packages.iter().find(|package| package.name == "forebay");
    let mut next = vec![&library.expect("the library").id];
    let mut found = BTreeSet::new();
    while let Some(id) = next.pop() {
        if !found.insert(id) {
            continue;
        }
        for dependency in &node(id).deps {
            // The platforms of loom and shuttle are those of the models alone.
            let is_built = |kind: &cargo_metadata::DepKindInfo| {
                let model =
                    kind.target.as_ref().is_some_and(|t| t.to_string().contains("forebay_"));
                kind.kind == DependencyKind::Normal && !model
            };
            if dependency.name != FAILPOINTS && dependency.dep_kinds.iter().any(is_built) {
                next.push(&dependency.pkg);
            }
        }
    }
    found
}

/// The names of which there is more than one version.
fn twice<'a>(packages: impl Iterator<Item = &'a Package>) -> Vec<&'a str> {
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().insert(package.version.to_string());
    }
    versions.into_iter().filter(|(_, versions)| versions.len() > 1).map(|(name, _)| name).collect()
}

#[test]
fn the_library_is_built_from_one_version_of_each_dependency() {
    let metadata = metadata();
    let library = library(&metadata);
    assert!(library.len() > LIBRARY.len());
    let packages = metadata.packages.iter().filter(|package| library.contains(&package.id));
    assert_eq!(twice(packages), Vec::<&str>::new());
    assert_eq!(twice(others(&metadata)), TWICE, "in the whole workspace");
}

#[test]
fn the_library_asks_for_what_it_is_meant_to_and_nothing_else() {
    let metadata = metadata();
    let library = metadata.packages.iter().find(|package| package.name == "forebay");
    let dependencies = library.expect("the library").dependencies.iter();
    let normal = dependencies.filter(|dependency| dependency.kind == DependencyKind::Normal);
    let names: BTreeSet<&str> = normal.map(|dependency| dependency.name.as_str()).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), LIBRARY);
}
