//! Desktop programs to start from, async on tej-std and blocking on tej-core: see `src/bin`.
//!
//! The library part is empty; it only has the README's examples compiled.

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
