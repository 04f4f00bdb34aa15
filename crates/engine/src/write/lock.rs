//! One commit to a folder at a time, among all processes of the machine.
//!
//! What a commit replaces is what is there when it begins: two at once would each leave the files of the other. A process that ends,
//! however it ends, holds no lock.

use std::{
    fs::{File, TryLockError},
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use firesteel_plan::{SparkError, SparkResult};

use super::staged::local_path;
use crate::storage::Location;

/// Other writers are waited for so long.
const PATIENCE: Duration = Duration::from_secs(600);
const EVERY: Duration = Duration::from_millis(5);

/// Held until dropped. On object stores there is none.
#[derive(Debug)]
pub struct CommitLock(Option<(File, String)>);

impl CommitLock {
    pub async fn take(base: &Location) -> SparkResult<Self> {
        if !base.is_local() {
            return Ok(Self(None));
        }
        let folder = format!("{}/_temporary", local_path(&base.path));
        let path = format!("{folder}/.lock");
        let began = Instant::now();
        loop {
            match attempt(&folder, &path) {
                Ok(Some(file)) => return Ok(Self(Some((file, path)))),
                Ok(None) if began.elapsed() > PATIENCE => {
                    let seconds = PATIENCE.as_secs();
                    return Err(SparkError::new(
                        "CONCURRENT_WRITE",
                        "40000",
                        format!("Another write to {} has not ended within {seconds} s.", base.written),
                    ));
                }
                Ok(None) => tokio::time::sleep(EVERY).await,
                Err(error) => return Err(SparkError::internal(format!("{path} cannot be locked: {error}"))),
            }
        }
    }
}

/// The lock's file where nobody else has it locked.
fn attempt(folder: &str, path: &str) -> std::io::Result<Option<File>> {
    std::fs::create_dir_all(folder)?;
    let file = match File::options().create(true).truncate(false).write(true).open(path) {
        // The folder went with the lock of another.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Whoever had it may have removed it meanwhile: then the lock is on a file that has no name.
    let same = std::fs::metadata(path).is_ok_and(|named| file.metadata().is_ok_and(|own| own.ino() == named.ino()));
    Ok(same.then_some(file))
}

impl Drop for CommitLock {
    fn drop(&mut self) {
        if let Some((file, path)) = self.0.take() {
            // Removed while it is locked. What cannot be removed does no harm.
            let _ = std::fs::remove_file(&path);
            drop(file);
            if let Some((folder, _)) = path.rsplit_once('/') {
                // Goes only when empty.
                let _ = std::fs::remove_dir(folder);
            }
        }
    }
}
