//! The settings file against the real command line: every option of every command, dumped and read back.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn with(file: &str, args: &[&str]) -> anyhow::Result<String> {
    let file: Table = file.parse()?;
    let command = apply::apply(Cli::command(), &file)?;
    let matches = command.clone().try_get_matches_from([&["fusebox"], args].concat())?;
    Ok(dump::dump(&command, &matches, &file))
}

#[test]
fn a_flag_goes_before_the_file_and_a_command_before_all() {
    let file = "port = 7000\nstore = \"redis://a:1\"\n[dispatcher]\nmode = \"push\"\nport = 7001\n";
    let dumped = with(file, &["dispatcher", "--task-timeout", "9"]).unwrap();
    for line in ["port = 7001  # the file", "mode = \"push\"  # the file", "task-timeout = 9  # the command line"] {
        assert!(dumped.lines().any(|dumped| dumped == line), "{line} in {dumped}");
    }
    assert!(dumped.contains("# store is set by the file"), "an address may hold a password: {dumped}");
    assert!(with(file, &["up"]).unwrap().contains("port = 7000  # the file"));
    let flagged = with(file, &["dispatcher", "-p", "7002"]).unwrap();
    assert!(flagged.contains("port = 7002  # the command line"));
}

#[test]
fn settings_that_have_changed_are_named_also_those_of_every_command() {
    let settings = |file: &str| {
        let command = apply::apply(Cli::command(), &file.parse().unwrap()).unwrap();
        let matches = command.clone().try_get_matches_from(["fusebox", "serve"]).unwrap();
        Settings::of(&command, &matches)
    };
    let before = settings("log = \"info\"\nlisten = \"127.0.0.1:1\"\n");
    let mut after = settings("log = \"debug\"\nlisten = \"127.0.0.1:2\"\nmax-fuel = 7\n");
    assert_eq!(before.changed(&after), ["listen", "log", "max-fuel"]);
    after.take("log", &before);
    assert_eq!(before.changed(&after), ["listen", "max-fuel"]);
    assert!(before.changed(&before).is_empty());
}

#[test]
fn a_subcommand_takes_settings_from_the_nearest_table() {
    let file =
        "url = \"http://a\"\nlimit = 7\n[keys]\nurl = \"http://b\"\n[keys.create]\nlife = \"9d\"\nurl = \"http://c\"\n";
    let of = |args: &[&str], line: &str| {
        let dumped = with(file, args).unwrap();
        assert!(dumped.lines().any(|dumped| dumped == line), "{line} in {dumped}");
    };
    of(&["tasks", "retry", "ID"], "url = \"http://a\"  # the file");
    of(&["dead-letters", "list"], "limit = 7  # the file");
    of(&["keys", "list"], "url = \"http://b\"  # the file");
    of(&["keys", "create", "--scope", "admin"], "url = \"http://c\"  # the file");
    of(&["keys", "create", "--scope", "admin"], "life = \"9d\"  # the file");
    of(&["keys", "create", "--scope", "admin"], "[keys.create]");
}

#[test]
fn a_setting_that_there_is_none_of_is_named() {
    let refused = |file: &str| format!("{:#}", with(file, &["dispatcher", "-m", "push"]).unwrap_err());
    assert!(refused("[dispatcher]\nprot = 1").contains("`prot`: it has mode, slots, port"));
    assert!(refused("[keys]\nscop = 1").contains("`scop`: it has scope, name, tenant"));
    assert!(refused("[dispatch]\nport = 1").contains("[dispatch] is not a command"));
    assert!(refused("[keys.make]\nscope = 1").contains("[keys.make] is not a command"));
    assert!(refused("prot = 1").contains("no command has a setting `prot`"));
    assert!(refused("port = [1]").contains("`port` must be a single value"));
    assert!(refused("cors-origin = [[1]]").contains("`cors-origin` must be a string"));
    assert!(refused("port = \"many\"").contains("many"));
}

/// Sample values; each option accepts at least one of them. Tried in this order.
const SAMPLES: [&str; 21] = [
    "7",
    "1",
    "10m",
    "16MiB",
    "low",
    "core",
    "admin",
    "127.0.0.1:8000",
    "127.0.0.1",
    "10.1.0.0/16",
    "https://a.example",
    "kv",
    "A=b, c",
    "redis://a:1",
    "acme",
    "0123456789abcdef",
    "1000:1000",
    "1000",
    "3.11",
    "env=prod",
    "0190d5a0-7b1a-7c3e-8f00-0123456789ab",
];

/// A command without subcommands, its words, and its required arguments.
struct Leaf {
    words: Vec<String>,
    command: Command,
    needed: Vec<String>,
}

fn leaves(command: &Command, words: &[String], found: &mut Vec<Leaf>) {
    if !words.is_empty() && !command.is_subcommand_required_set() {
        let mut leaf = Leaf { words: words.to_vec(), command: command.clone(), needed: Vec::new() };
        let needed: Vec<Arg> = settings(command).filter(|arg| arg.is_required_set()).cloned().collect();
        leaf.needed = needed.iter().flat_map(|arg| given(arg, &sample(arg))).collect();
        found.push(leaf);
    }
    for sub in command.get_subcommands() {
        leaves(sub, &[words, &[sub.get_name().to_owned()]].concat(), found);
    }
}

fn given(arg: &Arg, value: &str) -> Vec<String> {
    match (arg.get_long(), arg.get_action().takes_values()) {
        (None, _) if arg.is_last_set() => vec!["--".to_owned(), value.to_owned()],
        (None, _) => vec![value.to_owned()],
        (Some(long), true) => vec![format!("--{long}={value}")],
        (Some(long), false) => vec![format!("--{long}")],
    }
}

