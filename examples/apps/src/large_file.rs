//! A file that no number of 32 bits can count passes through what counts bytes: the async reader and writer of tej-core, whose
//! buffers, decoder and encoder are also those of the blocking ones, and tej-files. There is no peer: a transport makes up the
//! frame, and has nothing in its file.

use core::convert::Infallible;
use core::fmt;

use embassy_futures::block_on;
use embedded_io_async::{BufRead, ErrorType, Read, Write};
use tej_core::io::{FrameReader, FrameWriter, ReadError, WriteError};
use tej_core::{Decoder, DefaultLimits, EncodeError, Event, PayloadOverrun, Status};
use tej_files::{
    FileSink, FileSource, LendingSink, Outcome, Received, SendFileError, StartError, Store, send_file,
};

use crate::fmt::info;

/// Receives and sends a file of `size` bytes, in each way that there is, and holds every count against what it must be:
/// after each piece, and pieces end a byte before 2³² bytes, there, and a byte after.
///
/// `memory` is what the pieces lie in, whose length they have at the most. Nothing else grows with the size.
///
/// # Errors
///
/// The first count that is wrong, or what should not have failed.
pub fn pass(size: u64, memory: &mut [u8]) -> Result<(), Fault> {
    block_on(async {
        receive_copied(size, memory, false).await?;
        receive_copied(size, memory, true).await?;
        receive_lent(size, memory).await?;
        receive_past_the_reader(size).await?;
        receive_into_the_sink(size, memory).await?;
        send_pieces(size, memory).await?;
        send_from_source(size, memory).await?;
        send_past_the_writer(size).await
    })?;
    info!("a file of {} bytes was received in four ways and sent in three", size);
    Ok(())
}

/// What went wrong on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fault {
    /// A count is not what it must be.
    Miscounted {
        /// Of what.
        what: &'static str,
        /// What it must be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// A reader failed.
    Read(ReadError<Infallible>),
    /// A writer failed.
    Write(WriteError<Infallible>),
    /// The stream has not the events of the frame.
    Events,
    /// What was too much was not refused, or not with these numbers.
    NotRefused,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Miscounted { what, expected, found } => write!(f, "{what}: {found} instead of {expected}"),
            Self::Read(error) => error.fmt(f),
            Self::Write(error) => error.fmt(f),
            Self::Events => f.write_str("the events are not those of the frame"),
            Self::NotRefused => f.write_str("what was too much was not refused"),
        }
    }
}

impl core::error::Error for Fault {}

impl From<ReadError<Infallible>> for Fault {
    fn from(error: ReadError<Infallible>) -> Self {
        Self::Read(error)
    }
}

impl From<WriteError<Infallible>> for Fault {
    fn from(error: WriteError<Infallible>) -> Self {
        Self::Write(error)
    }
}

impl From<EncodeError> for Fault {
    fn from(error: EncodeError) -> Self {
        Self::Write(WriteError::Encode(error))
    }
}

/// Through a read buffer, into a store. One that `loses` the last piece has to notice that.
async fn receive_copied(size: u64, memory: &mut [u8], loses: bool) -> Result<(), Fault> {
    let mut reader = FrameReader::new(Wire::new(size), memory, decoder());
    let mut store = Store::new(Tally::default());
    let mut received = 0;
    let mut outcome = None;
    while let Some(event) = reader.next().await? {
        let part = Part::of(&event);
        let is_last = matches!(part, Part::Data(len) if received + len == size);
        let take = store.take(event);
        if loses && is_last {
            drop(take);
        } else if let Some(known) = take.await {
            outcome = Some(known);
        }
        if let Part::Data(len) = part {
            received += len;
            expect("bytes that the reader says are missing", size - received, reader.payload_unread())?;
            expect("the reader's offset", Wire::BEFORE + received, reader.offset())?;
            let lost = if loses && is_last { len } else { 0 };
            expect("bytes in the sink", received - lost, store.sink().written)?;
        }
    }
    let is_lost = loses && size > 0;
    let expected = if is_lost { Outcome::Interrupted } else { Outcome::Stored { size } };
    if outcome != Some(expected) || store.sink().is_whole == is_lost {
        return Err(Fault::Events);
    }
    expect("bytes received", size, received)?;
    expect("the reader's offset at the end", Wire::len(size), reader.offset())
}

