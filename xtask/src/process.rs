//! Child processes that never outlive the task that started them.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// Ends all children and then us when a signal asks for it: a time limit of somebody's must leave no emulator running.
/// Those that are [spared](Guarded::spare) are waited for instead.
pub(crate) fn end_children_on_signals() -> Result<()> {
    ctrlc::set_handler(|| {
        // Held until the end, so that no further child is started.
        let children = children();
        // None of them has been collected, so nobody else can have their numbers.
        for child in children.iter().filter(|child| !child.spared) {
            let _ = rustix::process::kill_process(child.id, Signal::KILL);
        }
        for child in children.iter().filter(|child| child.spared) {
            eprintln!("\nInterrupted. What is being installed is finished first.");
            // Leaves it to be collected by its owner: nobody may be told that the number is free.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::Pid(child.id), options));
        }
        std::process::exit(INTERRUPTED);
    })
    .context("cannot handle signals")
}

/// A child that is ended, by its own process id, when this is dropped.
pub(crate) struct Guarded {
    child: Child,
    spared: bool,
}

impl Guarded {
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        Self::register(command, false)
    }

    /// Starts a child that is never ended, only waited for, because half of its work is worse than none.
    pub(crate) fn spare(command: &mut Command) -> Result<Self> {
        // In a group of its own: Ctrl-C on a terminal goes to all of ours.
        Self::register(command.process_group(0), true)
    }

    /// Does not wait.
    pub(crate) fn status(&mut self) -> Result<Option<ExitStatus>> {
        let mut children = children();
        let status = self.child.try_wait().context("cannot ask for a child's state")?;
        if status.is_some() {
            self.forget(&mut children);
        }
        Ok(status)
    }

    /// Waits for the child's own end.
    pub(crate) fn collect(&mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.status()? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
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
            thread::sleep(POLL);
        }
    }

    /// The child's ends of its standard output and standard error, once.
    pub(crate) fn output(&mut self) -> Result<(ChildStdout, ChildStderr)> {
        self.child.stdout.take().zip(self.child.stderr.take()).context("no pipes from the child")
    }

    /// The child's end of its standard input, once.
    pub(crate) fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Ends the child now, unless it is spared, and collects it.
    pub(crate) fn end(&mut self) {
        if self.spared {
            // Fails only when there is no child to wait for.
            let _ = self.collect();
            return;
        }
        let mut children = children();
        // Both fail only when the child has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.forget(&mut children);
    }

    fn register(command: &mut Command, spared: bool) -> Result<Self> {
        let mut children = children();
        let child = command.spawn().with_context(|| format!("cannot start {}", program(command)))?;
        children.push(Registered { id: Pid::from_child(&child), spared });
        Ok(Self { child, spared })
    }

    /// It has been collected under the lock that `children` holds: its number may go to somebody else from then on.
    fn forget(&self, children: &mut Vec<Registered>) {
        let id = Pid::from_child(&self.child);
        children.retain(|child| child.id != id);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
    }
}

struct Registered {
    id: Pid,
    spared: bool,
}

fn children() -> MutexGuard<'static, Vec<Registered>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Children that have not been collected. They are started and collected under its lock.
static CHILDREN: Mutex<Vec<Registered>> = Mutex::new(Vec::new());
const POLL: Duration = Duration::from_millis(5);
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
    let status = Guarded::spawn(command)?.collect()?;
    succeeded(command, status)
}

/// Like [`run`], but not even a signal ends the command.
pub(crate) fn run_spared(command: &mut Command) -> Result<()> {
    let status = Guarded::spare(command)?.collect()?;
    succeeded(command, status)
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

fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

fn program(command: &Command) -> String {
    let path = Path::new(command.get_program());
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn is_registered(child: &Guarded) -> bool {
        let id = Pid::from_child(&child.child);
        children().iter().any(|child| child.id == id)
    }

    #[test]
    fn what_was_collected_is_forgotten() {
        let mut child = Guarded::spawn(shell("read line; exit 3").stdin(Stdio::piped())).unwrap();
        assert_eq!(child.status().unwrap(), None);
        assert!(is_registered(&child));
        drop(child.child.stdin.take());
        assert_eq!(child.collect().unwrap().code(), Some(3));
        assert!(!is_registered(&child));
    }

    #[test]
    fn the_end_is_enforced_unless_the_child_is_spared() {
        let mut endless = Guarded::spawn(&mut shell("exec sleep 600")).unwrap();
        endless.end();
        assert!(!is_registered(&endless));
        assert_eq!(endless.status().unwrap().unwrap().code(), None, "a signal has ended it");

        let mut spared = Guarded::spare(&mut shell("sleep 0.1; exit 3")).unwrap();
        assert!(is_registered(&spared));
        spared.end();
        assert!(!is_registered(&spared));
        assert_eq!(spared.status().unwrap().unwrap().code(), Some(3));
    }

    #[test]
    fn a_failure_names_the_command() {
        run(&mut shell("exit 0")).unwrap();
        assert_eq!(
            run(&mut shell("exit 3")).unwrap_err().to_string(),
            "`sh -c exit 3` failed (exit status: 3)"
        );
    }
}
