//! What an executor is told when it starts.

use std::{env, net::IpAddr, path::PathBuf, time::Duration};

use firesteel_protocol::ExecutorId;

#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    #[error("{0}")]
    Config(String),
    #[error("cannot serve blocks on {address}: {message}")]
    Serve { address: String, message: String },
    #[error("the driver at {address} is gone: {message}")]
    DriverLost { address: String, message: String },
    #[error("the driver at {address} refused this executor: {message}")]
    Refused { address: String, message: String },
    #[error("{0}")]
    Internal(String),
}

/// Values of an executor's environment.
#[derive(Clone)]
pub struct ExecutorOptions {
    /// `host:port` of the driver's service.
    pub driver_address: String,
    pub executor_id: ExecutorId,
    /// The shared secret of the application attempt.
    pub auth_token: String,
    /// Task slots.
    pub cores: u32,
    /// Memory of the whole process. `None`: its cgroup's limit.
    pub memory_bytes: Option<u64>,
    /// Where others reach this executor: host or address without port.
    pub host: String,
    /// The one address to listen on; `None`: every address.
    pub bind: Option<IpAddr>,
    /// Port of its service; 0 takes a free one.
    pub port: u16,
    pub node: String,
    /// Folders for shuffle files and spills. Empty: the system's temporary folder.
    pub local_dirs: Vec<PathBuf>,
    /// How long a driver that is away is waited for before the executor ends; its `firesteel.executor.driverTimeout` counts
    /// where it sets one.
    pub reconnect_for: Duration,
    /// How long running tasks may go on, and outputs be handed over, once it must leave.
    pub grace: Duration,
}

/// The port of an executor's service in a pod.
pub const EXECUTOR_PORT: u16 = 7078;

impl ExecutorOptions {
    /// From `FIRESTEEL_DRIVER_ADDRESS`, `FIRESTEEL_EXECUTOR_ID`, `FIRESTEEL_AUTH_TOKEN`, `FIRESTEEL_CORES`,
    /// `FIRESTEEL_MEMORY_BYTES`, `FIRESTEEL_POD_IP`, `FIRESTEEL_NODE_NAME`, `FIRESTEEL_LOCAL_DIRS` (comma-separated),
    /// `FIRESTEEL_EXECUTOR_PORT`, `FIRESTEEL_BIND_ADDRESS`, `FIRESTEEL_GRACE_SECONDS`.
    pub fn from_env() -> Result<Self, ExecutorError> {
        Self::from_vars(|name| env::var(name).ok())
    }

    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, ExecutorError> {
        let var = |name: &str| var(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let need = |name: &str| var(name).ok_or_else(|| ExecutorError::Config(format!("{name} is not set")));
        fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, ExecutorError> {
            value.parse().map_err(|_| ExecutorError::Config(format!("{name} cannot be read: {value:?}")))
        }
        let cores = var("FIRESTEEL_CORES").map_or(Ok(1), |v| number("FIRESTEEL_CORES", &v))?;
        if cores == 0 {
            return Err(ExecutorError::Config("FIRESTEEL_CORES must be at least 1".to_owned()));
        }
        Ok(Self {
            driver_address: need("FIRESTEEL_DRIVER_ADDRESS")?,
            executor_id: ExecutorId::new(need("FIRESTEEL_EXECUTOR_ID")?),
            auth_token: need("FIRESTEEL_AUTH_TOKEN")?,
            cores,
            memory_bytes: var("FIRESTEEL_MEMORY_BYTES").map(|v| number("FIRESTEEL_MEMORY_BYTES", &v)).transpose()?,
            host: need("FIRESTEEL_POD_IP")?,
            bind: var("FIRESTEEL_BIND_ADDRESS").map(|v| number("FIRESTEEL_BIND_ADDRESS", &v)).transpose()?,
            port: var("FIRESTEEL_EXECUTOR_PORT")
                .map_or(Ok(EXECUTOR_PORT), |v| number("FIRESTEEL_EXECUTOR_PORT", &v))?,
            node: var("FIRESTEEL_NODE_NAME").unwrap_or_default(),
            local_dirs: var("FIRESTEEL_LOCAL_DIRS")
                .map(|v| v.split(',').map(str::trim).filter(|d| !d.is_empty()).map(PathBuf::from).collect())
                .unwrap_or_default(),
            reconnect_for: Duration::from_secs(180),
            grace: Duration::from_secs(
                var("FIRESTEEL_GRACE_SECONDS").map_or(Ok(20), |v| number("FIRESTEEL_GRACE_SECONDS", &v))?,
            ),
        })
    }
}

impl std::fmt::Debug for ExecutorOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecutorOptions")
            .field("driver_address", &self.driver_address)
            .field("executor_id", &self.executor_id)
            .field("cores", &self.cores)
            .field("memory_bytes", &self.memory_bytes)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("node", &self.node)
            .field("local_dirs", &self.local_dirs)
            .finish_non_exhaustive()
    }
}
