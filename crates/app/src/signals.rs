//! Signals: the first asks the run to stop at a safe place.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Returns a flag that turns true on SIGINT, SIGTERM or SIGHUP.
pub fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        // Without a handler the signal kills us, which a run survives as well as a power cut.
        let _ = signal_hook::flag::register(signal, stop.clone());
    }
    stop
}
