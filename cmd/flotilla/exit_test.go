package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// Who interrupts a command is told what goes on without it.
func TestInterruptTellsWhatMayStillHappen(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	job := &finishedJob{}
	job.ID = "verify-n1-1"
	const maybe = "flotilla: interrupted: the request was sent: it may be carried out, look before it is repeated\n"
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"Wait":    {goesOn([]*finishedJob{job}, ctx.Err()), "flotilla: interrupted: job verify-n1-1 goes on (flotilla job verify-n1-1)\n"},
		"Jobs":    {goesOn([]*finishedJob{job, job}, ctx.Err()), "flotilla: interrupted: 2 jobs go on (flotilla jobs)\n"},
		"Change":  {fmt.Errorf("%w: %w", apiclient.ErrSent, ctx.Err()), maybe},
		"Delete":  {maybeDone(api.E(api.OutcomeUnknown, "read back", "no answer in time")), maybe},
		"Refused": {maybeDone(api.E(api.NotApplied, "retry", "the delete was not sent in time")), "flotilla: interrupted\n"},
		"Read":    {ctx.Err(), "flotilla: interrupted\n"},
		"NotSent": {api.E(api.NotApplied, "retry", "the write was not sent in time"), "flotilla: interrupted\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := report(ctx, commandLine{app: newApp(streams{})}, test.err, streams{out: &out, err: &errs})
			if code != exitInterrupted || errs.String() != test.want || out.Len() > 0 {
				t.Errorf("code %d, stderr %q, stdout %q", code, &errs, &out)
			}
		})
	}
}

// Who gives up waiting is told that the job does not, and the code is that of the error.
func TestWaitThatIsGivenUpNamesTheJob(t *testing.T) {
	job := &finishedJob{}
	job.ID = "verify-n1-1"
	err := goesOn([]*finishedJob{job}, &apiclient.UnreachableError{Addresses: []string{"http://h:1"}, Err: errors.New("refused")})
	var errs bytes.Buffer
	code := report(t.Context(), commandLine{app: newApp(streams{})}, err, streams{err: &errs})
	const want = "flotilla: job verify-n1-1 goes on (flotilla job verify-n1-1): no node answers at http://h:1: refused (is one running? give --addr or FLOTILLA_ADDR)\n"
	if code != exitUnreachable || errs.String() != want {
		t.Errorf("code %d, %q", code, &errs)
	}
}
