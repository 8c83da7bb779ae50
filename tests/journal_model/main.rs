//! What the journals promise: a model they must agree with, what concurrency and faults may do, and what damage to
//! the disk must never do.

mod concurrency;
mod damage;
mod faults;
mod limits;
mod model;
mod scratch;
mod support;
