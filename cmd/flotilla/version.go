package main

import (
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/version"
	"github.com/flotilla-db/flotilla/rpc/api"
)

func versionVerb(s streams) *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "which build this is",
		Flags: []cli.Flag{&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: outputTable, Usage: "table, json, yaml, name"}},
		Action: func(c *cli.Context) error {
			if err := arity(c, 0, 0); err != nil {
				return err
			}
			format := c.String("output")
			if err := checkOutput(format); err != nil {
				return err
			}
			b := version.This()
			if format == outputTable || format == outputWide {
				_, err := fmt.Fprintf(s.out, "flotilla %s (%s, %s%s)\n", b.Version, b.GoVersion, b.Platform, revision(b))
				return err
			}
			body, err := json.MarshalIndent(api.Version{Version: b.Version, GoVersion: b.GoVersion, Platform: b.Platform, Revision: b.Revision}, "", "  ")
			if err != nil {
				return err
			}
			return printer{w: s.out, format: format}.print(body, func() (*table, error) {
				t := &table{columns: []column{{heading: "VERSION"}, {heading: "GO"}, {heading: "PLATFORM"}, {heading: "REVISION"}}}
				t.add(b.Version, b.GoVersion, b.Platform, b.Revision)
				return t, nil
			})
		},
		Description: `flotilla version
flotilla version -o json`,
	}
}

func revision(b version.Build) string {
	if b.Revision == "" {
		return ""
	}
	return ", " + b.Revision
}
