//! What is asked when `qcc endpoint add` is not told what to add: the profiles there are, then known providers, then an
//! address by hand.
//!
//! A key may be typed: it is not shown, and goes into the `.env` beside the file.

use std::io::BufRead;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::add::{New, copies};
use crate::cli::edit::{Failure, Sheet};
use crate::cli::keys::Line;
use crate::cli::{files, prompt};
use crate::config::Secret;
use crate::import::Names;

/// A provider whose API speaks the Messages format.
struct Provider {
    base_url: &'static str,
    auth: &'static str,
    variable: &'static str,
}

const fn provider(base_url: &'static str, auth: &'static str, variable: &'static str) -> Provider {
    Provider { base_url, auth, variable }
}

/// Known providers, with the header they read.
const PROVIDERS: [Provider; 10] = [
    provider("https://api.anthropic.com", "x-api-key", "ANTHROPIC_API_KEY"),
    provider("https://api.moonshot.cn/anthropic", "bearer", "MOONSHOT_API_KEY"),
    provider("https://open.bigmodel.cn/api/anthropic", "bearer", "BIGMODEL_API_KEY"),
    provider("https://api.z.ai/api/anthropic", "bearer", "ZAI_API_KEY"),
    provider("https://api.deepseek.com/anthropic", "x-api-key", "DEEPSEEK_API_KEY"),
    provider("https://api.minimaxi.com/anthropic", "x-api-key", "MINIMAX_API_KEY"),
    provider("https://dashscope.aliyuncs.com/apps/anthropic", "x-api-key", "DASHSCOPE_API_KEY"),
    provider("https://openrouter.ai/api", "bearer", "OPENROUTER_API_KEY"),
    provider("https://api.siliconflow.cn", "x-api-key", "SILICONFLOW_API_KEY"),
    provider("https://aihubmix.com", "x-api-key", "AIHUBMIX_API_KEY"),
];

/// What was chosen, and what is to be kept for it.
pub(super) struct Answers {
    /// The endpoints.
    pub(super) news: Vec<New>,
    /// Lines for `.env`.
    pub(super) keys: Vec<Line>,
}

impl Answers {
    /// Endpoints that bring no key along.
    pub(super) const fn of(news: Vec<New>) -> Self {
        Self { news, keys: Vec::new() }
    }
}

/// Asks on a terminal; without one, says what to pass. In a rehearsal no key is asked for.
pub(super) fn ask(sheet: &Sheet, profile: &str, rehearsal: bool) -> Result<Answers, Failure> {
    if prompt::somebody() {
        return Wizard { input: std::io::stdin().lock(), sheet, profile, rehearsal }.ask();
    }
    let from = format!("`qcc endpoint add {profile} --from-profile NAME`");
    let url = format!("`qcc endpoint add {profile} --url URL --key-env VAR`");
    Err(Failure::CouldNot(format!("nothing says what to add, and nobody is here to be asked: pass {from} or {url}")))
}

/// A conversation about one new endpoint of `profile`.
struct Wizard<'s, R> {
    input: R,
    sheet: &'s Sheet,
    profile: &'s str,
    rehearsal: bool,
}

impl<R: BufRead> Wizard<'_, R> {
    fn ask(mut self) -> Result<Answers, Failure> {
        let sources = self.sources();
        let providers = PROVIDERS.map(|provider| provider.base_url.to_owned());
        let from = sources.iter().map(|name| format!("the endpoints of profile `{name}`"));
        let choices: Vec<String> = from.chain(providers).chain(["another address".to_owned()]).collect();
        let chosen = self.choose(&choices)?;
        match sources.get(chosen) {
            Some(name) => copies(self.sheet, name).map(Answers::of),
            None => self.endpoint(PROVIDERS.get(chosen - sources.len())),
        }
    }

    /// The other profiles that have endpoints.
    fn sources(&self) -> Vec<String> {
        let others = self.sheet.profiles().into_iter().filter(|name| *name != self.profile);
        others.filter(|name| !self.sheet.endpoints(name).is_empty()).map(str::to_owned).collect()
    }

    fn choose(&mut self, choices: &[String]) -> Result<usize, Failure> {
        eprintln!("What is to be added to `{}`?", self.profile);
        choices.iter().zip(1..).for_each(|(choice, number)| eprintln!("  {number:2}  {choice}"));
        loop {
            let answer = self.line(&format!("Number, 1 to {}: ", choices.len()))?;
            match answer.parse::<usize>() {
                Ok(number) if (1..=choices.len()).contains(&number) => return Ok(number - 1),
                _ => eprintln!("`{answer}` is none of them."),
            }
        }
    }

    fn endpoint(&mut self, known: Option<&Provider>) -> Result<Answers, Failure> {
        let url = match known {
            Some(provider) => provider.base_url.to_owned(),
            None => self.some("Address, without /v1: ")?,
        };
        let auth = match known {
            Some(provider) => provider.auth.to_owned(),
            None => self.line("Header that carries the key, x-api-key or bearer [x-api-key]: ")?,
        };
        let mut keys = Vec::new();
        let variable = self.variable(known.map_or("API_KEY", |provider| provider.variable), &mut keys)?;
        Ok(Answers { news: vec![New { ids: Vec::new(), fields: fields(&url, &variable, &auth) }], keys })
    }

    /// The variable that holds the key: one that gets it now, or one that has it.
    fn variable(&mut self, usual: &str, keys: &mut Vec<Line>) -> Result<String, Failure> {
        let question = "Key, to be kept in `.env` (not shown; return: a variable has it): ";
        let typed = if self.rehearsal { None } else { prompt::key(&mut self.input, question)? };
        if let Some(key) = typed {
            return self.store(usual, &key, keys);
        }
        let named = self.line(&format!("Environment variable that holds the key [{usual}]: "))?;
        Ok(if named.is_empty() { usual.to_owned() } else { named })
    }

    fn store(&self, usual: &str, key: &Secret, keys: &mut Vec<Line>) -> Result<String, Failure> {
        let directory = self.sheet.path().parent().unwrap_or(Path::new("."));
        let stored = files::env_lines(directory);
        let stored = stored.map_err(|error| Failure::CouldNot(format!("`.env` beside the file: {error}")))?;
        let env = |name: &str| std::env::var_os(name).map(|value| Secret::new(value.to_string_lossy()));
        let names = Names { stored: &stored, env: &env };
        Ok(names.store(usual, key, &|name| self.sheet.refers_to(name), keys))
    }

    /// An answer that is not empty.
    fn some(&mut self, question: &str) -> Result<String, Failure> {
        loop {
            let answer = self.line(question)?;
            if !answer.is_empty() {
                return Ok(answer);
            }
        }
    }

    fn line(&mut self, question: &str) -> Result<String, Failure> {
        prompt::line(&mut self.input, question)
    }
}

/// The fields of an endpoint; what is the default is not written.
fn fields(url: &str, variable: &str, auth: &str) -> Map<String, Value> {
    let auth = (!matches!(auth, "" | "x-api-key")).then(|| ("auth".to_owned(), json!(auth)));
    let fields = [("base_url".to_owned(), json!(url)), ("api_key".to_owned(), json!({ "env": variable }))];
    fields.into_iter().chain(auth).collect()
}
