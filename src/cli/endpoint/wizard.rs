//! What is asked when `qcc endpoint add` is not told what to add: the profiles there are, then known providers, then an
//! address by hand.
//!
//! It asks for the name of a variable, never for a key.

use std::io::{self, BufRead, IsTerminal as _, Write as _};

use serde_json::{Map, Value, json};

use super::add::{New, copies};
use crate::cli::edit::{Failure, Sheet};

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

/// Asks on a terminal; without one, says what to pass.
pub(super) fn ask(sheet: &Sheet, profile: &str) -> Result<Vec<New>, Failure> {
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        return Wizard { input: io::stdin().lock(), sheet, profile }.ask();
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
}

impl<R: BufRead> Wizard<'_, R> {
    fn ask(mut self) -> Result<Vec<New>, Failure> {
        let sources = self.sources();
        let providers = PROVIDERS.map(|provider| provider.base_url.to_owned());
        let from = sources.iter().map(|name| format!("the endpoints of profile `{name}`"));
        let choices: Vec<String> = from.chain(providers).chain(["another address".to_owned()]).collect();
        let chosen = self.choose(&choices)?;
        match sources.get(chosen) {
            Some(name) => copies(self.sheet, name),
            None => self.endpoint(PROVIDERS.get(chosen - sources.len())).map(|new| vec![new]),
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

    fn endpoint(&mut self, known: Option<&Provider>) -> Result<New, Failure> {
        let url = match known {
            Some(provider) => provider.base_url.to_owned(),
            None => self.some("Address, without /v1: ")?,
        };
        let variable = known.map_or("API_KEY", |provider| provider.variable);
        let named = self.line(&format!("Environment variable that holds the key [{variable}]: "))?;
        let variable = if named.is_empty() { variable.to_owned() } else { named };
        let auth = match known {
            Some(provider) => provider.auth.to_owned(),
            None => self.line("Header that carries it, x-api-key or bearer [x-api-key]: ")?,
        };
        Ok(New { ids: Vec::new(), fields: fields(&url, &variable, &auth) })
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

    /// An answer without the white space around it.
    fn line(&mut self, question: &str) -> Result<String, Failure> {
        eprint!("{question}");
        // A question that cannot be shown is answered all the same.
        drop(io::stderr().flush());
        let mut answer = String::new();
        match self.input.read_line(&mut answer) {
            Ok(read) if read > 0 => Ok(answer.trim().to_owned()),
            _ => Err(Failure::Refused("nothing was changed".to_owned())),
        }
    }
}

/// The fields of an endpoint; what is the default is not written.
fn fields(url: &str, variable: &str, auth: &str) -> Map<String, Value> {
    let auth = (!matches!(auth, "" | "x-api-key")).then(|| ("auth".to_owned(), json!(auth)));
    let fields = [("base_url".to_owned(), json!(url)), ("api_key".to_owned(), json!({ "env": variable }))];
    fields.into_iter().chain(auth).collect()
}
