package main

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
)

// defaultAddr is where a node listens that was told nothing.
const defaultAddr = "127.0.0.1:7601"

// clientFlags are the flags of every command that asks a node, each leaf its own copy, behind the leaf's own flags.
func clientFlags(own ...cli.Flag) []cli.Flag {
	return append(own, addrFlag(), timeoutFlag(),
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: outputTable, Category: categoryClient,
			Usage: strings.Join(outputFormats, ", ")})
}

const categoryClient = "Flags of every client command:"

func addrFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "addr", Category: categoryClient, DefaultText: "FLOTILLA_ADDR, or " + defaultAddr,
		Usage: "HTTP address of a node, repeatable, tried in order"}
}

func timeoutFlag() cli.Flag {
	return &cli.StringFlag{Name: "timeout", Value: "10s", Category: categoryClient,
		Usage: "bounds one request, never the wait for a job"}
}

// session is what a client command works with.
type session struct {
	api     *apiclient.Client
	timeout time.Duration
	print   printer
}

// open reads the client flags of a leaf. Its errors are usage errors.
func open(c *cli.Context) (*session, error) {
	timeout, err := durationFlag(c, "timeout")
	if err != nil {
		return nil, err
	}
	if timeout <= 0 {
		return nil, usagef("--timeout must be above zero")
	}
	client, err := apiclient.New(addresses(c), timeout)
	if err != nil {
		return nil, usagef("%s: %v", sourceOfAddresses(c), err)
	}
	s := &session{api: client, timeout: timeout}
	s.print = printer{w: c.App.Writer, format: c.String("output"), colour: colours(c.App.Writer)}
	if err := checkOutput(s.print.format); err != nil {
		return nil, err
	}
	return s, nil
}

func checkOutput(format string) error {
	if !slices.Contains(outputFormats, format) {
		return usagef("-o %q is not one of %s", format, strings.Join(outputFormats, ", "))
	}
	return nil
}

func addresses(c *cli.Context) []string {
	if given := c.StringSlice("addr"); len(given) > 0 {
		return splitAddresses(given...)
	}
	return environmentAddresses()
}

// sourceOfAddresses names where addresses came from.
func sourceOfAddresses(c *cli.Context) string {
	if len(c.StringSlice("addr")) > 0 {
		return "--addr"
	}
	return "FLOTILLA_ADDR"
}

func environmentAddresses() []string { return splitAddresses(os.Getenv("FLOTILLA_ADDR")) }

// splitAddresses takes lists of addresses apart; none at all is the default address.
func splitAddresses(given ...string) []string {
	var all []string
	for _, g := range given {
		for a := range strings.SplitSeq(g, ",") {
			if a = strings.TrimSpace(a); a != "" {
				all = append(all, a)
			}
		}
	}
	if len(all) == 0 {
		return []string{defaultAddr}
	}
	return all
}

func durationFlag(c *cli.Context, name string) (time.Duration, error) {
	text := c.String(name)
	if text == "" {
		return 0, nil
	}
	d, err := config.ParseDuration(text)
	if err != nil {
		return 0, usagef("--%s: %v", name, err)
	}
	return d, nil
}

// positiveFlag is durationFlag for what must be above zero where it is given.
func positiveFlag(c *cli.Context, name string) (time.Duration, error) {
	d, err := durationFlag(c, name)
	if err == nil && c.IsSet(name) && d <= 0 {
		err = usagef("--%s %s is not above zero", name, c.String(name))
	}
	return d, err
}

// within checks a flag that counts something, where the command has it and it is given.
func within(c *cli.Context, name string, low, high int) error {
	if n := c.Int(name); c.IsSet(name) && (n < low || n > high) {
		return usagef("--%s %d is not within %d and %d", name, n, low, high)
	}
	return nil
}

// need returns a usage error that names every flag of names that is missing.
func need(c *cli.Context, names ...string) error {
	var missing []string
	for _, n := range names {
		if !c.IsSet(n) || (c.String(n) == "" && len(c.StringSlice(n)) == 0) {
			missing = append(missing, "--"+n)
		}
	}
	if len(missing) > 0 {
		return usagef("needs %s", strings.Join(missing, " and "))
	}
	return nil
}

// arity returns a usage error unless there are between low and high arguments; high < 0 is any number.
func arity(c *cli.Context, low, high int) error {
	n := c.NArg()
	switch {
	case n < low:
		return usagef("needs %s", c.Command.ArgsUsage)
	case high == 0 && n > 0:
		return usagef("takes no argument, got %q", c.Args().First())
	case high >= 0 && n > high:
		return usagef("takes %s, got %q too", c.Command.ArgsUsage, c.Args().Get(high))
	case slices.Contains(c.Args().Slice(), ""): // the empty variable of a script
		return usagef("an argument is empty: needs %s", c.Command.ArgsUsage)
	}
	return nil
}
