//! `cargo xtask bench net`: what a connection costs, beside others that do the same.
//!
//! Files go from the `tej` command to the `tej` command, and by others, in turn. The baselines, the messages and the idle
//! connections are a program of their own, `measure/net`, which also tells what a command has used.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cargo, document,
    figure::{self, Figure, median, rounded},
    process::{self, Guarded},
    screen::Screen,
    tej::{self, Event},
    workspace::Workspace,
};

/// Measure what a connection costs in processor time and memory, ours and others'.
///
/// A file of 1 GiB goes over loopback from a file in memory to another, or to nowhere: by `tej`, by bare system calls, and
/// by socat, nginx with curl and the Python original where they are installed. Messages of 32 bytes and connections that
/// wait are beside those of tokio. Everything is measured in turn, and each round gives a ratio: what is told is the median.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench net                           all of it, into docs/benchmarks.md: some minutes
  cargo xtask bench net --size 64 --pairs 3       a quick look; nothing is stored
  cargo xtask bench net --json > net.jsonl        one object per figure

The exit code is 0 when everything could be measured, whether the targets are met or not.")]
pub(crate) struct Options {
    /// MiB of the file. Nothing is stored for another size than 1024.
    #[arg(long, value_name = "MIB", default_value_t = SIZE, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    size: u64,

    /// Rounds. Nothing is stored for fewer than 10.
    #[arg(long, value_name = "N", default_value_t = PAIRS, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: u32,

    /// One JSON object per figure on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let screen = if options.json { Screen::beside_results() } else { Screen::new(false) };
    screen.headline("Network benchmark");
    let tej = tej::build(workspace, &screen)?;
    let work = screen.work("build", "the baselines");
    let mut command = workspace.cargo();
    command.current_dir(folder(workspace)).args(["build", "--release", "--locked"]);
    let built = cargo::build(command, &workspace.target().join("bench").join("build-net.log"), &work)?;
    let measure = built.program().context("measure-net")?.to_path_buf();
    work.done("the baselines");

    let scratch = Scratch::new(options.size)?;
    let bench = Bench { tej, measure, scratch, python: python(workspace) };
    let (files, missing) = bench.files();
    for what in &missing {
        screen.note("not there", what);
    }
    let rounds = options.pairs;
    let mut rows = Vec::new();
    for (what, pairs) in [("file", files), ("discard", bench.discards())] {
        rows.push(bench.turns(&screen, what, &pairs, rounds)?);
    }
    for (what, count) in [("batched", 20_000_000), ("ping-pong", 30_000)] {
        let pairs = [OURS, "length_delimited"].map(|codec| bench.messages(codec, what, count));
        rows.push(bench.turns(&screen, what, &pairs, rounds)?);
    }
    let small = bench.small()?;
    let mut figures = figures(&rows, options.size, small);
    let work = screen.work("measure", "idle connections");
    for count in IDLE {
        for who in [OURS, "tokio"] {
            work.detail(&format!("{count} of {who}"));
            let bytes = bench.idle(who, count)?;
            let row = match (who, count) {
                (OURS, 10_000) => "net/idle/rss_per_connection".to_owned(),
                (OURS, _) => format!("net/idle/rss_per_connection_of_{count}"),
                _ => format!("net/idle/{who}/rss_per_connection_of_{count}"),
            };
            let figure = Figure::lower(row, bytes.round(), "B");
            figures.push(if who == OURS { figure.held_to(1500.0, 1000.0) } else { figure });
        }
    }
    work.done("idle connections");

    figure::print(&figures, options.json)?;
    if options.size == SIZE && options.pairs >= PAIRS {
        let path = workspace.root().join("docs").join("benchmarks.md");
        let text = section(&super::machine(workspace), &versions(&bench), &missing, rounds, &figures);
        document::store(&path, "bench net", &text)?;
        screen.note("stored", "docs/benchmarks.md");
    }
    Ok(ExitCode::SUCCESS)
}

/// The package of what is measured beside the command.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root().join("measure").join("net")
}

/// The Python original, where the tests have installed it.
fn python(workspace: &Workspace) -> Option<PathBuf> {
    let interpreter = workspace.python().join("bin").join("python");
    let mut command = Command::new(&interpreter);
    process::answer(command.args(["-c", "import tej_protoc"])).map(|_| interpreter)
}

/// A file in memory to send, and a folder for what arrives; both are gone at the end.
struct Scratch {
    folder: PathBuf,
    source: PathBuf,
    small: PathBuf,
}

