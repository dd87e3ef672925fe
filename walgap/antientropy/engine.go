package antientropy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config is what an Engine works with.
type Config struct {
	Cluster Cluster
	Logger  *slog.Logger
	// PerNode is how many repairs this engine has under way on one node at once; 0: DefaultPerNode.
	PerNode int
}

// Engine checks groups. Checks of different groups run at once as their callers like; of one group one at a time.
type Engine struct {
	config Config
	groups *slots[uint32] // one check each
	nodes  *slots[string] // repairs
}

// New makes an engine. It starts nothing, and has nothing to close: Check leaves nothing running.
func New(config Config) (*Engine, error) {
	if config.Cluster == nil || config.Logger == nil {
		return nil, errors.New("antientropy: a cluster and a logger are needed")
	}
	if config.PerNode <= 0 {
		config.PerNode = DefaultPerNode
	}
	return &Engine{config, newSlots[uint32](1), newSlots[string](config.PerNode)}, nil
}

// Check checks one group, and has ended its cuts when it returns. The error is that of ctx, and nothing else: what
// could not be checked is in the report, which is valid with an error too.
func (e *Engine) Check(ctx context.Context, group uint32, o Options) (Report, error) {
	began := time.Now()
	release, err := e.groups.take(ctx, group, o.Seat.Leave) // who has it may be at its repairs
	if err == nil {
		defer release()
		err = o.Seat.Return(ctx)
	}
	if err != nil {
		return Report{Group: group, Unchecked: "ended before it began", Passing: true, Began: began, Ended: time.Now()}, err
	}
	var sum Report // of what the attempts have read
	var known []earlier
	for t := newTries(); ; {
		c := &check{
			engine: e, group: group, options: o, last: t.last(), patient: t.patient(), earlier: known, extra: inQuestion(known),
			logger: e.config.Logger.With("group", group), report: Report{Group: group},
		}
		interrupted := c.run(ctx)
		r := c.finish()
		r.BytesRead, r.BytesCompared = r.BytesRead+sum.BytesRead, r.BytesCompared+sum.BytesCompared
		r.Began, r.Ended, r.Attempts = began, time.Now(), t.attempt
		sum, known = r, c.knew()
		switch {
		case interrupted == nil:
			return r, nil
		case ctx.Err() != nil:
			r.Equal, r.Unchecked, r.Passing = false, "the check was ended", true
			return r, ctx.Err()
		}
		c.logger.Debug("a check was interrupted", "attempt", t.attempt, "reason", interrupted)
		if !t.again(ctx, c, interrupted) || o.Seat.Return(ctx) != nil {
			r.Equal, r.Unchecked, r.Passing = false, fmt.Sprintf("%d attempts: %v", r.Attempts, interrupted), true
			return r, ctx.Err()
		}
	}
}
