//! Child processes that never outlive the task that started them.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// Ends all children and then us when a signal asks for it: a time limit of somebody's must leave no emulator running.
pub(crate) fn end_children_on_signals() -> Result<()> {
    ctrlc::set_handler(|| {
        // Held until the end, so that no further child is started.
        let children = children();
        for &child in children.iter() {
            // It has not been collected, so nobody else can have its number.
            let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
        }
        std::process::exit(INTERRUPTED);
    })
    .context("cannot handle signals")
}

/// A child that is ended, by its own process id, when this is dropped.
pub(crate) struct Guarded(Child);

impl Guarded {
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let mut children = children();
        let child = command.spawn().with_context(|| format!("cannot start {}", program(command)))?;
        children.push(rustix::process::Pid::from_child(&child));
        Ok(Self(child))
    }

    /// Does not wait.
    pub(crate) fn status(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.0.try_wait().context("cannot ask for a child's state")?;
        if status.is_some() {
            self.forget();
        }
        Ok(status)
    }

    /// Waits at most `limit`, then ends the child.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.status()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                self.end();
                bail!("did not end within {} s", limit.as_secs());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Ends the child now and collects it.
    pub(crate) fn end(&mut self) {
        // Both fail only when the child has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
        self.forget();
    }

    /// It has ended and was collected: its number may go to somebody else.
    fn forget(&self) {
        let id = rustix::process::Pid::from_child(&self.0);
        children().retain(|&child| child != id);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
    }
}

fn children() -> MutexGuard<'static, Vec<rustix::process::Pid>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Children that have not been collected.
static CHILDREN: Mutex<Vec<rustix::process::Pid>> = Mutex::new(Vec::new());
/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Calls `each` for every line of `source`, on a thread of its own, until the end of input.
pub(crate) fn each_line(
    source: impl Read + Send + 'static,
    mut each: impl FnMut(String) + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut source = BufReader::new(source);
        let mut line = Vec::new();
        while let Ok(1..) = source.read_until(b'\n', &mut line) {
            each(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
    })
}

/// Runs a command to its end and gives what it wrote to its standard output, trimmed. `None` when it could not be
/// started or failed.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command with our own console; an error when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", program(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// The first file called `name` in PATH.
pub(crate) fn find_in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| is_program(path))
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut text = program(command);
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

fn program(command: &Command) -> String {
    let path = Path::new(command.get_program());
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}
