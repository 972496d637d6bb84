//! Files in a NOR flash that holds its users to the rules.

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use embassy_futures::block_on;
use embassy_futures::yield_now;
use embedded_io_async::{BufRead, ErrorKind, Read};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use sha2::{Digest, Sha256};
use tej_core::io::{FrameReader, FrameWriter, ReadError};
use tej_core::{DecodeErrorKind, Decoder, DefaultLimits, Event, File, Status};
use tej_files::{
    Digested, FileSink, FileSource, LendingSink, NorSink, NorSource, Outcome, Received, Refusal, StartError,
    Store, StreamSink, send_file,
};

#[test]
fn the_first_sector_is_erased_before_the_file_and_none_for_an_empty_one() {
    for (size, expected) in
        [(0, vec![]), (1, vec![Op::Erase(REGION.start)]), (65, vec![Op::Erase(REGION.start)])]
    {
        let mut flash = Flash::new();
        let started = block_on(NorSink::new(&mut flash, REGION, &mut [0; 16]).start(b"", size));
        assert_eq!(started, Ok(()));
        assert_eq!(flash.log, expected, "{size}");
    }
}

#[test]
fn what_is_at_hand_is_written_at_once_and_of_nothing_there_is_nothing_to_write() {
    for (len, expected) in [(0, vec![]), (40, vec![Op::Erase(64), Op::Write(64, 32), Op::Write(96, 8)])] {
        let mut flash = Flash::new();
        let mut page = [0; 16];
        let mut sink = NorSink::new(&mut flash, REGION, &mut page);
        block_on(async {
            sink.start(b"", len as u64).await.unwrap();
            sink.write(&vec![1; len]).await.unwrap();
            sink.finish().await.unwrap();
            assert_eq!(sink.size(), Some(len as u64));
            // A wrapper may have failed after it.
            sink.abandon().await;
            assert_eq!(sink.size(), None);
        });
        assert_eq!(flash.log, expected);
    }
}

#[test]
fn a_digest_is_of_whole_files_alone_and_its_sink_knows_of_the_others() {
    block_on(async {
        let mut line = [0; 64];
        let mut sink = Digested::<_, Sha256>::new(StreamSink::new(&mut line[..]));
        sink.start(b"whole", 2).await.unwrap();
        sink.write(b"hi").await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(sink.digest(), Some(&Sha256::digest(b"hi")));
        sink.start(b"cut", 2).await.unwrap();
        assert_eq!(sink.digest(), None);
        sink.write(b"h").await.unwrap();
        sink.abandon().await;
        assert_eq!(sink.digest(), None);
        // A stream takes nothing back, if it is told.
        let refused = sink.start(b"next", 0).await;
        assert_eq!(refused, Err(StartError::Refused(Refusal::Unavailable)));
    });
}

#[test]
fn files_of_every_length_in_pieces_of_every_length_are_read_back() {
    let mut flash = Flash::new();
    for len in [0, 1, 3, 4, 5, 15, 16, 17, 63, 64, 65, 128, 200, 255, 256] {
        for piece in [1, 3, 4, 16, 17, 40, 256] {
            for page in [4, 16, 32] {
                let data = data(len);
                let mut page = vec![0; page];
                let mut sink = Digested::<_, Sha256>::new(NorSink::new(&mut flash, REGION, &mut page));
                store(&mut sink, &data, piece).unwrap();
                assert_eq!(sink.digest(), Some(&Sha256::digest(&data)));
                let mut sink = sink.into_inner();
                assert_eq!(sink.size(), Some(len as u64));
                for buffer in [1, 4, 7, 300] {
                    assert_eq!(read(sink.file().unwrap(), buffer), data, "{len} by {piece}");
                }
            }
        }
    }
    // Nothing outside of the region was touched.
    assert!(flash.bytes[..64].iter().chain(&flash.bytes[320..]).all(|byte| *byte == 0x5a));
}

#[test]
fn sectors_are_erased_one_at_a_time_ahead_of_what_goes_there_and_pages_written_once() {
    let mut flash = Flash::new();
    let mut page = [0; 16];
    let mut sink = NorSink::new(&mut flash, REGION, &mut page);
    store(&mut sink, &data(100), 10).unwrap();
    let pages =
        (128..240).step_by(16).map(|at| if at < 224 { Op::Write(at - 64, 16) } else { Op::Write(160, 4) });
    let mut expected: Vec<_> = [Op::Erase(64)].into_iter().chain(pages).collect();
    expected.insert(5, Op::Erase(128));
    assert_eq!(flash.log, expected);
}

