// Command flotilla is a node and its client in one binary.
//
// Nouns: a verb is one leaf of the command tree, in one file of its own; arrange (arrange.go) is the only place that
// reads the raw command line; exit.go the only one that turns errors into exit codes; streams are the three files of
// a process, passed in so that no verb touches os. Verbs translate: flags into requests, answers into tables. What
// they ask for is decided in the nodes.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

func main() { os.Exit(runMain()) }

// runMain ends the process's context at the first interrupt; a second one ends the process at once.
func runMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
}

// run carries out one command line and returns its exit code.
func run(ctx context.Context, arguments []string, s streams) int {
	if len(arguments) > 0 && arguments[0] == completeVerb {
		return complete(newApp(s), arguments[1:], s)
	}
	app := newApp(s)
	line, err := arrange(app, arguments)
	if err == nil && line.help {
		return report(ctx, line, printHelp(s.out, line), s)
	}
	if err == nil {
		err = app.RunContext(ctx, line.words())
	}
	return report(ctx, line, err, s)
}

// streams are the files of a process.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// isTerminal reports whether w is a terminal that a person looks at.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// colours reports whether w may be written to in colour.
func colours(w any) bool { return isTerminal(w) && os.Getenv("NO_COLOR") == "" }
