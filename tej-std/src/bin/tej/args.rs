//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tej_std::tls::Fingerprint;
use tej_std::{
    Admission, Config, DecodeError, DecodeErrorKind, Limits, MinRate, ReceiveError, Status, Timeouts,
};

use crate::report::{Failure, Peer, ShowProgress};

/// Moves files and messages between machines over TEJ v1, with almost no overhead.
///
/// Exit status: 0 done, 1 something failed (a connection, a file that was refused), 2 usage.
#[derive(Debug, Parser)]
#[command(
    name = "tej",
    version,
    after_help = "Try: tej recv --listen 127.0.0.1:7077 --dir inbox
     tej send 127.0.0.1:7077 photo.jpg -m 'taken today'"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Send(SendArgs),
    Recv(RecvArgs),
    Ping(PingArgs),
    Identity(IdentityArgs),
    Encode(EncodeArgs),
    Decode(DecodeArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

impl Command {
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Send(args) => args.json,
            Self::Recv(args) => args.json,
            Self::Identity(args) => args.json,
            Self::Decode(args) => args.json,
            Self::Ping(_) | Self::Encode(_) | Self::Completions(_) | Self::Man(_) => false,
        }
    }

    /// Whether it never has more than one connection at a time.
    pub(crate) fn has_one_connection(&self) -> bool {
        match self {
            Self::Recv(args) => args.once || args.role.connect.is_some(),
            _ => true,
        }
    }

    /// Whether to show bars.
    pub(crate) fn progress(&self) -> ShowProgress {
        match self {
            Self::Send(SendArgs { receive, .. }) | Self::Recv(RecvArgs { receive, .. }) => receive.progress,
            _ => ShowProgress::Auto,
        }
    }
}

/// Sends one frame of files and a message, and prints what comes back.
///
/// Connects to HOST:PORT, or waits for one peer with --listen. It receives while it sends, waits for --replies, then
/// ends its side of the stream and waits until the peer closes.
///
/// "sent" means that the operating system took every byte. TEJ v1 has no acknowledgement: whether the peer stored
/// anything, only a reply of its own can tell (see --replies).
#[derive(Args, Debug)]
#[command(override_usage = "tej send <HOST:PORT | --listen ADDR> [FILE|DIR]... [OPTIONS]")]
pub(crate) struct SendArgs {
    /// HOST:PORT to connect to (not with --listen), then files and directories to send.
    ///
    /// A file goes by its base name; a directory's files by names relative to its parent, such as photos/a.jpg. In a
    /// directory symbolic links are skipped with a warning, and so are names that begin with a dot (but see --dotfiles) and
    /// empty directories. A file or a directory that cannot be read ends the command before anything is sent.
    #[arg(value_name = "HOST:PORT | FILE|DIR")]
    pub(crate) operands: Vec<OsString>,
    /// Wait for one peer here instead of connecting; port 0 picks a free port.
    #[arg(long, value_name = "ADDR", conflicts_with = "line_gap")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) frame: FrameArgs,
    /// Also send the next SIZE bytes of standard input, as a file called NAME.
    #[arg(long, value_name = "NAME:SIZE", value_parser = stdin_file)]
    pub(crate) stdin: Option<StdinFile>,
    /// Wait for so many frames from the peer (pings do not count) before ending.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) replies: u64,
    #[command(flatten)]
    pub(crate) receive: ReceiveArgs,
    /// Print one JSON object per line on standard output, and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) line: LineArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

/// Receives frames, and stores their files with --dir.
///
/// With --listen it serves any number of peers until it is interrupted, or as --frames or --once say. Without --dir the
/// bytes of files are counted and discarded.
///
/// With --dir nothing is written outside of DIR, a file appears only when it is complete, and nothing is replaced: a
/// name that is taken becomes "name (1).ext" (but see --on-conflict). Names that begin with a dot are refused, because
/// programs read their settings from such files: where --allow-dotfiles lets them in, DIR must not be a home directory. A
/// file that cannot be stored is reported, the connection goes on, and the exit status is 1.
#[derive(Args, Debug)]
pub(crate) struct RecvArgs {
    #[command(flatten)]
    pub(crate) role: RecvRole,
    /// Exit after N frames over all connections, pings included.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "once")]
    pub(crate) frames: Option<u64>,
    /// Serve one connection to its end, then exit.
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) receive: ReceiveArgs,
    #[command(flatten)]
    pub(crate) admission: AdmissionArgs,
    /// Print one JSON object per line on standard output, and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct RecvRole {
    /// Listen here; port 0 picks a free port.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Connect to a peer that sends.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) connect: Option<String>,
}

