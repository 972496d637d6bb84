//! Stores and sources over whatever sinks and streams do.

use embassy_futures::block_on;
use embedded_io_async::{ErrorKind, ErrorType, Read, Seek, SeekFrom, Write};
use tej_core::io::{FrameReader, FrameWriter, WriteError};
use tej_core::{Decoder, DefaultLimits, EncodeError, Event, Status};
use tej_files::{
    FileSink, FileSource, LendingSink, Outcome, RamSink, Received, Refusal, SeekSource, SendFileError,
    StartError, Store, StreamError, StreamSink, send_file,
};

#[test]
fn a_file_in_memory_that_is_abandoned_is_nobody_s() {
    let mut memory = [0; 4];
    let mut sink = RamSink::new(&mut memory);
    block_on(async {
        sink.start(b"", 2).await.unwrap();
        sink.write(b"hi").await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(sink.file(), Some(&b"hi"[..]));
        sink.abandon().await;
        assert_eq!(sink.file(), None);
    });
}

#[test]
fn each_file_has_one_outcome_and_the_connection_goes_on() {
    let files: [(&[u8], &[u8]); 5] = [
        (b"a", b"0123"),
        (b"long", b"0123456789"),
        (b"", b""),
        (b"full", b"01234567"),
        (b"over", b"012345678"),
    ];
    let wire = wire(&files);
    for read in 1..=wire.len() {
        let mut memory = [0; 8];
        let mut store = Store::new(RamSink::new(&mut memory));
        let mut kept = vec![];
        let mut reader = FrameReader::new(&wire[..], vec![0; read], Decoder::new([0; 16], DefaultLimits));
        block_on(async {
            while let Some(event) = reader.next().await.unwrap() {
                let outcome = store.take(event).await;
                kept.extend(outcome.map(|outcome| (outcome, store.sink().file().map(<[u8]>::to_vec))));
            }
        });
        let expected = [
            (Outcome::Stored { size: 4 }, Some(b"0123".to_vec())),
            // What was there before is there still.
            (Outcome::Refused(Refusal::Size), Some(b"0123".to_vec())),
            (Outcome::Stored { size: 0 }, Some(vec![])),
            (Outcome::Stored { size: 8 }, Some(b"01234567".to_vec())),
            (Outcome::Refused(Refusal::Size), Some(b"01234567".to_vec())),
        ];
        assert_eq!(kept, expected, "read by {read}");
    }
}

#[test]
fn files_are_read_into_memory_up_to_the_last_byte_with_their_names() {
    let mut memory = [0; 8];
    let wire = wire(&[(b"a", b"0123"), (b"too long", b"012345678"), (b"", b""), (b"full", b"abcdefgh")]);
    let mut sink = RamSink::new(&mut memory);
    let mut store = Store::new(&mut sink);
    let mut reader = FrameReader::new(&wire[..], [], Decoder::new([0; 16], DefaultLimits));
    let (mut kept, mut begun, mut events) = (vec![], (vec![], 0), 0);
    loop {
        let look = |event: Event<'_>| match event {
            Event::FileStart { name, size } => begun = (name.to_vec(), size),
            Event::FileData(_) | Event::FileEnd => panic!("the sink's: {event:?}"),
            _ => {}
        };
        match block_on(store.receive(&mut reader, look)).unwrap() {
            Some(Received::File(outcome)) => {
                kept.push((begun.clone(), outcome, store.sink().file().map(<[u8]>::to_vec)));
            }
            Some(Received::Event(())) => events += 1,
            None => break,
        }
    }
    let begun = |name: &[u8], size| (name.to_vec(), size);
    let expected = [
        (begun(b"a", 4), Outcome::Stored { size: 4 }, Some(b"0123".to_vec())),
        (begun(b"too long", 9), Outcome::Refused(Refusal::Size), Some(b"0123".to_vec())),
        (begun(b"", 0), Outcome::Stored { size: 0 }, Some(vec![])),
        (begun(b"full", 8), Outcome::Stored { size: 8 }, Some(b"abcdefgh".to_vec())),
    ];
    assert_eq!(kept, expected);
    // The frame's start, the message's, the frame's end. Of the start of a file nothing is returned.
    assert_eq!(events, 3);
    // There is no room left, and none is made up.
    assert_eq!(block_on(sink.space()), Ok(&mut [][..]));
    assert_eq!(sink.commit(1), b"");
    assert_eq!(sink.file(), Some(&b"abcdefgh"[..]));
}

