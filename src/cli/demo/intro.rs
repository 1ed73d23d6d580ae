//! What is printed before anything happens: where things are, and what to try.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::cast::CAST;
use super::style::{Palette, Tone};
use crate::simulate::Behaviour;

/// What there is to know at the start.
#[derive(Debug)]
pub(super) struct Intro<'a> {
    /// Where the proxy listens.
    pub(super) proxy: SocketAddr,
    /// The file.
    pub(super) path: &'a Path,
    /// Where the cast listens, in its order.
    pub(super) cast: [SocketAddr; CAST.len()],
    /// Ports that were taken, and those instead.
    pub(super) taken: &'a [(u16, u16)],
}

impl Intro<'_> {
    /// The text, ending in an empty line.
    pub(super) fn text(&self, palette: Palette) -> String {
        let Self { proxy, path, cast, .. } = self;
        let path = path.display();
        let title = |text: &str| palette.paint(Tone::Strong, text);
        let [work, personal, glm, ..] = cast;
        let others = Behaviour::ALL.into_iter().map(Behaviour::as_str);
        let others: Vec<_> = others.filter(|word| !["healthy", "overloaded"].contains(word)).collect();
        format!(
            "{}
{}
{}
  the proxy           http://{proxy}
  its configuration   {path} (every save is live)

{}
  curl -N http://{proxy}/v1/messages \\
    -H 'content-type: application/json' \\
    -d '{{ \"model\": \"claude-sonnet-4-5\", \"max_tokens\": 200, \"stream\": true,
          \"messages\": [{{ \"role\": \"user\", \"content\": \"hello\" }}] }}'

{}
  ANTHROPIC_BASE_URL=http://{proxy} \\
    ANTHROPIC_API_KEY=proxy-managed claude

{}
  edit a weight       change the `weight` of `work`, and save
  break an endpoint   curl -X POST http://{work}/simulate/overloaded
                      also {}
                      {}
  mend it             curl -X POST http://{personal}/simulate/work/healthy
  lose production     for p in {} {} {}; do
                      curl -X POST http://127.0.0.1:$p/simulate/overloaded; done
  save a typo         write `wieght: 3`: the last good file keeps running

",
            title("qcc demo: a proxy over simulated endpoints. No key, no network."),
            self.notes(palette),
            title("Where"),
            title("Ask it"),
            title("Put Claude Code behind it"),
            title("Try, and watch below"),
            others[..4].join(", ") + ",",
            others[4..].join(", "),
            work.port(),
            personal.port(),
            glm.port(),
        )
    }

    fn notes(&self, palette: Palette) -> String {
        self.taken.iter().fold(String::new(), |mut notes, (old, new)| {
            let note = format!("port {old} is taken: {new} now stands in the file");
            // Writing to a string does not fail.
            let _ = writeln!(notes, "{}", palette.paint(Tone::Warning, &note));
            notes
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_things_are_and_what_to_try() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let intro = Intro {
            proxy: address(7860),
            path: Path::new("qcc-demo/qcc.yaml"),
            cast: [7871, 7872, 40_003, 7874, 7875].map(address),
            taken: &[(7873, 40_003)],
        };
        insta::assert_snapshot!(intro.text(Palette(false)), @r#"
        qcc demo: a proxy over simulated endpoints. No key, no network.
        port 7873 is taken: 40003 now stands in the file

        Where
          the proxy           http://127.0.0.1:7860
          its configuration   qcc-demo/qcc.yaml (every save is live)

        Ask it
          curl -N http://127.0.0.1:7860/v1/messages \
            -H 'content-type: application/json' \
            -d '{ "model": "claude-sonnet-4-5", "max_tokens": 200, "stream": true,
                  "messages": [{ "role": "user", "content": "hello" }] }'

        Put Claude Code behind it
          ANTHROPIC_BASE_URL=http://127.0.0.1:7860 \
            ANTHROPIC_API_KEY=proxy-managed claude

        Try, and watch below
          edit a weight       change the `weight` of `work`, and save
          break an endpoint   curl -X POST http://127.0.0.1:7871/simulate/overloaded
                              also slow, rate_limited, server_error, bad_key,
                              error_first, cut, hang, refuse
          mend it             curl -X POST http://127.0.0.1:7872/simulate/work/healthy
          lose production     for p in 7871 7872 40003; do
                              curl -X POST http://127.0.0.1:$p/simulate/overloaded; done
          save a typo         write `wieght: 3`: the last good file keeps running
        "#);
        assert!(intro.text(Palette(false)).lines().all(|line| line.chars().count() <= 80));
    }
}
