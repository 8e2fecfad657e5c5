//! The measuring instrument of forebay.
mod contenders;
mod rows;
pub use contenders::main as trial;