/// Checks that a peer accepts pings.
///
/// Success means: connected, every ping written, our side of the stream ended, and the peer closed its own. TEJ has no
/// pong, so the time shown is the time to connect, not a round trip.
#[derive(Args, Debug)]
pub(crate) struct PingArgs {
    /// The peer.
    #[arg(value_name = "HOST:PORT")]
    pub(crate) peer: String,
    /// Number of pings.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    /// Seconds between two pings.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) interval: Duration,
    /// Give up after so many seconds without a byte from the peer, or without the peer taking one.
    #[arg(
        long,
        visible_alias = "idle-timeout",
        value_name = "SECONDS",
        default_value = "30",
        value_parser = timeout
    )]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) line: LineArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

/// Prints the fingerprint of an identity, which is made if there is none.
///
/// An identity is for people without a certificate authority: a key and its certificate in one file, which only its
/// owner can read. Each side gives its own with --identity, and the fingerprint of the other's with --peer.
#[derive(Args, Debug)]
pub(crate) struct IdentityArgs {
    /// The file; without it, tej/identity.pem in the user's configuration directory (~/.config on Unix), which has to be
    /// given to --identity like any other.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Print one JSON object on standard output, and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Writes one frame to a file or standard output.
#[derive(Args, Debug)]
pub(crate) struct EncodeArgs {
    /// Files and directories to put into the frame, by the names that tej send gives them; what it skips of a directory is
    /// skipped here, too. A file or a directory that cannot be read ends the command before anything is written.
    #[arg(value_name = "FILE|DIR")]
    pub(crate) files: Vec<OsString>,
    #[command(flatten)]
    pub(crate) frame: FrameArgs,
    /// Where to write the frame; - or nothing is standard output. A file that is there is replaced, unless it goes into
    /// the frame: that is refused.
    #[arg(short, long, value_name = "FILE|-")]
    pub(crate) output: Option<PathBuf>,
}

/// Reads frames to the end of the input and prints what is in them.
///
/// Every length is accepted, and every number of files below 2^32; memory does not grow with them. The first fault ends it,
/// with the offset of the field at fault.
#[derive(Args, Debug)]
pub(crate) struct DecodeArgs {
    /// What to read; - or nothing is standard input.
    #[arg(value_name = "FILE|-")]
    pub(crate) input: Option<PathBuf>,
    /// Show every field with its bytes and its offset instead; for a faulty stream, also what is probably wrong.
    #[arg(long, conflicts_with = "json")]
    pub(crate) explain: bool,
    /// Print one JSON object per line on standard output, and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints what a shell needs to complete the options of tej.
#[derive(Args, Debug)]
#[command(after_help = "For bash, in ~/.bashrc:  source <(tej completions bash)
For zsh, in a directory of $fpath:  tej completions zsh > _tej
For fish:  tej completions fish > ~/.config/fish/completions/tej.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

/// Prints the manual page of tej, or writes it and those of its commands into a directory.
#[derive(Args, Debug)]
#[command(after_help = "To read the one of tej:  tej man | man -l -
To read another:  tej man --dir pages && man -l pages/tej-send.1
To install them:  tej man --dir ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Write all pages into this directory, which is created if need be.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// What goes into a frame beside its files.
#[derive(Args, Debug)]
pub(crate) struct FrameArgs {
    /// The message; without one the frame has none.
    #[arg(
        short = 'm',
        long = "message",
        value_name = "TEXT",
        allow_hyphen_values = true,
        conflicts_with = "message_file"
    )]
    pub(crate) message: Option<String>,
    /// Take the message from a file; - is standard input.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) message_file: Option<PathBuf>,
    /// Take names that begin with a dot out of directories, too. Receivers refuse such files, unless they are told otherwise
    /// (with --allow-dotfiles). What is named on the command line is always taken.
    #[arg(long)]
    pub(crate) dotfiles: bool,
    /// The status of the frame, 0 to 127; 2 is a ping.
    #[arg(long, value_name = "N", default_value = "0", value_parser = status)]
    pub(crate) status: Status,
}

