//! `s3-server`: a real S3 server over a folder, for tests and for trying the examples without a cloud.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use firesteel_e2e::s3::{S3Server, Settings};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// Port to listen on; 0 takes a free one, which the first line of output names.
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// Folder of the data: a folder in it is a bucket. Made if missing.
    #[arg(long)]
    root: PathBuf,
    /// Make this bucket if it does not exist (may be repeated).
    #[arg(long)]
    bucket: Vec<String>,
    #[arg(long, env = "AWS_ACCESS_KEY_ID")]
    access_key: String,
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    secret_key: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    // A request that is refused is the client's news, not the server's.
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,s3s::ops=off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("s3-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let listen = SocketAddr::new(arguments.address, arguments.port);
    let root = arguments.root.clone();
    let mut server = S3Server::start(Settings {
        listen,
        root: arguments.root,
        access_key: arguments.access_key,
        secret_key: arguments.secret_key,
    })
    .await
    .map_err(|error| format!("cannot serve {} on {listen}: {error}", root.display()))?;
    for bucket in &arguments.bucket {
        server.create_bucket(bucket).map_err(|error| format!("cannot make bucket {bucket}: {error}"))?;
    }
    println!("{}", server.endpoint());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| format!("cannot listen for signals: {error}"))?;
    tokio::select! {
        () = server.wait() => {}
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
