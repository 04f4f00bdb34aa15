//! A process of the test.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use parking_lot::Mutex;

/// Killed when dropped.
pub struct Process {
    child: Mutex<Child>,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// With these variables only, and PATH.
    pub fn start(program: &Path, arguments: &[OsString], vars: &BTreeMap<String, String>, log: &Path) -> Self {
        let output = File::create(log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(vars)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        Self { pid: child.id(), child: Mutex::new(child), log: log.to_owned() }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// None while it runs; within, None when a signal ended it.
    #[expect(clippy::option_option, reason = "whether it ended, and how")]
    pub fn exit_code(&self) -> Option<Option<i32>> {
        self.child.lock().try_wait().unwrap().map(|status| status.code())
    }

    /// By its short name, as `KILL`. Nothing happens to one that has ended.
    pub fn signal(&self, signal: &str) {
        // Not waited for in between, so the number is not another process's.
        let mut child = self.child.lock();
        if child.try_wait().unwrap().is_none() {
            let sent = Command::new("kill").args(["-s", signal, &self.pid.to_string()]).status().unwrap();
            assert!(sent.success(), "kill -s {signal} {}", self.pid);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child.lock();
        let _ = child.kill();
        let _ = child.wait();
    }
}
