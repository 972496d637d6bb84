//! A server and its clients on a simulated network, with partitions: what arrives is what was sent, nobody waits for
//! ever, and the same seed gives the same run.
//!
//! `cargo test -p tej-std --test simulation` tries many seeds and names the one that fails; `-- --seed N` repeats it and
//! prints what happened.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use clap::Parser;
use tej_std::service::{End, Failed, Frame, Handler, Options, Peer, serve};
use tej_std::{Config, Connection, MinRate, OutgoingFrame, Status, Timeouts};
use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};
use turmoil::net::{TcpListener, TcpStream};

#[derive(Parser)]
struct Arguments {
    /// Run this seed alone, twice, and print what happens.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds to try.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// What cargo passes on, and what chooses among tests: there is one.
    #[arg(long, short)]
    quiet: bool,
    #[arg(long)]
    nocapture: bool,
    #[arg(hide = true)]
    filters: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seeds = arguments.seed.map_or(0..arguments.seeds, |seed| seed..seed + 1);
    // Each simulation is one thread, whatever else runs.
    let (next, runs) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) {
                        break;
                    }
                    let mut run = simulate(seed);
                    // Twice as long for all of them would say no more.
                    let twice = seed % 20 == 0 || arguments.seed.is_some();
                    if twice && run.result.is_ok() && simulate(seed).trace != run.trace {
                        run.result = Err("another run of it went differently".into());
                    }
                    runs.lock().unwrap().push((seed, run));
                }
            });
        }
    });
    let mut runs = runs.into_inner().unwrap();
    runs.sort_by_key(|(seed, _)| *seed);
    let mut failed = runs.len() as u64 != seeds.end - seeds.start;
    for (seed, run) in &runs {
        if arguments.seed.is_some() {
            println!("{}", run.trace.join("\n"));
        }
        if let Err(why) = &run.result {
            println!(
                "seed {seed}: {why}\n  repeat it: cargo test -p tej-std --test simulation -- --seed {seed}"
            );
            failed = true;
        }
    }
    let frames = runs.len() * usize::from(CLIENTS) * usize::from(FRAMES);
    let attempts: usize = runs.iter().map(|(_, run)| run.attempts).sum();
    let partitions: usize = runs.iter().map(|(_, run)| run.partitions).sum();
    // A simulation in which nothing goes wrong shows nothing.
    if arguments.seed.is_none() && (attempts <= frames || partitions == 0) {
        println!("no attempt failed: the network was too good");
        failed = true;
    }
    println!(
        "simulation of seeds {} to {}: {frames} frames, {attempts} attempts, {partitions} partitions: {}",
        seeds.start,
        seeds.end - 1,
        if failed { "FAILED" } else { "ok" }
    );
    ExitCode::from(u8::from(failed))
}

struct Outcome {
    result: Result<(), String>,
    trace: Vec<String>,
    attempts: usize,
    partitions: usize,
}

/// What happened so far, as all hosts see it.
#[derive(Clone, Default)]
struct World(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    trace: Vec<String>,
    attempts: usize,
    partitions: usize,
    open: usize,
    panics: usize,
    /// How often the server had each frame of each client whole.
    received: BTreeMap<(u8, u8), usize>,
}

impl World {
    fn note(&self, what: &str) {
        let at = turmoil::sim_elapsed().unwrap_or_default().as_millis();
        self.0.lock().unwrap().trace.push(format!("{at:>7} ms  {what}"));
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }
}

fn simulate(seed: u64) -> Outcome {
    let world = World::default();
    let mut random = Random(seed);
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(3600))
        .tick_duration(Duration::from_millis(10))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(100))
        .tcp_capacity(1 << 16)
        .build();
    let server = world.clone();
    sim.host("server", move || listen(server.clone()));
    for client in 0..CLIENTS {
        let world = world.clone();
        sim.client(name(client), async move {
            for number in 0..FRAMES {
                // Time for something to happen.
                sleep(Duration::from_millis(
                    200 + (u64::from(client) * 131 + u64::from(number) * 311) % 1500,
                ))
                .await;
                send(&world, client, number).await?;
            }
            world.note(&format!("client {client} is done"));
            Ok(())
        });
    }
    let result = loop {
        match sim.step() {
            Ok(true) => break Ok(()),
            Ok(false) => {}
            Err(error) => break Err(error.to_string()),
        }
        let panics = world.with(|state| state.panics);
        if panics > 0 {
            break Err(format!("{panics} handlers panicked"));
        }
        // A partition every two seconds or so, for three seconds or so.
        if random.below(200) == 0 {
            let client = name(u8::try_from(random.below(CLIENTS.into())).unwrap());
            if random.below(2) == 0 {
                sim.partition(client.as_str(), "server");
            } else {
                sim.partition_oneway("server", client.as_str());
            }
            world.with(|state| state.partitions += 1);
        }
        if random.below(300) == 0 {
            for client in 0..CLIENTS {
                sim.repair(name(client).as_str(), "server");
            }
        }
    };
    // Everybody gone, the server's timeouts must have ended what is left soon.
    let result = result.and_then(|()| {
        let end = sim.elapsed() + Duration::from_secs(30);
        while sim.elapsed() < end {
            sim.step().map_err(|error| error.to_string())?;
        }
        world.with(|state| {
            let missing = (0..CLIENTS)
                .flat_map(|client| (0..FRAMES).map(move |number| (client, number)))
                .find(|frame| !state.received.contains_key(frame));
            match (missing, state.open) {
                (Some((client, number)), _) => Err(format!("frame {number} of client {client} never came")),
                (None, 0) => Ok(()),
                (None, open) => Err(format!("{open} connections are still open")),
            }
        })
    });
    drop(sim);
    world.with(|state| Outcome {
        result,
        trace: std::mem::take(&mut state.trace),
        attempts: state.attempts,
        partitions: state.partitions,
    })
}

