package main

import (
	"github.com/urfave/cli/v2"
)

// newApp returns the command tree. Flags stand on leaves only: a flag on a parent too would hide the leaf's value
// behind its own default. Nothing here prints or exits: run does, once.
func newApp(s streams) *cli.App {
	app := &cli.App{
		Name:                      "flotilla",
		Usage:                     "a replicated shard store for device data",
		HideHelpCommand:           true,
		HideHelp:                  true,
		HideVersion:               true,
		DisableSliceFlagSeparator: true, // a device id may hold a comma
		Reader:                    s.in,
		Writer:                    s.out,
		ErrWriter:                 s.err,
		ExitErrHandler:            func(*cli.Context, error) {},
		CommandNotFound:           func(*cli.Context, string) {},
		OnUsageError:              wrongValue,
		Commands: []*cli.Command{
			startVerb(s),
			writeVerb(s), queryVerb(s), deleteVerb(s),
			databasesVerb(s), databaseVerb(s), collectionsVerb(s),
			nodesVerb(s), groupsVerb(s), groupVerb(s),
			resyncVerb(s), verifyVerb(s), drillVerb(s), checkVerb(s), jobsVerb(s), jobVerb(s), settingsVerb(s),
			dumpVerb(s), benchVerb(s), demoVerb(s),
			configVerb(s), completionVerb(s), versionVerb(s),
		},
	}
	for _, c := range app.Commands {
		prepare(c)
	}
	return app
}

// prepare sets on every command what urfave/cli does not inherit.
func prepare(c *cli.Command) {
	c.HideHelp, c.HideHelpCommand = true, true
	c.OnUsageError = wrongValue
	for _, child := range c.Subcommands {
		prepare(child)
	}
}

// defaultChild is the child of a command that is meant when none is named: `groups` is `groups list`, `group 42` is
// `group show 42`.
func defaultChild(c *cli.Command) *cli.Command {
	for _, child := range c.Subcommands {
		if child.Name == "list" || child.Name == "show" {
			return child
		}
	}
	return nil
}
