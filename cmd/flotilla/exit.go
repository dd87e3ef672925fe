package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// The exit codes. Scripts branch on them: they never change.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitUnreachable = 3 // unreachable or timeout
	exitNoLeader    = 4 // no leader or quorum: retry
	exitUnhealthy   = 5 // unhealthy or divergent
	exitPartial     = 6
	exitInterrupted = 130
)

// verdict ends a command with a code of its own after it has printed its result. Text, if any, goes to stderr.
type verdict struct {
	code int
	text string
}

func (v verdict) Error() string { return v.text }

// judged is the verdict over a result that is printed. Its text is the last line of a table: who sees both on one terminal
// is not told it again.
func (s *session) judged(c *cli.Context, code int, text string) verdict {
	if saidBefore(s.print.format, isTerminal(s.print.w), isTerminal(c.App.ErrWriter)) {
		text = ""
	}
	return verdict{code: code, text: text}
}

func saidBefore(format string, out, err bool) bool {
	return out && err && (format == outputTable || format == outputWide)
}

// report prints the error of a command, if any, as one line, and returns the exit code.
func report(ctx context.Context, line commandLine, err error, s streams) int {
	if err == nil {
		return exitOK
	}
	code := exitCode(ctx, err)
	text := err.Error()
	if code == exitInterrupted {
		text = interrupted(err)
	}
	if _, judged := errors.AsType[verdict](err); code == exitUsage && !judged {
		text += "; see " + line.name() + " --help"
	}
	if text != "" {
		fmt.Fprintf(s.err, "%s: %s\n", line.name(), text)
	}
	return code
}

// stillTrue is an error with what holds although the command has ended: a job that goes on, a write whose outcome is not
// known. Who interrupts is told that, and not the error.
type stillTrue struct {
	text string
	err  error
}

func (e stillTrue) Error() string { return e.text + ": " + e.err.Error() }

func (e stillTrue) Unwrap() error { return e.err }

// interrupted is what who interrupts is told.
func interrupted(err error) string {
	const text = "interrupted"
	if e, ok := errors.AsType[stillTrue](err); ok {
		return text + ": " + e.text
	}
	if errors.Is(err, apiclient.ErrSent) {
		return text + ": " + apiclient.ErrSent.Error()
	}
	return text
}

// exitCode is the one mapping from errors to codes.
func exitCode(ctx context.Context, err error) int {
	if v, ok := errors.AsType[verdict](err); ok {
		return v.code
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if ctx.Err() != nil {
		return exitInterrupted
	}
	if _, ok := errors.AsType[*apiclient.UnreachableError](err); ok || errors.Is(err, context.DeadlineExceeded) {
		return exitUnreachable
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		return exitOfCode(e.Code)
	}
	return exitError
}

func exitOfCode(code api.Code) int {
	switch code {
	case api.InvalidArgument, api.ConfirmationNeeded:
		return exitUsage
	case api.OutcomeUnknown:
		return exitUnreachable // no answer in time: whether it was applied is not known
	case api.NoLeader, api.NotApplied, api.NotReady, api.Unavailable, api.Stale, api.Busy, api.ClockOff:
		return exitNoLeader
	case api.PartlyApplied:
		return exitPartial
	}
	return exitError
}
