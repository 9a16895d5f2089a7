//! Puts everything together.

use crate::config::Config;

/// Runs the server until it is told to stop.
pub async fn run(config: Config) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let _ = config;
    Err("the server is being put together".into())
}
