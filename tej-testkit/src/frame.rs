//! Whole frames, for the convenience of tests.

use embedded_io_async::{Read, Write};
use tej_core::io::{FrameReader, FrameWriter, ReadError, WriteError};
use tej_core::{Event, File, Status, encode, encoded_len};

/// A frame, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its status, 0 to 127.
    pub status: u8,
    /// The name and the bytes of each file.
    pub files: Vec<(Vec<u8>, Vec<u8>)>,
    /// Its message.
    pub message: Vec<u8>,
}

impl Frame {
    /// A frame of a message.
    pub fn message(message: impl AsRef<[u8]>) -> Self {
        Self { message: message.as_ref().to_vec(), ..Self::default() }
    }

    /// A frame of one file.
    pub fn file(name: &str, data: Vec<u8>) -> Self {
        Self { files: vec![(name.as_bytes().to_vec(), data)], ..Self::default() }
    }

    /// Its bytes on the wire.
    ///
    /// # Panics
    ///
    /// If it is none: a status over 127, say.
    pub fn encode(&self) -> Vec<u8> {
        let files: Vec<_> = self.files.iter().map(|(name, data)| File { name, data }).collect();
        let mut wire = vec![0; encoded_len(&files, &self.message)];
        let status = Status::new(self.status).expect("a status of at most 127");
        encode(status, &files, &self.message, &mut wire).expect("a frame");
        wire
    }
}

/// Sends `frame` and pushes it.
///
/// # Errors
///
/// Those of the writer.
///
/// # Panics
///
/// If it is no frame: a status over 127, say.
pub async fn send<W, B>(writer: &mut FrameWriter<W, B>, frame: &Frame) -> Result<(), WriteError<W::Error>>
where
    W: Write,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    writer.start_frame(Status::new(frame.status).unwrap(), u32::try_from(frame.files.len()).unwrap()).await?;
    for (name, data) in &frame.files {
        writer.start_file(name, data.len() as u64).await?;
        writer.write_payload(data).await?;
    }
    writer.start_message(frame.message.len() as u64).await?;
    writer.write_payload(&frame.message).await?;
    writer.push().await
}

/// Receives the next frame; `None` at the end of the stream.
///
/// # Errors
///
/// Those of the reader; what came of the frame before is lost.
pub async fn receive<R, B, N>(reader: &mut FrameReader<R, B, N>) -> Result<Option<Frame>, ReadError<R::Error>>
where
    R: Read,
    B: AsRef<[u8]> + AsMut<[u8]>,
    N: AsRef<[u8]> + AsMut<[u8]>,
{
    let mut frame = Frame::default();
    while let Some(event) = reader.next().await? {
        match event {
            Event::FrameStart(header) => frame.status = header.status.value(),
            Event::FileStart { name, .. } => frame.files.push((name.to_vec(), Vec::new())),
            Event::FileData(data) => {
                if let Some((_, file)) = frame.files.last_mut() {
                    file.extend_from_slice(data);
                }
            }
            Event::MessageData(data) => frame.message.extend_from_slice(data),
            Event::FrameEnd => return Ok(Some(frame)),
            _ => {}
        }
    }
    Ok(None)
}

/// Bytes in which a piece that is lost, doubled or moved shows.
pub fn bytes(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}
