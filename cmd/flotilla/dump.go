package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
)

func dumpVerb(s streams) *cli.Command {
	leaf := func(name, usage, example string, dump func(io.Writer, string) error) *cli.Command {
		return &cli.Command{
			Name: name, ArgsUsage: "FILE", Usage: usage, Description: example,
			Action: func(c *cli.Context) error {
				if err := arity(c, 1, 1); err != nil {
					return err
				}
				return dumpFile(s.out, c.Args().First(), dump)
			},
		}
	}
	return &cli.Command{
		Name:      "dump",
		Usage:     "print a file of a node that does not run, reading only",
		ArgsUsage: "shard|log|meta FILE",
		Subcommands: []*cli.Command{
			leaf("shard", "a shard: what it knows of itself, its parts, its digests",
				"flotilla dump shard flotilla-data/groups/34/shard.db", dumpShard),
			leaf("log", "a segment of the shared log, or a raft.db of the boltdb engine",
				"flotilla dump log flotilla-data/log/0000000000000001.wal\nflotilla dump log flotilla-data/groups/34/raft.db", dumpLog),
			leaf("meta", "the log of the meta group, or the vote records",
				"flotilla dump meta flotilla-data/meta/raft.db\nflotilla dump meta flotilla-data/votes.db", dumpMeta),
		},
		Description: "flotilla dump shard flotilla-data/groups/34/shard.db",
	}
}

// dumpFile ends with code 5 where something in the file cannot be read: the dump has said what.
func dumpFile(out io.Writer, path string, dump func(io.Writer, string) error) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return usagef("%s is a directory: name a file in it", path)
	}
	if info.Size() == 0 {
		return fmt.Errorf("%s is empty", path)
	}
	w := bufio.NewWriter(out)
	err = dump(w, path)
	if flushErr := w.Flush(); err == nil {
		err = flushErr
	}
	return err
}

// damage counts what could not be read.
type damage int

func (d damage) verdict() error {
	if d == 0 {
		return nil
	}
	return verdict{exitUnhealthy, fmt.Sprintf("%d records cannot be read", int(d))}
}

func dumpShard(w io.Writer, path string) error {
	d, err := storage.OpenReadOnly(path)
	if err != nil {
		return err
	}
	defer d.Close()
	meta, err := d.Meta()
	if err != nil {
		return err
	}
	for _, m := range meta {
		fmt.Fprintf(w, "meta    %-20s %s\n", m.Name, m.Value)
	}
	bad := damage(0)
	err = d.Parts(func(p storage.DumpPart) error {
		if p.Err != nil {
			bad++
			_, err := fmt.Fprintf(w, "part    window %d slot %d %s: DAMAGED: %v\n", p.Leaf.Window, p.Leaf.Slot, p.Series, p.Err)
			return err
		}
		_, err := fmt.Fprintf(w, "part    window %d slot %d %s part %d: %d rows, %s to %s, version %d, %d bytes\n",
			p.Leaf.Window, p.Leaf.Slot, p.Series, p.Number, p.Header.Rows, api.FormatTime(p.Header.First), api.FormatTime(p.Header.Last), p.Header.Version, p.Bytes)
		return err
	})
	if err != nil {
		return err
	}
	err = d.Digests(func(g storage.DumpDigest) error {
		if g.Err != nil {
			bad++
			_, err := fmt.Fprintf(w, "digest  window %d slot %d: DAMAGED: %v\n", g.Window, g.Slot, g.Err)
			return err
		}
		_, err := fmt.Fprintf(w, "digest  window %d slot %d: %s, %d points, %d bytes, at %d\n", g.Window, g.Slot, g.ID, g.Points, g.Bytes, g.Index)
		return err
	})
	if err != nil {
		return err
	}
	return bad.verdict()
}