#[test]
fn a_file_longer_than_the_region_is_refused_and_the_one_before_stays() {
    let mut flash = Flash::new();
    let mut page = [0; 16];
    let mut sink = NorSink::new(&mut flash, REGION, &mut page);
    store(&mut sink, &data(256), 16).unwrap();
    assert_eq!(block_on(sink.start(b"", 257)), Err(StartError::Refused(Refusal::Size)));
    assert_eq!(block_on(sink.start(b"", u64::MAX)), Err(StartError::Refused(Refusal::Size)));
    assert_eq!(read(sink.file().unwrap(), 64), data(256));
}

// case 62
#[test]
fn a_flash_that_fails_at_any_step_is_reported_once_and_the_next_file_is_stored() {
    let file = data(200);
    let mut failures = 0;
    for fail_at in 0.. {
        let mut flash = Flash { fail_at: Some(fail_at), ..Flash::new() };
        let mut page = [0; 16];
        let mut files = Store::new(NorSink::new(&mut flash, REGION, &mut page));
        let outcomes = feed(&mut files, &file, 30);
        if outcomes == [Outcome::Stored { size: 200 }] {
            break;
        }
        assert_eq!(outcomes, [Outcome::Failed(NorFlashErrorKind::Other)], "at {fail_at}");
        assert_eq!(files.sink().size(), None);
        failures += 1;
        assert_eq!(feed(&mut files, &file, 30), [Outcome::Stored { size: 200 }]);
        assert_eq!(read(files.sink_mut().file().unwrap(), 64), file);
    }
    // Four sectors and thirteen pages.
    assert_eq!(failures, 4 + 13);
}

// case 61
#[test]
fn a_store_that_is_dropped_at_any_poll_cuts_that_file_alone() {
    let file = data(200);
    let mut cuts = 0;
    for drop_at in 0.. {
        let mut flash = Flash { waits: true, ..Flash::new() };
        let mut page = [0; 16];
        let mut files = Store::new(NorSink::new(&mut flash, REGION, &mut page));
        let (mut polls, mut outcomes) = (0, vec![]);
        for event in events(&file, 30) {
            let mut take = Box::pin(files.take(event));
            let outcome = block_on(poll_fn(|_| {
                loop {
                    let mut cx = Context::from_waker(Waker::noop());
                    if polls == drop_at {
                        polls += 1;
                        return Poll::Ready(None);
                    }
                    polls += 1;
                    if let Poll::Ready(outcome) = take.as_mut().poll(&mut cx) {
                        return Poll::Ready(outcome);
                    }
                }
            }));
            drop(take);
            outcomes.extend(outcome);
        }
        if polls <= drop_at {
            break;
        }
        // Of a call for its end that is dropped, nobody asks any more.
        match outcomes[..] {
            [Outcome::Interrupted] | [] => assert_eq!(files.sink().size(), None, "at {drop_at}"),
            ref other => panic!("{other:?} at {drop_at}"),
        }
        cuts += 1;
        assert_eq!(feed(&mut files, &file, 30), [Outcome::Stored { size: 200 }]);
        assert_eq!(read(files.sink_mut().file().unwrap(), 64), file);
    }
    // Nine calls before their first poll, and the four sectors and thirteen pages for which they wait.
    assert_eq!(cuts, 9 + 4 + 13);
}

