package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
)

// commandLine is what a user typed, resolved: the leaf, its flags each as one word --name=value, and its arguments.
//
// urfave/cli stops reading flags at the first argument (`verify 42 --mode verify` would lose the mode silently), and
// prints a page of help on stdout for a flag that it does not know. So the line is read here, with the leaf's own
// flags at hand: flags may stand anywhere, `--` ends them, an unknown one is an error with a hint, and what urfave
// gets is always in the order that it understands.
type commandLine struct {
	app   *cli.App
	path  []*cli.Command // from the verb to the leaf
	flags []string
	args  []string
	help  bool
}

// words is the line as urfave/cli reads it.
func (l commandLine) words() []string {
	words := []string{l.app.Name}
	for _, c := range l.path {
		words = append(words, c.Name)
	}
	words = append(words, l.flags...)
	if len(l.args) > 0 {
		words = append(append(words, "--"), l.args...)
	}
	return words
}

// name is what the user calls the command: flotilla group trim.
func (l commandLine) name() string {
	words := []string{l.app.Name}
	for i, c := range l.path {
		if i > 0 && (c.Name == "list" || c.Name == "show") {
			continue
		}
		words = append(words, c.Name)
	}
	return strings.Join(words, " ")
}

// leaf is the last command, nil for a bare `flotilla`.
func (l commandLine) leaf() *cli.Command {
	if len(l.path) == 0 {
		return nil
	}
	return l.path[len(l.path)-1]
}

// arrange resolves a command line. Its errors are usage errors; the line is filled as far as it was understood.
func arrange(app *cli.App, words []string) (commandLine, error) {
	l := commandLine{app: app}
	if len(words) > 0 && words[0] == "help" {
		words, l.help = words[1:], true
	}
	if len(words) > 0 && (words[0] == "--version" || words[0] == "-v") {
		words = append([]string{"version"}, words[1:]...)
	}
	if len(words) == 0 || isHelp(words[0]) {
		l.help = true
		return l, nil
	}
	rest, err := l.descend(words)
	if err != nil {
		return l, err
	}
	if err := l.split(rest); err != nil || l.help {
		return l, err
	}
	if err := l.mistakenChild(); err != nil {
		return l, err
	}
	if leaf := l.leaf(); len(leaf.Subcommands) > 0 {
		return l, usagef("needs one of: %s", strings.Join(names(leaf.Subcommands), ", "))
	}
	return l, nil
}

// mistakenChild says what is meant where a word that was taken for the argument of a default child is none:
// `group stepdown 35`, `group 35 trim`.
func (l commandLine) mistakenChild() error {
	if len(l.path) < 2 || len(l.args) < 2 || l.leaf() != defaultChild(l.path[len(l.path)-2]) || l.leaf().Name != "show" {
		return nil
	}
	parent := l.path[len(l.path)-2]
	if find(parent.Subcommands, l.args[1]) != nil {
		return usagef("the command stands before its argument: %s %s %s", parent.Name, l.args[1], l.args[0])
	}
	if strings.ContainsAny(l.args[0], "0123456789") {
		return nil // an id, and a word too many
	}
	hint := config.DidYouMean(l.args[0], names(parent.Subcommands))
	if hint == "" {
		hint = ": there are " + strings.Join(names(parent.Subcommands), ", ")
	}
	return usagef("unknown command %q%s", l.args[0], hint)
}

func isHelp(word string) bool { return word == "--help" || word == "-h" || word == "-help" }

// descend follows the command names at the begin of words, and returns what stands behind them.
func (l *commandLine) descend(words []string) ([]string, error) {
	children := l.app.Commands
	for len(children) > 0 {
		i := firstArgument(words, children)
		if len(l.path) == 0 && i != 0 {
			return nil, usagef("%s stands before the command: write it behind", words[0])
		}
		var next *cli.Command
		if i >= 0 {
			next = find(children, words[i])
		}
		switch {
		case next != nil:
			words = slices.Delete(slices.Clone(words), i, i+1)
		case len(l.path) == 0:
			return nil, usagef("unknown command %q%s", words[i], config.DidYouMean(words[i], names(children)))
		case defaultChild(l.leaf()) != nil && !slices.ContainsFunc(words, isHelp):
			next = defaultChild(l.leaf())
		case i >= 0 && !l.help && defaultChild(l.leaf()) == nil:
			return nil, usagef("unknown command %q%s", words[i], config.DidYouMean(words[i], names(children)))
		default:
			return words, nil
		}
		l.path = append(l.path, next)
		children = next.Subcommands
	}
	return words, nil
}

