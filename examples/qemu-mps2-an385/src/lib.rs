//! The board, for each of its programs: where the AN385 image has its devices, and bringing them up.
#![no_std]

pub mod image;

pub use image::IMAGE;
