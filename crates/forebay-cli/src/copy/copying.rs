//! The thread that copies: table after table, each made, written and compared.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use forebay::WriteBuffer;
use forebay_bench::Stop;

use super::args;
use super::create;
use super::destination::Destination;
use super::kinds;
use super::plan::{Begin, Plan};
use super::progress::Progress;
use super::source::Source;
use super::summary::{Done, counted};
use super::target::{Start, Target};
use super::verify;
use super::writing::{Ends, Writing};
use crate::failure::{Failure, Result};
use crate::load::rejects::Rejects;
use crate::screen::Screen;
use crate::words::listed;

/// A copy that is ready to begin.
pub(super) struct Copying {
    pub(super) source: Source,
    pub(super) target: Target,
    pub(super) buffer: WriteBuffer,
    pub(super) plans: Vec<Plan>,
    pub(super) rejects: Rejects,
    pub(super) verify: args::Verify,
    pub(super) screen: Screen,
    pub(super) stop: Stop,
    pub(super) shown: Arc<Shown>,
}

/// How far it is, for whoever shows it.
#[derive(Default)]
pub(super) struct Shown {
    /// Rows that were passed, of all tables.
    pub(super) read: AtomicU64,
    pub(super) is_comparing: AtomicBool,
}

/// What became of it.
pub(super) struct Copied {
    pub(super) tables: Vec<Done>,
    /// How long rows were written.
    pub(super) writing: Duration,
    /// Where the rejected rows are.
    pub(super) rejects: Option<String>,
    pub(super) failed: Option<Failure>,
}

impl Copied {
    /// Nothing is known of it any more.
    pub(super) fn panicked() -> Self {
        let failed = Failure::new("the thread that copies panicked, which is a bug in forebay");
        Self { tables: Vec::new(), writing: Duration::ZERO, rejects: None, failed: Some(failed) }
    }
}

impl Copying {
    /// Copies all tables. One that is not equal in the end does not keep the next from being copied.
    pub(super) fn run(mut self) -> Copied {
        let mut copied =
            Copied { tables: Vec::new(), writing: Duration::ZERO, rejects: None, failed: None };
        for plan in std::mem::take(&mut self.plans) {
            match self.table(&plan, &mut copied) {
                Ok(difference) => copied.failed = copied.failed.or(difference),
                Err(failure) => {
                    copied.failed = Some(failure);
                    break;
                }
            }
            if self.stop.is_stopped() {
                break;
            }
        }
        let finished = self.rejects.finish();
        copied.rejects = self.rejects.file().map(|file| file.display().to_string());
        let closed = self.source.close();
        copied.failed = copied.failed.or(finished.err()).or(closed.err());
        copied
    }

    /// Copies one table; gives what is wrong with it in the end.
    fn table(&mut self, plan: &Plan, copied: &mut Copied) -> Result<Option<Failure>> {
        let (to, progress, created) = self.begin(plan)?;
        let before = progress.clone();
        let began = Instant::now();
        let ends = Ends {
            source: &self.source,
            target: &self.target,
            buffer: &self.buffer,
            stop: &self.stop,
            read: &self.shown.read,
        };
        let writing = Writing::begin(&ends, plan, &to, progress, &mut self.rejects);
        let mut writing = writing?;
        let ran = writing.run();
        copied.writing += began.elapsed();
        let (unwritten, progress) = (writing.unwritten, writing.progress);
        copied.tables.push(Done {
            table: plan.table.name.clone(),
            target: to.name.clone(),
            created,
            source_rows: plan.rows,
            resumed_after: before.passed,
            rejected_before: before.rejected,
            passed: progress.passed - before.passed - unwritten,
            rejected: progress.rejected,
            left_out: if created { plan.table.left_out.clone() } else { Vec::new() },
            is_whole: matches!(ran, Ok(true)),
            compared: None,
        });
        if !ran? {
            return Ok(None);
        }
        self.shown.is_comparing.store(true, Ordering::Relaxed);
        let compared = verify::compare(
            self.verify,
            (&self.source, &self.target),
            (plan, &to),
            &progress,
            &self.stop,
        )?;
        self.shown.is_comparing.store(false, Ordering::Relaxed);
        let has_key = to.key.is_some();
        let difference = compared.as_ref().and_then(|found| found.difference(&to.name, has_key));
        if let Some(done) = copied.tables.last_mut() {
            done.compared = compared;
        }
        Ok(difference)
    }

    /// Makes the table if it is to be, and notes that its copy begins.
    fn begin(&mut self, plan: &Plan) -> Result<(Destination, Progress, bool)> {
        let source = self.source.identity.clone();
        let fresh = Progress::fresh(source);
        match &plan.begin {
            Begin::GoOn(to, progress) => {
                let (name, passed) = (&plan.table.name, counted(progress.passed));
                self.screen.line(format_args!("{name}: goes on after {passed}"));
                self.shown.read.fetch_add(progress.passed, Ordering::Relaxed);
                Ok((to.clone(), progress.clone(), false))
            }
            Begin::Fill(to, why) => {
                if let Some(why) = why {
                    self.screen.line(format_args!("{}: {why}", plan.table.name));
                }
                let start = if to.key.is_some() { Start::Any } else { Start::Empty };
                self.target.begin(&to.name, &fresh.source, start)?;
                Ok((to.clone(), fresh, false))
            }
            Begin::Make => {
                let kinds = kinds::choose(self.source.connection(), &plan.table);
                let kinds = kinds.map_err(|error| self.source.failed(error))?;
                let to = Destination::new(&plan.table, &kinds);
                let statement = create::statement(&plan.table, &to)?;
                self.target.begin(&to.name, &fresh.source, Start::Make(&statement))?;
                self.screen.line(format_args!("created table {to}"));
                if !plan.table.left_out.is_empty() {
                    let left_out = listed(plan.table.left_out.iter().map(String::as_str));
                    self.screen.line(format_args!("  left out: {left_out}"));
                }
                Ok((to, fresh, true))
            }
        }
    }
}