/// What to do with what comes in.
#[derive(Args, Debug)]
pub(crate) struct ReceiveArgs {
    /// Give up after so many seconds without a byte from the peer, or without the peer taking one. A listener waits for its
    /// first peer without limit.
    #[arg(
        long,
        visible_alias = "idle-timeout",
        value_name = "SECONDS",
        default_value = "30",
        value_parser = timeout
    )]
    pub(crate) timeout: Duration,
    /// Give up on a frame that does not end within so many seconds of its first byte [default: none].
    #[arg(long, value_name = "SECONDS", value_parser = timeout, help_heading = LIMITS)]
    pub(crate) frame_timeout: Option<Duration>,
    /// Give up on a frame that comes more slowly than SIZE per second, on average over all but its first 30 seconds; 0 for
    /// one that may be as slow as it likes.
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "100", help_heading = LIMITS)]
    pub(crate) min_rate: u64,
    /// End the connection at a frame of more files than this [default: 4294967295, all that can be counted].
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(crate) max_files: Option<u32>,
    /// End the connection at a longer message than this [default: none]. A SIZE, here and elsewhere, is a number of bytes,
    /// or of K, M, G or T, as in 64M or 1.5G (powers of 1024).
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = LIMITS)]
    pub(crate) max_message: Option<u64>,
    /// End the connection at a frame that is longer than this, all in all [default: none].
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = LIMITS)]
    pub(crate) max_frame: Option<u64>,
    /// End the connection at a longer name of a file than this [default: 65535, the longest there is].
    #[arg(long, value_name = "SIZE", value_parser = name_size, help_heading = LIMITS)]
    pub(crate) max_name: Option<u16>,
    /// Store received files in this directory, which is created if need be.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Print the SHA-256 of each file and message received.
    #[arg(long)]
    pub(crate) digest: bool,
    /// Whether to show what is under way, on standard error: a line for each large file, and the total.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub(crate) progress: ShowProgress,
}

impl ReceiveArgs {
    /// The configuration of a connection that receives like this.
    pub(crate) fn config(&self) -> Config {
        let config = crate::send::config(Some(self.timeout));
        let limits = Limits {
            files: self.max_files.unwrap_or(config.limits.files),
            message: self.max_message.unwrap_or(config.limits.message),
            frame: self.max_frame.unwrap_or(config.limits.frame),
            ..config.limits
        };
        let timeouts = Timeouts {
            frame: self.frame_timeout,
            min_rate: (self.min_rate > 0)
                .then_some(MinRate { bytes_per_second: self.min_rate, grace: GRACE }),
            ..config.timeouts
        };
        Config { limits, timeouts, name_limit: self.max_name.unwrap_or(config.name_limit), ..config }
    }

    /// What a connection that receives like this failed of; over a limit, with the option that set it.
    pub(crate) fn failure(&self, error: &ReceiveError, peer: Peer) -> Failure {
        let mut failure = Failure::receive(error, peer, self.timeout);
        if let ReceiveError::Decode(error) = error
            && let Some(what) = self.exceeded(error)
        {
            failure.detail = format!("{what} allows (at byte {} of the stream)", error.offset);
        }
        failure
    }

    fn exceeded(&self, error: &DecodeError) -> Option<String> {
        let value = error.value;
        Some(match error.kind {
            DecodeErrorKind::TooManyFiles => {
                format!("{value} files in one frame are over the {} that --max-files", self.max_files?)
            }
            DecodeErrorKind::NameTooLong => {
                format!("a file name of {value} bytes is over the {} that --max-name", self.max_name?)
            }
            DecodeErrorKind::MessageTooLong => {
                format!("a message of {value} bytes is over the {} that --max-message", self.max_message?)
            }
            DecodeErrorKind::FrameTooLong => {
                format!(
                    "a length of {value} bytes takes the frame over the {} that --max-frame",
                    self.max_frame?
                )
            }
            _ => return None,
        })
    }
}