#[test]
fn files_are_read_into_the_page_whatever_the_transport_gives_and_whatever_was_read_ahead() {
    let [first, second] = [data(200), data(37)];
    let wire = wire(&[&first, &data(257), &[], &second]);
    for piece in [1, 5, 16, 30, 300] {
        for page in [4, 16, 64] {
            for ahead in [0, 1, 30, 60, 200] {
                let mut page = vec![0; page];
                let lent = page.as_ptr_range();
                let mut flash = Flash::new();
                let sink = Digested::<_, Sha256>::new(NorSink::new(&mut flash, REGION, &mut page));
                let mut store = Store::new(sink);
                let mut line = Line::new(&wire, piece);
                let mut reader = FrameReader::new(&mut line, vec![0; ahead], decoder());
                // With a buffer, what comes before the first file is read through it.
                if ahead > 0 {
                    for _ in 0..2 {
                        let event = block_on(reader.next()).unwrap().unwrap();
                        assert_eq!(block_on(store.take(event)), None);
                    }
                }
                let (mut outcomes, mut digests, mut events) = (vec![], vec![], 0);
                while let Some(received) = block_on(store.receive(&mut reader, |_| ())).unwrap() {
                    match received {
                        Received::File(outcome) => {
                            digests.extend(store.sink().digest().copied());
                            outcomes.push(outcome);
                        }
                        Received::Event(()) => events += 1,
                    }
                }
                let stored = |size| Outcome::Stored { size };
                assert_eq!(outcomes, [stored(200), Outcome::Refused(Refusal::Size), stored(0), stored(37)]);
                let [first_digest, second_digest] = [&first, &second].map(Sha256::digest);
                assert_eq!(digests, [first_digest, first_digest, Sha256::digest(b""), second_digest]);
                // The frame's start, unless it was looked at before, then the message's and the frame's end.
                assert_eq!(events, if ahead > 0 { 2 } else { 3 });
                let mut sink = store.into_sink().into_inner();
                assert_eq!(read(sink.file().unwrap(), 300), second);
                if ahead == 0 {
                    // Nothing was read to anywhere else than the page.
                    let lent = lent.start.addr()..lent.end.addr();
                    assert!(!line.reads.is_empty());
                    assert!(line.reads.iter().all(|read| lent.start <= read.start && read.end <= lent.end));
                }
            }
        }
    }
}

#[test]
fn bytes_that_are_written_may_follow_bytes_that_were_read_into_the_page() {
    let data = data(100);
    for committed in 1..=16 {
        for written in 1..=40 {
            let mut flash = Flash::new();
            let mut page = [0; 16];
            let mut sink = Digested::<_, Sha256>::new(NorSink::new(&mut flash, REGION, &mut page));
            block_on(async {
                sink.start(b"", 100).await.unwrap();
                let mut rest = &data[..];
                while !rest.is_empty() {
                    let space = sink.space().await.unwrap();
                    let n = committed.min(space.len()).min(rest.len());
                    space[..n].copy_from_slice(&rest[..n]);
                    assert_eq!(sink.commit(n), &rest[..n]);
                    let (now, later) = rest[n..].split_at(written.min(rest.len() - n));
                    sink.write(now).await.unwrap();
                    rest = later;
                }
                // No more than there is room for.
                let room = sink.space().await.unwrap().len();
                assert_eq!(sink.commit(0), b"");
                assert!((1..=16).contains(&room));
                sink.finish().await.unwrap();
            });
            assert_eq!(sink.digest(), Some(&Sha256::digest(&data)));
            assert_eq!(read(sink.into_inner().file().unwrap(), 64), data);
        }
    }
}

#[test]
fn a_stream_that_ends_or_fails_in_mid_file_leaves_a_file_to_abandon() {
    let wire = wire(&[&data(200)]);
    for end in [31, 32, 100, wire.len() - 9] {
        for fails in [false, true] {
            let mut flash = Flash::new();
            let mut page = [0; 16];
            let mut store = Store::new(NorSink::new(&mut flash, REGION, &mut page));
            store_one(&mut store, &data(7));
            let mut line = Line { fails, ..Line::new(&wire[..end], 30) };
            let mut reader = FrameReader::new(&mut line, [], decoder());
            block_on(async {
                assert_eq!(store.receive(&mut reader, |_| ()).await, Ok(Some(Received::Event(()))));
                for _ in 0..2 {
                    match store.receive(&mut reader, |_| ()).await {
                        Err(ReadError::Io(ErrorKind::Other)) => assert!(fails),
                        Err(ReadError::Decode(error)) => {
                            assert!(!fails);
                            assert_eq!((error.kind, error.offset), (DecodeErrorKind::Truncated, end as u64));
                        }
                        other => panic!("{other:?}"),
                    }
                }
                store.abandon().await;
            });
            assert_eq!(store.sink().size(), None);
            store_one(&mut store, &data(200));
        }
    }
}

