//! What goes to standard error: lines, the library's warnings, and on a terminal a progress bar below them.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Where the library tells of rejected rows by the batch: a load tells of each with its line.
const TOLD_BY_LINE: &str = "forebay::decide";

/// Everything that a command tells on standard error goes through here. Clones share the bar.
#[derive(Clone)]
pub struct Screen {
    bar: ProgressBar,
}

impl Screen {
    /// A screen without a bar, to which the library's warnings go from now on.
    pub fn new() -> Self {
        let screen = Self { bar: ProgressBar::hidden() };
        // A second screen in one process, as in tests, leaves the warnings with the first.
        let _ = tracing_subscriber::registry().with(Warnings(screen.clone())).try_init();
        screen
    }

    /// Shows how far an input of `size` bytes has been read; nothing unless standard error is a terminal.
    pub fn begin_progress(&self, size: Option<u64>) {
        let template = match size {
            Some(_) => "{bar:24} {bytes}/{total_bytes}  {wide_msg}",
            None => "{spinner} {bytes}  {wide_msg}",
        };
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar.set_style(style.progress_chars("█▌░"));
        if let Some(size) = size {
            self.bar.set_length(size);
        }
        self.bar.set_draw_target(ProgressDrawTarget::stderr());
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    /// Tells how far it is.
    pub fn progress(&self, bytes: u64, message: String) {
        self.bar.set_position(bytes);
        self.bar.set_message(message);
    }

    /// Shows which of `of` steps is at hand; nothing unless standard error is a terminal.
    pub fn step(&self, done: u32, of: u32, message: String) {
        self.count("{bar:24} {elapsed}  {wide_msg}", done.into(), of.into(), message);
    }

    /// Shows how many of `of` rows are done; nothing unless standard error is a terminal.
    pub fn rows(&self, done: u64, of: u64, message: String) {
        self.count("{bar:24} {human_pos}/{human_len} rows  {wide_msg}", done, of, message);
    }

    fn count(&self, template: &str, done: u64, of: u64, message: String) {
        if self.bar.length() != Some(of) {
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            self.bar.set_style(style.progress_chars("█▌░"));
            self.bar.set_length(of);
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
        self.bar.set_position(done);
        self.bar.set_message(message);
    }

    /// Takes the bar away.
    pub fn end_progress(&self) {
        self.bar.finish_and_clear();
    }

    /// Writes a line above the bar.
    pub fn line(&self, text: impl fmt::Display) {
        self.bar.suspend(|| {
            // Where standard error is closed nobody can be told.
            let _ = writeln!(io::stderr(), "{text}");
        });
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

/// The library's log, as lines for people.
struct Warnings(Screen);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let about = event.metadata();
        let ours = about.target().starts_with("forebay");
        if *about.level() > Level::INFO || !ours || about.target() == TOLD_BY_LINE {
            return;
        }
        let mut message = Message(match *about.level() {
            Level::ERROR => "error: ".to_owned(),
            Level::WARN => "warning: ".to_owned(),
            _ => String::new(),
        });
        event.record(&mut message);
        self.0.line(message.0);
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}
