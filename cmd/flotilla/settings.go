package main

import (
	"fmt"
	"net/http"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
)

func settingsVerb(streams) *cli.Command {
	return &cli.Command{
		Name:  "settings",
		Usage: "settings of the node that answers, and of the cluster",
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "every setting with its value and its source",
				Flags: clientFlags(),
				Action: func(c *cli.Context) error {
					if err := arity(c, 0, 0); err != nil {
						return err
					}
					return showObject(c, "/v1/admin/settings", settingsTable)
				},
				Description: "flotilla settings\nflotilla settings list -o wide",
			},
			{
				Name: "set", ArgsUsage: "KEY VALUE", Usage: "change a cluster-wide setting",
				Flags:       clientFlags(),
				Action:      setSetting,
				Description: "flotilla settings set replication.factor 5\nflotilla settings set coordinator.auto_assigner.poll_interval 30s",
			},
		},
		Description: "flotilla settings\nflotilla settings set replication.factor 5",
	}
}

func settingsTable(l api.SettingList) *table {
	t := &table{columns: []column{{heading: "KEY"}, {heading: "VALUE"}, {heading: "SOURCE"}, {heading: "CLUSTER-WIDE"},
		{heading: "DEFAULT", wide: true}, {heading: "MEANING", wide: true}}}
	for _, s := range l.Settings {
		wide := "no"
		if s.ClusterWide {
			wide = "yes"
		}
		t.add(s.Key, textCell(s.Value), s.Source, wide, textCell(s.Default), s.Doc)
	}
	return t
}

func setSetting(c *cli.Context) error {
	if err := arity(c, 2, 2); err != nil {
		return err
	}
	key, value, err := config.CheckClusterSetting(c.Args().Get(0), c.Args().Get(1))
	if err != nil {
		return usageError{err.Error()}
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	body, err := s.api.Do(c.Context, apiclient.Request{Method: http.MethodPut, Path: "/v1/admin/settings/" + segment(key),
		Body: map[string]string{"value": value}})
	if err != nil {
		return err
	}
	return s.print.print(body, func() (*table, error) {
		return &table{verdict: fmt.Sprintf("%s = %s", key, value)}, nil
	})
}