#[test]
fn a_sink_that_lends_nothing_or_takes_too_little_costs_its_file_alone() {
    /// Lends some bytes, and takes the first half.
    struct Stingy(Vec<u8>);
    impl FileSink for Stingy {
        type Error = ();
        async fn start(&mut self, _: &[u8], _: u64) -> Result<(), StartError<()>> {
            Ok(())
        }
        async fn write(&mut self, _: &[u8]) -> Result<(), ()> {
            Ok(())
        }
        async fn finish(&mut self) -> Result<(), ()> {
            Ok(())
        }
        async fn abandon(&mut self) {}
    }
    impl LendingSink for Stingy {
        async fn space(&mut self) -> Result<&mut [u8], ()> {
            Ok(&mut self.0)
        }
        fn commit(&mut self, n: usize) -> &[u8] {
            &self.0[..n / 2]
        }
    }
    let wire = wire(&[&data(5), &[]]);
    for lent in 0..6 {
        let mut line = Line::new(&wire, 9);
        let mut reader = FrameReader::new(&mut line, [], decoder());
        let mut store = Store::new(Stingy(vec![0; lent]));
        let mut outcomes = vec![];
        while let Some(received) = block_on(store.receive(&mut reader, |_| ())).unwrap() {
            outcomes.extend(as_outcome(received));
        }
        assert_eq!(outcomes, [Outcome::Interrupted, Outcome::Stored { size: 0 }], "{lent} bytes are lent");
    }
}

// case 62
#[test]
fn a_flash_that_fails_at_any_step_of_a_file_read_into_its_page_is_reported_once() {
    let file = data(200);
    let wire = wire(&[&file, &file]);
    let mut failures = 0;
    for fail_at in 0.. {
        let mut flash = Flash { fail_at: Some(fail_at), ..Flash::new() };
        let mut page = [0; 16];
        let mut store = Store::new(NorSink::new(&mut flash, REGION, &mut page));
        let mut line = Line::new(&wire, 30);
        let mut reader = FrameReader::new(&mut line, [], decoder());
        let mut outcomes = vec![];
        while let Some(received) = block_on(store.receive(&mut reader, |_| ())).unwrap() {
            if let Some(outcome) = as_outcome(received) {
                let size = if matches!(outcome, Outcome::Stored { .. }) { Some(200) } else { None };
                assert_eq!(store.sink().size(), size);
                outcomes.push(outcome);
            }
        }
        let [stored, failed] = [Outcome::Stored { size: 200 }, Outcome::Failed(NorFlashErrorKind::Other)];
        // The second file fails where the first did not.
        failures += 1;
        match failures {
            1..=17 => assert_eq!(outcomes, [failed, stored], "at {fail_at}"),
            18..=34 => assert_eq!(outcomes, [stored, failed], "at {fail_at}"),
            _ => {
                assert_eq!(outcomes, [stored, stored]);
                assert_eq!(read(store.sink_mut().file().unwrap(), 64), file);
                break;
            }
        }
    }
    // Twice four sectors and thirteen pages.
    assert_eq!(failures, 2 * (4 + 13) + 1);
}

// case 61
#[test]
fn a_receive_that_is_dropped_cuts_a_file_only_where_it_waits_for_the_sink() {
    let file = data(200);
    let wire = wire(&[&file, &file]);
    let (mut cuts, mut losses_of_nothing) = (0, 0);
    for drop_at in 1.. {
        let mut flash = Flash { waits: true, ..Flash::new() };
        let mut page = [0; 16];
        let mut store = Store::new(NorSink::new(&mut flash, REGION, &mut page));
        let mut line = Line { waits: true, ..Line::new(&wire, 30) };
        let mut reader = FrameReader::new(&mut line, [], decoder());
        let (mut polls, mut outcomes, mut events) = (0, vec![], 0);
        loop {
            let received = {
                let mut receive = pin!(store.receive(&mut reader, |_| ()));
                block_on(poll_fn(|_| {
                    loop {
                        polls += 1;
                        let mut cx = Context::from_waker(Waker::noop());
                        if let Poll::Ready(received) = receive.as_mut().poll(&mut cx) {
                            return Poll::Ready(Some(received));
                        }
                        if polls == drop_at {
                            return Poll::Ready(None);
                        }
                    }
                }))
            };
            match received.map(Result::unwrap) {
                None => {}
                Some(None) => break,
                Some(Some(Received::Event(()))) => events += 1,
                Some(Some(received)) => outcomes.extend(as_outcome(received)),
            }
        }
        let [stored, cut] = [Outcome::Stored { size: 200 }, Outcome::Interrupted];
        assert_eq!(events, 3, "at {drop_at}");
        match outcomes[..] {
            [ref first, ref second] if *first == stored && *second == stored => {
                assert_eq!(read(store.sink_mut().file().unwrap(), 64), file);
                if polls < drop_at {
                    break;
                }
                losses_of_nothing += 1;
            }
            [ref first, ref second] if *first == cut && *second == stored => {
                assert_eq!(read(store.sink_mut().file().unwrap(), 64), file);
                cuts += 1;
            }
            [ref first, ref second] if *first == stored && *second == cut => {
                assert_eq!(store.sink().size(), None);
                cuts += 1;
            }
            ref other => panic!("{other:?} at {drop_at}"),
        }
    }
    // Where the flash waits: twice four sectors and thirteen pages.
    assert_eq!(cuts, 2 * (4 + 13));
    assert!(losses_of_nothing > 30, "{losses_of_nothing}");
}

