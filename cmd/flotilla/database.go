package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/rpc/api"
)

func databaseVerb(s streams) *cli.Command {
	retention := func() cli.Flag {
		return &cli.StringFlag{Name: "retention", Usage: "how long points are kept: 90d, 24h; none: for ever", DefaultText: "for ever"}
	}
	return &cli.Command{
		Name:      "database",
		Usage:     "create, change or drop a database",
		ArgsUsage: "create|set|drop NAME",
		Subcommands: []*cli.Command{
			{
				Name: "create", ArgsUsage: "NAME", Usage: "make a database; one that exists alike is no error",
				Flags:       clientFlags(retention()),
				Action:      func(c *cli.Context) error { return putDatabase(c, http.MethodPost, "/v1/databases") },
				Description: "flotilla database create weather\nflotilla database create metrics --retention 90d",
			},
			{
				Name: "set", ArgsUsage: "NAME", Usage: "change the retention of a database",
				Flags: clientFlags(retention()),
				Action: func(c *cli.Context) error {
					if err := errors.Join(arity(c, 1, 1), need(c, "retention")); err != nil {
						return firstOf(err)
					}
					return putDatabase(c, http.MethodPatch, "/v1/databases/"+segment(c.Args().First()))
				},
				Description: "flotilla database set metrics --retention 30d\nflotilla database set metrics --retention none",
			},
			{
				Name: "drop", ArgsUsage: "NAME", Usage: "delete a database and all its points",
				Flags:       clientFlags(&cli.BoolFlag{Name: "yes", Usage: "do not ask"}),
				Action:      func(c *cli.Context) error { return dropDatabase(c, s) },
				Description: "flotilla database drop metrics --yes",
			},
		},
		Description: "flotilla database create metrics --retention 90d\nflotilla database drop metrics --yes",
	}
}

func putDatabase(c *cli.Context, method, path string) error {
	if err := arity(c, 1, 1); err != nil {
		return err
	}
	retention, err := retentionFlag(c)
	if err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	request := map[string]string{"retention": ""}
	if method == http.MethodPost {
		request["name"] = c.Args().First()
	}
	if retention > 0 {
		request["retention"] = retention.String()
	}
	body, err := s.api.Do(c.Context, apiclient.Request{Method: method, Path: path, Body: request})
	if err != nil {
		return err
	}
	return s.print.print(body, func() (*table, error) {
		return decodeTable(body, func(d api.Database) *table { return databasesTable(api.DatabaseList{Databases: []api.Database{d}}) })
	})
}

// retentionFlag reads --retention; 0 is for ever, which has names.
func retentionFlag(c *cli.Context) (time.Duration, error) {
	switch strings.ToLower(c.String("retention")) {
	case "none", "forever", "for ever", "infinite":
		return 0, nil
	}
	if err := refuseEmpty(c, "retention"); err != nil {
		return 0, err
	}
	retention, err := durationFlag(c, "retention")
	if err == nil && retention < 0 {
		err = usagef("--retention must not be negative")
	}
	return retention, err
}

func dropDatabase(c *cli.Context, in streams) error {
	if err := arity(c, 1, 1); err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	name := c.Args().First()
	if err := askYes(c, in, "drop database "+name+" and all its points"); err != nil {
		return err
	}
	body, err := s.api.Do(c.Context, apiclient.Request{Method: http.MethodDelete, Path: "/v1/databases/" + segment(name)})
	if err != nil {
		return err
	}
	return s.print.print(body, func() (*table, error) {
		return &table{verdict: fmt.Sprintf("dropped %s", name)}, nil
	})
}
