//! The room that artifacts take, and what they are sent into, by what is known of it when planning.

use crate::draft::Draft;
use crate::step::Preview;
use std::collections::BTreeMap;
use switchback_model::plan::Access;
use switchback_model::target::TargetDef;

/// How many times over a database grows by what is sent into its service: rows, their indexes, and the log of one import.
const STORED: u64 = 2;

/// The room of all artifacts of a plan.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes in the run directory at the worst moment; what is not known is not in it.
    pub bytes: u64,
    /// The artifacts of which nobody knows how large they will be.
    pub unknown: Vec<String>,
    /// Bytes by which the databases behind services grow when something is sent to these.
    pub fed: BTreeMap<String, u64>,
}

/// Computes it. An artifact that is made of others is taken to be as large as they are together: transformed records say the
/// same in other words, and what is read back is what was sent.
pub(crate) fn of(drafts: &[Draft], previews: &[Preview], targets: &BTreeMap<String, TargetDef>) -> Room {
    let (mut room, mut sizes, mut beside) = (Room::default(), BTreeMap::new(), 0);
    for (draft, preview) in drafts.iter().zip(previews) {
        let takes = draft.step.takes();
        let taken = takes.iter().map(|artifact| sizes.get(&artifact.label()).copied().flatten());
        let taken: Option<u64> = taken.sum();
        for artifact in draft.step.makes() {
            let size = if takes.is_empty() { preview.brings } else { taken };
            match size {
                Some(bytes) => {
                    room.bytes += bytes;
                    beside = beside.max(bytes * preview.copies);
                }
                None => room.unknown.push(artifact.label()),
            }
            sizes.insert(artifact.label(), size);
        }
        let fed = draft.step.touches().into_iter().filter(|touch| touch.access == Access::Feeds);
        for store in fed.filter_map(|touch| first_database(&touch.target, targets)) {
            *room.fed.entry(store).or_default() += STORED * taken.unwrap_or(0);
        }
    }
    room.bytes += beside;
    room
}

/// The database that takes what is sent to a service; where there are several, nobody can know which takes how much.
fn first_database(service: &str, targets: &BTreeMap<String, TargetDef>) -> Option<String> {
    let Some(TargetDef::Service { stores, .. }) = targets.get(service) else { return None };
    stores.iter().find(|store| targets.get(*store).is_some_and(TargetDef::is_database)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StepError;
    use crate::overlay::Overlay;
    use crate::step::{Condition, Step, Work};
    use serde_json::Value;
    use switchback_model::artifact::{Artifact, ArtifactFormat};
    use switchback_model::phase::Phase;
    use switchback_model::plan::{Reversal, Touch};
    use switchback_site::Site;

    /// A step that makes an artifact, of another one or of nothing here, and sends it to a service.
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Makes {
        of: Option<Artifact>,
        made: Artifact,
        to: Option<String>,
    }

    impl Step for Makes {
        const KIND: &'static str = "makes";
        type Before = ();

        fn describe(&self) -> String {
            "make it".to_owned()
        }
        fn subject(&self) -> String {
            self.made.label()
        }
        fn touches(&self) -> Vec<Touch> {
            self.to.iter().map(|service| Touch::new(service, Access::Feeds)).collect()
        }
        fn takes(&self) -> Vec<Artifact> {
            self.of.iter().cloned().collect()
        }
        fn makes(&self) -> Vec<Artifact> {
            vec![self.made.clone()]
        }
        fn reversal(&self) -> Reversal {
            Reversal::ByUndo
        }
        fn preview(&self, _: &mut Overlay<'_>) -> Result<Preview, StepError> {
            Ok(Preview::default())
        }
        fn check(&self, _: &Site, _: &Work<'_>) -> Result<Condition, StepError> {
            Ok(Condition::Pending)
        }
        fn prepare(&self, _: &Site, _: &Work<'_>) -> Result<(), StepError> {
            Ok(())
        }
        fn apply(&self, _: &Site, (): &(), _: &Work<'_>) -> Result<Value, StepError> {
            Ok(Value::Null)
        }
        fn undo(&self, _: &Site, (): &(), _: &Work<'_>) -> Result<(), StepError> {
            Ok(())
        }
    }

    fn artifact(name: &str) -> Artifact {
        let (member, holds, format) = (None, "export".to_owned(), ArtifactFormat::JsonLines);
        Artifact { name: name.to_owned(), member, holds, format, secret: false, unlike: Vec::new() }
    }

    fn makes(made: &str, of: Option<&str>, to: Option<&str>) -> Draft {
        let step = Makes { of: of.map(artifact), made: artifact(made), to: to.map(str::to_owned) };
        Draft::plain(Phase::Change, Box::new(step))
    }

    /// An export that is fetched twice, transformed, sent and read back.
    fn room(brings: Option<u64>) -> Room {
        let drafts = [
            makes("export", None, None),
            makes("moved", Some("export"), None),
            makes("back", Some("moved"), Some("app")),
        ];
        let copies = |copies| Preview { copies, ..Preview::default() };
        let previews = [Preview { brings, ..copies(1) }, copies(3), copies(0)];
        let db = TargetDef::Sqlite { path: "app.db".into(), made_by_us: true };
        let app = TargetDef::Service {
            spec: Value::Null,
            stores: vec!["db".into()],
            entrance: false,
            old: None,
            new: None,
            rehearse: None,
        };
        let targets = BTreeMap::from([("db".to_owned(), db), ("app".to_owned(), app)]);
        of(&drafts, &previews, &targets)
    }

    #[test]
    fn what_is_made_of_an_export_is_as_large_and_the_worst_moment_counts() {
        let fed = BTreeMap::from([("db".to_owned(), 200)]);
        assert_eq!(room(Some(100)), Room { bytes: 3 * 100 + 3 * 100, unknown: Vec::new(), fed });
    }

    #[test]
    fn what_nobody_has_read_is_named_and_not_taken_for_nothing() {
        let found = room(None);
        assert_eq!((found.bytes, found.unknown), (0, vec!["export".into(), "moved".into(), "back".into()]));
    }
}
