//! The command `forebay`: parses its arguments, runs what they ask for, and ends with an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use forebay_cli::args::{Cli, Command};
use forebay_cli::failure::{Exit, Failure, Result};
use forebay_cli::screen::Screen;
use forebay_cli::{bench, books, copy, doctor, load, spool, tune};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let screen = Screen::new();
    let ended = match &cli.command {
        Command::Load(args) => load::run(args, &screen),
        Command::Copy(args) => copy::run(args, &screen),
        Command::Books { url, .. } => books::run(url.as_deref()),
        Command::Bench(args) => bench::run(args, &screen),
        Command::Tune(args) => tune::run(args, &screen),
        Command::Doctor(args) => doctor::run(args, &screen),
        Command::Spool(args) => spool::run(args, &screen),
        Command::Completions { shell } => print(|out| {
            clap_complete::generate(*shell, &mut Cli::command(), "forebay", out);
            Ok(())
        }),
        Command::Man { command } => man(command.as_deref()),
        Command::Trial => return forebay_bench::trial_program(),
    };
    let exit = ended.unwrap_or_else(|failure| {
        screen.end_progress();
        screen.line(&failure);
        failure.exit()
    });
    exit.into()
}

/// Prints the manual page of the command or of one of its subcommands.
fn man(subcommand: Option<&str>) -> Result<Exit> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    // The argument parser takes no other.
    let names = subcommand.into_iter().flat_map(|name| name.split('-'));
    let page = names
        .fold(command, |command, name| command.find_subcommand(name).cloned().unwrap_or(command));
    print(|out| {
        let mut text = Vec::new();
        clap_mangen::Man::new(page).render(&mut text)?;
        // The notes have lines of their own, which the page would otherwise fill up.
        let text = String::from_utf8_lossy(&text).replace(".SH EXTRA\n", ".SH NOTES\n.nf\n");
        out.write_all(text.as_bytes())
    })
}

/// Prints to standard output.
fn print(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Result<Exit> {
    let mut text = Vec::new();
    let written = write(&mut text).and_then(|()| io::stdout().write_all(&text));
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(Exit::Success),
    }
}
