//! The parameters that a request may set, with the family's ranges and defaults.

use crate::{model::t3::Family, sampler::Sampling};
use stentor_engine::EngineError;
use stentor_types::{ParamKind, ParamSpec, ParamValue, Params};

/// Tokens of a chunk's first piece: a second of speech.
const STREAM_TOKENS: i64 = 25;

/// Everything that a request may set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Settings {
    pub exaggeration: f32,
    pub sampling: Sampling,
    /// Steps of the flow's solver.
    pub cfm_steps: usize,
    /// Tokens of the first piece; zero means that a chunk is rendered whole.
    pub stream_tokens: usize,
}

/// What this family takes: Turbo and Nano have neither a second row nor an emotion.
pub(super) fn specs(family: Family, meanflow: bool) -> Vec<ParamSpec> {
    let default = Sampling::of(family);
    let number = |name: &str, (min, max): (f64, f64), default: f32, description: &str| {
        // Through its shortest decimal form, so that 0.8 does not become 0.800000011920929.
        let default = default.to_string().parse().unwrap_or_default();
        spec(name, ParamKind::Number { min, max, default }, description)
    };
    let integer = |name: &str, (min, max): (i64, i64), default: i64, description: &str| {
        spec(name, ParamKind::Integer { min, max, default }, description)
    };
    let steps = if meanflow { 2 } else { 10 };
    let mut specs = vec![
        number("temperature", (0.05, 5.0), default.temperature, "How freely speech tokens are drawn."),
        number(
            "top_p",
            (0.0, 1.0),
            default.top_p,
            "Draw from the likeliest tokens of this total probability.",
        ),
        number(
            "repetition_penalty",
            (1.0, 5.0),
            default.repetition_penalty,
            "Makes tokens that were spoken less likely.",
        ),
        integer("cfm_steps", (1, 32), steps, "Solver steps of the flow: more are slower, fewer are rougher."),
        ParamSpec {
            later: Some(ParamValue::Integer(0)),
            ..integer(
                "stream_tokens",
                (0, 1000),
                STREAM_TOKENS,
                "Speech tokens (40 ms each) of a chunk's first piece; each later one has twice as many. 0 renders a \
                 chunk whole, as by default all but a text's first, since each piece renders the voice along with it.",
            )
        },
    ];
    if family != Family::Turbo {
        specs.extend([
            number("exaggeration", (0.25, 2.0), 0.5, "How much emotion is put on."),
            number(
                "cfg_weight",
                (0.0, 1.0),
                default.cfg_weight,
                "How strictly the text is followed; 0 is twice as fast.",
            ),
            number(
                "min_p",
                (0.0, 1.0),
                default.min_p,
                "Never draw a token below this share of the likeliest.",
            ),
        ]);
    }
    specs
}

fn spec(name: &str, kind: ParamKind, description: &str) -> ParamSpec {
    ParamSpec { name: name.to_owned(), kind, later: None, description: description.to_owned() }
}

/// A request's parameters; what it leaves out is the default, what `specs` do not have is ignored.
pub(super) fn settings(
    params: &Params,
    specs: &[ParamSpec],
    family: Family,
) -> Result<Settings, EngineError> {
    let mut settings =
        Settings { exaggeration: 0.5, sampling: Sampling::of(family), cfm_steps: 0, stream_tokens: 0 };
    for spec in specs {
        let default = match spec.kind {
            ParamKind::Number { default, .. } => ParamValue::Number(default),
            ParamKind::Integer { default, .. } => ParamValue::Integer(default),
            _ => continue,
        };
        let given = params.get(&spec.name).cloned().unwrap_or(default);
        let checked = spec.check(given).map_err(|error| EngineError::Rejected(error.to_string()))?;
        settings.set(&spec.name, &checked);
    }
    Ok(settings)
}

impl Settings {
    fn set(&mut self, name: &str, value: &ParamValue) {
        match *value {
            ParamValue::Integer(value) => match name {
                "cfm_steps" => self.cfm_steps = value as usize,
                _ => self.stream_tokens = value as usize,
            },
            ParamValue::Number(value) => {
                let place = match name {
                    "temperature" => &mut self.sampling.temperature,
                    "top_p" => &mut self.sampling.top_p,
                    "min_p" => &mut self.sampling.min_p,
                    "repetition_penalty" => &mut self.sampling.repetition_penalty,
                    "cfg_weight" => &mut self.sampling.cfg_weight,
                    _ => &mut self.exaggeration,
                };
                *place = value as f32;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(family: Family, pairs: &[(&str, ParamValue)]) -> Result<Settings, EngineError> {
        let params = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        settings(&params, &specs(family, family == Family::Turbo), family)
    }

    #[test]
    fn what_is_left_out_is_as_the_reference_has_it() {
        for family in [Family::English, Family::Multilingual, Family::Turbo] {
            let settings = read(family, &[]).unwrap();
            assert_eq!(settings.sampling, Sampling::of(family), "{family:?}");
            assert_eq!(settings.cfm_steps, if family == Family::Turbo { 2 } else { 10 });
            assert_eq!((settings.exaggeration, settings.stream_tokens), (0.5, 25));
        }
    }

    #[test]
    fn every_parameter_reaches_its_place() {
        let number = ParamValue::Number;
        let settings = read(
            Family::English,
            &[
                ("exaggeration", number(1.5)),
                ("cfg_weight", number(0.0)),
                ("temperature", number(0.25)),
                ("top_p", number(0.125)),
                ("min_p", number(0.75)),
                ("repetition_penalty", number(3.0)),
                ("cfm_steps", ParamValue::Integer(5)),
                ("stream_tokens", ParamValue::Integer(0)),
            ],
        )
        .unwrap();
        let sampling = Sampling {
            temperature: 0.25,
            top_p: 0.125,
            min_p: 0.75,
            repetition_penalty: 3.0,
            cfg_weight: 0.0,
            ..Sampling::of(Family::English)
        };
        assert_eq!(settings, Settings { exaggeration: 1.5, sampling, cfm_steps: 5, stream_tokens: 0 });
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name_and_turbo_takes_no_emotion() {
        let names = |family| specs(family, false).into_iter().map(|spec| spec.name).collect::<Vec<_>>();
        for name in ["exaggeration", "cfg_weight", "min_p"] {
            let given = [(name, ParamValue::Number(9.0))];
            let refused = read(Family::English, &given);
            assert!(matches!(&refused, Err(EngineError::Rejected(why)) if why.contains(name)), "{refused:?}");
            assert!(read(Family::Turbo, &given).is_ok() && !names(Family::Turbo).contains(&name.to_owned()));
        }
        assert!(read(Family::Turbo, &[("cfm_steps", ParamValue::Integer(0))]).is_err());
    }
}
