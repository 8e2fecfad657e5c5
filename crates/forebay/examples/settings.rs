//! Settings from a file, with the environment on top; what is in force; and what a wrong one is told.
//!
//! ```text
//! cargo run -p forebay --example settings [FILE]
//! MYAPP_FOREBAY_BATCH_SIZE=50 MYAPP_FOREBAY_RETRY_MAX_RETRIES=3 cargo run -p forebay --example settings
//! ```
//!
//! Without FILE it reads one of its own, with the two settings that are tuned most.

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::{env, fs};

use forebay::{Config, WriteBuffer};

/// Nothing else in the environment may begin with it: a variable that names no setting is refused.
const PREFIX: &str = "MYAPP_FOREBAY_";

const OWN_FILE: &str = r#"
batch_size = 100
linger = "20ms"

[retry]
give_up = "10m"
"#;

/// What people get wrong, and in which words they are told.
const WRONG: [&str; 4] =
    ["batch_size = 0", "linger = 50", "batchsize = 100", "max_buffer_bytes = 1000000"];

fn main() -> Result<(), Box<dyn Error>> {
    match env::args_os().nth(1) {
        Some(file) => run(Path::new(&file), &mut io::stdout()),
        None => {
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("forebay.toml");
            fs::write(&file, OWN_FILE)?;
            run(&file, &mut io::stdout())
        }
    }
}

/// Opens a buffer with the settings of `file` and of the environment, and tells `out` which are in force.
pub fn run(file: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    // Three layers: the defaults, the file, the environment.
    let config = toml::from_str::<Config>(&fs::read_to_string(file)?)?.with_env(PREFIX)?;
    let folder = tempfile::tempdir()?;
    let buffer = WriteBuffer::builder(folder.path().join("app.db")).config(config).open()?;
    writeln!(out, "# in force, from {} and {PREFIX}*", file.display())?;
    write!(out, "{}", toml::to_string(buffer.config())?)?;
    buffer.close()?;

    for text in WRONG {
        // What serde finds is told with the line of the file, what the bounds find with name and bound.
        let wrong: Box<dyn Error> = match toml::from_str::<Config>(text) {
            Err(error) => error.into(),
            Ok(config) => config.check().expect_err("it is out of bounds").into(),
        };
        writeln!(out, "\n# {text}\n{}", wrong.to_string().trim_end())?;
    }
    Ok(())
}