/// Where the transport has it.
async fn receive_lent(size: u64, memory: &mut [u8]) -> Result<(), Fault> {
    let mut reader = FrameReader::new(Wire { memory, ..Wire::new(size) }, [], decoder());
    let mut received = 0;
    let mut is_whole = false;
    while let Some(part) = reader.next_with(|event| Part::of(&event)).await? {
        match part {
            Part::Start(announced) => expect("the size announced", size, announced)?,
            Part::Data(len) => {
                received += len;
                expect("bytes that the decoder says are missing", size - received, reader.payload_unread())?;
                expect("the decoder's offset", Wire::BEFORE + received, reader.offset())?;
            }
            Part::End => is_whole = true,
            Part::Other => {}
        }
    }
    if !is_whole {
        return Err(Fault::Events);
    }
    expect("bytes lent", size, received)?;
    expect("the decoder's offset at the end", Wire::len(size), reader.offset())
}

/// By a caller who takes them from the transport.
async fn receive_past_the_reader(size: u64) -> Result<(), Fault> {
    // As long as what comes before the file: nothing of that is read ahead.
    let mut reader = FrameReader::new(Wire::new(size), [0; HEAD], decoder());
    let mut received = 0;
    let mut is_whole = false;
    while let Some(event) = reader.next().await? {
        match Part::of(&event) {
            Part::Start(announced) => expect("the size announced", size, announced)?,
            Part::Data(_) => return Err(Fault::Events),
            Part::End => is_whole = true,
            Part::Other => {}
        }
        while reader.payload_unread() > 0 {
            expect("bytes to take from the transport", size - received, reader.payload_unread())?;
            let too_many = size - received + 1;
            let refused = PayloadOverrun { moved: too_many, remaining: size - received };
            if reader.advance_payload(too_many) != Err(refused) {
                return Err(Fault::NotRefused);
            }
            let n = reader.io_mut().skip();
            reader.advance_payload(n).map_err(|_| Fault::Events)?;
            received += n;
            expect("the offset behind what was taken", Wire::BEFORE + received, reader.offset())?;
        }
    }
    if !is_whole {
        return Err(Fault::Events);
    }
    expect("bytes taken from the transport", size, received)?;
    expect("the offset at the end", Wire::len(size), reader.offset())
}

/// By a store, into memory of its sink.
async fn receive_into_the_sink(size: u64, memory: &mut [u8]) -> Result<(), Fault> {
    let mut reader = FrameReader::new(Wire::new(size), [], decoder());
    let mut store = Store::new(Lender { memory, tally: Tally::default() });
    let mut outcome = None;
    while let Some(received) = store.receive(&mut reader, |_| ()).await? {
        if let Received::File(known) = received {
            outcome = Some(known);
        }
    }
    let Tally { written, is_whole } = store.sink().tally;
    if outcome != Some(Outcome::Stored { size }) || !is_whole {
        return Err(Fault::Events);
    }
    expect("bytes read into the sink", size, written)?;
    expect("the reader's offset behind the sink's file", Wire::len(size), reader.offset())
}

/// Each from where it lies, as far as it is longer than the stage.
async fn send_pieces(size: u64, memory: &mut [u8]) -> Result<(), Fault> {
    let half = memory.len() / 2;
    let (stage, piece) = memory.split_at_mut(half);
    let mut writer = FrameWriter::new(Wire::new(size), stage);
    writer.start_frame(Status::ZERO, 1).await?;
    writer.start_file(Wire::NAME, size).await?;
    let mut sent = 0;
    while sent < size {
        let n = cut(sent, size).min(piece.len() as u64);
        #[expect(clippy::cast_possible_truncation, reason = "no longer than the piece")]
        writer.write_payload(&piece[..n as usize]).await?;
        sent += n;
        expect("bytes that the writer says are missing", size - sent, writer.encoder().payload_remaining())?;
    }
    refuse_more(&mut writer).await?;
    finish(writer, size).await
}

