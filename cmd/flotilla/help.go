package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// printHelp writes the help of a command: what it is, how it is called, its flags by category, and at the end its
// examples, which are the command's Description.
func printHelp(w io.Writer, l commandLine) error {
	var b strings.Builder
	if leaf := l.leaf(); leaf == nil {
		helpOfApp(&b, l.app)
	} else {
		helpOfCommand(&b, l.name(), leaf)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func helpOfApp(b *strings.Builder, app *cli.App) {
	fmt.Fprintf(b, "%s: %s\n\nusage: flotilla COMMAND [ARGUMENTS] [FLAGS]\n\n", app.Name, app.Usage)
	for _, c := range app.Commands {
		fmt.Fprintf(b, "  %-12s %s\n", c.Name, c.Usage)
	}
	b.WriteString(`
Exit codes: 0 ok, 1 error, 2 usage, 3 unreachable or timeout, 4 no leader or quorum (retry),
5 unhealthy or divergent, 6 partial, 130 interrupted.

Examples:
  flotilla start                                   a node on loopback, a cluster of one
  flotilla start --name n2 --data-dir n2 --join 127.0.0.1:7602 \
    --rpc-addr 127.0.0.1:7610 --http-addr 127.0.0.1:7611 --gossip-addr 127.0.0.1:7612
  flotilla groups                                  who holds what, and whether it is well
  flotilla COMMAND --help
`)
}

func helpOfCommand(b *strings.Builder, name string, c *cli.Command) {
	fmt.Fprintf(b, "%s: %s\n\nusage: %s", name, c.Usage, name)
	if c.ArgsUsage != "" {
		fmt.Fprintf(b, " %s", c.ArgsUsage)
	}
	if len(c.Flags) > 0 || defaultChild(c) != nil {
		b.WriteString(" [FLAGS]")
	}
	b.WriteString("\n")
	if len(c.Subcommands) > 0 {
		b.WriteString("\n")
		for _, child := range c.Subcommands {
			fmt.Fprintf(b, "  %-30s %s\n", strings.TrimSpace(child.Name+" "+child.ArgsUsage), child.Usage)
		}
	}
	helpOfFlags(b, c)
	fmt.Fprintf(b, "\nExamples:\n%s\n", indent(c.Description))
}

// helpOfFlags lists the flags of a leaf; of a command with a default child, that child's.
func helpOfFlags(b *strings.Builder, c *cli.Command) {
	flags := c.Flags
	if child := defaultChild(c); child != nil {
		flags = child.Flags
	}
	var categories []string
	byCategory := map[string][]cli.Flag{}
	for _, f := range flags {
		category := "Flags:"
		if k, ok := f.(cli.CategorizableFlag); ok && k.GetCategory() != "" {
			category = k.GetCategory()
		}
		if byCategory[category] == nil {
			categories = append(categories, category)
		}
		byCategory[category] = append(byCategory[category], f)
	}
	for _, category := range categories {
		fmt.Fprintf(b, "\n%s\n", category)
		for _, f := range byCategory[category] {
			helpOfFlag(b, f)
		}
	}
}

func helpOfFlag(b *strings.Builder, f cli.Flag) {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return
	}
	spelled := make([]string, 0, 2)
	for _, n := range f.Names() {
		spelled = append(spelled, strings.Repeat("-", min(2, len(n)))+n)
	}
	left := strings.Join(spelled, ", ")
	if d.TakesValue() {
		left += " VALUE"
	}
	fmt.Fprintf(b, "  %-38s %s", left, d.GetUsage())
	if text := strings.Trim(d.GetDefaultText(), `"`); text != "" && text != "false" {
		fmt.Fprintf(b, " (default %s)", text)
	}
	b.WriteString("\n")
}

func indent(text string) string {
	return strings.ReplaceAll("  "+strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  "), "\n  \n", "\n\n")
}