// firstArgument returns the place of the first word that is neither a flag nor the value of one, or -1. Which flags
// take a value is looked up in all the children, since it is not yet known which of them is meant.
func firstArgument(words []string, children []*cli.Command) int {
	for i := 0; i < len(words); i++ {
		if words[i] == "--" {
			return -1
		}
		if !looksLikeFlag(words[i]) {
			return i
		}
		name, _, attached := cutFlag(words[i])
		for _, c := range children {
			if f := findFlag(c.Flags, name); f != nil && takesValue(f) && !attached {
				i++
				break
			}
		}
	}
	return -1
}

// split sorts the words behind the leaf into flags and arguments.
func (l *commandLine) split(words []string) error {
	flags := l.leaf().Flags
	for i := 0; i < len(words); i++ {
		word := words[i]
		switch {
		case word == "--":
			l.args = append(l.args, words[i+1:]...)
			return nil
		case isHelp(word):
			l.help = true
			return nil
		case !looksLikeFlag(word):
			l.args = append(l.args, word)
			continue
		}
		name, value, attached := cutFlag(word)
		f := findFlag(flags, name)
		switch {
		case f == nil:
			return usagef("unknown flag %s%s", cutEqual(word), nearestFlag(name, flags))
		case !attached && takesValue(f) && i+1 == len(words):
			return usagef("flag %s needs a value", word)
		case !attached && (takesValue(f) || isWordOfSwitch(f, words, i+1)):
			i++
			value = words[i]
		case !attached:
			value = "true"
		}
		l.flags = append(l.flags, "--"+f.Names()[0]+"="+value)
	}
	return nil
}

// looksLikeFlag: a lone dash is standard input.
func looksLikeFlag(word string) bool { return len(word) > 1 && word[0] == '-' }

func cutFlag(word string) (name, value string, attached bool) {
	return strings.Cut(strings.TrimLeft(word, "-"), "=")
}

func cutEqual(word string) string {
	before, _, _ := strings.Cut(word, "=")
	return before
}

// findFlag compares names as settings are spelled in three places: --storage.log-retention, --storage.log_retention
// and --storage-log-retention are one flag.
func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		for _, n := range f.Names() {
			if fold(n) == fold(name) {
				return f
			}
		}
	}
	return nil
}

func fold(name string) string { return strings.NewReplacer("_", "-", ".", "-").Replace(name) }

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// isWordOfSwitch accepts `--auto-create false` beside `--auto-create=false`, for settings that are true by default.
func isWordOfSwitch(f cli.Flag, words []string, i int) bool {
	_, isSetting := f.(settingSwitch)
	return isSetting && i < len(words) && (words[i] == "true" || words[i] == "false")
}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

func names(commands []*cli.Command) []string {
	var out []string
	for _, c := range commands {
		if !c.Hidden {
			out = append(out, c.Name)
		}
	}
	return out
}

func nearestFlag(name string, flags []cli.Flag) string {
	var known []string
	for _, f := range flags {
		known = append(known, f.Names()[0])
	}
	hint := config.DidYouMean(name, known)
	return strings.Replace(hint, `"`, `"--`, 1)
}

// wrongValue rewords what urfave/cli says of a value that does not parse.
func wrongValue(_ *cli.Context, err error, _ bool) error {
	text := strings.ReplaceAll(err.Error(), "for flag -", "for -") // of a switch, it leaves the word out
	text = strings.ReplaceAll(text, "for -", "for flag --")
	return usagef("%s", text)
}

// usageError is wrong usage: exit code 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, a ...any) error { return usageError{fmt.Sprintf(format, a...)} }
