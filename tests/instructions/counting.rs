//! Instructions and allocations of a part of a workload, counted by valgrind.
//!
//! It counts the same on a machine that has other things to do: within 2 % from run to run.

use std::process::Command;

pub(crate) const WORKLOAD: &str = env!("CARGO_BIN_EXE_workload");

/// Rows of a run: 100 batches of 400.
pub(crate) const ROWS: u64 = 40_000;

/// A part of a workload, and the instructions that it took for each row.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) workload: &'static str,
    pub(crate) part: Part,
    pub(crate) baseline: u64,
}

/// What is counted: all that happens between two points of a workload.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// From a buffer that is warm to one that holds the rows.
    Push,
    /// From there to all of them being written: cutting batches of 400, the sink's call, the verdict.
    Batch,
    /// Both.
    Write,
}

impl Case {
    /// Counts the instructions for a row. Much less than the baseline is wrong too: it would let them grow back.
    pub(crate) fn check(&self) -> u64 {
        let count = self.count(&INSTRUCTIONS) / ROWS;
        let Self { name, baseline, .. } = self;
        let verdict = match count * 100 {
            hundredfold if hundredfold > baseline * 110 => "over a tenth more than",
            hundredfold if hundredfold < baseline * 85 => "far fewer than",
            _ => return count,
        };
        panic!(
            "{name} takes {count} instructions, {verdict} its baseline of {baseline}\n{}\n\
             if that is meant, make {count} the baseline in tests/instructions",
            self.way_to_find_out()
        )
    }

    pub(crate) fn count(&self, tool: &Tool) -> u64 {
        let (from, to) = self.part.ends();
        tool.count(self.workload, to).saturating_sub(tool.count(self.workload, from))
    }

    pub(crate) fn way_to_find_out(&self) -> String {
        let (_, to) = self.part.ends();
        format!(
            "hint: see what takes them: valgrind --tool=callgrind --callgrind-out-file=callgrind.out {WORKLOAD} {} {ROWS} \
             {to} && callgrind_annotate callgrind.out",
            self.workload
        )
    }
}

impl Part {
    /// Where the workload is when it begins and ends.
    fn ends(self) -> (&'static str, &'static str) {
        match self {
            Self::Push => ("warm", "pushed"),
            Self::Batch => ("pushed", "written"),
            Self::Write => ("warm", "written"),
        }
    }
}

/// A tool of valgrind's, and what it says before the number that is wanted.
pub(crate) struct Tool {
    pub(crate) options: [&'static str; 2],
    pub(crate) mark: &'static str,
}

pub(crate) const INSTRUCTIONS: Tool =
    Tool { options: ["--tool=callgrind", "--callgrind-out-file=/dev/null"], mark: "Collected : " };

impl Tool {
    /// Counts what a workload takes from its start up to a point.
    fn count(&self, workload: &str, until: &str) -> u64 {
        if cfg!(debug_assertions) {
            panic!(
                "what is not built for release takes other counts\n\
                 hint: tests/run has the commands"
            );
        }
        let mut valgrind = Command::new("valgrind");
        valgrind.args(self.options).args([WORKLOAD, workload, &ROWS.to_string(), until]);
        let ended = valgrind.output().unwrap_or_else(|error| {
            panic!("cannot run valgrind, which counts: {error}\nhint: apt-get install valgrind")
        });
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(
            ended.status.success(),
            "`{workload}` up to {until} failed under valgrind:\n{said}"
        );
        let number = said.split_once(self.mark).and_then(|(_, rest)| {
            let end = rest.find(|char: char| !char.is_ascii_digit() && char != ',')?;
            rest[..end].replace(',', "").parse().ok()
        });
        number.unwrap_or_else(|| panic!("no number follows `{}` in:\n{said}", self.mark))
    }
}
