//! What any damage of a small spool comes to: refused, or read with exactly the rows that were accepted. And what opening one
//! does, however often it is killed.

mod books;
mod damages;
pub(super) mod kills;
mod opens;
mod order;
mod salvages;
pub(super) mod sample;
mod segments;
