//! `fusebox config` and `fusebox secrets`: values that people set for a function.

use std::io::{IsTerminal as _, Read as _};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use fusebox_core::{capability::SettingName, limits::SETTING_VALUE_BYTES_MAX};
use fusebox_ui::{self as ui, table::Table};

use crate::{cli::args::HostArgs, text};
use fusebox_ui::OutputFormat;

/// Arguments of `fusebox config`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  fusebox config set shop CURRENCY=EUR REGION=north
Runs of functions that were deployed with --grant config read it by name; a new value applies to the next read.")]
pub struct ConfigArgs {
    #[command(subcommand)]
    act: ConfigAct,
}

/// Action on a function's configuration.
#[derive(Debug, Subcommand)]
enum ConfigAct {
    /// Set values
    Set {
        /// The function's name
        function: String,
        /// Names and values
        #[arg(required = true, value_name = "NAME=VALUE", value_parser = pair)]
        values: Vec<(SettingName, String)>,
        /// The host with the function.
        #[command(flatten)]
        host: HostArgs,
    },
    /// List names and values
    List {
        /// The function's name
        function: String,
        /// The host with the function.
        #[command(flatten)]
        host: HostArgs,
    },
    /// Unset a value
    Unset {
        /// The function's name
        function: String,
        /// The value's name
        name: SettingName,
        /// The host with the function.
        #[command(flatten)]
        host: HostArgs,
    },
}

/// Arguments of `fusebox secrets`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fusebox secrets set shop API_KEY                 prompts for it and hides the input
  fusebox secrets set shop API_KEY < key.txt       all of stdin, without one newline at its end
Secrets are stored sealed and never returned; runs of functions that were deployed with --grant secrets read them.")]
pub struct SecretArgs {
    #[command(subcommand)]
    act: SecretAct,
}

/// Action on a function's secrets.
#[derive(Debug, Subcommand)]
enum SecretAct {
    /// Set a secret, read from a prompt or from stdin
    Set {
        /// The function's name
        function: String,
        /// The secret's name
        name: SettingName,
        /// The host with the function.
        #[command(flatten)]
        host: HostArgs,
    },
    /// List the names of secrets
    List {
        /// The function's name
        function: String,
        /// The host with the function.
        #[command(flatten)]
        host: HostArgs,
    },
    /// Unset a secret
    Unset {
        /// The function's name
        function: String,
        /// The secret's name
        name: SettingName,
        /// The host with the function.
        #[command(flatten)]
        host: HostArgs,
    },
}

/// Sets, lists or unsets configuration.
///
/// # Errors
/// Fails if there is no such function or value, or the host does not answer.
pub async fn config(args: ConfigArgs, format: OutputFormat) -> anyhow::Result<()> {
    match args.act {
        ConfigAct::Set { function, values, host } => {
            let client = host.client()?;
            for (name, value) in values {
                client.set_setting(&function, "config", name.as_str(), value.into_bytes()).await?;
                ui::say(format!("{name} is set"))?;
            }
            Ok(())
        }
        ConfigAct::List { function, host } => {
            let page = host.client()?.config(&function).await?;
            if format == OutputFormat::Json {
                return ui::json(&page);
            }
            if page.is_empty() {
                return ui::say(format!("Nothing is set yet:  fusebox config set {function} NAME=VALUE"));
            }
            let mut table = Table::new(["NAME", "VALUE"]);
            page.into_iter().for_each(|item| table.row([item.name, item.value]));
            ui::say(table.to_string())
        }
        ConfigAct::Unset { function, name, host } => {
            host.client()?.unset_setting(&function, "config", name.as_str()).await?;
            ui::say(format!("{name} is unset"))
        }
    }
}

/// Sets, lists or unsets secrets.
///
/// # Errors
/// Fails if there is no such function or secret, the host does not answer, or it has no key of secrets.
pub async fn secrets(args: SecretArgs, format: OutputFormat) -> anyhow::Result<()> {
    match args.act {
        SecretAct::Set { function, name, host } => {
            let client = host.client()?;
            let secret = read_secret(&name)?;
            client.set_setting(&function, "secrets", name.as_str(), secret).await?;
            ui::say(format!("{name} is set"))
        }
        SecretAct::List { function, host } => {
            let page = host.client()?.secrets(&function).await?;
            if format == OutputFormat::Json {
                return ui::json(&page);
            }
            if page.is_empty() {
                return ui::say(format!("No secret is set yet:  fusebox secrets set {function} NAME"));
            }
            let mut table = Table::new(["NAME"]);
            page.into_iter().for_each(|item| table.row([item.name]));
            ui::say(table.to_string())
        }
        SecretAct::Unset { function, name, host } => {
            host.client()?.unset_setting(&function, "secrets", name.as_str()).await?;
            ui::say(format!("{name} is unset"))
        }
    }
}

/// Reads the secret from a prompt if stdin is a terminal, else all of stdin.
fn read_secret(name: &SettingName) -> anyhow::Result<Vec<u8>> {
    if std::io::stdin().is_terminal() {
        let mut terminal = console::Term::stderr();
        std::io::Write::write_all(&mut terminal, format!("{name}: ").as_bytes())?;
        return Ok(terminal.read_secure_line().context("read the secret")?.into_bytes());
    }
    let (mut secret, read_max) = (Vec::new(), SETTING_VALUE_BYTES_MAX + "\r\n".len() + 1);
    std::io::stdin().take(read_max as u64).read_to_end(&mut secret).context("read the secret")?;
    secret.truncate(text::without_line_end(&secret).len());
    anyhow::ensure!(secret.len() <= SETTING_VALUE_BYTES_MAX, "a secret has at most {SETTING_VALUE_BYTES_MAX} bytes");
    Ok(secret)
}

fn pair(text: &str) -> Result<(SettingName, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.parse().map_err(|error| format!("{name:?}: {error}"))?, value.to_owned()))
}
