//! One word for where an endpoint stands, from its own state and that of its key. Pure.

use crate::time::{Clocks, Moment};
use crate::upstream::breaker;
use crate::upstream::endpoint::{Credential, Endpoint};

use super::view::{RestingModel, Standing, Time};

/// Where an endpoint stands.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) standing: Standing,
    pub(super) until: Option<Time>,
    pub(super) reason: Option<String>,
    pub(super) resting_models: Vec<RestingModel>,
}

/// Where `endpoint` stands. Of several reasons the one to mend first, as for requests.
pub(super) fn place(endpoint: &Endpoint, clocks: Clocks) -> Place {
    let time = |moment: Moment| Time(clocks.time_at(moment));
    let now = clocks.moment;
    let rests = endpoint.key.resting(now);
    let whole = rests.iter().filter(|(model, _)| model.is_none()).map(|(_, until)| *until).max();
    let at = |standing, until: Option<Moment>, reason| (standing, until.map(time), reason);
    let (standing, until, reason) = if let Credential::Missing(why) = &endpoint.credential {
        at(Standing::Ejected, None, Some(why.clone()))
    } else if let Some((why, trial_at)) = endpoint.key.death() {
        at(Standing::Ejected, Some(trial_at), Some(format!("its key was refused: {why}")))
    } else if let Some(until) = whole {
        at(Standing::Resting, Some(until), Some("its key is rate limited".to_owned()))
    } else {
        match endpoint.state.standing(now) {
            breaker::Standing::Admitting => at(Standing::Admitting, None, None),
            breaker::Standing::Resting { until } => {
                at(Standing::Resting, Some(until), Some("it asked to be left alone".to_owned()))
            }
            breaker::Standing::Probation { .. } => at(Standing::OnProbation, None, None),
            breaker::Standing::Ejected { until, reason } => {
                at(Standing::Ejected, Some(until), Some(reason.to_string()))
            }
        }
    };
    let models =
        rests.into_iter().filter_map(|(model, until)| Some(RestingModel { model: model?, until: time(until) }));
    Place { standing, until, reason, resting_models: models.collect() }
}