impl Scratch {
    fn new(mebibytes: u64) -> Result<Self> {
        let folder = Path::new(MEMORY).join(format!("tej-bench-{}", std::process::id()));
        let failed = || format!("cannot write in {}", folder.display());
        fs::create_dir_all(folder.join("in")).with_context(failed)?;
        let scratch =
            Self { source: folder.join("source"), small: folder.join("small"), folder: folder.clone() };
        let mut file = fs::File::create(&scratch.source).with_context(failed)?;
        // What is in it makes no difference, but it must not be a hole.
        let piece: Vec<u8> = (0..1 << 20).map(|index: u32| index.to_le_bytes()[0]).collect();
        for _ in 0..mebibytes {
            file.write_all(&piece).with_context(failed)?;
        }
        fs::write(&scratch.small, &piece).with_context(failed)?;
        Ok(scratch)
    }

    fn inbox(&self) -> PathBuf {
        self.folder.join("in")
    }

    fn target(&self) -> PathBuf {
        self.inbox().join("source")
    }

    /// Removes what arrived, and sees that it did: as long as what was sent.
    fn collect(&self) -> Result<()> {
        let (sent, arrived) = (fs::metadata(&self.source)?.len(), fs::metadata(self.target()));
        let arrived = arrived.context("no file has arrived")?.len();
        ensure!(arrived == sent, "{arrived} of {sent} bytes have arrived");
        fs::remove_file(self.target())?;
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It lies in memory that is gone with the machine at the latest.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Two programs, one that listens and one that connects to it.
struct Pair {
    name: String,
    server: Vec<OsString>,
    client: Vec<OsString>,
    /// Whether the server has to be told a port; otherwise it says where it listens.
    told: bool,
    /// Whether the server goes on listening when the client is done.
    endless: bool,
    /// Whether a file is to arrive.
    stores: bool,
}

/// What a run of both has taken.
#[derive(Clone, Copy)]
struct Cost {
    /// Seconds of the processor, both ends.
    cpu: f64,
    wall: f64,
    /// KiB, the larger of the two.
    memory: f64,
}

/// All rounds of what was measured in turn: for each pair what it cost.
struct Turns {
    what: String,
    costs: Vec<(String, Vec<Cost>)>,
}

struct Bench {
    tej: PathBuf,
    measure: PathBuf,
    scratch: Scratch,
    python: Option<PathBuf>,
}

impl Bench {
    /// Those that move a file to a file, and what cannot be measured.
    fn files(&self) -> (Vec<Pair>, Vec<String>) {
        let mut missing = Vec::new();
        let mut pairs = vec![
            self.ours(Some(&self.scratch.inbox()), &self.scratch.source),
            Pair {
                stores: true,
                ..self.baseline(
                    RAW,
                    ["raw-splice".into(), self.scratch.target().into()],
                    &self.scratch.source,
                )
            },
        ];
        match process::find_in_path("socat") {
            Some(program) => pairs.push(self.socat(&program)),
            None => missing.push("socat (apt-get install socat)".to_owned()),
        }
        let nginx = process::find_in_path("nginx")
            .or_else(|| Some(NGINX.into()).filter(|path: &PathBuf| path.is_file()));
        match (nginx, process::find_in_path("curl")) {
            (Some(nginx), Some(curl)) => pairs.push(self.nginx(&nginx, &curl)),
            _ => missing.push("nginx and curl (apt-get install nginx-light curl)".to_owned()),
        }
        match &self.python {
            Some(python) => pairs.push(self.original(python)),
            None => missing.push("the Python original (cargo xtask setup)".to_owned()),
        }
        (pairs, missing)
    }

    /// Those that throw a file away.
    fn discards(&self) -> Vec<Pair> {
        let source = &self.scratch.source;
        vec![self.ours(None, source), self.baseline(RAW, ["raw-discard".into()], source)]
    }

    fn ours(&self, inbox: Option<&Path>, source: &Path) -> Pair {
        let mut server = words(&self.tej, &["recv", "--listen", "127.0.0.1:0", "--once", "--json"]);
        if let Some(inbox) = inbox {
            server.extend(["--dir".into(), inbox.into()]);
        }
        let mut client = words(&self.tej, &["send", ADDR]);
        client.push(source.into());
        Pair { stores: inbox.is_some(), ..Pair::new(OURS, server, client) }
    }

    fn baseline(&self, name: &str, server: impl IntoIterator<Item = OsString>, source: &Path) -> Pair {
        let mut client = words(&self.measure, &["raw-send", ADDR]);
        client.push(source.into());
        Pair::new(name, words(&self.measure, &[]).into_iter().chain(server).collect(), client)
    }

    fn socat(&self, program: &Path) -> Pair {
        let mut server = words(program, &["-u", "-b", "262144", "TCP-LISTEN:PORT,bind=127.0.0.1,reuseaddr"]);
        server.push(format!("CREATE:{}", self.scratch.target().display()).into());
        let mut client = words(program, &["-u", "-b", "262144"]);
        client.push(format!("OPEN:{}", self.scratch.source.display()).into());
        client.push("TCP:127.0.0.1:PORT".into());
        Pair { stores: true, told: true, ..Pair::new("socat", server, client) }
    }

    fn nginx(&self, nginx: &Path, curl: &Path) -> Pair {
        let mut server = words(nginx, &["-p"]);
        server.extend([self.scratch.folder.clone().into(), "-c".into(), "nginx.conf".into()]);
        let mut client = words(curl, &["-s", "-f", "http://127.0.0.1:PORT/source", "-o"]);
        client.push(self.scratch.target().into());
        Pair { stores: true, told: true, endless: true, ..Pair::new("nginx_curl", server, client) }
    }

    fn original(&self, python: &Path) -> Pair {
        let mut server = words(python, &["-c", ORIGINAL_SERVER, "PORT"]);
        server.push(self.scratch.target().into());
        let mut client = words(python, &["-c", ORIGINAL_CLIENT, "PORT"]);
        client.push(self.scratch.source.clone().into());
        Pair { stores: true, told: true, endless: true, ..Pair::new("python", server, client) }
    }

    fn messages(&self, codec: &str, way: &str, count: u64) -> Pair {
        let count = count.to_string();
        Pair::new(
            codec,
            words(&self.measure, &["messages-receive", codec, way, &count]),
            words(&self.measure, &["messages-send", codec, way, &count, ADDR]),
        )
    }

    /// Runs all pairs once in each round, in another order each time.
    fn turns(&self, screen: &Screen, what: &str, pairs: &[Pair], rounds: u32) -> Result<Turns> {
        let work = screen.work("measure", what);
        let mut costs: Vec<_> = pairs.iter().map(|pair| (pair.name.clone(), Vec::new())).collect();
        // Not counted: memory that the machine has not used for long costs more the first time.
        for pair in pairs {
            self.run(pair).with_context(|| format!("{what}: {}", pair.name))?;
        }
        for round in 0..rounds {
            for place in 0..pairs.len() {
                let index = (place + round as usize) % pairs.len();
                let pair = &pairs[index];
                work.detail(&format!("{} of {rounds}: {}", round + 1, pair.name));
                let cost = self.run(pair).with_context(|| format!("{what}: {}", pair.name))?;
                costs[index].1.push(cost);
            }
        }
        work.done(&format!("{what}, {rounds} rounds"));
        Ok(Turns { what: what.to_owned(), costs })
    }

    /// What ours takes for a file that is small.
    fn small(&self) -> Result<Cost> {
        self.run(&self.ours(None, &self.scratch.small))
    }

    /// Bytes of memory for each of so many connections that wait.
    fn idle(&self, who: &str, count: u32) -> Result<f64> {
        let count = count.to_string();
        let pair = Pair::new(
            who,
            words(&self.measure, &["idle-hold", who, &count]),
            words(&self.measure, &["idle-connect", ADDR, &count]),
        );
        let (_, said) = self.run_and_listen(&pair).with_context(|| format!("{count} idle connections"))?;
        let numbers: Vec<f64> = said.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [before, after] = numbers[..] else { bail!("it told no memory: {said}") };
        Ok((after - before) / count.parse::<f64>()?)
    }

    fn run(&self, pair: &Pair) -> Result<Cost> {
        let (cost, _) = self.run_and_listen(pair)?;
        if pair.stores {
            self.scratch.collect()?;
        }
        Ok(cost)
    }

    /// The cost of both, and what the server said after it listened.
    fn run_and_listen(&self, pair: &Pair) -> Result<(Cost, String)> {
        let mut addr: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        if pair.told {
            // Free a moment ago, and there is no other way to tell them one.
            addr = TcpListener::bind(addr)?.local_addr()?;
            let port = addr.port().to_string();
            fs::write(self.scratch.folder.join("nginx.conf"), NGINX_CONF.replace(PORT, &port))?;
        }
        let start = Instant::now();
        let (mut server, output) = self.start(&pair.server, addr, "server")?;
        let mut output = BufReader::new(output);
        if pair.told {
            listens(addr.port())?;
        } else {
            let mut line = String::new();
            output.read_line(&mut line)?;
            let Ok(Event::Listening { addr: said }) = Event::parse(&line) else {
                bail!("it does not listen: {line}")
            };
            addr = said.parse()?;
        }
        // What comes after that must not keep it waiting.
        let reader = thread::spawn(move || std::io::read_to_string(output));
        let (mut client, quiet) = self.start(&pair.client, addr, "client")?;
        let silence = thread::spawn(move || std::io::read_to_string(BufReader::new(quiet)));
        let client_cost = self.end(&mut client, "client")?;
        if pair.endless {
            server.input = None;
        }
        let server_cost = if pair.endless {
            self.end_of_any(&mut server, "server")
        } else {
            self.end(&mut server, "server")
        }?;
        let wall = start.elapsed().as_secs_f64();
        let said = reader.join().ok().context("nobody listened")??;
        silence.join().ok().context("nobody listened")??;
        let cost = Cost {
            cpu: client_cost.cpu + server_cost.cpu,
            memory: client_cost.memory.max(server_cost.memory),
            wall,
        };
        Ok((cost, said))
    }

    fn start(
        &self,
        words: &[OsString],
        addr: SocketAddr,
        who: &str,
    ) -> Result<(Started, std::process::ChildStdout)> {
        let mut command = Command::new(&self.measure);
        command.arg("usage").arg(self.report(who));
        for word in words {
            let text = word.to_string_lossy();
            command.arg(text.replace(ADDR, &addr.to_string()).replace(PORT, &addr.port().to_string()));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Guarded::spawn(&mut command)?;
        let input = child.input();
        let (output, complaints) = child.output()?;
        let complaints = thread::spawn(move || std::io::read_to_string(complaints).unwrap_or_default());
        Ok((Started { child, input, complaints: Some(complaints) }, output))
    }

    fn end(&self, started: &mut Started, who: &str) -> Result<Used> {
        let used = self.end_of_any(started, who)?;
        ensure!(used.code == 0, "the {who} failed ({}): {}", used.code, started.complaints());
        Ok(used)
    }

    fn end_of_any(&self, started: &mut Started, who: &str) -> Result<Used> {
        let status = started.child.wait(LIMIT).with_context(|| format!("the {who}"))?;
        ensure!(status.success(), "the {who}: {}", started.complaints());
        let report = fs::read_to_string(self.report(who))?;
        let numbers: Vec<i64> = report.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [micros, kibibytes, code] = numbers[..] else { bail!("not a report: {report}") };
        let real = |number: i64| number as f64;
        Ok(Used { cpu: real(micros) / 1e6, memory: real(kibibytes), code })
    }

    fn report(&self, who: &str) -> PathBuf {
        self.scratch.folder.join(who)
    }
}

impl Pair {
    fn new(name: &str, server: Vec<OsString>, client: Vec<OsString>) -> Self {
        Self { name: name.to_owned(), server, client, told: false, endless: false, stores: false }
    }
}

/// A program that runs.
struct Started {
    child: Guarded,
    /// Closed, it asks the program to end.
    input: Option<std::process::ChildStdin>,
    complaints: Option<thread::JoinHandle<String>>,
}

impl Started {
    fn complaints(&mut self) -> String {
        self.complaints.take().and_then(|reader| reader.join().ok()).unwrap_or_default().trim().to_owned()
    }
}

/// What one program has used.
struct Used {
    cpu: f64,
    memory: f64,
    code: i64,
}

fn words(program: &Path, rest: &[&str]) -> Vec<OsString> {
    std::iter::once(program.into()).chain(rest.iter().map(OsString::from)).collect()
}

/// Waits until somebody listens at the port, without a connection that they would take for the one.
fn listens(port: u16) -> Result<()> {
    let wanted = format!(":{port:04X} 00000000:0000 0A ");
    let deadline = Instant::now() + LIMIT_OF_START;
    while Instant::now() < deadline {
        if fs::read_to_string("/proc/net/tcp")?.contains(&wanted) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(5));
    }
    bail!("nobody listens at port {port}")
}

fn figures(rows: &[Turns], mebibytes: u64, small: Cost) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut memory = 0.0_f64;
    for turns in rows {
        let (_, ours) = &turns.costs[0];
        let files = matches!(turns.what.as_str(), "file" | "discard");
        if files {
            memory = memory.max(largest(ours, |cost| cost.memory));
        }
        let place = match turns.what.as_str() {
            "batched" => "net/msg",
            "ping-pong" => "net/pingpong",
            what => &format!("net/{what}"),
        };
        for (name, costs) in &turns.costs[1..] {
            let ratios = ours.iter().zip(costs).map(|(ours, other)| ours.cpu / other.cpu).collect();
            let row = format!("{place}/ratio_{name}");
            let target = TARGETS.into_iter().find(|(known, ..)| *known == row);
            let figure = Figure::lower(row, rounded(median(ratios)), "x");
            figures.push(target.map_or(figure.clone(), |(_, must, aim)| figure.held_to(must, aim)));
        }
        if let Some((_, raw)) = turns.costs.iter().find(|(name, _)| name == RAW) {
            for (name, costs) in turns.costs.iter().filter(|(name, _)| ![OURS, RAW].contains(&name.as_str()))
            {
                let ratios = raw.iter().zip(costs).map(|(raw, other)| raw.cpu / other.cpu).collect();
                figures.push(Figure::lower(format!("{place}/floor_{name}"), rounded(median(ratios)), "x"));
            }
        }
        for (name, costs) in &turns.costs {
            let of = |what: fn(&Cost) -> f64| median(costs.iter().map(what).collect());
            if files {
                let gibibytes = mebibytes as f64 / 1024.0;
                figures.push(Figure::lower(
                    format!("{place}/{name}/cpu"),
                    rounded(of(|cost| cost.cpu) / gibibytes),
                    "s/GiB",
                ));
                let rate = of(|cost| cost.wall) / gibibytes;
                figures.push(Figure::lower(format!("{place}/{name}/wall"), rounded(rate), "s/GiB"));
                let kibibytes = largest(costs, |cost| cost.memory);
                figures.push(Figure::lower(
                    format!("{place}/{name}/rss"),
                    rounded(kibibytes / 1024.0),
                    "MiB",
                ));
            } else {
                figures.push(Figure::lower(format!("{place}/{name}/cpu"), rounded(of(|cost| cost.cpu)), "s"));
            }
        }
    }
    figures.push(Figure::lower("net/rss", rounded(memory / 1024.0), "MiB").held_to(8.0, 4.5));
    let growth = (memory - small.memory).max(0.0);
    figures.push(Figure::lower("net/rss/growth", growth, "KiB").held_to(512.0, 256.0));
    figures
}

fn largest(costs: &[Cost], of: fn(&Cost) -> f64) -> f64 {
    costs.iter().map(of).fold(0.0, f64::max)
}

/// What took part, in its versions.
fn versions(bench: &Bench) -> String {
    let first = |program: &str, option: &str| {
        let output = Command::new(program).arg(option).output().ok()?;
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        text.lines()
            .find(|line| line.contains(|c: char| c.is_ascii_digit()))
            .map(|line| line.trim().to_owned())
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut known = vec![format!("Linux {}", kernel.trim())];
    known.extend(first("socat", "-V"));
    known.extend(first("nginx", "-v").or_else(|| first(NGINX, "-v")));
    known.extend(
        first("curl", "--version").map(|text| text.split(" (").next().unwrap_or_default().to_owned()),
    );
    known.extend(bench.python.as_ref().map(|_| "tej-protoc (Python)".to_owned()));
    known.join(", ")
}

fn section(machine: &str, versions: &str, missing: &[String], rounds: u32, figures: &[Figure]) -> String {
    let mut text = format!(
        "## What a connection costs: `cargo xtask bench net`\n\nMeasured on {machine}, {versions}; medians of {rounds} \
         rounds.\n\n{HOW}\n"
    );
    if !missing.is_empty() {
        text += &format!("Not measured, because it is not installed: {}.\n\n", missing.join("; "));
    }
    text + &figure::markdown(figures)
}

/// How ours is called, in rows and by the baselines.
const OURS: &str = "tej";
/// And what does without a protocol.
const RAW: &str = "raw";
/// Stand for where the server listens.
const ADDR: &str = "ADDR";
const PORT: &str = "PORT";
const MEMORY: &str = "/dev/shm";
/// Debian does not put it in everybody's path.
const NGINX: &str = "/usr/sbin/nginx";
const SIZE: u64 = 1024;
const PAIRS: u32 = 10;
const IDLE: [u32; 2] = [1_000, 10_000];
const LIMIT: Duration = Duration::from_secs(300);
const LIMIT_OF_START: Duration = Duration::from_secs(10);

/// What our ratios are held to: they must not be more than the first, and aim at the second.
const TARGETS: [(&str, f64, f64); 6] = [
    ("net/file/ratio_raw", 1.05, 1.0),
    ("net/file/ratio_socat", 0.90, 0.83),
    ("net/file/ratio_nginx_curl", 0.75, 0.70),
    ("net/file/ratio_python", 0.18, 0.17),
    ("net/discard/ratio_raw", 1.05, 0.8),
    ("net/msg/ratio_length_delimited", 0.5, 0.4),
];

const NGINX_CONF: &str = "\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
    sendfile on;
    server { listen 127.0.0.1:PORT; root .; }
}
";

/// Stores the file that comes.
const ORIGINAL_SERVER: &str = "
import sys
from tej_protoc import callbacks
from tej_protoc.server import TPServer

class Storing(callbacks.ResponseCallback):
    def received(self, files, message):
        with open(sys.argv[2], 'wb') as target:
            target.write(files[0].data)

TPServer('127.0.0.1', int(sys.argv[1]), Storing).listen()
";

/// Sends a file, and waits until the peer has closed.
const ORIGINAL_CLIENT: &str = "
import sys
from tej_protoc import callbacks, protocol
from tej_protoc.client import TPClient

sock = TPClient('127.0.0.1', int(sys.argv[1]), callbacks.ResponseCallback).get_client()
builder = protocol.BytesBuilder(0)
with open(sys.argv[2], 'rb') as source:
    builder.add_file('source', source.read())
protocol.send(sock, builder.bytes())
sock.shutdown(1)
sock.recv(1)
";

const HOW: &str = "\
How it is measured:

- The file lies in memory (`/dev/shm`), and goes over TCP on loopback to a file there, or to nowhere. `tej` is the command,
  `tej send` and `tej recv --once`, as people run it. `raw` are bare blocking system calls and no protocol: sendfile, and
  at the other end splice through a pipe of 1 MiB, or recv into 256 KiB. socat has buffers of 256 KiB; nginx sends by
  sendfile, without a master process.
- Processor time is that of both ends, from start to end of the processes, as the system has counted it. All take turns,
  in another order each round, and a ratio is the median of the ratios of the rounds: ours by theirs. What runs beside it
  on the machine changes the times more than the ratios. `wall` is noise. `floor` is the ratio that `raw` itself has to the
  others in this run: no protocol can have a lower one.
- `rss` is the most memory of one of the two processes in any round. `net/rss/growth` is how much more it is than for a
  file of 1 MiB.
- Messages of 32 bytes go through tej-std and through `LengthDelimitedCodec` of tokio-util, on one thread at each end, with
  buffers of 256 KiB on both sides. `msg` is 20,000,000 one after the other, staged by `stage_message`
  and taken by `ready_frame`; the other's are fed to its sink. `pingpong` is 30,000 that are answered one by one.
- Idle connections are accepted by a server, and each waits for a frame in a task of its own; what the process has grown
  by is divided by their number. `tokio` is a task with a socket and no buffer.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(cpu: f64) -> Cost {
        Cost { cpu, wall: 1.0, memory: 2048.0 }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_ratio_is_that_of_a_round() {
        let turns = Turns {
            what: "file".to_owned(),
            costs: vec![
                (OURS.to_owned(), vec![cost(1.0), cost(20.0), cost(3.0)]),
                ("raw".to_owned(), vec![cost(1.0), cost(10.0), cost(2.0)]),
                ("socat".to_owned(), vec![cost(2.0), cost(20.0), cost(8.0)]),
            ],
        };
        let figures = figures(&[turns], 1024, cost(1.0));
        assert_eq!((figures[0].row.as_str(), figures[0].value), ("net/file/ratio_raw", 1.5));
        assert_eq!(figures[0].passes(), Some(false));
        assert!(figures.iter().any(|figure| figure.row == "net/file/floor_socat" && figure.value == 0.5));
        assert!(figures.iter().any(|figure| figure.row == "net/rss" && figure.value == 2.0));
    }
}