#[test]
fn a_file_that_a_connection_cuts_off_is_abandoned_and_not_taken_for_whole() {
    let mut memory = [0; 8];
    let mut store = Store::new(RamSink::new(&mut memory));
    block_on(async {
        assert_eq!(store.take(START).await, None);
        assert_eq!(store.take(Event::FileData(b"01")).await, None);
        store.abandon().await;
        assert_eq!(store.sink().file(), None);
        // Events of a file that is abandoned are of none.
        assert_eq!(store.take(Event::FileData(b"23")).await, None);
        assert_eq!(store.take(Event::FileEnd).await, None);
        assert_eq!(store.sink().file(), None);
        // And without that call, the next file does it.
        let mut store = Store::new(Scripted::default());
        store.take(START).await;
        store.take(START).await;
        store.take(Event::FileData(b"0123")).await;
        store.take(Event::FileEnd).await;
        store.abandon().await;
        assert_eq!(store.sink().calls, "start abandon start write finish ");
    });
}

// case 62
#[test]
fn a_sink_that_fails_at_any_call_is_abandoned_and_reported_once() {
    let whole = "start write write finish ";
    for (fails, calls) in [
        ("start", "start abandon "),
        ("write", "start write abandon "),
        ("finish", "start write write finish abandon "),
        ("nothing", whole),
    ] {
        // Lent, as it may be.
        let mut sink = Scripted { fails, ..Scripted::default() };
        let mut store = Store::new(&mut sink);
        let feed = |store: &mut Store<&mut Scripted>| {
            [START, Event::FileData(b"01"), Event::FileData(b"23"), Event::FileEnd]
                .into_iter()
                .filter_map(|event| block_on(store.take(event)))
                .collect::<Vec<_>>()
        };
        let expected = if calls == whole { Outcome::Stored { size: 4 } } else { Outcome::Failed(()) };
        assert_eq!(feed(&mut store), [expected]);
        store.sink_mut().fails = "";
        assert_eq!(feed(&mut store), [Outcome::Stored { size: 4 }]);
        assert_eq!(store.into_sink().calls, format!("{calls}{whole}"));
    }
}

#[test]
fn a_stream_takes_files_until_one_is_torn() {
    let mut io = [0; 6];
    let mut store = Store::new(StreamSink::new(&mut io[..]));
    let feed = |store: &mut Store<StreamSink<_>>, data: &[u8]| {
        let start = Event::FileStart { name: b"", size: data.len() as u64 };
        let events = [start, Event::FileData(data), Event::FileEnd];
        events.into_iter().find_map(|event| block_on(store.take(event)))
    };
    assert_eq!(feed(&mut store, b"0123"), Some(Outcome::Stored { size: 4 }));
    assert!(!store.sink().is_torn());
    // Two bytes fit.
    assert!(matches!(feed(&mut store, b"abcd"), Some(Outcome::Failed(StreamError::Io(_)))));
    assert_eq!(feed(&mut store, b""), Some(Outcome::Refused(Refusal::Unavailable)));
    assert!(store.sink().is_torn());
    assert_eq!(&io, b"0123ab");
}

#[test]
fn a_stream_that_takes_nothing_more_is_closed() {
    struct Closed;
    impl ErrorType for Closed {
        type Error = ErrorKind;
    }
    impl Write for Closed {
        async fn write(&mut self, _: &[u8]) -> Result<usize, ErrorKind> {
            Ok(0)
        }
        async fn flush(&mut self) -> Result<(), ErrorKind> {
            Err(ErrorKind::BrokenPipe)
        }
    }
    let mut sink = StreamSink::new(Closed);
    assert_eq!(block_on(sink.write(b"1")), Err(StreamError::Closed));
    assert_eq!(block_on(sink.finish()), Err(StreamError::Io(ErrorKind::BrokenPipe)));
}

#[test]
fn a_source_is_sent_whole_through_any_stage() {
    for len in [0, 1, 15, 16, 17, 100] {
        let data: Vec<u8> = (0..len).collect();
        for stage in [1, 16, 300] {
            let mut wire = [0; 300];
            let sent = block_on(async {
                let mut writer = FrameWriter::new(&mut wire[..], vec![0; stage]);
                writer.start_frame(Status::ZERO, 2).await.unwrap();
                // Lent, as it may be.
                let sent = send_file(&mut writer, b"f", &mut &data[..]).await.unwrap();
                send_file(&mut writer, b"", SeekSource::new(Stream::new(&data))).await.unwrap();
                writer.start_message(0).await.unwrap();
                writer.push().await.unwrap();
                sent
            });
            assert_eq!(sent, u64::from(len));
            let len = usize::from(len);
            assert_eq!((&wire[21..][..len], &wire[31 + len..][..len]), (&data[..], &data[..]));
        }
    }
}

