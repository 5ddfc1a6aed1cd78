//! A site of scratch copies: what of it runs, and what is the real thing.

use super::Site;
use crate::service::Privates;
use switchback_model::target::TargetDef;

impl Site {
    /// Marks this site as one of scratch copies: what is not copied is left alone. Of its services only the private ones can be
    /// started and stopped.
    pub fn for_rehearsal(mut self, privates: Privates) -> Site {
        for (name, service) in &mut self.services {
            *service = privates.service(name, &self.dirs.services, &self.dirs.logs);
        }
        self.rehearsal = Some(privates);
        self
    }

    /// Returns whether the targets are scratch copies.
    pub fn is_rehearsal(&self) -> bool {
        self.rehearsal.is_some()
    }

    /// Returns which of its services run privately in a rehearsal; none outside of one.
    pub fn privates(&self) -> Option<&Privates> {
        self.rehearsal.as_ref()
    }

    /// The same, to be told what the steps of a plan have started.
    pub fn privates_mut(&mut self) -> Option<&mut Privates> {
        self.rehearsal.as_mut()
    }

    /// Says why a service cannot be started in a rehearsal, if it cannot.
    pub fn not_private(&self, service: &str) -> Option<String> {
        let privates = self.rehearsal.as_ref()?;
        if privates.specs.contains_key(service) {
            return None;
        }
        let why = privates.left_out.get(service);
        Some(why.cloned().unwrap_or_else(|| format!("{service} is not started over a copy")))
    }

    /// Returns whether a step before has started a service privately: what is asked of it is asked of that one.
    pub fn runs_privately(&self, service: &str) -> bool {
        self.rehearsal.as_ref().is_some_and(|privates| privates.running.contains(service))
    }

    /// Returns whether an endpoint is that of a service which runs privately, with every URL by which it is asked or told
    /// anything: one that the playbook says to be elsewhere is the real one's.
    pub fn is_served_privately(&self, endpoint: &str) -> bool {
        let Some(TargetDef::Http { base, served_by: Some(service), maintenance, .. }) =
            self.targets.get(endpoint)
        else {
            return false;
        };
        let mode = maintenance.iter().flat_map(|it| [&it.enter.url, &it.leave.url]);
        self.runs_privately(service) && [base].into_iter().chain(mode).all(|url| self.is_private_url(url))
    }

    /// Returns whether a URL is that of a service which runs privately.
    pub fn is_private_url(&self, url: &str) -> bool {
        let Some(privates) = &self.rehearsal else { return false };
        let bases = privates
            .specs
            .iter()
            .filter(|(name, _)| privates.running.contains(*name))
            .map(|(_, it)| it.base());
        bases.into_iter().any(|base| {
            url.strip_prefix(&base).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Cage, Launch, PrivateSpec, State, Which};
    use crate::site::SiteDirs;
    use crate::tell::Tell;
    use serde_json::json;
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;
    use switchback_model::private::Elsewhere;

    fn spec(folder: &Path, port: u16) -> PrivateSpec {
        let elsewhere = Elsewhere {
            root: folder.display().to_string(),
            folder: folder.display().to_string(),
            port,
            real_port: None,
            ports: vec![port],
            moves: Vec::new(),
        };
        let cage = Cage { home: folder.to_owned(), folders: Vec::new(), ports: vec![port] };
        let launch = Launch { argv: vec!["true".to_owned()], cwd: None, env: BTreeMap::new() };
        PrivateSpec { launch, reads: Vec::new(), stores: Vec::new(), elsewhere, cage }
    }

    #[test]
    fn only_what_is_at_a_private_url_in_every_way_is_asked_and_nothing_else_is_started() {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = |base: &str, mode: &str| {
            let request = json!({ "method": "PUT", "url": format!("{mode}/mode") });
            let is_on = json!({ "ask": { "ask": "text", "text": "on" }, "verdict": { "verdict": "holds" } });
            json!({
                "kind": "http", "base": base, "served_by": "app",
                "maintenance": { "enter": request, "leave": request, "is_on": is_on }
            })
        };
        let (own, real) = ("http://127.0.0.1:31000", "http://app:4000");
        let targets: BTreeMap<String, TargetDef> = serde_json::from_value(json!({
            "app": { "kind": "service", "spec": { "process": { "old": { "argv": ["true"] } } }, "stores": [], "entrance": true },
            "other": { "kind": "service", "spec": "none", "stores": [], "entrance": true },
            "web": endpoint(own, own),
            "half": endpoint(own, real),
            "away": endpoint(real, own),
        }))
        .unwrap();
        let dirs = SiteDirs {
            services: folder.path().to_owned(),
            logs: folder.path().to_owned(),
            backups: folder.path().to_owned(),
            artifacts: folder.path().to_owned(),
            program: folder.path().to_owned(),
        };
        let specs = BTreeMap::from([("app".to_owned(), spec(folder.path(), 31_000))]);
        let privates = Privates { specs, ..Privates::default() };
        let mut site = Site::open(&targets, dirs).unwrap().for_rehearsal(privates);
        assert!(!site.is_served_privately("web"), "it is not started yet");
        site.privates_mut().unwrap().running = BTreeSet::from(["app".to_owned()]);
        let served = ["web", "half", "away"].map(|name| site.is_served_privately(name));
        assert_eq!(served, [true, false, false]);
        assert!(
            !site.is_private_url("http://127.0.0.1:310001/")
                && site.is_private_url("http://127.0.0.1:31000/x")
        );
        // The old release is never started, and a service that is none of the rehearsal's not at all.
        let tell = Tell::quiet();
        assert!(site.service("app").unwrap().start(Which::Old, &tell).is_err());
        let other = site.service("other").unwrap();
        assert!(other.start(Which::New, &tell).is_err() && other.stop(&tell).is_err());
        assert!(matches!(other.state().unwrap(), State::Unknown(_)));
    }
}