/// From a source, through the stage.
async fn send_from_source(size: u64, memory: &mut [u8]) -> Result<(), Fault> {
    let mut source = Generated { size, read: 0 };
    let mut writer = FrameWriter::new(Wire::new(size), memory);
    writer.start_frame(Status::ZERO, 1).await?;
    let sent = match send_file(&mut writer, Wire::NAME, &mut source).await {
        Ok(sent) => sent,
        Err(SendFileError::Write(error)) => return Err(error.into()),
        Err(SendFileError::Source(fault)) => return Err(fault),
        Err(_) => return Err(Fault::Events),
    };
    expect("bytes that the source is said to have sent", size, sent)?;
    expect("bytes read from the source", size, source.read)?;
    refuse_more(&mut writer).await?;
    finish(writer, size).await
}

/// By a caller who gives them to the transport.
async fn send_past_the_writer(size: u64) -> Result<(), Fault> {
    let mut writer = FrameWriter::new(Wire::new(size), [0; 8]);
    writer.start_frame(Status::ZERO, 1).await?;
    writer.start_file(Wire::NAME, size).await?;
    let mut sent = 0;
    while sent < size {
        let n = writer.payload_io().await?.skip();
        writer.pass_payload(n)?;
        sent += n;
        expect("bytes that the encoder says are missing", size - sent, writer.encoder().payload_remaining())?;
    }
    refuse_more(&mut writer).await?;
    finish(writer, size).await
}

/// A byte more than was announced is refused.
async fn refuse_more<B: AsRef<[u8]> + AsMut<[u8]>>(
    writer: &mut FrameWriter<Wire<'_>, B>,
) -> Result<(), Fault> {
    match writer.write_payload(b"x").await {
        Err(WriteError::Encode(EncodeError::PayloadOverrun { offered: 1, remaining: 0 })) => Ok(()),
        _ => Err(Fault::NotRefused),
    }
}

/// The rest of the frame, and whether the transport has all of it.
async fn finish<B: AsRef<[u8]> + AsMut<[u8]>>(
    mut writer: FrameWriter<Wire<'_>, B>,
    size: u64,
) -> Result<(), Fault> {
    writer.start_message(0).await?;
    writer.push().await?;
    let (wire, _) = writer.into_parts();
    expect("bytes written", Wire::len(size), wire.at)?;
    if wire.is_torn { Err(Fault::Events) } else { Ok(()) }
}

fn decoder() -> Decoder<[u8; 1], DefaultLimits> {
    Decoder::new([0; 1], DefaultLimits)
}

fn expect(what: &'static str, expected: u64, found: u64) -> Result<(), Fault> {
    if expected == found { Ok(()) } else { Err(Fault::Miscounted { what, expected, found }) }
}

/// What counts of an event.
#[derive(Clone, Copy)]
enum Part {
    /// With the size that it announces.
    Start(u64),
    /// So many bytes.
    Data(u64),
    End,
    Other,
}

impl Part {
    fn of(event: &Event<'_>) -> Self {
        match event {
            Event::FileStart { size, .. } => Self::Start(*size),
            Event::FileData(bytes) => Self::Data(bytes.len() as u64),
            Event::FileEnd => Self::End,
            _ => Self::Other,
        }
    }
}

/// A frame with one file of zeros, both as a transport that it comes from and as one that it goes to.
struct Wire<'m> {
    head: [u8; HEAD],
    size: u64,
    /// Bytes that were read or written.
    at: u64,
    /// Something else than the frame was written.
    is_torn: bool,
    /// What it lends of the file.
    memory: &'m [u8],
}

impl Wire<'_> {
    const NAME: &'static [u8] = b"f";
    /// Bytes before the file.
    const BEFORE: u64 = HEAD as u64;
    /// The message's length, and no message.
    const TAIL: [u8; 8] = [0; 8];

    /// Bytes of all of it.
    fn len(size: u64) -> u64 {
        Self::BEFORE + size + Self::TAIL.len() as u64
    }

    fn new(size: u64) -> Self {
        let mut head = *b"\x80\x01\0\0\0\0\0\0\0\x01\0\x01f\0\0\0\0\0\0\0\0";
        head[13..].copy_from_slice(&size.to_be_bytes());
        Self { head, size, at: 0, is_torn: false, memory: &[] }
    }

    /// What comes next of what is not the file, or so many bytes of that.
    fn next(&self) -> Next<'_> {
        match self.at.checked_sub(Self::BEFORE) {
            None => Next::Field(self.head.get(index(self.at)..).unwrap_or_default()),
            Some(at) if at < self.size => Next::File(cut(at, self.size)),
            Some(at) => Next::Field(Self::TAIL.get(index(at - self.size)..).unwrap_or_default()),
        }
    }

    /// Leaves out bytes of the file: as many as end at one of the places where pieces end.
    fn skip(&mut self) -> u64 {
        let Next::File(n) = self.next() else { return 0 };
        self.at += n;
        n
    }
}

