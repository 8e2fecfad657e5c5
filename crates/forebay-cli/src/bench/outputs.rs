//! Where the results of a run are kept.

use std::path::Path;

use forebay_bench::{Results, report};

use super::args::Bench;
use crate::failure::{Failure, Result};
use crate::kept::{Folders, Kept, print};

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
            all.folders.make(option, folder)?;
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
        let kept = Kept::open(option, path)?;
        let place = path.canonicalize().ok();
        let mut others = self.outputs.iter().filter_map(|output| output.file.as_ref());
        if place.is_some() && others.any(|other| other.path().canonicalize().ok() == place) {
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
                Some(kept) => kept.write(&text)?,
                None => print(&text)?,
            }
        }
        self.folders.keep();
        Ok(())
    }
}