#[test]
fn a_source_that_shrinks_or_fails_leaves_the_frame_open() {
    let fails = |fail_at, size, stage: usize| {
        let mut source = Stream::new(&[7; 10]);
        (source.fail_at, source.size) = (fail_at, size);
        let mut wire = [0; 100];
        block_on(async {
            let mut writer = FrameWriter::new(&mut wire[..], vec![0; stage]);
            writer.start_frame(Status::ZERO, 1).await.unwrap();
            let error = send_file(&mut writer, b"f", SeekSource::new(source)).await.unwrap_err();
            (error, writer.start_message(0).await)
        })
    };
    let out_of_order = Err(WriteError::Encode(EncodeError::OutOfOrder));
    let missing = |n| Err(WriteError::Encode(EncodeError::PayloadMissing(n)));
    assert_eq!(fails(Some(0), 10, 4), (SendFileError::Source(ErrorKind::Other), out_of_order));
    assert_eq!(fails(Some(3), 10, 4).0, SendFileError::Source(ErrorKind::Other));
    assert_eq!(fails(None, 13, 4), (SendFileError::Shrunk { missing: 3 }, missing(3)));
    assert_eq!(fails(None, 10, 0), (SendFileError::NoStage, missing(10)));
    let said = SendFileError::<ErrorKind, ErrorKind>::Shrunk { missing: 3 }.to_string();
    assert_eq!(said, "the file ended 3 bytes too early");
}

#[test]
fn a_stream_is_sought_only_where_it_is_not() {
    let mut source = SeekSource::new(Stream::new(b"0123456789"));
    let mut read = |offset| {
        let mut buffer = [0; 3];
        let n = block_on(source.read_at(offset, &mut buffer))?;
        Ok::<_, ErrorKind>(buffer[..n].to_vec())
    };
    assert_eq!(read(2).unwrap(), b"234");
    assert_eq!(read(5).unwrap(), b"567");
    assert_eq!(read(8).unwrap(), b"89");
    assert_eq!(read(10).unwrap(), b"");
    assert_eq!(read(0).unwrap(), b"012");
    assert_eq!(source.into_inner().seeks, 2);
}

/// A frame of `files`, without a message.
fn wire(files: &[(&[u8], &[u8])]) -> Vec<u8> {
    let files: Vec<_> = files.iter().map(|(name, data)| tej_core::File { name, data }).collect();
    let mut wire = vec![0; tej_core::encoded_len(&files, b"")];
    tej_core::encode(Status::ZERO, &files, b"", &mut wire).unwrap();
    wire
}

const START: Event<'_> = Event::FileStart { name: b"f", size: 4 };

/// Remembers what it is called, and fails one call of a kind.
#[derive(Default)]
struct Scripted {
    fails: &'static str,
    calls: String,
}

impl Scripted {
    fn call(&mut self, name: &str) -> Result<(), ()> {
        self.calls += name;
        self.calls += " ";
        if self.fails == name { Err(()) } else { Ok(()) }
    }
}

impl FileSink for Scripted {
    type Error = ();

    async fn start(&mut self, _: &[u8], _: u64) -> Result<(), StartError<()>> {
        self.call("start").map_err(StartError::Failed)
    }

    async fn write(&mut self, _: &[u8]) -> Result<(), ()> {
        self.call("write")
    }

    async fn finish(&mut self) -> Result<(), ()> {
        self.call("finish")
    }

    async fn abandon(&mut self) {
        self.call("abandon").unwrap();
    }
}

/// A stream with a position, which may fail and may announce a wrong size.
struct Stream {
    data: Vec<u8>,
    at: usize,
    size: u64,
    seeks: usize,
    calls: usize,
    fail_at: Option<usize>,
}

impl Stream {
    fn new(data: &[u8]) -> Self {
        Self { data: data.to_vec(), at: 0, size: data.len() as u64, seeks: 0, calls: 0, fail_at: None }
    }

    fn call(&mut self) -> Result<(), ErrorKind> {
        self.calls += 1;
        if self.fail_at == Some(self.calls - 1) { Err(ErrorKind::Other) } else { Ok(()) }
    }
}

impl ErrorType for Stream {
    type Error = ErrorKind;
}

impl Read for Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.call()?;
        let n = buffer.len().min(self.data.len() - self.at);
        buffer[..n].copy_from_slice(&self.data[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

impl Seek for Stream {
    async fn seek(&mut self, to: SeekFrom) -> Result<u64, ErrorKind> {
        self.call()?;
        self.seeks += 1;
        match to {
            SeekFrom::Start(at) => {
                self.at = usize::try_from(at).unwrap();
                Ok(at)
            }
            SeekFrom::End(0) => {
                self.at = self.data.len();
                Ok(self.size)
            }
            _ => Err(ErrorKind::Unsupported),
        }
    }
}
