//! Events in, files out.

use core::mem;

use tej_core::Event;

use crate::{FileSink, Refusal, StartError};

/// Stores the files of a connection, over any transport: it is given the events of a reader, one after the other, and
/// passes each file to the sink. What becomes of one is no fault of the stream, and the connection goes on: the bytes of
/// a file that is refused or cannot be stored are skipped.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Store<S> {
    pub(crate) sink: S,
    pub(crate) state: State,
    size: u64,
    /// Bytes of the file that the sink has not taken.
    pub(crate) missing: u64,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome<E> {
    /// The sink has all of it.
    Stored {
        /// Bytes of it.
        size: u64,
    },
    /// The sink did not want it.
    Refused(Refusal),
    /// The sink could not store it.
    Failed(E),
    /// The sink has not got all of it: a future of [`Store::take`] or [`Store::receive`] was dropped before the sink was done
    /// with it, or a sink that lends has lent nothing, or has taken less than was read into what it lent.
    Interrupted,
}

impl<S: FileSink> Store<S> {
    /// A store before the first event of a connection.
    pub const fn new(sink: S) -> Self {
        Self { sink, state: State::Idle, size: 0, missing: 0 }
    }

    /// Takes the next event, waits until the sink has taken it, and says what became of the file as soon as that is known:
    /// once for each file. Events that are of no file's are ignored.
    ///
    /// # Cancel safety
    ///
    /// A dropped future cuts the file, even one that was never polled. A later call, at its end at the latest, has it
    /// abandoned and says [`Outcome::Interrupted`], unless the next event begins another file.
    pub async fn take(&mut self, event: Event<'_>) -> Option<Outcome<S::Error>> {
        match event {
            Event::FileStart { name, size } => {
                self.abandon().await;
                self.size = size;
                self.missing = size;
                self.state = State::Cut;
                let started = self.sink.start(name, size).await;
                self.state = State::Skipping;
                match started {
                    Ok(()) => {
                        self.state = State::Storing;
                        None
                    }
                    Err(StartError::Refused(refusal)) => Some(Outcome::Refused(refusal)),
                    Err(StartError::Failed(error)) => Some(self.fail(error).await),
                }
            }
            Event::FileData(bytes) => match mem::replace(&mut self.state, State::Cut) {
                State::Storing => {
                    let written = self.sink.write(bytes).await;
                    self.state = State::Storing;
                    self.missing = self.missing.saturating_sub(bytes.len() as u64);
                    match written {
                        Ok(()) => None,
                        Err(error) => Some(self.fail(error).await),
                    }
                }
                State::Cut => Some(self.interrupted().await),
                state @ (State::Skipping | State::Idle) => {
                    self.state = state;
                    None
                }
            },
            Event::FileEnd => {
                let outcome = match mem::replace(&mut self.state, State::Cut) {
                    // A future that was dropped before its first poll has left no other trace.
                    State::Storing if self.missing > 0 => Some(self.interrupted().await),
                    State::Storing => match self.sink.finish().await {
                        Ok(()) => Some(Outcome::Stored { size: self.size }),
                        Err(error) => Some(self.fail(error).await),
                    },
                    State::Cut => Some(self.interrupted().await),
                    State::Skipping | State::Idle => None,
                };
                self.state = State::Idle;
                outcome
            }
            _ => None,
        }
    }

    /// The connection is gone: a file that is still open is abandoned. The store is ready for the next connection.
    ///
    /// # Cancel safety
    ///
    /// Call it again, or go on with the next file: that abandons this one too.
    pub async fn abandon(&mut self) {
        if matches!(self.state, State::Storing | State::Cut) {
            self.state = State::Cut;
            self.sink.abandon().await;
        }
        self.state = State::Idle;
    }

    /// The sink, for what it knows of the file that it has.
    pub fn sink(&self) -> &S {
        &self.sink
    }

    /// The sink. Calls that belong to a file are the store's.
    pub fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Gives the sink back. A file that is still open is not abandoned: see [`abandon`](Self::abandon).
    pub fn into_sink(self) -> S {
        self.sink
    }

    pub(crate) async fn fail(&mut self, error: S::Error) -> Outcome<S::Error> {
        self.state = State::Cut;
        self.sink.abandon().await;
        self.state = State::Skipping;
        Outcome::Failed(error)
    }

    pub(crate) async fn interrupted(&mut self) -> Outcome<S::Error> {
        self.sink.abandon().await;
        self.state = State::Skipping;
        Outcome::Interrupted
    }
}

/// What is done with the bytes of the current file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) enum State {
    /// There is none.
    Idle,
    /// The sink has it open.
    Storing,
    /// Its outcome is known.
    Skipping,
    /// The sink is at work on it, or the future that waited for that was dropped.
    Cut,
}
