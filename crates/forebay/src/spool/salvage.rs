//! `salvage`: a damaged spool is set aside, and one takes its place that holds what can be read.

use std::fs::{self, DirBuilder};
use std::io;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;

use super::files;
use super::gather::{Gathered, Hole, Run, gather, most_likely};
use super::identity::{Identity, Look};
use super::lock::{self, Lock};
use super::rebuild::Rebuild;
use super::refusal::{Damage, damaged, row_range, unreadable, unwritable};
use super::scan::scan;
use crate::error::{Error, ErrorKind, Result};

/// What became of a damaged spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Salvaged {
    /// Where the damaged folder is now, as it was.
    pub set_aside: PathBuf,
    /// Rows in the spool that has taken its place.
    pub kept: u64,
    /// Rows that could be read and are in the database already.
    pub applied: u64,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

/// A part of a spool that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unread {
    /// The file, under the name that it had; the folder where a whole file is missing.
    pub file: PathBuf,
    /// The bytes of it, where they are known.
    pub bytes: Option<Range<usize>>,
    /// The number of the first row concerned, where it is known. Rows are numbered from 0 as they were accepted.
    pub first_row: Option<u64>,
    /// The number of the last row concerned, where it is known.
    pub last_row: Option<u64>,
    /// What is wrong with it.
    pub why: String,
}

/// Sets a damaged spool aside, as `FOLDER.damaged-1` or the next free number, and has a new one take its place, with
/// all its rows that can be read and are not in the database. Rows behind one that is lost move up: the new
/// spool is replayed as any other.
///
/// `applied` is what the database's books say: how many of the spool's rows it has decided, see
/// [`Books`](crate::Books). With `None` nobody could be asked; then every readable row is kept under its number, which
/// needs that none in between is lost.
///
/// Blocks for the time that it takes to read the spool twice and to write it once; takes as much room again. However
/// it ends, the folder holds either the old spool or the new one, whole.
///
/// ```
/// use forebay::spool;
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// // Nothing of it is a spool: nothing is changed.
/// let error = spool::salvage(folder, Some(0)).unwrap_err();
/// assert_eq!(error.kind(), forebay::ErrorKind::Spool);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::Spool`] when a buffer has the spool open, when there is nothing in the folder that says which spool it is, when
/// a newer forebay has written it, when it was closed with all its rows written, when `applied` is needed, or when there is no room for the new one. Nothing was
/// changed then.
pub fn salvage(folder: impl AsRef<Path>, applied: Option<u64>) -> Result<Salvaged> {
    Salvage::begin(folder)?.finish(applied)
}

/// A spool that is about to be salvaged, which nobody else can open: for who asks the database in between, so that what it says
/// still holds.
///
/// ```no_run
/// use forebay::spool::Salvage;
///
/// # fn applied(_: &str) -> u64 { 0 }
/// let salvage = Salvage::begin("/var/lib/app/spool")?;
/// let applied = applied(salvage.id()); // of the table _forebay, by the spool's id
/// let salvaged = salvage.finish(Some(applied))?;
/// # Ok::<(), forebay::Error>(())
/// ```
#[derive(Debug)]
pub struct Salvage {
    folder: PathBuf,
    lock: Lock,
    identity: Identity,
    id: String,
    hole: Option<Hole>,
}

impl Salvage {
    /// Takes the lock on a spool, and finds out which one it is.
    ///
    /// # Errors
    ///
    /// Those of [`salvage`].
    pub fn begin(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let folder = fs::canonicalize(folder).map_err(|error| unreadable(folder, error))?;
        // What is no spool is given no lock either.
        identify(&folder)?;
        let lock = Lock::take(&folder)?;
        let (identity, hole) = identify(&folder)?;
        Ok(Self { id: identity.key(), folder, lock, identity, hole })
    }

    /// The spool's id: the database keeps its books under it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Salvages it, as [`salvage`] does.
    ///
    /// # Errors
    ///
    /// Those of [`salvage`].
    pub fn finish(self, applied: Option<u64>) -> Result<Salvaged> {
        let Self { folder, lock, identity, hole, .. } = self;
        let salvaged = replace(&folder, identity, hole, applied);
        drop(lock);
        salvaged
    }
}

