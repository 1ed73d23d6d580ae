//! The proxy as a unit of the user's systemd.
//!
//! A value is quoted as systemd reads it: `\` and `"` by a backslash, `%` (a specifier) and, in arguments, `$` (a
//! variable) doubled.

use std::path::PathBuf;

use super::service::{Service, below_home};

/// Where the unit belongs.
pub(super) fn path(name: &str) -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let config = config.or_else(|| below_home(".config"))?;
    Some(config.join("systemd/user").join(format!("{name}.service")))
}

/// The unit. The proxy itself extends the time it gets to stop, by `server.drain`.
pub(super) fn unit(service: &Service) -> String {
    let Service { program, config, dir, environment, .. } = service;
    let variable = |(name, value): &(&str, String)| format!("Environment={}\n", quoted(&format!("{name}={value}")));
    let variables: Vec<_> = environment.iter().map(variable).collect();
    format!(
        "# Written by `qcc proxy install-service`.\n\
         [Unit]\n\
         Description=qcc, the proxy of {description}\n\
         StartLimitIntervalSec=60\n\
         StartLimitBurst=5\n\
         \n\
         [Service]\n\
         Type=notify\n\
         NotifyAccess=main\n\
         ExecStart={program} --config {config} proxy start\n\
         ExecReload=/bin/kill -HUP $MAINPID\n\
         WorkingDirectory={dir}\n\
         {variables}\
         Restart=on-failure\n\
         RestartSec=2\n\
         TimeoutStartSec=120\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n",
        description = config.replace('%', "%%"),
        program = quoted(program),
        config = quoted(config).replace('$', "$$"),
        dir = dir.replace('%', "%%"),
        variables = variables.concat(),
    )
}

/// What is left to do.
pub(super) fn steps(service: &Service) -> String {
    let name = &service.name;
    format!(
        "Start it now and at every login:\n  \
         systemctl --user daemon-reload\n  \
         systemctl --user enable --now {name}.service\n\
         Also without a login: `loginctl enable-linger`. Its log: `journalctl --user -u {name}`."
    )
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"))
}