#[test]
fn a_file_is_sent_from_flash_and_again_from_the_middle() {
    let mut flash = Flash::new();
    flash.bytes[64..264].copy_from_slice(&data(200));
    let mut source = NorSource::new(&mut flash, 64, 200);
    let mut tail = [0; 50];
    assert_eq!(block_on(source.read_at(148, &mut tail)), Ok(48));
    assert_eq!(block_on(source.read_at(199, &mut tail)), Ok(1));
    assert_eq!(block_on(source.read_at(200, &mut tail)), Ok(0));
    assert_eq!(block_on(source.read_at(u64::MAX, &mut tail)), Ok(0));
    let mut wire = [0; 300];
    block_on(async {
        let mut writer = FrameWriter::new(&mut wire[..], [0; 33]);
        writer.start_frame(Status::ZERO, 1).await.unwrap();
        assert_eq!(send_file(&mut writer, b"f", source).await, Ok(200));
        writer.start_message(0).await.unwrap();
        writer.push().await.unwrap();
    });
    assert_eq!(wire[21..221], data(200));
}

#[test]
fn regions_pages_and_places_that_do_not_fit_the_flash_are_mistakes() {
    let panics = |region: Range<u32>, page: usize| {
        std::panic::catch_unwind(|| {
            NorSink::new(Flash::new(), region, &mut vec![0; page]);
        })
        .is_err()
    };
    assert!(!panics(REGION, 4));
    assert!(!panics(320..384, 64));
    for (region, page) in [(64..64, 4), (64..448, 4), (60..128, 4), (64..100, 4), (REGION, 0), (REGION, 6)] {
        assert!(panics(region, page));
    }
    let panics =
        |start, size| std::panic::catch_unwind(|| NorSource::new(Flash::new(), start, size)).is_err();
    assert!(!panics(4, 380));
    assert!(panics(4, 381) && panics(2, 1) && panics(4, u64::MAX));
}

/// Stores a file without a store.
fn store<S: FileSink>(sink: &mut S, data: &[u8], piece: usize) -> Result<(), S::Error> {
    block_on(async {
        let Ok(()) = sink.start(b"", data.len() as u64).await else { panic!("not started") };
        for piece in data.chunks(piece) {
            sink.write(piece).await?;
        }
        sink.finish().await
    })
}

fn feed<S: FileSink>(files: &mut Store<S>, data: &[u8], piece: usize) -> Vec<Outcome<S::Error>> {
    events(data, piece).into_iter().filter_map(|event| block_on(files.take(event))).collect()
}

fn events(data: &[u8], piece: usize) -> Vec<Event<'_>> {
    let start = Event::FileStart { name: b"f", size: data.len() as u64 };
    [start].into_iter().chain(data.chunks(piece).map(Event::FileData)).chain([Event::FileEnd]).collect()
}

/// A frame of files, without a message.
fn wire(files: &[&[u8]]) -> Vec<u8> {
    let files: Vec<_> = files.iter().map(|data| File { name: b"f", data }).collect();
    let mut wire = vec![0; tej_core::encoded_len(&files, b"")];
    tej_core::encode(Status::ZERO, &files, b"", &mut wire).unwrap();
    wire
}

/// Receives a file of a connection of its own, which is stored.
fn store_one<F: NorFlash>(store: &mut Store<NorSink<'_, F>>, data: &[u8]) {
    let wire = wire(&[data]);
    let mut line = Line::new(&wire, 30);
    let mut reader = FrameReader::new(&mut line, [], decoder());
    let mut outcomes = 0;
    while let Some(received) = block_on(store.receive(&mut reader, |_| ())).unwrap() {
        outcomes += usize::from(as_outcome(received).is_some());
    }
    assert_eq!((outcomes, store.sink().size()), (1, Some(data.len() as u64)));
}

