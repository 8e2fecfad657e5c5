//! Where results are kept: opened before a run, so that it is not run in vain, and removed again if it does not come
//! about.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use forebay_bench::{Results, report};

use super::args::Bench;
use crate::failure::{Failure, Result, because};

/// What stands for standard output in the place of a file.
const STANDARD: &str = "-";

/// The files and the folder that results go to.
pub(super) struct Outputs {
    outputs: Vec<Output>,
    /// Dropped after the files in it.
    folders: Folders,
}

/// What is written.
#[derive(Clone, Copy)]
enum Kind {
    Json,
    Csv,
    Markdown,
    Page,
    /// The chart of this name.
    Plot(&'static str),
}

struct Output {
    kind: Kind,
    /// `None` is standard output.
    file: Option<Kept>,
}

/// A file that is there, with what it held before.
struct Kept {
    path: PathBuf,
    file: File,
    /// It was not there before, and nothing is in it yet.
    is_to_go: bool,
}

/// Folders that were made.
#[derive(Default)]
struct Folders(Vec<PathBuf>);

impl Outputs {
    /// Opens all that the arguments name.
    ///
    /// # Errors
    ///
    /// When something cannot be written, or two would be written to one place. Nothing is left behind then.
    pub(super) fn open(args: &Bench) -> Result<Self> {
        let named = [
            ("--json", Kind::Json, &args.json),
            ("--csv", Kind::Csv, &args.csv),
            ("--markdown", Kind::Markdown, &args.markdown),
        ];
        let mut all = Self { outputs: Vec::new(), folders: Folders::default() };
        for (option, kind, path) in named {
            let Some(path) = path else { continue };
            if path.as_os_str() == STANDARD {
                if all.uses_standard_output() {
                    return Err(Failure::of_arguments(format!(
                        "{option} -: standard output is taken already: name a file"
                    )));
                }
                all.outputs.push(Output { kind, file: None });
            } else {
                all.add(option, kind, path)?;
            }
        }
        if let Some(folder) = &args.output {
            let option = "--output";
            all.folders
                .make(folder)
                .map_err(|error| cannot(option, "make the folder", folder, &error))?;
            let files = [
                (Kind::Page, "index.html"),
                (Kind::Json, "results.json"),
                (Kind::Csv, "results.csv"),
                (Kind::Markdown, "results.md"),
            ];
            let plots = report::PLOT_FILES.map(|name| (Kind::Plot(name), name));
            for (kind, name) in files.into_iter().chain(plots) {
                all.add(option, kind, &folder.join(name))?;
            }
        }
        Ok(all)
    }

    fn add(&mut self, option: &str, kind: Kind, path: &Path) -> Result<()> {
        let kept = Kept::open(path).map_err(|error| cannot(option, "write", path, &error))?;
        let place = path.canonicalize().ok();
        let mut others = self.outputs.iter().filter_map(|output| output.file.as_ref());
        if place.is_some() && others.any(|other| other.path.canonicalize().ok() == place) {
            return Err(Failure::of_arguments(format!(
                "{option}: {} is written already: name another file",
                path.display()
            )));
        }
        self.outputs.push(Output { kind, file: Some(kept) });
        Ok(())
    }

    /// Whether results go to standard output, and nothing else must.
    pub(super) fn uses_standard_output(&self) -> bool {
        self.outputs.iter().any(|output| output.file.is_none())
    }

    /// Writes the results to all of them.
    ///
    /// # Errors
    ///
    /// When one cannot be written.
    pub(super) fn write(mut self, results: &Results) -> Result<()> {
        let plots = if self.outputs.iter().any(|output| matches!(output.kind, Kind::Page)) {
            report::plots(results)?
        } else {
            Vec::new()
        };
        for output in &mut self.outputs {
            let text = match output.kind {
                Kind::Json => {
                    serde_json::to_string_pretty(results)
                        .map_err(|error| Failure::new(format!("cannot make JSON: {error}")))?
                        + "\n"
                }
                Kind::Csv => report::csv::csv(results)?,
                Kind::Markdown => report::markdown(results),
                Kind::Page => report::page(results, &plots),
                Kind::Plot(name) => match plots.iter().find(|plot| plot.file == name) {
                    Some(plot) => plot.svg.clone(),
                    None => continue,
                },
            };
            match &mut output.file {
                Some(kept) => kept.write(&text).map_err(|error| {
                    let path = kept.path.display();
                    Failure::new(format!("cannot write {path}: {}", because(&error)))
                })?,
                None => print(&text)?,
            }
        }
        self.folders.0.clear();
        Ok(())
    }
}

fn cannot(option: &str, what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{option}: cannot {what} {}: {}", path.display(), because(error)))
        .hint("nothing was run; name another place")
}

/// Prints to standard output.
pub(super) fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever closed standard output does not want it.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

impl Kept {
    /// Opens a file without touching what it holds.
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true);
        let (file, is_to_go) = match options.clone().create_new(true).open(path) {
            Ok(file) => (file, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (options.open(path)?, false)
            }
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), file, is_to_go })
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        // What is no file, such as a pipe, has no length.
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.file.write_all(text.as_bytes())?;
        self.is_to_go = false;
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.is_to_go {
            // An empty file is no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Folders {
    /// Makes a folder and those above it that are not there.
    fn make(&mut self, folder: &Path) -> io::Result<()> {
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let missing: Vec<_> = folder.ancestors().take_while(is_missing).collect();
        for path in missing.into_iter().rev() {
            fs::create_dir(path)?;
            self.0.push(path.to_owned());
        }
        Ok(())
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // One that holds something stays.
            let _ = fs::remove_dir(path);
        }
    }
}
