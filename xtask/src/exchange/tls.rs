//! The device's file over TLS: both sides prove who they are, and another server is told nothing.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use super::{DEVICE_FILE, Desktop, Incoming, Outcome, PATIENCE_ARGUMENT, POLL, START_LIMIT, collect, listen};
use crate::{
    payload,
    qemu::{Device, Dial},
    relay::{Relay, Watch},
    table::thousands,
    tej::{Event, Next, Tej},
};

/// Who takes part, each with an identity of its own that `tej identity` has made.
pub(crate) struct Parties {
    folder: PathBuf,
    /// Whom the device is told to expect.
    pub(crate) desktop: Party,
    /// A server that the device was not told of.
    stranger: Party,
    pub(crate) device: Party,
}

/// An identity.
pub(crate) struct Party {
    /// Its file, in PEM.
    path: PathBuf,
    pub(crate) fingerprint: String,
}

impl Parties {
    /// Makes new ones in `folder`, whatever was there, and gives the device its own as it would have it in flash.
    pub(crate) fn introduce(desktop: &Desktop<'_>, folder: &Path) -> Result<Self> {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let parties = Self {
            desktop: Party::make(desktop, folder.join("desktop.pem"))?,
            stranger: Party::make(desktop, folder.join("stranger.pem"))?,
            device: Party::make(desktop, folder.join("device.pem"))?,
            folder: folder.to_path_buf(),
        };
        let pem = fs::read(&parties.device.path)?;
        let parts = pem::parse_many(pem).context("what `tej identity` has made")?;
        let der: Vec<_> = parts.iter().flat_map(pem::Pem::contents).copied().collect();
        fs::write(folder.join(IDENTITY), der).context("cannot write the device's identity")?;
        Ok(parties)
    }

    /// The folder in which the device finds its identity.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits for the device to send its file over TLS, and verifies that it did, with an orderly end. `boot` is given what
    /// the device is to be told. The device is given back running.
    pub(crate) fn receive(
        &self,
        desktop: &Desktop<'_>,
        folder: &Path,
        (size, seed): (u64, u64),
        boot: impl FnOnce(Dial) -> Result<Device>,
    ) -> Result<(Outcome, Device)> {
        let file = Incoming::new(folder, size, seed)?;
        let (mut tej, relay) = serve(desktop, &file, &self.desktop, Some(&self.device))?;
        let mut device = boot(self.dial(&relay, &file))?;
        let work = desktop.screen.transfer("receive", "device → desktop, over TLS", size);
        let (events, received) = collect(&mut tej, &mut device, || {
            work.moved(relay.sent().min(size));
            relay.sent()
        })?;
        work.done(&format!("{DEVICE_FILE}, {} bytes, then a close_notify", thousands(size)));
        let verified = format!("server verified: {}", self.desktop.fingerprint);
        let (line, _) = device.log().wait_for(0, START_LIMIT, &verified, |text| text == verified)?;
        desktop.screen.note("handshake", &format!("the device: {}", line.text));
        let stack = device.await_delivered().map_err(|error| device.explain(&error))?;
        let (_, mut outcome) = file.verify(&events).map_err(|error| device.explain(&error))?;
        // From the first byte of the handshake, because behind it nothing can be told apart.
        let begun = relay.passed().first().copied().flatten();
        outcome.time = begun.zip(received).map(|(begun, received)| received - begun).unwrap_or_default();
        outcome.bytes = relay.sent();
        outcome.stack = Some(stack);
        Ok((outcome, device))
    }

    /// Waits until the device has refused a server that it was not told of, and verifies that it has told it nothing.
    pub(crate) fn refuse(
        &self,
        desktop: &Desktop<'_>,
        folder: &Path,
        (size, seed): (u64, u64),
        boot: impl FnOnce(Dial) -> Result<Device>,
    ) -> Result<()> {
        let file = Incoming::new(folder, size, seed)?;
        let (mut tej, relay) = serve(desktop, &file, &self.stranger, None)?;
        let device = boot(self.dial(&relay, &file))?;
        let work = desktop.screen.work("refuse", "another server");
        device
            .await_refusal(&self.stranger.fingerprint)
            .map_err(|error| device.explain(&error.context("another server was to be refused")))?;
        let told = relay.sent();
        ensure!(
            (1..=LONGEST_HELLO).contains(&told),
            "{} bytes were sent to another server, and a hello has at most {}",
            thousands(told),
            thousands(LONGEST_HELLO)
        );
        match tej.next(POLL)? {
            Next::Quiet => {}
            Next::Event(event) => bail!("`tej recv` with another identity was sent {event:?}"),
            Next::Done => bail!("`tej recv` with another identity was content"),
        }
        let stored = payload::listing(folder)?;
        ensure!(stored.is_empty(), "another server has stored {}", stored.join(", "));
        work.done(&format!(
            "another server, which the device has told {} bytes of hello and no more",
            thousands(told)
        ));
        Ok(())
    }

    fn dial(&self, relay: &Relay, file: &Incoming) -> Dial {
        Dial {
            port: relay.address().port(),
            size: file.size,
            seed: file.seed,
            server: Some(self.desktop.fingerprint.clone()),
        }
    }
}

impl Party {
    fn make(desktop: &Desktop<'_>, path: PathBuf) -> Result<Self> {
        let mut command = Command::new(desktop.tej);
        command.arg("identity").arg(&path).arg("--json").stdin(Stdio::null());
        let output = command.output().context("`tej identity`")?;
        ensure!(output.status.success(), "`tej identity`: {}", String::from_utf8_lossy(&output.stderr));
        match Event::parse(str::from_utf8(&output.stdout)?.trim_end())? {
            Event::Identity { fingerprint } => Ok(Self { path, fingerprint }),
            other => bail!("`tej identity` said {other:?}"),
        }
    }
}

/// Listens for one connection to `server`, with a relay before it. `client` is who may come, and anybody without.
fn serve(
    desktop: &Desktop<'_>,
    file: &Incoming,
    server: &Party,
    client: Option<&Party>,
) -> Result<(Tej, Relay)> {
    let mut arguments: Vec<OsString> =
        ["recv", "--listen", "127.0.0.1:0", "--once"].map(OsString::from).into();
    arguments.extend(["--identity".into(), server.path.clone().into_os_string()]);
    if let Some(client) = client {
        arguments.extend(["--peer", &client.fingerprint].map(OsString::from));
    }
    arguments.extend(["--dir".into(), file.folder.clone().into_os_string()]);
    arguments.extend(["--timeout", PATIENCE_ARGUMENT, "--digest", "--json"].map(OsString::from));
    let (tej, address) = listen(desktop, arguments)?;
    Ok((tej, Relay::start(address, Watch { marks: vec![1], ..Watch::default() })?))
}

/// Where the firmware looks for its identity.
const IDENTITY: &str = "identity.der";
/// Bytes that a client's first message has at most: far less than a file, and than what would name the device.
const LONGEST_HELLO: u64 = 300;
