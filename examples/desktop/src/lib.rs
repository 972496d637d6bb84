//! Desktop programs on tej-std, to start from: see `src/bin`.
//!
//! The library part is empty; it only has the README's examples compiled.

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
