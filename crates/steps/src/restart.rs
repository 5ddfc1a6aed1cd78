//! `restart`: a composite of `stop` and `start`, so that each half has its own line in the journal and its own way back.

use crate::start::Start;
use crate::stop::{ServicesBody, Stop};
use switchback_engine::registry::Compiled;
use switchback_engine::{AnyStep, Kind};
use switchback_model::compile::Compile;

/// The kind.
pub struct RestartKind;

impl Kind for RestartKind {
    type Body = ServicesBody;
    const NAME: &'static str = "restart";
    const SAYS: &'static str = "stops services and starts them in their new release";

    fn compile(body: ServicesBody, cx: &mut Compile<'_>) -> Compiled {
        let mut steps: Vec<Box<dyn AnyStep>> = Vec::new();
        for name in body.0 {
            let service = cx.target_name(&name.value, name.span, &["service"])?;
            steps.push(Box::new(Stop { service: service.clone() }));
            steps.push(Box::new(Start { service }));
        }
        Some(steps)
    }
}