fn as_outcome<E>(received: Received<(), E>) -> Option<Outcome<E>> {
    match received {
        Received::File(outcome) => Some(outcome),
        Received::Event(()) => None,
    }
}

fn decoder() -> Decoder<[u8; 16], DefaultLimits> {
    Decoder::new([0; 16], DefaultLimits)
}

fn read<S: FileSource<Error = NorFlashErrorKind>>(mut source: S, buffer: usize) -> Vec<u8> {
    let mut read = vec![];
    let mut buffer = vec![0; buffer];
    loop {
        match block_on(source.read_at(read.len() as u64, &mut buffer)).unwrap() {
            0 => break,
            n => read.extend_from_slice(&buffer[..n]),
        }
    }
    assert_eq!(block_on(source.size()), Ok(read.len() as u64));
    read
}

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect()
}

/// What is left of a stream, which comes in pieces of a length.
struct Line<'w> {
    rest: &'w [u8],
    piece: usize,
    /// Every read is pending at first.
    waits: bool,
    /// Fails at its end instead of ending.
    fails: bool,
    /// Where it was read to.
    reads: Vec<Range<usize>>,
}

impl<'w> Line<'w> {
    fn new(rest: &'w [u8], piece: usize) -> Self {
        Self { rest, piece, waits: false, fails: false, reads: vec![] }
    }

    async fn begin(&mut self) -> Result<(), ErrorKind> {
        if self.waits {
            yield_now().await;
        }
        if self.fails && self.rest.is_empty() { Err(ErrorKind::Other) } else { Ok(()) }
    }
}

impl embedded_io_async::ErrorType for Line<'_> {
    type Error = ErrorKind;
}

impl Read for Line<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.begin().await?;
        let (n, to) = (self.piece.min(buffer.len()), buffer.as_ptr_range());
        self.reads.push(to.start.addr()..to.end.addr());
        let n = n.min(self.rest.len());
        buffer[..n].copy_from_slice(&self.rest[..n]);
        self.rest = &self.rest[n..];
        Ok(n)
    }
}

impl BufRead for Line<'_> {
    async fn fill_buf(&mut self) -> Result<&[u8], ErrorKind> {
        self.begin().await?;
        Ok(&self.rest[..self.piece.min(self.rest.len())])
    }

    fn consume(&mut self, n: usize) {
        self.rest = &self.rest[n..];
    }
}

/// Six sectors of 64 bytes, of words of 4.
struct Flash {
    bytes: Vec<u8>,
    log: Vec<Op>,
    /// Fails the operation of this number, once, halfway.
    fail_at: Option<usize>,
    /// Every operation is pending at first.
    waits: bool,
}

#[derive(Debug, PartialEq)]
enum Op {
    Erase(u32),
    Write(u32, usize),
}

impl Flash {
    fn new() -> Self {
        Self { bytes: vec![0x5a; 384], log: vec![], fail_at: None, waits: false }
    }

    async fn begin(&mut self, op: Op) -> Result<(), NorFlashErrorKind> {
        if self.waits {
            yield_now().await;
        }
        self.log.push(op);
        if self.fail_at == Some(self.log.len() - 1) { Err(NorFlashErrorKind::Other) } else { Ok(()) }
    }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let offset = offset as usize;
        assert!(offset.is_multiple_of(4) && bytes.len().is_multiple_of(4), "an unaligned read");
        bytes.copy_from_slice(&self.bytes[offset..offset + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 64;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        assert!(from.is_multiple_of(64) && to == from + 64, "not one sector: {from}..{to}");
        let sector = from as usize..to as usize;
        let begun = pin!(self.begin(Op::Erase(from))).await;
        self.bytes[sector].fill(if begun.is_ok() { 0xff } else { 0xa5 });
        begun
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        assert!(offset.is_multiple_of(4) && bytes.len().is_multiple_of(4), "an unaligned write");
        let begun = pin!(self.begin(Op::Write(offset, bytes.len()))).await;
        let n = if begun.is_ok() { bytes.len() } else { bytes.len() / 2 };
        let place = &mut self.bytes[offset as usize..][..n];
        assert!(place.iter().all(|byte| *byte == 0xff), "a write to what is not erased, at {offset}");
        place.copy_from_slice(&bytes[..n]);
        begun
    }
}

const REGION: Range<u32> = 64..320;