/// A peer at the other end of a line that knows nothing of connections.
#[derive(Args, Debug)]
#[command(next_help_heading = "A device on a line without connections")]
pub(crate) struct LineArgs {
    /// Behind HOST:PORT is such a line, a UART say: send nothing before it was silent for so many seconds, and throw away
    /// what comes meanwhile. Then a device that forgets half a frame after a shorter gap (a second, as a rule: give 1.5)
    /// begins afresh, whatever was on the line before. --timeout is for how long the line may go on not being silent.
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = timeout,
        conflicts_with_all = ["identity", "peers", "tls_cert", "tls_key", "tls_ca"]
    )]
    pub(crate) line_gap: Option<Duration>,
}

impl LineArgs {
    /// What a connection failed of, with what helps on a line.
    pub(crate) fn advise(&self, mut failure: Failure) -> Failure {
        if self.line_gap.is_some()
            && (failure.is_of_the_stream() || ["closed", "timeout"].contains(&failure.kind))
        {
            failure.detail += "; if the line has lost or added something, run the command again: it waits until both sides \
                               begin afresh";
        }
        failure
    }
}

/// Who the two sides are, which each option says something about; with any of them there is TLS.
#[derive(Args, Debug)]
#[command(next_help_heading = "Encryption (TLS 1.3)")]
pub(crate) struct TlsArgs {
    /// Show the peer the identity in this file, which tej identity makes.
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// Accept only a peer whose identity has this fingerprint, which tej identity prints over there; repeat it for several.
    #[arg(long = "peer", value_name = "FINGERPRINT")]
    pub(crate) peers: Vec<Fingerprint>,
    /// Show the peer this certificate: a PEM file, with those that lead from it to its authority.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert: a PEM file.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Accept only peers with a certificate of these authorities: a PEM file.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
}

/// How many peers are served at a time.
#[derive(Args, Debug)]
pub(crate) struct AdmissionArgs {
    /// Serve at most so many peers at a time; others are closed at once.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = at_least_one)]
    pub(crate) max_connections: usize,
    /// Serve at most so many peers of one address at a time (of one /64 network, with IPv6).
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    pub(crate) max_per_address: usize,
}

impl From<AdmissionArgs> for Admission {
    fn from(args: AdmissionArgs) -> Self {
        Self { connections: args.max_connections, per_address: args.max_per_address }
    }
}

/// What may be stored, and how.
#[derive(Args, Debug)]
pub(crate) struct StoreArgs {
    /// What to do with a file whose name is taken.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t, requires = "dir", help_heading = WITH_DIR)]
    pub(crate) on_conflict: Conflict,
    /// Store files whose names, or directories, begin with a dot.
    #[arg(long, requires = "dir", help_heading = WITH_DIR)]
    pub(crate) allow_dotfiles: bool,
    /// Force each file to the disk before it is reported.
    #[arg(long, requires = "dir", help_heading = WITH_DIR)]
    pub(crate) sync: bool,
    /// Refuse larger files [default: none]. A file that is refused is read to its end, and the connection goes on.
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "dir", help_heading = WITH_DIR)]
    pub(crate) max_file: Option<u64>,
    /// Refuse a file with which those of its frame would be larger than this in all [default: none].
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "dir", help_heading = WITH_DIR)]
    pub(crate) quota_frame: Option<u64>,
    /// Refuse a file with which those of its client would be larger than this in all [default: none]. With --listen,
    /// all connections from one address are one client (from one /64 network, with IPv6) for as long as the command runs
    /// (with --once, the one connection is); the first 65,536 addresses that send a file are told apart.
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "dir", help_heading = WITH_DIR)]
    pub(crate) quota_client: Option<u64>,
    /// Refuse a file with which its client would have more than N files, counting the directories that are created for
    /// them [default: none]. Empty ones, too, take room on a file system; --max-files is about a single frame.
    #[arg(long, value_name = "N", requires = "dir", help_heading = WITH_DIR)]
    pub(crate) quota_entries: Option<u64>,
    /// Refuse a file that would leave less than this of the file system free.
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "0", requires = "dir", help_heading = WITH_DIR)]
    pub(crate) min_free: u64,
}