/// Has what can be read of a spool take its place.
fn replace(
    folder: &Path,
    old: Identity,
    hole: Option<Hole>,
    applied: Option<u64>,
) -> Result<Salvaged> {
    if hole.is_none() && !old.open && scan(folder, &old).is_ok() {
        let message = format!(
            "there is nothing to salvage: the spool {} was closed with all its rows written; nothing was changed; open it, \
             which removes what is left there",
            folder.display()
        );
        return Err(Error::new(ErrorKind::Spool, message).with_field("spool"));
    }
    let mut gathered = gather(folder, &old)?;
    gathered.holes.extend(hole);
    let plan = Plan::of(&mut gathered, folder, &old, applied)?;
    let epoch = old.epoch.max(gathered.last_epoch).checked_add(1);
    let epoch = epoch.ok_or_else(|| damaged(folder, "which has no epoch left"))?;
    let new = Identity { epoch, open: true, ..old.clone() };
    let unfinished = beside(folder, "forebay-salvage");
    clear(&unfinished, folder, old.spool)?;
    if let Err(error) = build(&unfinished, &new, &gathered, &plan) {
        // The folder is still the old one; what was made of the new is no loss.
        let _ = fs::remove_dir_all(&unfinished);
        return Err(error);
    }
    exchange(&unfinished, folder)?;
    // Under the name that it has now the next salvage finds it and gives it the right one.
    let set_aside = set_aside(&unfinished, folder).unwrap_or(unfinished);
    let (kept, applied) = (plan.kept, plan.applied);
    let unread = gathered.holes.into_iter().map(Unread::from).collect();
    Ok(Salvaged { set_aside, kept, applied, unread })
}

/// Which spool it is: what `spool.json` says, or most of its segments.
fn identify(folder: &Path) -> Result<(Identity, Option<Hole>)> {
    let what = match Identity::look(folder)? {
        Look::Whole(identity) => return Ok((identity, None)),
        Look::Nothing => return Err(damaged(folder, "in which there is no spool")),
        Look::Damaged(what) => what,
    };
    let Some((spool, epoch)) = most_likely(folder)? else {
        let message = format!(
            "nothing in {} says which spool it is: spool.json {what}, and no segment has a header that can be read; nothing was \
             changed; keep it, and have the buffer use another folder",
            folder.display()
        );
        return Err(Error::new(ErrorKind::Spool, message).with_field("spool"));
    };
    let database = String::new();
    let identity = Identity { spool, epoch, open: true, database, boot: None };
    let damage = Damage::new(0..0, format!("it {what}"));
    Ok((identity, Some(Hole { path: folder.join("spool.json"), damage })))
}

/// What the new spool is made of.
struct Plan {
    runs: Vec<Run>,
    from: u64,
    kept: u64,
    applied: u64,
}

impl Plan {
    fn of(
        gathered: &mut Gathered,
        folder: &Path,
        identity: &Identity,
        applied: Option<u64>,
    ) -> Result<Self> {
        let first = gathered.runs.first().map(|run| run.rows.start);
        let Some(from) = applied.or(first) else {
            let why =
                "no row of it can be read, so that nothing says which number the next one has";
            return Err(needs_database(folder, why));
        };
        let total: u64 = gathered.runs.iter().map(|run| run.rows.end - run.rows.start).sum();
        let runs: Vec<_> =
            gathered.runs.iter().filter_map(|run| part(gathered, run, from)).collect();
        let kept = runs.iter().map(|run| run.rows.end - run.rows.start).sum();
        let lost = missing(&runs, from, gathered.last_start);
        if let (None, Some(lost)) = (applied, lost.first()) {
            let why = "cannot be read, and those behind would take their numbers";
            return Err(needs_database(folder, &format!("{} {why}", row_range(lost))));
        }
        let end = runs.last().map_or(from, |run| run.rows.end).max(gathered.last_start);
        gathered.explain(folder, lost, end, identity.open);
        Ok(Self { runs, from, kept, applied: total - kept })
    }
}

fn needs_database(folder: &Path, why: &str) -> Error {
    let folder = folder.display();
    let message = format!(
        "the spool {folder} cannot be salvaged without its database: {why}; nothing was changed; say how many rows the database has \
         decided, as `forebay spool salvage {folder} --database DATABASE` does"
    );
    Error::new(ErrorKind::Spool, message).with_field("spool")
}

/// What of a run is not in the database; a run is cut where a unit begins.
fn part(gathered: &Gathered, run: &Run, from: u64) -> Option<Run> {
    if run.rows.end <= from {
        return None;
    }
    if run.rows.start >= from {
        return Some(run.clone());
    }
    let units = gathered.units_of(run);
    let first = units.into_iter().find(|unit| unit.rows.start >= from)?;
    Some(Run {
        bytes: first.bytes.start..run.bytes.end,
        rows: first.rows.start..run.rows.end,
        ..run.clone()
    })
}

/// The rows that no run has, from `from` on.
fn missing(runs: &[Run], from: u64, last_start: u64) -> Vec<Range<u64>> {
    let mut next = from;
    let mut missing = Vec::new();
    for run in runs {
        if next < run.rows.start {
            missing.push(next..run.rows.start);
        }
        next = run.rows.end;
    }
    if next < last_start {
        missing.push(next..last_start);
    }
    missing
}

