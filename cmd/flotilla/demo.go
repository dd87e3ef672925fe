package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/demo"
)

func demoVerb(s streams) *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "real processes and readings, kill -9, a wiped disk, a new node, every point checked",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "only", Usage: "tell one story: " + demo.Names()},
			&cli.BoolFlag{Name: "keep", Usage: "leave the temporary directory behind"},
		},
		Action: func(c *cli.Context) error { return tellDemo(c, s) },
		Description: `flotilla demo
flotilla demo --only kill
flotilla demo --only weather --keep

Everything happens on loopback and in a temporary directory, which is removed at the end. Exit code 0: every check held.`,
	}
}

func tellDemo(c *cli.Context, s streams) error {
	if err := arity(c, 0, 0); err != nil {
		return err
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the binary to start: %w", err)
	}
	err = demo.Run(c.Context, demo.Options{
		Binary: binary, Out: s.out, Err: s.err, Colour: colours(s.out), Live: isTerminal(s.err),
		Only: c.String("only"), Keep: c.Bool("keep"),
	})
	if errors.Is(err, demo.ErrNoStory) {
		return usagef("--only: %v", err)
	}
	return err
}
