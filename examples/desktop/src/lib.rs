//! Desktop programs to start from, async on tej-std and blocking on tej-core: see `src/bin`.
//!
//! The library part is empty; it only has the examples of the documents compiled.

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/from-python.md")]
struct FromPython;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/first-file.md")]
struct FirstFile;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/buffers.md")]
struct Buffers;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/transports.md")]
struct Transports;
