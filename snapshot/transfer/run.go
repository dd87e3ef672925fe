package transfer

import "context"

type run struct {
	plan     Plan
	sink     Sink
	progress func(Progress)
}

func newRun(plan Plan, sink Sink, progress func(Progress)) *run {
	return &run{plan: plan, sink: sink, progress: progress}
}

func (r *run) run(context.Context) (Result, error) { return Result{}, nil }
