//! From the transport straight into the sink.

use core::borrow::Borrow;

use embedded_io_async::Read;
use tej_core::io::{FrameReader, ReadError, ReadWith};
use tej_core::{Event, Limits};

use crate::store::State;
use crate::{LendingSink, Outcome, Store};

/// What [`Store::receive`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Received<T, E> {
    /// What became of a file.
    File(Outcome<E>),
    /// What was made of an event that is no file's.
    Event(T),
}

impl<S: LendingSink> Store<S> {
    /// Receives up to the next event that is no file's, or to where it is known what became of a file, each of which is said
    /// once. `None` is the end of the stream between two frames.
    ///
    /// The bytes of a file are read from the transport into the sink's own memory: they are copied once, and `reader` needs no
    /// buffer, which may have a length of 0. All other events are `look`'s, which makes of them what is returned. It sees
    /// [`Event::FileStart`], too, before the sink does, to remember the name and the size, say; what it makes of that one is
    /// dropped. It is called once for each, cannot wait, and runs while the transport lends: it may use nothing that the
    /// transport has borrowed meanwhile, which over tej-embassy is the network stack.
    ///
    /// `reader` is the same one from call to call, up to [`abandon`](Self::abandon). What it has read ahead is taken first, and
    /// whoever calls its `next` gives the event to [`take`](Self::take).
    ///
    /// ```
    /// use tej_core::io::FrameReader;
    /// use tej_core::{Decoder, DefaultLimits, Event};
    /// use tej_files::{Outcome, RamSink, Received, Store};
    ///
    /// # embassy_futures::block_on(async {
    /// let transport: &[u8] = b"\x80\x01\0\0\0\0\0\0\0\x01\0\x05a.txt\0\0\0\0\0\0\0\x02hi\0\0\0\0\0\0\0\0";
    /// let mut reader = FrameReader::new(transport, [], Decoder::new([0; 16], DefaultLimits));
    /// let mut memory = [0; 32];
    /// let mut store = Store::new(RamSink::new(&mut memory));
    /// let mut is_answered = false;
    /// while let Some(received) = store.receive(&mut reader, |event| event == Event::FrameEnd).await? {
    ///     match received {
    ///         Received::File(outcome) => assert_eq!(outcome, Outcome::Stored { size: 2 }),
    ///         Received::Event(is_end) => is_answered |= is_end, // answer the peer: `.await` it here
    ///     }
    /// }
    /// assert!(is_answered);
    /// assert_eq!(store.sink().file(), Some(&b"hi"[..]));
    /// # Ok::<(), tej_core::io::ReadError<core::convert::Infallible>>(())
    /// # })?;
    /// # Ok::<(), tej_core::io::ReadError<core::convert::Infallible>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`FrameReader::next`]. A file that is open stays so: [`abandon`](Self::abandon) it with the connection.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped while it waits for the transport loses nothing, if dropping the transport's `read` loses
    /// nothing. One that is dropped while it waits for the sink cuts the file, and the next call has it abandoned and says
    /// [`Outcome::Interrupted`].
    pub async fn receive<R, B, N, L, T>(
        &mut self,
        reader: &mut FrameReader<R, B, N, L>,
        mut look: impl FnMut(Event<'_>) -> T,
    ) -> Result<Option<Received<T, S::Error>>, ReadError<R::Error>>
    where
        R: Read + ReadWith,
        B: AsRef<[u8]> + AsMut<[u8]>,
        N: AsRef<[u8]> + AsMut<[u8]>,
        L: Borrow<Limits>,
    {
        if self.state == State::Cut {
            return Ok(Some(Received::File(self.interrupted().await)));
        }
        loop {
            if self.is_in_file(reader) {
                if let Some(outcome) = self.receive_bytes(reader).await? {
                    return Ok(Some(Received::File(outcome)));
                }
                continue;
            }
            let part = reader.next_with(|event| match event {
                Event::FileStart { size, .. } => {
                    look(event);
                    Part::Start(size)
                }
                Event::FileData(_) => Part::Skipped,
                Event::FileEnd => Part::End,
                other => Part::Other(look(other)),
            });
            let outcome = match part.await? {
                None => return Ok(None),
                Some(Part::Other(seen)) => return Ok(Some(Received::Event(seen))),
                Some(Part::Start(size)) => {
                    let name = reader.file_name().unwrap_or_default();
                    self.take(Event::FileStart { name, size }).await
                }
                Some(Part::Skipped) => None,
                Some(Part::End) => self.take(Event::FileEnd).await,
            };
            if let Some(outcome) = outcome {
                return Ok(Some(Received::File(outcome)));
            }
        }
    }

    /// Whether what comes next is the sink's: bytes of the file, or its end.
    fn is_in_file<R, B, N, L>(&self, reader: &FrameReader<R, B, N, L>) -> bool
    where
        R: Read,
        B: AsRef<[u8]> + AsMut<[u8]>,
        N: AsRef<[u8]> + AsMut<[u8]>,
        L: Borrow<Limits>,
    {
        self.state == State::Storing && reader.file_name().is_some()
    }

    /// Moves some bytes of the file, or ends it, and says what became of it if that is known now.
    async fn receive_bytes<R, B, N, L>(
        &mut self,
        reader: &mut FrameReader<R, B, N, L>,
    ) -> Result<Option<Outcome<S::Error>>, ReadError<R::Error>>
    where
        R: Read,
        B: AsRef<[u8]> + AsMut<[u8]>,
        N: AsRef<[u8]> + AsMut<[u8]>,
        L: Borrow<Limits>,
    {
        let unread = reader.payload_unread();
        if unread == 0 {
            // It was read ahead, or is the end.
            return Ok(match reader.next().await? {
                Some(event) => self.take(event).await,
                None => None,
            });
        }
        self.state = State::Cut;
        let space = match self.sink.space().await {
            Ok(space) => space,
            Err(error) => return Ok(Some(self.fail(error).await)),
        };
        let len = usize::try_from(unread).unwrap_or(usize::MAX).min(space.len());
        let space = &mut space[..len];
        if space.is_empty() {
            // It does not lend what it has to, and the file cannot go on.
            return Ok(Some(self.interrupted().await));
        }
        self.state = State::Storing;
        let n = reader.io_mut().read(space).await.map_err(ReadError::Io)?;
        if n == 0 {
            reader.decoder().finish()?;
        }
        // In one step with the read: nothing waits between them.
        let n = n.min(len);
        if reader.advance_payload(n as u64).is_ok() {
            // What the sink says that it has taken: if that is less, the end of the file finds bytes missing.
            let taken = self.sink.commit(n).len();
            self.missing = self.missing.saturating_sub(taken as u64);
        }
        Ok(None)
    }
}

/// What counts of an event.
enum Part<T> {
    /// A file of so many bytes.
    Start(u64),
    /// Bytes that nobody wants.
    Skipped,
    End,
    Other(T),
}
