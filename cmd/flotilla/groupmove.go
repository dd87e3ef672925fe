package main

import (
	"fmt"
	"net/http"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
)

func moveVerb(s streams) *cli.Command {
	return &cli.Command{
		Name: "move", ArgsUsage: "ID", Usage: "give the place of a replica to another node",
		Flags: jobFlags(append([]cli.Flag{
			&cli.StringFlag{Name: "from", Usage: "name of the node that gives its replica up"},
			&cli.StringFlag{Name: "to", Usage: "name of the node that takes it"},
		}, copyFlags()...)...),
		Action: func(c *cli.Context) error { return moveGroup(c, s) },
		Description: `flotilla group move 42 --from n1 --to n4 --dry-run
flotilla group move 42 --from n1 --to n4 --yes

The new replica is copied, proven and given its vote before the old one goes: at no time has the group fewer replicas.`,
	}
}

func moveGroup(c *cli.Context, st streams) error {
	if err := arity(c, 1, 1); err != nil {
		return err
	}
	id, err := groupID(c.Args().First())
	if err != nil {
		return err
	}
	if err := need(c, "from", "to"); err != nil {
		return err
	}
	body, err := copyRequest(c)
	if err != nil {
		return err
	}
	from, to := c.String("from"), c.String("to")
	if from == to {
		return usagef("--from and --to are both %s", from)
	}
	body["from"], body["to"] = from, to
	s, err := open(c)
	if err != nil {
		return err
	}
	r := apiclient.Request{Method: http.MethodPost, Path: fmt.Sprintf("/v1/admin/groups/%d/move", id), Body: body}
	if c.Bool("dry-run") {
		return s.showPlan(c.Context, r)
	}
	if err := askOnTerminal(c, st, fmt.Sprintf("move the replica of group %d from %s to %s", id, from, to)); err != nil {
		return err
	}
	return s.copyOne(c, r)
}
