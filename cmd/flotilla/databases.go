package main

import (
	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/rpc/api"
)

func databasesVerb(streams) *cli.Command {
	return &cli.Command{
		Name:  "databases",
		Usage: "the databases of the cluster",
		Subcommands: []*cli.Command{{
			Name:  "list",
			Usage: "every database with its retention",
			Flags: clientFlags(),
			Action: func(c *cli.Context) error {
				if err := arity(c, 0, 0); err != nil {
					return err
				}
				return showList(c, "/v1/databases", nil, databasesTable)
			},
			Description: `flotilla databases
flotilla databases list -o name`,
		}},
		Description: `flotilla databases
flotilla databases list -o json`,
	}
}

func databasesTable(l api.DatabaseList) *table {
	t := &table{columns: []column{{heading: "NAME"}, {heading: "RETENTION"}, {heading: "CREATED"}}}
	for _, d := range l.Databases {
		t.add(d.Name, retentionCell(d.Retention), timeCell(d.CreatedAt))
	}
	return t.orNone("databases")
}

func collectionsVerb(streams) *cli.Command {
	return &cli.Command{
		Name:      "collections",
		Usage:     "the collections of a database",
		ArgsUsage: "DB",
		Flags:     clientFlags(),
		Action: func(c *cli.Context) error {
			if err := arity(c, 1, 1); err != nil {
				return err
			}
			return showList(c, "/v1/databases/"+segment(c.Args().First())+"/collections", nil, func(l api.CollectionList) *table {
				t := &table{columns: []column{{heading: "NAME"}}}
				for _, k := range l.Collections {
					t.add(k.Name)
				}
				return t.orNone("collections")
			})
		},
		Description: `flotilla collections weather
flotilla collections weather -o name`,
	}
}
