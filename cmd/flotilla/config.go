package main

import (
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
)

func configVerb(s streams) *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "print or check what a node would be started with",
		Subcommands: []*cli.Command{
			{
				Name:  "print",
				Usage: "every setting with its value and where it came from, as a file that start accepts",
				Flags: append(configFlags(), &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: outputYAML,
					Usage: "yaml, json, table, wide, csv, name"}),
				Action: func(c *cli.Context) error { return printConfig(c, s) },
				Description: `flotilla config print > flotilla.yaml
flotilla config print --config flotilla.yaml -o table
FLOTILLA_ZONE=z1 flotilla config print --storage.head-memory 512MiB`,
			},
			{
				Name:      "validate",
				ArgsUsage: "[FILE]",
				Usage:     "check a file, flags and environment without starting anything",
				Flags:     configFlags(),
				Action:    func(c *cli.Context) error { return validateConfig(c, s) },
				Description: `flotilla config validate flotilla.yaml
flotilla config validate --config flotilla.yaml --replication.factor 5`,
			},
		},
		Description: `flotilla config print
flotilla config validate flotilla.yaml`,
	}
}

func printConfig(c *cli.Context, s streams) error {
	if err := arity(c, 0, 0); err != nil {
		return err
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	printWarnings(cfg, s)
	format := c.String("output")
	if format == outputYAML {
		return cfg.WriteYAML(s.out)
	}
	if err := checkOutput(format); err != nil {
		return err
	}
	body, err := json.MarshalIndent(map[string][]config.Effective{"settings": cfg.Effective()}, "", "  ")
	if err != nil {
		return err
	}
	return printer{w: s.out, format: format, colour: colours(s.out)}.print(body, func() (*table, error) {
		t := &table{columns: []column{{heading: "KEY"}, {heading: "VALUE"}, {heading: "SOURCE"},
			{heading: "DEFAULT", wide: true}, {heading: "SCOPE", wide: true}, {heading: "MEANING", wide: true}}}
		for _, e := range cfg.Effective() {
			t.add(e.Key, textCell(e.Value), e.Source, textCell(e.Default), e.Scope, e.Doc)
		}
		return t, nil
	})
}

func validateConfig(c *cli.Context, s streams) error {
	if err := arity(c, 0, 1); err != nil {
		return err
	}
	if c.NArg() == 1 {
		if c.IsSet("config") {
			return usagef("takes a FILE or --config, not both")
		}
		if err := c.Set("config", c.Args().First()); err != nil {
			return err
		}
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	printWarnings(cfg, s)
	_, err = fmt.Fprintln(s.out, "configuration is valid")
	return err
}

// printWarnings prints what a start would log, such as variables that are no settings.
func printWarnings(cfg config.Config, s streams) {
	for _, w := range cfg.Warnings {
		fmt.Fprintln(s.err, "warning:", w)
	}
}