async fn listen(world: World) -> turmoil::Result {
    let listener = TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (read, write) = stream.into_split();
        let handler = Receipts(world.clone());
        let open = Open::new(world.clone());
        tokio::spawn(async move {
            let _open = open;
            let connection = Connection::new(read, write, &config());
            serve(connection, None, handler, &options()).await;
        });
    }
}

/// Checks every frame, and answers each with its number.
struct Receipts(World);

impl Handler for Receipts {
    async fn received(&mut self, peer: &Peer, frame: &mut Frame<'_>) -> Result<(), Failed> {
        let mut content = Vec::new();
        let mut file = frame.next_file().await?.ok_or("no file")?;
        file.read_to_end(&mut content).await?;
        let message = frame.message().await?;
        let &[client, number] = &message[..] else { panic!("a wrong message arrived: {message:?}") };
        assert_eq!(content, payload(client, number), "a wrong file arrived");
        self.0.note(&format!("server has frame {number} of client {client}"));
        self.0.with(|state| *state.received.entry((client, number)).or_default() += 1);
        Ok(peer.send_message(Status::ZERO, [number]).await?)
    }

    async fn disconnected(&mut self, _: &Peer, end: &End) {
        self.0.note(&format!("server: {end}"));
    }
}

/// A connection that the server has; nobody else hears of the panic that ends its task.
struct Open(World);

impl Open {
    fn new(world: World) -> Self {
        world.with(|state| state.open += 1);
        Self(world)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.with(|state| {
            state.open -= 1;
            state.panics += usize::from(thread::panicking());
        });
    }
}

/// Sends a frame until the server says that it has it.
async fn send(world: &World, client: u8, number: u8) -> turmoil::Result {
    loop {
        world.with(|state| state.attempts += 1);
        match attempt(client, number).await {
            Ok(()) => return Ok(()),
            Err(why) => world.note(&format!("client {client}, frame {number}: {why}")),
        }
        sleep(Duration::from_millis(500)).await;
    }
}

async fn attempt(client: u8, number: u8) -> Result<(), Failed> {
    let connecting = TcpStream::connect(("server", PORT));
    let stream = timeout(Duration::from_secs(5), connecting).await.map_err(|_| "no connection")??;
    let (read, write) = stream.into_split();
    let (mut receiver, mut sender) = Connection::new(read, write, &config()).split();
    let frame =
        OutgoingFrame::new(Status::ZERO).bytes("file", payload(client, number)).message(vec![client, number]);
    let answer = async {
        let mut frame = receiver.next_frame().await?.ok_or("closed before the answer")?;
        Ok::<_, Failed>(frame.message().await?)
    };
    let (sent, answer) = tokio::join!(sender.send_frame(frame), answer);
    sent?;
    assert_eq!(answer?, [number], "the wrong answer");
    sender.shutdown().await?;
    Ok(())
}

/// What a frame holds: between nothing and a few segments, as its numbers say.
fn payload(client: u8, number: u8) -> Vec<u8> {
    let len = usize::from(number) * usize::from(client) * 977;
    (0..len).map(|at| at.to_le_bytes()[0] ^ client.wrapping_mul(31) ^ number).collect()
}

fn config() -> Config {
    Config {
        timeouts: Timeouts {
            idle: Some(Duration::from_secs(4)),
            frame: Some(Duration::from_secs(20)),
            min_rate: Some(MinRate { bytes_per_second: 100, grace: Duration::from_secs(10) }),
            write: Some(Duration::from_secs(10)),
            ..Timeouts::PATIENT
        },
        // Several segments for a frame.
        send_buffer: 1000,
        ..Config::default()
    }
}

fn options() -> Options {
    Options { shutdown: Duration::from_secs(5), ..Options::default() }
}

fn name(client: u8) -> String {
    format!("client-{client}")
}

/// SplitMix64, for what the network does.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

const CLIENTS: u8 = 4;
const FRAMES: u8 = 8;
const PORT: u16 = 7077;