/// What becomes of a file whose name is taken.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Conflict {
    /// It becomes "name (1).ext"
    #[default]
    Rename,
    /// It is refused
    Refuse,
    /// It replaces what has the name
    Overwrite,
}

/// A file that is read from standard input.
#[derive(Clone, Debug)]
pub(crate) struct StdinFile {
    pub(crate) name: String,
    pub(crate) size: u64,
}

fn stdin_file(text: &str) -> Result<StdinFile, String> {
    let (name, size) = text.rsplit_once(':').ok_or("write NAME:SIZE, as in log.txt:500 or disk.img:64M")?;
    let size = self::size(size)?;
    if name.is_empty() {
        return Err("the name is empty".into());
    }
    Ok(StdinFile { name: name.into(), size })
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("nobody could connect; give at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("a number, such as 100".into()),
    }
}

/// A number of bytes, as people write it.
fn size(text: &str) -> Result<u64, String> {
    let help = || format!("{text:?} is not a size such as 500, 64M or 1.5G");
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, suffix)) if suffix.is_ascii_alphabetic() => {
            let power = "KMGT".find(suffix.to_ascii_uppercase()).ok_or_else(help)?;
            (&text[..at], 1_u64 << (10 * (power + 1)))
        }
        _ => (text, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // Nine digits of a fraction are exact enough, and cannot overflow with any unit.
    let digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return Err(help());
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| help())?);
    let whole: u64 = whole.parse().map_err(|_| help())?;
    let fraction: u128 = fraction.parse().map_err(|_| help())?;
    let bytes = u128::from(whole) * u128::from(unit) + fraction * u128::from(unit) / scale;
    u64::try_from(bytes).map_err(|_| format!("{text:?} is more than can be counted"))
}

/// A size that a name may have.
fn name_size(text: &str) -> Result<u16, String> {
    u16::try_from(size(text)?).map_err(|_| format!("no name has more than {} bytes", u16::MAX))
}

fn status(text: &str) -> Result<Status, String> {
    let number: u64 = text.parse().map_err(|_| "a status is a number from 0 to 127")?;
    let byte = u8::try_from(number).map_err(|_| format!("status {number} is over 127"))?;
    Status::new(byte).map_err(|error| error.to_string())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds, such as 30 or 0.5")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = seconds(text)?;
    if timeout.is_zero() { Err("must be more than 0".into()) } else { Ok(timeout) }
}

/// How long a frame may take before its rate counts: a link may have to wake up.
const GRACE: Duration = Duration::from_secs(30);
/// Over the options about the frames of a peer, also where it is we who send.
const LIMITS: &str = "Limits to what the peer sends";
/// Over the options that only mean something then.
const WITH_DIR: &str = "With --dir";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("500", 500),
            ("1K", 1024),
            ("64m", 64 << 20),
            ("1.5G", 3 << 29),
            ("0.000000001T", 1099),
            ("2T", 2 << 40),
            ("18446744073709551615", u64::MAX),
            ("16777215.5T", u64::MAX - (1 << 39) + 1),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "K",
            "-1",
            "+1",
            "1.",
            ".5",
            "1,5G",
            "1 M",
            "1MB",
            "1é",
            "1e3",
            "NaN",
            "18446744073709551616",
            "16777216T",
            "0.0000000001G",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_size_of_a_name_is_one_that_it_can_have() {
        assert_eq!(name_size("1K"), Ok(1024));
        assert_eq!(name_size("65535"), Ok(u16::MAX));
        for text in ["65536", "64K", "1M", "x"] {
            assert!(name_size(text).is_err(), "{text}");
        }
    }
}
