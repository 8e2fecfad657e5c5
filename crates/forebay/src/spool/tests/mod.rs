//! What any damage of a small spool comes to: refused, or read with exactly the rows that were accepted.

mod books;
mod damages;
pub(super) mod kills;
mod order;
mod salvages;
pub(super) mod sample;