impl Gathered {
    /// Adds what is missing and that no file was found to have had, and says how far holes go where that has turned out.
    fn explain(&mut self, folder: &Path, missing: Vec<Range<u64>>, end: u64, is_open: bool) {
        for hole in &mut self.holes {
            let Some(rows) = hole.damage.rows.as_mut().filter(|rows| rows.end == u64::MAX) else {
                continue;
            };
            let holding = missing.iter().find(|lost| lost.contains(&rows.start));
            rows.end = holding.map_or(u64::MAX, |lost| lost.end);
        }
        let is_told = |lost: &Range<u64>| {
            self.holes
                .iter()
                .filter_map(|hole| hole.damage.rows.as_ref())
                .any(|rows| rows.start <= lost.start && lost.end <= rows.end)
        };
        let mut nowhere: Vec<_> = missing.into_iter().filter(|lost| !is_told(lost)).collect();
        if is_open && !self.has_open {
            nowhere.push(end..u64::MAX);
        }
        for rows in nowhere {
            let damage = Damage::new(0..0, "in none of the files that can be read").of_rows(rows);
            self.holes.push(Hole { path: folder.to_owned(), damage });
        }
    }
}

impl From<Hole> for Unread {
    fn from(hole: Hole) -> Self {
        let Hole { path: file, damage: Damage { bytes, rows, why } } = hole;
        let rows = rows.filter(|rows| !rows.is_empty());
        let first_row = rows.as_ref().map(|rows| rows.start);
        let last_row = rows.filter(|rows| rows.end != u64::MAX).map(|rows| rows.end - 1);
        let bytes = (!bytes.is_empty()).then_some(bytes);
        Self { file, bytes, first_row, last_row, why }
    }
}

fn build(folder: &Path, new: &Identity, gathered: &Gathered, plan: &Plan) -> Result<()> {
    let made = DirBuilder::new().mode(0o700).create(folder);
    made.map_err(|error| unwritable(folder, error))?;
    let mut rebuild = Rebuild::begin(folder, new, plan.from)?;
    for run in &plan.runs {
        rebuild.run(gathered, run)?;
    }
    rebuild.finish()
}

/// The path beside a folder that has its name with `suffix`.
fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    folder.with_file_name(name)
}

/// Makes way for a new folder. What a salvage left there that was killed is the old spool, which has had a lock, when
/// they had changed places already; or the half of a new one. Anything else that has this name is left alone.
fn clear(unfinished: &Path, folder: &Path, spool: u128) -> Result<()> {
    if !unfinished.exists() {
        return Ok(());
    }
    if !may_be_of(unfinished, spool)? {
        let message = format!(
            "{} is in the way, and no salvage of this spool has made it: move it away; nothing was changed",
            unfinished.display()
        );
        return Err(Error::new(ErrorKind::Spool, message).with_field("spool"));
    }
    if unfinished.join(lock::NAME).exists() {
        let _unused = Lock::take(unfinished)?;
        return set_aside(unfinished, folder).map(drop);
    }
    fs::remove_dir_all(unfinished).map_err(|error| unwritable(unfinished, error))
}

/// Whether a folder holds files of a spool and no others, and nothing that says that it is another spool than this one.
fn may_be_of(folder: &Path, spool: u128) -> Result<bool> {
    let says = match Identity::look(folder)? {
        Look::Whole(identity) => Some(identity.spool),
        Look::Nothing | Look::Damaged(_) => most_likely(folder)?.map(|(spool, _)| spool),
    };
    let listed = files::list(folder)?;
    let known = listed.segments.len() + listed.shapes.len() + listed.unfinished.len();
    let single = [files::IDENTITY, lock::NAME].map(|name| folder.join(name).exists());
    let all = fs::read_dir(folder).map_err(|error| unreadable(folder, error))?.count();
    let is_all = all == known + single.into_iter().filter(|is_there| *is_there).count();
    Ok(is_all && says.is_none_or(|says| says == spool))
}

/// Has two folders change places, in one step.
fn exchange(one: &Path, other: &Path) -> Result<()> {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(|error| {
        let message = format!(
            "cannot have {} and {} change places; nothing was changed; where the filesystem does not know how to, copy the folder \
             to another and salvage it there",
            one.display(),
            other.display()
        );
        Error::new(ErrorKind::Spool, message).with_field("spool").because(io::Error::from(error))
    })
}

/// Gives the old folder the name under which it is kept.
fn set_aside(old: &Path, folder: &Path) -> Result<PathBuf> {
    let free = (1_u32..).map(|number| beside(folder, &format!("damaged-{number}")));
    let mut free = free.filter(|path| path.symlink_metadata().is_err());
    let Some(path) = free.next() else { return Ok(old.to_owned()) };
    fs::rename(old, &path).map_err(|error| unwritable(&path, error))?;
    Ok(path)
}