/// Returns a value that the option accepts.
fn sample(arg: &Arg) -> String {
    let possible = arg.get_possible_values();
    if let Some(value) = possible.first() {
        return value.get_name().to_owned();
    }
    let takes = |value: &&str| {
        let alone = Arg::new("x").long("x").value_parser(arg.get_value_parser().clone());
        Command::new("x").arg(alone).try_get_matches_from(["x", &format!("--x={value}")]).is_ok()
    };
    SAMPLES.iter().copied().find(takes).unwrap_or_else(|| panic!("a sample for {}", name(arg))).to_owned()
}

/// Settings in a dump, without their sources. A secret's default is shown, but no other value of it.
fn values(dumped: &str, secrets: &[String]) -> BTreeSet<String> {
    let is_secret = |line: &str| secrets.iter().any(|secret| line.starts_with(&format!("{secret} = ")));
    let set = dumped.lines().filter(|line| !line.starts_with('#') && !is_secret(line));
    set.map(|line| line.rsplit_once("  # ").map_or(line, |(value, _)| value).to_owned()).collect()
}

/// Command lines that may accept an option: some options require a positional argument or a flag, some exclude it.
fn lines(leaf: &Leaf, option: &[String]) -> Vec<Vec<String>> {
    let positional: Vec<String> = settings(&leaf.command)
        .filter(|arg| arg.get_long().is_none())
        .flat_map(|arg| given(arg, &sample(arg)))
        .collect();
    let flags = settings(&leaf.command).filter(|arg| !arg.get_action().takes_values()).map(|arg| given(arg, ""));
    let others = [leaf.needed.clone(), Vec::new(), positional.clone()].into_iter();
    let others = others.chain(
        flags.flat_map(|flag| [[leaf.needed.clone(), flag.clone()].concat(), [positional.clone(), flag].concat()]),
    );
    let lines = others.map(|other| [leaf.words.clone(), other, option.to_vec()].concat());
    lines
        .chain([[leaf.words.clone(), leaf.needed.clone()].concat(), [leaf.words.clone(), positional.clone()].concat()])
        .collect()
}

#[test]
fn every_option_of_every_command_is_dumped_and_read_back() {
    let mut found = Vec::new();
    let root = Cli::command();
    leaves(&root, &[], &mut found);
    assert!(found.len() > 35, "{}", found.len());
    for leaf in found {
        let secrets = secrets(&leaf.command);
        let words: Vec<&str> = leaf.words.iter().map(String::as_str).collect();
        for arg in settings(&root).chain(settings(&leaf.command)) {
            let (set, hidden) = (format!("{} = ", name(arg)), format!("# {} is set by the command line", name(arg)));
            let lines = lines(&leaf, &given(arg, &sample(arg)));
            let dumped = lines.iter().find_map(|line| {
                let line: Vec<&str> = line.iter().map(String::as_str).collect();
                let dumped = with("", &line).ok()?;
                let mut settings = dumped.lines();
                let is_set =
                    |line: &str| line.starts_with(&set) && line.ends_with("# the command line") || line == hidden;
                settings.any(is_set).then_some(dumped)
            });
            let dumped = dumped.unwrap_or_else(|| panic!("{words:?} takes {}: {lines:?}", name(arg)));
            let again = with(&dumped, &words).unwrap_or_else(|error| panic!("{words:?} reads back {dumped}: {error}"));
            assert_eq!(values(&dumped, &secrets), values(&again, &secrets), "{words:?}");
        }
    }
}

proptest! {
    #[test]
    fn lists_and_odd_texts_are_read_back(
        values in prop::collection::vec("[ -~äöü\t\n]{0,12}|0{1,3}7|true|-?[0-9]{1,20}", 1..5),
    ) {
        let command = || Command::new("fusebox").subcommand(
            Command::new("do").arg(Arg::new("list").long("list").action(clap::ArgAction::Append)).arg(Arg::new("one").long("one")),
        );
        let args = values.iter().map(|value| format!("--list={value}")).chain([format!("--one={}", values[0])]);
        let matches = command().try_get_matches_from(["fusebox", "do"].map(str::to_owned).into_iter().chain(args)).unwrap();
        let file: Table = dump::dump(&command(), &matches, &Table::new()).parse().unwrap();
        let again = apply::apply(command(), &file).unwrap().try_get_matches_from(["fusebox", "do"]).unwrap();
        let again = again.subcommand_matches("do").unwrap();
        prop_assert_eq!(again.get_many::<String>("list").unwrap().cloned().collect::<Vec<_>>(), values.clone());
        prop_assert_eq!(again.get_one::<String>("one").unwrap(), &values[0]);
    }
}

#[test]
fn no_help_and_no_error_shows_a_secret() {
    let file = "store = \"redis://:hunter2@a\"\napi-key = \"hunter2\"\njoin-token = \"hunter2-hunter2-hunter2\"\n";
    let command = apply::apply(Cli::command(), &file.parse().unwrap()).unwrap();
    let mut found = Vec::new();
    leaves(&command, &[], &mut found);
    for leaf in found {
        let help = discreet(leaf.command).render_long_help().to_string();
        assert!(!help.contains("hunter2"), "{help}");
    }
    for line in [
        "up --store postgres://:hunter2@a",
        "serve --store=hunter2",
        "up --join-token hunter2",
        "keys list --store x://hunter2",
    ] {
        let error = discreet(command.clone()).try_get_matches_from(["fusebox"].into_iter().chain(line.split(' ')));
        let error = without_secret(error.unwrap_err(), &command).to_string();
        assert!(!error.contains("hunter2") && error.contains("'***'"), "{error}");
    }
}
