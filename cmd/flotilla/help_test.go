package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// Every --help ends with examples, each of which is a command that exists with flags that it has.
func TestEveryHelpEndsWithExamplesThatParse(t *testing.T) {
	s := streams{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	app := newApp(s)
	walk(app.Commands, nil, func(path []string, c *cli.Command) {
		var out, errs bytes.Buffer
		code := run(t.Context(), append(append([]string{}, path...), "--help"), streams{in: s.in, out: &out, err: &errs})
		_, examples, found := strings.Cut(out.String(), "\nExamples:\n")
		if code != exitOK || !found || !strings.Contains(examples, "flotilla "+path[0]) || errs.Len() > 0 {
			t.Errorf("%v --help: code %d, stderr %q, ends with %q", path, code, &errs, examples)
		}
		for line := range strings.Lines(out.String()) {
			if strings.TrimRight(line, " \n") != strings.TrimSuffix(line, "\n") {
				t.Errorf("%v --help: spaces end the line %q", path, line)
			}
		}
		for _, words := range exampleCommands(examples) {
			line, err := arrange(newApp(s), words)
			if err != nil {
				t.Errorf("example of %v: %v: %v", path, words, err)
			} else if line.leaf() == nil {
				t.Errorf("example of %v: %v names no command", path, words)
			}
		}
	})
}

func walk(commands []*cli.Command, path []string, visit func([]string, *cli.Command)) {
	for _, c := range commands {
		here := append(append([]string{}, path...), c.Name)
		visit(here, c)
		walk(c.Subcommands, here, visit)
	}
}

// exampleCommands cuts the words behind each `flotilla`, without what a shell would keep.
func exampleCommands(text string) (commands [][]string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		_, rest, found := strings.Cut(" "+line, " flotilla ")
		if !found || strings.Contains(line, "source <(") {
			continue
		}
		for _, end := range []string{" | ", " > "} {
			rest, _, _ = strings.Cut(rest, end)
		}
		commands = append(commands, strings.Fields(rest))
	}
	return commands
}

func TestFlagsOfParentsNeverHideThoseOfLeaves(t *testing.T) {
	walk(newApp(streams{}).Commands, nil, func(path []string, c *cli.Command) {
		if len(c.Subcommands) > 0 && (len(c.Flags) > 0 || c.Action != nil) {
			t.Errorf("%v has subcommands and flags or an action of its own", path)
		}
		if len(c.Subcommands) == 0 && c.Action == nil {
			t.Errorf("%v does nothing", path)
		}
		for _, f := range c.Flags {
			if d, ok := f.(cli.DocGenerationFlag); !ok || d.GetUsage() == "" {
				t.Errorf("flag %s of %v says nothing", f.Names()[0], path)
			}
		}
	})
}
