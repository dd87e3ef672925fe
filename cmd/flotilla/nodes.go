package main

import (
	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/rpc/api"
)

func nodesVerb(streams) *cli.Command {
	return &cli.Command{
		Name:  "nodes",
		Usage: "the nodes of the cluster",
		Subcommands: []*cli.Command{{
			Name:  "list",
			Usage: "every node with what it holds",
			Flags: clientFlags(),
			Action: func(c *cli.Context) error {
				if err := arity(c, 0, 0); err != nil {
					return err
				}
				return showList(c, "/v1/admin/nodes", nil, nodesTable)
			},
			Description: `flotilla nodes
flotilla nodes list -o wide --addr 127.0.0.1:7611`,
		}},
		Description: `flotilla nodes
flotilla nodes list -o json`,
	}
}

func nodesTable(l api.NodeList) *table {
	t := &table{columns: []column{
		{heading: "NAME"}, {heading: "STATE", colours: stateColours}, {heading: "ZONE"},
		{heading: "GROUPS", right: true}, {heading: "PRIMARIES", right: true}, {heading: "LEADERS", right: true},
		{heading: "BYTES", right: true}, {heading: "DISK FREE", right: true}, {heading: "HTTP"}, {heading: "SEEN", right: true},
		{heading: "RPC", wide: true}, {heading: "GOSSIP", wide: true}, {heading: "INCARNATION", wide: true},
		{heading: "VERSION", wide: true}, {heading: "STARTED", wide: true}, {heading: "CLOCK MS", right: true, wide: true},
	}}
	for _, n := range l.Nodes {
		clock := absent
		if n.ClockOffsetMs != nil {
			clock = countCell(*n.ClockOffsetMs)
		}
		t.add(n.Name, n.State, textCell(n.Zone), countCell(n.Groups), countCell(n.Primaries), countCell(n.Leaders),
			bytesCell(n.Bytes), bytesCell(n.DiskFree), textCell(n.HTTPAddr), ageCell(n.LastSeenMs),
			textCell(n.RPCAddr), textCell(n.GossipAddr), n.Incarnation, textCell(n.Version), timeCell(n.StartedAt), clock)
	}
	return t
}
