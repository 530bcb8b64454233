//! One signal that asks everything to finish what it holds and stop.

use std::sync::Arc;
use tokio::sync::watch;

/// Asks every holder of a [`Shutdown`] to stop.
#[derive(Debug)]
pub struct ShutdownTrigger(Arc<watch::Sender<bool>>);

/// Tells a loop that it should drain and stop.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A trigger and what it triggers.
pub fn shutdown() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownTrigger(Arc::new(sender)), Shutdown(receiver))
}

impl ShutdownTrigger {
    /// Asks for the stop. Asking twice is the same as once.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Stops on SIGTERM or SIGINT.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub async fn stop_on_signal(self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stop requested, draining");
        self.stop();
        Ok(())
    }
}

impl Shutdown {
    /// A signal for a part of the whole: stops with this one, when its own trigger says so, or when the trigger is gone.
    pub fn child(&self) -> (ShutdownTrigger, Self) {
        let (trigger, stop) = shutdown();
        let (parent, mut own, forward) = (self.clone(), stop.0.clone(), Arc::downgrade(&trigger.0));
        tokio::spawn(async move {
            tokio::select! {
                () = parent.wait() => {
                    if let Some(trigger) = forward.upgrade() {
                        trigger.send_replace(true);
                    }
                }
                // The part has ended by itself: nothing is left to stop.
                _ = own.wait_for(|stopped| *stopped) => {}
            }
        });
        (trigger, stop)
    }

    /// Whether the stop was asked for. A trigger that is gone counts as a stop.
    pub fn requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until the stop is asked for.
    pub async fn wait(&self) {
        let mut receiver = self.0.clone();
        // An error means that the trigger is gone, which is a stop as well.
        drop(receiver.wait_for(|stopped| *stopped).await);
    }
}
