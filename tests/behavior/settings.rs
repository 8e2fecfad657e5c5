//! The settings, as a user gives them.

use std::time::Duration;

use forebay::{Config, ErrorKind, WriteBuffer};
use support::{Gate, Scratch};

#[test]
fn a_wrong_setting_is_refused_at_open_with_its_name_and_bound() {
    let scratch = Scratch::new("");
    let wrong = Config { batch_size: 0, ..Config::default() };
    let error = WriteBuffer::builder(scratch.path()).config(wrong).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.to_string(), "batch_size is 0: it must be at least 1 row");
}

#[test]
fn the_settings_in_force_can_be_read() {
    let config = Config { batch_size: 10, linger: Duration::from_millis(5), ..Config::default() };
    let buffer = WriteBuffer::with_sink(Gate::open().sink(), config.clone()).unwrap();
    assert_eq!(*buffer.config(), config);
}

#[test]
fn the_environment_is_read_under_a_prefix() {
    // Variables of this process are not touched: none has the prefix.
    let config = Config::from_env("FOREBAY_TEST_THAT_SETS_NOTHING_").unwrap();
    assert_eq!(config, Config::default());
}
