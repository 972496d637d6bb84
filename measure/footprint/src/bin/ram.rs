//! What the types of `tej-core` occupy on the target: a variable for each, as large as the type.
//!
//! `cargo xtask size` reads the sizes of the symbols. Storage that the caller chooses counts as the caller chose it: none
//! for names and buffers, and transports without state.

#![no_std]
#![no_main]

use footprint::port::Port;
use footprint::sizes;
use tej_core::{Decoder, DefaultLimits, Encoder, KeepAlive, Limits, OwnedFrame, io};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    footprint::stop()
}

sizes! {
    "decoder": Decoder<[u8; 0], DefaultLimits>,
    "decoder_reference": Decoder<[u8; 0], &'static Limits>,
    "encoder": Encoder,
    "keep_alive": KeepAlive,
    "limits": Limits,
    "owned_frame": OwnedFrame<0>,
    "decode_buffer": io::DecodeBuffer<[u8; 0], [u8; 0], DefaultLimits>,
    "encode_buffer": io::EncodeBuffer<[u8; 0]>,
    "reader_async": io::FrameReader<Port, [u8; 0], [u8; 0], DefaultLimits>,
    "writer_async": io::FrameWriter<Port, [u8; 0]>,
    "reader_blocking": io::blocking::FrameReader<Port, [u8; 0], [u8; 0], DefaultLimits>,
    "writer_blocking": io::blocking::FrameWriter<Port, [u8; 0]>,
}