enum Next<'w> {
    Field(&'w [u8]),
    File(u64),
}

impl ErrorType for Wire<'_> {
    type Error = Infallible;
}

impl Read for Wire<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let n = match self.next() {
            Next::Field(bytes) => {
                let n = bytes.len().min(buffer.len());
                buffer[..n].copy_from_slice(&bytes[..n]);
                n
            }
            // Whatever is in the buffer.
            Next::File(n) => index(n).min(buffer.len()),
        };
        self.at += n as u64;
        Ok(n)
    }
}

impl BufRead for Wire<'_> {
    async fn fill_buf(&mut self) -> Result<&[u8], Infallible> {
        Ok(match self.next() {
            Next::Field(bytes) => bytes,
            Next::File(n) => &self.memory[..index(n).min(self.memory.len())],
        })
    }

    fn consume(&mut self, n: usize) {
        self.at += n as u64;
    }
}

impl Write for Wire<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let n = match self.next() {
            Next::Field(field) => {
                let n = field.len().min(bytes.len());
                self.is_torn |= n == 0 || bytes[..n] != field[..n];
                n.max(1)
            }
            Next::File(n) => index(n).min(bytes.len()),
        };
        self.at += n as u64;
        Ok(n)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A sink that counts.
#[derive(Default)]
struct Tally {
    written: u64,
    is_whole: bool,
}

impl FileSink for Tally {
    type Error = Infallible;

    async fn start(&mut self, _name: &[u8], _size: u64) -> Result<(), StartError<Infallible>> {
        *self = Self::default();
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.written += bytes.len() as u64;
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Infallible> {
        self.is_whole = true;
        Ok(())
    }

    async fn abandon(&mut self) {}
}

/// A sink that counts what was read into its memory.
struct Lender<'m> {
    memory: &'m mut [u8],
    tally: Tally,
}

impl FileSink for Lender<'_> {
    type Error = Infallible;

    async fn start(&mut self, name: &[u8], size: u64) -> Result<(), StartError<Infallible>> {
        self.tally.start(name, size).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.tally.write(bytes).await
    }

    async fn finish(&mut self) -> Result<(), Infallible> {
        self.tally.finish().await
    }

    async fn abandon(&mut self) {
        self.tally.abandon().await;
    }
}

impl LendingSink for Lender<'_> {
    async fn space(&mut self) -> Result<&mut [u8], Infallible> {
        Ok(self.memory)
    }

    fn commit(&mut self, n: usize) -> &[u8] {
        let bytes = self.memory.get(..n).unwrap_or_default();
        self.tally.written += bytes.len() as u64;
        bytes
    }
}

/// A source of whatever is in the buffer.
struct Generated {
    size: u64,
    read: u64,
}

impl FileSource for Generated {
    type Error = Fault;

    async fn size(&mut self) -> Result<u64, Fault> {
        Ok(self.size)
    }

    async fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Fault> {
        expect("the place to read at", self.read, offset)?;
        let n = index(cut(offset, self.size)).min(buffer.len());
        self.read += n as u64;
        Ok(n)
    }
}

/// Bytes from `at` to the next place where a piece is to end.
fn cut(at: u64, size: u64) -> u64 {
    let ends = [EDGE - 1, EDGE, EDGE + 1, size];
    ends.into_iter().filter(|end| *end > at).min().unwrap_or(size).min(size) - at
}

/// As much of `n` as can be a length.
fn index(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Bytes of a frame's start, and of a name of one byte and its size.
const HEAD: usize = 10 + 2 + 1 + 8;
/// The first number that 32 bits have no room for.
const EDGE: u64 = 1 << 32;
