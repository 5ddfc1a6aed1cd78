//! From the steps as they are written to those of one stretch: loops expanded, conditions asked.

use crate::each;
use crate::planner::{PlanFailure, PlanRequest, Refusal};
use crate::playbook::{LoadedPlaybook, UPGRADE, entries};
use crate::step::AnyStep;
use switchback_model::compile::Compile;
use switchback_model::diagnostic::line_column;
use switchback_model::phase::Phase;
use switchback_model::plan::{Fact, Place};
use switchback_model::playbook::{ProbeBody, StepEntry, Upgrade};
use switchback_site::{Site, Tell};

/// One step on its way into the plan.
pub(crate) struct Draft {
    pub phase: Phase,
    pub step: Box<dyn AnyStep>,
    pub says: Option<String>,
    pub why: Option<String>,
    pub id: Option<String>,
    /// The thing of a loop that it is for, as a part of its name.
    pub suffix: Option<String>,
    pub place: Option<Place>,
    /// It is about the site itself: a rehearsal leaves it out.
    pub only_live: bool,
}

impl Draft {
    /// A step that the planner puts in, or one whose words are its own.
    pub fn plain(phase: Phase, step: Box<dyn AnyStep>) -> Draft {
        Draft { phase, step, says: None, why: None, id: None, suffix: None, place: None, only_live: false }
    }
}

/// The steps of a stretch, and what its loops go over.
#[derive(Default)]
pub(crate) struct Drafted {
    pub drafts: Vec<Draft>,
    pub lists: Vec<Fact>,
    pub refusals: Vec<Refusal>,
}

/// What steps are drafted with.
struct Drafting<'a> {
    request: &'a PlanRequest<'a>,
    site: &'a Site,
    tell: &'a Tell,
}

/// Compiles the steps of one stretch: one freeze, each hop's change and proof, one thaw.
pub(crate) fn draft(
    request: &PlanRequest<'_>,
    upgrades: &[&Upgrade],
    site: &Site,
    cx: &mut Compile<'_>,
    tell: &Tell,
) -> Result<Drafted, PlanFailure> {
    let drafting = Drafting { request, site, tell };
    let mut drafted = Drafted::default();
    for (hop, upgrade) in upgrades.iter().enumerate() {
        let last = hop + 1 == upgrades.len();
        cx.at_item(UPGRADE, upgrade.item(), |cx| {
            entries(upgrade).try_for_each(|(phase, entry)| {
                let belongs = match phase {
                    Phase::Freeze => hop == 0,
                    Phase::Thaw | Phase::Confirm => last,
                    _ => true,
                };
                if belongs { drafting.entry(phase, entry, None, cx, &mut drafted) } else { Ok(()) }
            })
        })?;
    }
    // Stable: the order within a phase is the playbook's, hop by hop.
    drafted.drafts.sort_by_key(|draft| draft.phase);
    Ok(drafted)
}

impl Drafting<'_> {
    fn entry(
        &self,
        phase: Phase,
        entry: &StepEntry,
        suffix: Option<&str>,
        cx: &mut Compile<'_>,
        drafted: &mut Drafted,
    ) -> Result<(), PlanFailure> {
        if !wanted(entry.when.as_ref(), self.site, cx, self.tell)? {
            return Ok(());
        }
        if each::is_each(entry) {
            return self.each(phase, entry, suffix, cx, drafted);
        }
        let place = place(self.request.playbook, entry.kind.span.start);
        for step in self.request.registry.compile(entry, cx).unwrap_or_default() {
            drafted.drafts.push(Draft {
                phase,
                step,
                says: entry.says.clone(),
                why: entry.why.clone(),
                id: entry.id.clone(),
                suffix: suffix.map(str::to_owned),
                place: Some(place.clone()),
                only_live: entry.rehearse == Some(false),
            });
        }
        Ok(())
    }

    fn each(
        &self,
        phase: Phase,
        entry: &StepEntry,
        suffix: Option<&str>,
        cx: &mut Compile<'_>,
        drafted: &mut Drafted,
    ) -> Result<(), PlanFailure> {
        let Some(body) = each::read(entry, cx) else { return Ok(()) };
        let listed =
            cx.within(entry.kind.span, "of this loop", |cx| each::list(&body, cx, self.site, self.tell));
        let each::Listed { items, fact } = match listed {
            Ok(Some(listed)) => listed,
            Ok(None) => return Ok(()),
            Err(mut refusal) => {
                refusal.place = Some(place(self.request.playbook, entry.kind.span.start));
                drafted.refusals.push(refusal);
                return Ok(());
            }
        };
        keep_list(&mut drafted.lists, fact);
        let first = drafted.drafts.len();
        for item in items {
            let slug = item.slug();
            let suffix = suffix.map_or(slug.clone(), |outer| format!("{outer}-{slug}"));
            cx.at_item(&body.r#as.value, item, |cx| {
                body.r#do.iter().try_for_each(|entry| self.entry(phase, entry, Some(&suffix), cx, drafted))
            })?;
        }
        if body.r#do.len() == 1 {
            let turns = drafted.drafts.split_off(first);
            drafted.drafts.extend(joined(turns));
        }
        Ok(())
    }
}

/// Joins the turns of a loop that its only step does better at once. A joined step is named after no turn.
fn joined(turns: Vec<Draft>) -> Vec<Draft> {
    let mut kept: Vec<Draft> = Vec::new();
    for turn in turns {
        match kept.last_mut() {
            Some(last) => match last.step.join(turn.step.as_ref()) {
                Some(both) => (last.step, last.suffix) = (both, None),
                None => kept.push(turn),
            },
            None => kept.push(turn),
        }
    }
    kept
}

/// Two loops may go over the same list; another list of the same name is told apart by a number.
fn keep_list(lists: &mut Vec<Fact>, mut fact: Fact) {
    let name = fact.name.clone();
    let mut n = 1;
    while let Some(known) = lists.iter().find(|known| known.name == fact.name) {
        if known.value == fact.value {
            return;
        }
        n += 1;
        fact.name = format!("{name} ({n})");
    }
    lists.push(fact);
}

/// Returns whether a step or a risk is there on this site.
pub(crate) fn wanted(
    when: Option<&ProbeBody>,
    site: &Site,
    cx: &mut Compile<'_>,
    tell: &Tell,
) -> Result<bool, PlanFailure> {
    let Some(probe) = when.and_then(|when| cx.probe(when)) else { return Ok(true) };
    match site.judge(&probe, tell) {
        Ok(judgement) => Ok(judgement.holds),
        Err(error) => {
            Err(Refusal::new("D004", format!("cannot tell whether a step is needed: {error}")).into())
        }
    }
}

/// Names the line of the playbook at a byte.
pub(crate) fn place(playbook: &LoadedPlaybook, offset: usize) -> Place {
    let (line, _) = line_column(&playbook.source.text, offset);
    Place { file: playbook.source.name.clone(), line }
}
