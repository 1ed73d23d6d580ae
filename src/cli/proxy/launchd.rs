//! The proxy as an agent of the user's launchd. Nobody keeps its log there, so it keeps one itself.

use std::path::PathBuf;

use super::service::{Service, below_home};

/// Where the agent belongs.
pub(super) fn path(name: &str) -> Option<PathBuf> {
    Some(below_home("Library/LaunchAgents")?.join(format!("{name}.plist")))
}

/// The agent.
pub(super) fn plist(service: &Service) -> String {
    let Service { name, program, config, dir, environment, .. } = service;
    let arguments = [program, "--config", config, "proxy", "start", "--log-file"];
    let arguments: Vec<_> = arguments.iter().map(|argument| format!("    {}\n", string(argument))).collect();
    let variable = |(name, value): &(&str, String)| format!("    <key>{name}</key>\n    {}\n", string(value));
    let variables: Vec<_> = environment.iter().map(variable).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <!-- Written by `qcc proxy install-service`. -->\n\
         <plist version=\"1.0\">\n\
         <dict>\n  \
         <key>Label</key>\n  {label}\n  \
         <key>ProgramArguments</key>\n  <array>\n{arguments}  </array>\n  \
         <key>WorkingDirectory</key>\n  {dir}\n  \
         <key>EnvironmentVariables</key>\n  <dict>\n{variables}  </dict>\n  \
         <key>RunAtLoad</key>\n  <true/>\n  \
         <key>KeepAlive</key>\n  <dict>\n    <key>SuccessfulExit</key>\n    <false/>\n  </dict>\n\
         </dict>\n\
         </plist>\n",
        label = string(name),
        arguments = arguments.concat(),
        variables = variables.concat(),
        dir = string(dir),
    )
}

/// What is left to do.
pub(super) fn steps(service: &Service) -> String {
    let name = &service.name;
    format!(
        "Start it now and at every login:\n  \
         launchctl bootstrap gui/$(id -u) ~/Library/LaunchAgents/{name}.plist\n\
         Its log: `qcc proxy logs`."
    )
}

fn string(value: &str) -> String {
    let value = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<string>{value}</string>")
}
