//! Two processes that want the same spool.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use forebay::ErrorKind;
use support::{Accepted, Spooled, Trial, spool_of};

/// What must take no time at all takes less than this on any machine.
const LONG: Duration = Duration::from_secs(20);

/// A process that has the spool open, and pushes.
struct Holder(Child);

impl Holder {
    /// Starts it and waits until rows were accepted.
    fn start(spooled: &Spooled, seed: u64) -> Self {
        let database = spooled.path();
        let child = Command::new(env!("CARGO_BIN_EXE_fault-child"))
            .arg("spool")
            .arg(&database)
            .args(["1".to_owned(), seed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut holder = Self(child);
        while !database.with_extension("accepted").exists() || Accepted::read(&database).is_empty()
        {
            assert_eq!(holder.0.try_wait().unwrap(), None, "it has ended");
            thread::park_timeout(Duration::from_millis(1));
        }
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Has it ended already, this fails, and nothing is amiss.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_second_process_is_refused_the_spool_at_once_and_has_it_when_the_first_dies() {
    let slowest = Arc::new([const { AtomicU64::new(0) }; 2]);
    let [refusals, openings] = [0, 1].map(|which| {
        let slowest = Arc::clone(&slowest);
        move |took: Duration| slowest[which].fetch_max(took.as_micros() as u64, Ordering::Relaxed)
    });
    let how = "a process tries to open the spool of one under load, which is then killed";
    let trial = Trial::of(30, "spool: two processes open the same one", how).rounds(5, 100);
    trial.run(move |round| {
        let mut spooled = Spooled::new();
        let mut holder = Holder::start(&spooled, round as u64);
        let begun = Instant::now();
        let refused = spooled.open().map(drop).unwrap_err();
        refusals(begun.elapsed());
        assert!(begun.elapsed() < LONG, "the refusal took {:?}", begun.elapsed());
        assert_eq!(refused.kind(), ErrorKind::Spool, "{refused:#?}");
        let (text, folder) = (refused.to_string(), spool_of(&spooled.path()));
        assert!(text.contains("in use by another process"), "{text}");
        assert!(text.contains(&folder.display().to_string()), "{text}");
        assert_eq!(holder.0.try_wait().unwrap(), None, "the first goes on");

        let killed = Instant::now();
        holder.0.kill().unwrap();
        let opened = loop {
            match spooled.open() {
                Err(error) if error.kind() == ErrorKind::Spool && killed.elapsed() < LONG => {
                    assert_eq!(error.to_string(), text);
                    thread::park_timeout(Duration::from_millis(1));
                }
                opened => break opened,
            }
        };
        openings(killed.elapsed());
        drop(holder);
        spooled.drain(opened);
        spooled.look(1)
    });
    let [refusal, opening] =
        [0, 1].map(|which| Duration::from_micros(slowest[which].load(Ordering::Relaxed)));
    let _ = writeln!(
        io::stderr(),
        "the slowest refusal took {refusal:?}, the slowest opening {opening:?} from the kill"
    );
}
